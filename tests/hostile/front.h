/* SPDX-License-Identifier: MIT */
/*
 * A blkif front end by hand, for programs that break its rules: a guest domain of one thread with
 * one disk, xvda. Every step of the handshake can be left out or done wrongly. What goes wrong
 * unasked ends the program with a message; every wait is bounded.
 */
#ifndef RF_TESTS_HOSTILE_FRONT_H
#define RF_TESTS_HOSTILE_FRONT_H

#include <ringfence/domain.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ringmb.h"

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
#include <xen/grant_table.h>
#include <xen/event_channel.h>
#include <xen/io/xenbus.h>
#include <xen/io/ring.h>
#include <xen/io/blkif.h>
#include <xen/io/protocols.h>

#include "common/clock.h"

#define FRONT_BOUND_MS 20000
#define FRONT_PAGE 4096u
#define FRONT_DATA_PAGES 256u
#define FRONT_MAX_SEGMENTS 256u /* indirect; their descriptors fit into a page */
#define FRONT_DIR "device/vbd/51712"
#define STATE(s) (1u << XenbusState##s)

struct front {
	struct rf_domain *domain;
	struct xs_handle *xs;
	xengntshr_handle *xgs;
	xenevtchn_handle *xce;
	char back[256];
	uint32_t back_domid;
	unsigned int nr_ring_pages;
	bool x86_32; /* to be set before connecting: the ring of a 32-bit guest */
	bool keeps_bytes; /* the back end leaves bytes of the request in a response, as Linux's does */
	blkif_sring_t *sring;
	uint32_t ring_refs[16];
	blkif_front_ring_t ring;
	int port;
	char *data; /* FRONT_DATA_PAGES pages that the back end may write */
	uint32_t data_refs[FRONT_DATA_PAGES];
	/* A page for descriptors of indirect segments, which the back end may only read. */
	struct blkif_request_segment *descs;
	uint32_t descs_ref;
};

static inline void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	_Exit(1);
}

/* ---- the domain ---- */

static inline char *front_read(struct front *f, const char *dir, const char *node)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, node);
	return xs_read(f->xs, XBT_NULL, path, NULL);
}

static inline void __attribute__((format(printf, 3, 4))) front_write(
	struct front *f, const char *node, const char *fmt, ...)
{
	char path[512], value[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), FRONT_DIR "/%s", node);
	if (!xs_write(f->xs, XBT_NULL, path, value, (unsigned int)strlen(value)))
		die("cannot write %s: %s", path, strerror(errno));
}

static inline void front_remove(struct front *f, const char *node)
{
	char path[512];

	snprintf(path, sizeof(path), FRONT_DIR "/%s", node);
	if (!xs_rm(f->xs, XBT_NULL, path) && errno != ENOENT)
		die("cannot remove %s: %s", path, strerror(errno));
}

/* Becomes a domain with this disk (see below for "-"); nothing of the handshake is done. */
static inline void front_enter(struct front *f, const char *disk)
{
	char error[256] = "", path[300], *text;

	*f = (struct front){.port = -1};
	/* "-": it runs in a domain that has its disk, as on a real Xen. */
	if (strcmp(disk, "-") != 0 &&
		(rf_domain_enter(NULL, &f->domain, error, sizeof(error)) ||
			rf_domain_attach_disk(f->domain, disk, "xvda", error, sizeof(error))))
		die("%s", error);
	f->xs = xs_open(0);
	f->xgs = xengntshr_open(NULL, 0);
	f->xce = xenevtchn_open(NULL, 0);
	if (!f->xs || !f->xgs || !f->xce)
		die("cannot open the domain's handles");
	fcntl(xenevtchn_fd(f->xce), F_SETFL, O_NONBLOCK);
	text = front_read(f, FRONT_DIR, "backend");
	if (!text)
		die("no back end");
	snprintf(f->back, sizeof(f->back), "%s", text);
	free(text);
	text = front_read(f, FRONT_DIR, "backend-id");
	if (!text)
		die("no back end id");
	f->back_domid = (uint32_t)atoi(text);
	free(text);
	snprintf(path, sizeof(path), "%s/state", f->back);
	if (!xs_watch(f->xs, path, "state"))
		die("cannot watch %s", path);
	f->data = xengntshr_share_pages(f->xgs, f->back_domid, FRONT_DATA_PAGES, f->data_refs, 1);
	f->descs = xengntshr_share_pages(f->xgs, f->back_domid, 1, &f->descs_ref, 0);
	if (!f->data || !f->descs)
		die("cannot share pages: %s", strerror(errno));
}

