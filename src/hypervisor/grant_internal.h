/* SPDX-License-Identifier: MIT */
/* What the two halves of the grant tables share: grant.c (granting) and grant_map.c (mapping). */
#ifndef RF_HYPERVISOR_GRANT_INTERNAL_H
#define RF_HYPERVISOR_GRANT_INTERNAL_H

#include "hypervisor/grant.h"
#include "hypervisor/hypercall.h"

#define PAGE_SIZE 4096u
#define FIRST_GREF 8u /* the first eight are reserved, as in Xen */

/* "When this page is unmapped, clear this byte and notify this port." */
struct notify {
	struct list link;
	uint32_t page;
	uint32_t offset; /* or HYPERCALL_NO_NOTIFY */
	uint32_t port;	 /* or HYPERCALL_NO_NOTIFY */
	unsigned int nr_paid; /* descriptors that its domain is charged for it */
};

struct share {
	struct list hash_link;
	struct list conn_link;	     /* in the owner's connection; empty once that is closed */
	struct hypercall_conn *conn; /* the owner's; it and `owner` are NULL once all grants ended */
	struct domain *owner;
	uint64_t id;
	unsigned int peer;	     /* who may map it */
	uint64_t peer_serial;	     /* which domain of that id; 0: none existed yet */
	bool writable, ready;
	int memfd;		     /* -1 once nobody can need it: see grant_close_memfd */
	uint32_t nr_pages, nr_granted;
	struct notify *notify;	     /* the owner's, for page 0; NULL when none */
	uint8_t *notify_page;	     /* page 0 mapped writable, where the owner seals it; until then */
	struct list uses;
	unsigned int nr_bytes;	     /* to be cleared when mappers unmap: their notifications */
	uint32_t grefs[];	     /* by page; 0: ended */
};

struct share_use {
	struct list share_link, conn_link;
	struct share *share;
	struct hypercall_conn *conn;
	struct list notifies;
	uint32_t nr_maps;
	uint16_t counts[]; /* maps by page */
};

/* The share of that id, or NULL. */
struct share *grant_find_share(struct hypervisor *hv, uint64_t id);

/*
 * Closes the memfd if no page is granted any more, so that nobody may map it, and no mapper's
 * notification has a byte in it: what is mapped stays mapped. Such a share costs no descriptor.
 */
void grant_close_memfd(struct share *share);

/* Frees the share if nobody grants it any more and nobody has it mapped. */
void grant_release_share(struct share *share);

/*
 * Checks a requested notification of a page and holds its port. *out is NULL when none is wanted.
 * 0, -EINVAL or -ENOMEM.
 */
int grant_make_notify(struct domain *dom, uint32_t page, uint32_t offset, uint32_t port,
	struct notify **out) __attribute__((warn_unused_result));

/* Forgets a notification without firing it. NULL is legal. */
void grant_free_notify(struct domain *dom, struct notify *notify);

/* Clears the byte, notifies the port, and forgets it. */
void grant_fire_notify(struct share *share, struct domain *dom, struct notify *notify);

/* Undoes every map of the connection. */
void grant_drop_uses(struct hypercall_conn *conn);

#endif
