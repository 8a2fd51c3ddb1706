/* SPDX-License-Identifier: MIT */
/*
 * The hypercall protocol between a domain's Xen libraries (src/xenlibs) and the hypervisor, the
 * specification of which is docs/protocol/hypercall.md.
 *
 * A connection is one SOCK_SEQPACKET socket made to the domain's own listening socket: having been
 * able to connect there *is* the domain's identity. A connection stands for one open handle of one
 * interface, as a descriptor of /dev/xen/gntdev, gntalloc or evtchn does on Linux: what was made
 * through it is undone when it closes. One request, one reply; only the hypervisor sends
 * descriptors.
 */
#ifndef RF_COMMON_HYPERCALL_H
#define RF_COMMON_HYPERCALL_H

#include <stdint.h>

#define HYPERCALL_VERSION 1
#define HYPERCALL_ENV "RINGFENCE_HYPERCALL" /* path of the domain's hypercall socket */

#define HYPERCALL_MAX_PAGES 4096 /* of one share or map request */
#define HYPERCALL_NO_NOTIFY UINT32_MAX

enum hypercall_op {
	HYPERCALL_OPEN = 1,
	HYPERCALL_SHARE = 16,
	HYPERCALL_SHARE_READY, /* a read-only share is mapped and sealed by its owner */
	HYPERCALL_UNSHARE,
	HYPERCALL_MAP = 32,
	HYPERCALL_MAP_FD,
	HYPERCALL_UNMAP,
	HYPERCALL_SET_MAX_GRANTS,
	HYPERCALL_BIND_UNBOUND = 48,
	HYPERCALL_BIND_INTERDOMAIN,
	HYPERCALL_UNBIND,
	HYPERCALL_RESTRICT, /* binds with evtchn.domid only, from now on */
};

enum hypercall_interface { HYPERCALL_GNTSHR = 1, HYPERCALL_GNTTAB, HYPERCALL_EVTCHN };

#define HYPERCALL_DOMID_ANY UINT32_MAX

#define HYPERCALL_WRITABLE 1u /* flags of SHARE and MAP */

/* One grant reference of a MAP request. */
struct hypercall_gref {
	uint32_t domid;
	uint32_t gref;
};

/* Where a mapped grant's page is. */
struct hypercall_mapped {
	uint64_t share_id; /* names the share (one memfd) for as long as this instance runs */
	uint32_t page;	   /* index of the page within the share */
	uint32_t nr_pages; /* size of the share */
};

struct hypercall_request {
	uint32_t op;
	uint32_t flags;
	union {
		struct {
			uint32_t version;
			uint32_t interface;
		} open;
		struct {
			uint32_t domid;
			uint32_t nr_pages;
			uint32_t notify_offset; /* within page 0, or HYPERCALL_NO_NOTIFY */
			uint32_t notify_port;	/* a port of the caller's domain, or the same */
		} share;
		struct {
			uint64_t share_id;
			uint32_t page; /* UNSHARE, UNMAP: first page */
			uint32_t nr_pages;
		} range; /* SHARE_READY and MAP_FD use share_id only */
		struct {
			uint32_t nr_grefs; /* struct hypercall_gref follow the request */
			uint32_t notify_offset;
			uint32_t notify_port;
		} map;
		struct {
			uint32_t nr_grants;
		} max;
		struct {
			uint32_t domid;
			uint32_t port; /* BIND_INTERDOMAIN: the remote port; UNBIND: the local one */
		} evtchn;
	};
};

/* How a port's two descriptors work. */
enum hypercall_port_kind {
	/* An epoll set that is ready from a notification until its events are taken (epoll_wait for
	 * HYPERCALL_WAIT_EVENTS of them), and the eventfd that notifies the peer when 1 is written. */
	HYPERCALL_PORT_EVENTFD = 1,
	/* One SOCK_SEQPACKET end: readable when notified, a byte sent with MSG_DONTWAIT notifies. */
	HYPERCALL_PORT_SEQPACKET,
};

struct hypercall_reply {
	int32_t status; /* 0 or -errno */
	uint32_t count; /* SHARE: grefs (uint32_t) that follow; MAP: struct hypercall_mapped that follow */
	union {
		struct {
			uint32_t domid;
		} open;
		struct {
			uint64_t share_id; /* the memfd comes along */
		} share;
		struct {
			uint32_t port; /* BIND_*: descriptors come along as `kind` says */
			uint32_t kind;
		} evtchn;
	};
};

#define HYPERCALL_REQUEST_MAX                                                                      \
	(sizeof(struct hypercall_request) + HYPERCALL_MAX_PAGES * sizeof(struct hypercall_gref))
#define HYPERCALL_REPLY_MAX                                                                        \
	(sizeof(struct hypercall_reply) + HYPERCALL_MAX_PAGES * sizeof(struct hypercall_mapped))
#define HYPERCALL_MAX_FDS 2
#define HYPERCALL_WAIT_EVENTS 2 /* members of an eventfd port's set: the peer's, the hypervisor's */

#endif