static inline unsigned int front_back_state(struct front *f)
{
	char *text = front_read(f, f->back, "state");
	unsigned int state = text ? (unsigned int)atoi(text) : 0;

	free(text);
	return state;
}

/* Waits until the back end is in one of these states (a mask of STATE()). Returns which. */
static inline unsigned int front_wait_back(struct front *f, unsigned int mask)
{
	uint64_t end = clock_ns() + FRONT_BOUND_MS * NSEC_PER_MSEC;
	struct pollfd pfd = {.fd = xs_fileno(f->xs), .events = POLLIN};
	unsigned int state;
	char **event;

	for (;;) {
		while ((event = xs_check_watch(f->xs)) != NULL)
			free(event);
		state = front_back_state(f);
		if (mask >> state & 1)
			return state;
		if (clock_ns() > end)
			die("the back end stays in state %u, wanted %#x", state, mask);
		poll(&pfd, 1, 100);
	}
}

static inline void front_set_state(struct front *f, enum xenbus_state state)
{
	front_write(f, "state", "%d", state);
}

/* ---- the ring as a 32-bit x86 guest sees it ---- */

/* Written down from xen/io/blkif.h, with no padding in front of 64-bit integers. */
struct __attribute__((packed)) front_slot_x86_32 {
	uint8_t operation;
	uint8_t nr_segments; /* or: flag of a discard, inner operation of an indirect request */
	uint16_t handle;     /* or: number of indirect segments */
	uint64_t id;
	uint64_t sector;
	union {
		struct __attribute__((packed)) {
			uint32_t gref;
			uint8_t first_sect, last_sect;
			uint16_t padding;
		} seg[11];
		uint64_t nr_sectors; /* of a discard */
		struct __attribute__((packed)) {
			uint16_t handle, padding;
			uint32_t grefs[8];
		} indirect;
	};
};
_Static_assert(sizeof(struct front_slot_x86_32) == 108, "20 bytes and 11 segments of 8");

#define FRONT_RING_HEAD 64u

static inline unsigned int front_slots_x86_32(unsigned int nr_pages)
{
	unsigned int nr = 1;

	while (FRONT_RING_HEAD + 2 * nr * sizeof(struct front_slot_x86_32) <= nr_pages * FRONT_PAGE)
		nr *= 2;
	return nr;
}

static inline char *front_at_x86_32(struct front *f, uint32_t index)
{
	return (char *)f->sring + FRONT_RING_HEAD +
		(index & (f->ring.nr_ents - 1)) * sizeof(struct front_slot_x86_32);
}

static inline void front_put_x86_32(struct front *f, const blkif_request_t *req)
{
	struct front_slot_x86_32 slot = {.operation = req->operation,
		.nr_segments = req->nr_segments, .id = req->id, .sector = req->sector_number};
	const blkif_request_discard_t *discard = (const void *)req;
	const blkif_request_indirect_t *indirect = (const void *)req;

	memset(&slot.seg, 0x5a, sizeof(slot.seg));
	if (req->operation == BLKIF_OP_DISCARD) {
		slot.nr_sectors = discard->nr_sectors;
	} else if (req->operation == BLKIF_OP_INDIRECT) {
		slot.handle = indirect->nr_segments;
		memcpy(slot.indirect.grefs, indirect->indirect_grefs, sizeof(slot.indirect.grefs));
	} else {
		for (unsigned int i = 0; i < 11; i++) {
			slot.seg[i].gref = req->seg[i].gref;
			slot.seg[i].first_sect = req->seg[i].first_sect;
			slot.seg[i].last_sect = req->seg[i].last_sect;
		}
	}
	memcpy(front_at_x86_32(f, f->ring.req_prod_pvt), &slot, sizeof(slot));
}

static inline void front_take_x86_32(struct front *f, blkif_response_t *rsp)
{
	const char *at = front_at_x86_32(f, f->ring.rsp_cons);

	memset(rsp, 0, sizeof(*rsp));
	memcpy(&rsp->id, at, 8);
	memcpy((char *)rsp + 8, at + 8, 4); /* operation, a byte that must be zero, status */
}

/* ---- connecting ---- */

