/* SPDX-License-Identifier: MIT */
/*
 * The objects of the store and who points at whom. Each part's functions are in its own header
 * (perms.h, node.h, txn.h, watch.h, conn.h); this one only has the structures, because they refer
 * to each other.
 */
#ifndef RF_XENSTORE_INTERNAL_H
#define RF_XENSTORE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

#include "common/list.h"
#include "xenstore/htable.h"
#include "xenstore/path.h"
#include "xenstore/store.h"

#define DOM0 0u
#define DOMID_MAX 65535u

/* A domain that the store knows of: introduced, connected, or mentioned in permissions. */
struct domain {
	struct hlink link; /* store.domains */
	unsigned int domid;
	bool introduced;
	unsigned int factor; /* its limits, to those of other domains */
	unsigned int nr_conns;
	unsigned int nr_nodes; /* live nodes it owns */
	unsigned int nr_watches;
	unsigned int nr_txns;
	unsigned int nr_replies, nr_events; /* that wait on its connections */
	struct list mentions;	 /* perm_entry.mention: everything that a release must rewrite */
	struct domain *target;	 /* SET_TARGET, or NULL */
	struct list target_link; /* target->targeters */
	struct list targeters;
	struct list fair_link;	      /* store.losers, oldest first */
	struct store_conn *fair_conn; /* its connection that keeps losing conflicts, or NULL */
	unsigned int fair_credits;
};

/* Immutable bytes with a NUL behind them, shared by nodes and transactions. */
struct blob {
	unsigned int refs;
	size_t len;
	char bytes[];
};

#define PERM_READ 1u
#define PERM_WRITE 2u
#define PERM_OWNER 4u

struct perm_entry {
	struct list mention; /* domain.mentions */
	struct domain *dom;  /* NULL: the domain was released, the entry is void */
	struct perms *set;
	unsigned char access; /* PERM_READ | PERM_WRITE */
	bool ignored;	      /* a guest named a domain that did not exist: shown, never granted */
};

/*
 * A permission list, shared by every node that inherited it. Only the release of a domain changes
 * one in place; that is what makes forgetting a domain cost nothing per node.
 */
struct perms {
	unsigned int refs;
	unsigned int nr;
	struct perm_entry entry[];
};

/*
 * A live node. Generations come from store.generation and are never reused, so that equal numbers
 * mean an unchanged node even across removal and creation.
 */
struct node {
	struct hlink link; /* store.nodes, by hash of the full path */
	struct node *parent;
	struct list siblings;
	struct list children; /* in order of creation */
	size_t nr_children;
	size_t list_bytes; /* of the children's names with their NULs */
	struct blob *value;
	struct perms *perms;
	struct blob *listing; /* the children's names, while somebody needed them; or NULL */
	uint64_t gen_value, gen_meta /* existence, permissions */, gen_list;
	size_t name_len;
	char name[];
};

struct watch_group {
	struct hlink link; /* store.watch_groups, by hash of the path */
	struct list watches;
	size_t path_len;
	char path[];
};

struct watch {
	struct hlink index; /* store.watch_index, by path, token and connection */
	struct list in_conn, in_group;
	struct watch_group *group;
	struct store_conn *conn;
	size_t prefix_len;  /* what events leave off: the home path, when set as relative */
	struct list events; /* msg.in_watch, other than `self` */
	struct msg *self;
	size_t token_len;
	char token[];
};

/* A message to a client: a reply, or a watch's event. */
struct msg {
	struct list queue;    /* conn.out */
	struct list in_watch; /* watch.events */
	struct hlink pending; /* store.pending, while it can absorb an equal event */
	struct watch *watch;  /* NULL: a reply, or the watch is gone */
	bool is_event;
	bool is_self; /* the event that names the watch's own path; made with the watch */
	bool queued;
	bool exposed; /* the client may have seen a part of it */
	bool again;   /* self: fire once more when this one is out */
	uint32_t len; /* of header and payload */
	unsigned char bytes[];
};

struct txn {
	struct list in_conn;
	struct store_conn *conn;
	uint32_t id;
	struct htable table; /* tnode.link */
	struct list all;     /* tnode.in_all, parents before children */
	struct list dirty;   /* tnode.in_dirty, in the order of the last change of shape */
	struct tnode *root;
	unsigned int nr_accessed;
	unsigned int nr_created; /* at most so many nodes more when it commits */
};

struct store_conn {
	struct list in_store;
	struct store *store;
	struct domain *dom;
	void *data;
	/* input */
	struct xsd_sockmsg hdr; /* of the request that has not arrived completely */
	size_t have;		/* bytes of it so far, with the header */
	char *payload;		/* NULL while the header is incomplete, or there was no memory */
	bool broken;
	/* output */
	struct list out;
	size_t sent; /* bytes of the first message */
	unsigned int nr_replies, nr_events;
	struct msg *spare;
	/* what it holds */
	struct list watches;
	struct list txns;
	uint32_t last_txn;
	unsigned int losses; /* commits refused in a row */
};

struct special {
	const char *name;
	struct perms *perms;
};

struct store {
	struct store_limits limits;
	const struct store_ops *ops;
	void *data;
	uint64_t key; /* of path hashes */
	uint64_t generation;
	struct node *root;
	struct htable nodes;
	struct htable domains;
	struct htable watch_groups;
	struct htable watch_index;
	struct htable pending;
	struct list conns;
	struct list losers; /* domain.fair_link */
	struct domain *dom0;
	struct blob *empty;
	struct special special[2]; /* @introduceDomain, @releaseDomain */
	bool tracing;		   /* CONTROL log: every request goes to ops->log */
	struct store_stats stats;
};

static inline bool domain_privileged(const struct domain *dom)
{
	return dom->domid == DOM0;
}

/* A limit of nodes, watches or events as it is for this domain. */
static inline uint64_t domain_limit(const struct domain *dom, unsigned int limit)
{
	return (uint64_t)limit * dom->factor;
}

/* ---- domains (domain.c) ---- */

/* NULL if the store does not know it. */
struct domain *domain_find(const struct store *store, unsigned int domid);
/* Makes a record if there is none; NULL without memory. Pair with domain_drop_unused. */
struct domain *domain_obtain(struct store *store, unsigned int domid);
/* Frees the record if nothing refers to it any more. */
void domain_drop_unused(struct store *store, struct domain *dom);
void domain_set_target(struct domain *dom, struct domain *target);
/* Introduced, and so a domain that exists. Domain 0 always does. */
bool domain_exists(const struct domain *dom);

/* ---- blobs (blob.c) ---- */

struct blob *blob_create(const void *bytes, size_t len); /* bytes NULL: zeroes */
struct blob *blob_get(struct blob *blob);
void blob_put(struct blob *blob); /* NULL is legal */

#endif