static inline void front_make_ring(struct front *f, unsigned int order)
{
	f->nr_ring_pages = 1u << order;
	f->sring = xengntshr_share_pages(
		f->xgs, f->back_domid, (int)f->nr_ring_pages, f->ring_refs, 1);
	if (!f->sring)
		die("cannot share the ring: %s", strerror(errno));
	SHARED_RING_INIT(f->sring);
	FRONT_RING_INIT(&f->ring, f->sring, f->nr_ring_pages * FRONT_PAGE);
	if (f->x86_32)
		f->ring.nr_ents = front_slots_x86_32(f->nr_ring_pages);
	f->port = xenevtchn_bind_unbound_port(f->xce, f->back_domid);
	if (f->port < 0)
		die("cannot make a port: %s", strerror(errno));
}

/* Writes the nodes of a ring that was made; the state is the caller's. */
static inline void front_publish(struct front *f, bool persistent)
{
	char node[24];

	for (unsigned int i = 0; i < f->nr_ring_pages; i++) {
		snprintf(node, sizeof(node), "ring-ref%u", i);
		front_write(f, f->nr_ring_pages == 1 ? "ring-ref" : node, "%u", f->ring_refs[i]);
	}
	if (f->nr_ring_pages > 1)
		front_write(f, "ring-page-order", "%d", __builtin_ctz(f->nr_ring_pages));
	front_write(f, "event-channel", "%d", f->port);
	front_write(f, "protocol", f->x86_32 ? XEN_IO_PROTO_ABI_X86_32 : XEN_IO_PROTO_ABI_X86_64);
	front_write(f, "feature-persistent", "%d", persistent);
}

static inline void front_connect(struct front *f, unsigned int order, bool persistent)
{
	front_wait_back(f, STATE(InitWait));
	front_make_ring(f, order);
	front_publish(f, persistent);
	front_set_state(f, XenbusStateInitialised);
	front_wait_back(f, STATE(Connected));
	front_set_state(f, XenbusStateConnected);
}

/* Gives ring and port back; the back end has let go. */
static inline void front_drop_ring(struct front *f)
{
	static const char *const nodes[] = {"ring-ref", "ring-page-order", "event-channel",
		"protocol", "feature-persistent"};
	char node[24];

	if (!f->sring)
		return;
	xenevtchn_unbind(f->xce, (evtchn_port_t)f->port);
	xengntshr_unshare(f->xgs, f->sring, f->nr_ring_pages);
	for (unsigned int i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		front_remove(f, nodes[i]);
	for (unsigned int i = 0; f->nr_ring_pages > 1 && i < f->nr_ring_pages; i++) {
		snprintf(node, sizeof(node), "ring-ref%u", i);
		front_remove(f, node);
	}
	f->sring = NULL;
}

/* Parts from the back end and is ready to connect again. */
static inline void front_disconnect(struct front *f)
{
	front_set_state(f, XenbusStateClosing);
	front_wait_back(f, STATE(Closing) | STATE(Closed));
	front_set_state(f, XenbusStateClosed);
	front_wait_back(f, STATE(Closed));
	front_drop_ring(f);
	front_set_state(f, XenbusStateInitialising);
}

static inline void front_leave(struct front *f)
{
	front_drop_ring(f);
	xengntshr_unshare(f->xgs, f->data, FRONT_DATA_PAGES);
	xengntshr_unshare(f->xgs, f->descs, 1);
	xengntshr_close(f->xgs);
	xenevtchn_close(f->xce);
	xs_close(f->xs);
	rf_domain_leave(f->domain);
}

/* ---- requests ---- */

/* A request of nr_segments whole pages, data page `page` and following. */
static inline blkif_request_t front_request(struct front *f, uint8_t op, uint64_t sector,
	unsigned int nr_segments, unsigned int page)
{
	blkif_request_t req;

	memset(&req, 0, sizeof(req));
	req.operation = op;
	req.nr_segments = (uint8_t)nr_segments;
	req.sector_number = sector;
	for (unsigned int i = 0; i < nr_segments && i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++)
		req.seg[i] = (struct blkif_request_segment){
			.gref = f->data_refs[(page + i) % FRONT_DATA_PAGES], .last_sect = 7};
	return req;
}

/* An indirect request, whose descriptors are to be found in the page of `gref`. */
static inline blkif_request_t front_indirect_header(
	uint8_t inner, uint64_t sector, unsigned int nr_segments, uint32_t gref)
{
	blkif_request_indirect_t indirect;
	blkif_request_t req;

	memset(&indirect, 0, sizeof(indirect));
	indirect.operation = BLKIF_OP_INDIRECT;
	indirect.indirect_op = inner;
	indirect.nr_segments = (uint16_t)nr_segments;
	indirect.sector_number = sector;
	indirect.indirect_grefs[0] = gref;
	memset(&req, 0, sizeof(req));
	memcpy(&req, &indirect, sizeof(indirect));
	return req;
}

/* The same as front_request with indirect segments, whose descriptors go to the page for them. */
static inline blkif_request_t front_indirect(struct front *f, uint8_t inner, uint64_t sector,
	unsigned int nr_segments, unsigned int page)
{
	for (unsigned int i = 0; i < nr_segments && i < FRONT_MAX_SEGMENTS; i++)
		f->descs[i] = (struct blkif_request_segment){
			.gref = f->data_refs[(page + i) % FRONT_DATA_PAGES], .last_sect = 7};
	return front_indirect_header(inner, sector, nr_segments, f->descs_ref);
}

/* Puts it on the ring, which must have room; front_push shows it. */
static inline void front_put(struct front *f, const blkif_request_t *req)
{
	if (f->x86_32)
		front_put_x86_32(f, req);
	else
		ring_copy_to(RING_GET_REQUEST(&f->ring, f->ring.req_prod_pvt), req, sizeof(*req));
	f->ring.req_prod_pvt++;
}

static inline void front_push(struct front *f)
{
	uint32_t old = ring_load_event(&f->sring->req_prod), new = f->ring.req_prod_pvt;

	ring_store_prod(&f->sring->req_prod, new);
	/*
	 * Orders: the producer index before the look at the event index.
	 * Pairs with: the back end's queue_arm.
	 * Without it: it would sleep on requests that nobody tells it about.
	 */
	xen_mb();
	if (new - ring_load_event(&f->sring->req_event) < new - old)
		xenevtchn_notify(f->xce, (evtchn_port_t)f->port);
}

static inline void front_take_events(struct front *f)
{
	int port;

	while ((port = xenevtchn_pending(f->xce)) >= 0)
		xenevtchn_unmask(f->xce, (evtchn_port_t)port);
}

static inline bool front_has_response(struct front *f)
{
	return ring_load_prod(&f->sring->rsp_prod) != f->ring.rsp_cons;
}

/* One response, false after so many ms without. Bytes beyond its fields must be zero (XSA-216). */
static inline bool front_take(struct front *f, blkif_response_t *rsp, int timeout_ms)
{
	uint64_t end = clock_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	struct pollfd pfd = {.fd = xenevtchn_fd(f->xce), .events = POLLIN};
	const unsigned char *bytes = (const unsigned char *)rsp;

	while (!front_has_response(f)) {
		ring_store_event(&f->sring->rsp_event, f->ring.rsp_cons + 1);
		/*
		 * Orders: the event index before the last look at the producer index.
		 * Pairs with: the back end's queue_push.
		 * Without it: the response would be found only after the time-out.
		 */
		xen_mb();
		if (front_has_response(f))
			break;
		if (clock_ns() > end)
			return false;
		poll(&pfd, 1, timeout_ms);
		front_take_events(f);
	}
	if (f->x86_32)
		front_take_x86_32(f, rsp);
	else
		ring_copy_from(rsp, RING_GET_RESPONSE(&f->ring, f->ring.rsp_cons), sizeof(*rsp));
	f->ring.rsp_cons++;
	if (!f->keeps_bytes && (bytes[9] || memcmp(bytes + 12, "\0\0\0\0", 4)))
		die("a response has bytes beyond its fields");
	return true;
}

/* The operation that an answer names: of an indirect request that is offered, the inner one. */
static inline uint8_t front_echo(const blkif_request_t *req, int status)
{
	bool inner = req->operation == BLKIF_OP_INDIRECT && status != BLKIF_RSP_EOPNOTSUPP;

	return inner ? ((const blkif_request_indirect_t *)(const void *)req)->indirect_op
		     : req->operation;
}

/* One request and its response. Returns the status. */
static inline int front_call(struct front *f, const blkif_request_t *req)
{
	blkif_response_t rsp;

	front_put(f, req);
	front_push(f);
	if (!front_take(f, &rsp, FRONT_BOUND_MS))
		die("operation %u at sector %llu was never answered", req->operation,
			(unsigned long long)req->sector_number);
	if (rsp.id != req->id || rsp.operation != front_echo(req, rsp.status))
		die("the answer is to another request");
	return rsp.status;
}

#endif
