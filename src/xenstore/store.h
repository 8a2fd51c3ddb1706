/* SPDX-License-Identifier: MIT */
/*
 * The xenstore database and its wire protocol as a pure library: no sockets, no threads, no clock,
 * no global state. The hypervisor feeds it the bytes that a connection received and sends the
 * bytes that it queued. Single-threaded: one thread calls everything on a store. It trusts no
 * connection, and it trusts the program that embeds it.
 *
 * Sources: xen/io/xs_wire.h (message format, limits) and Xen's docs/misc/xenstore.txt (semantics).
 */
#ifndef RF_XENSTORE_STORE_H
#define RF_XENSTORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_conn;

/* Quotas. They bind unprivileged domains only (domid 0 has none), as in Xen's xenstored. */
struct store_limits {
	unsigned int nr_nodes;		 /* nodes that a domain may own; default 1000 */
	unsigned int nr_watches;	 /* per domain; default 128 */
	unsigned int nr_transactions;	 /* open at once, per domain; default 10 */
	unsigned int nr_txn_nodes;	 /* nodes accessed in one transaction; default 1024 */
	unsigned int nr_perms;		 /* permission entries of a node; default 5 */
	unsigned int node_size;		 /* bytes of a node's value and last name; default 2048 */
	/*
	 * Flow control, no error. Replies not yet taken by the client, per connection, also domain
	 * 0's; a domain has 64 times as many, and each of its connections one in any case.
	 */
	unsigned int nr_requests;	 /* default 20 */
	/*
	 * Events not yet taken, per domain; beyond, each watch has one that names its own path.
	 * Each connection of domain 0 has 64 times as many.
	 */
	unsigned int nr_events;		 /* default 1024 */
};

void store_limits_default(struct store_limits *limits);

/*
 * Changes one limit by its name in CONTROL's `quota`, which is also that of ringfenced's option:
 * nodes, watches, transactions, transaction-nodes, permissions, node-size, outstanding, events.
 * -ENOENT no such name, -ERANGE above STORE_LIMIT_MAX, or no outstanding reply at all.
 */
#define STORE_LIMIT_MAX 1000000000ul
int store_limits_set(struct store_limits *limits, const char *name, unsigned long value)
	__attribute__((warn_unused_result));

struct store_ops {
	/*
	 * A connection has output now and had none before. Called from inside any store call, also
	 * one made by another connection. Must not call back into the store.
	 */
	void (*want_write)(void *conn_data);
	/*
	 * A node was created, written or removed (with its children: one call for the top), outside
	 * a transaction or by a commit. Missing parents that a write made have a call each, before
	 * that of the node. Changed permissions alone are no call. Called after the change is
	 * complete, before the function that made it returns. It may read the store but must not
	 * change it. May be NULL.
	 */
	void (*changed)(void *store_data, const char *path);
	/*
	 * A line for the log: what domain 0 told CONTROL to print, and with `trace` every request
	 * while it has that switched on. Printable ASCII without an end of line. Must not call back
	 * into the store. May be NULL.
	 */
	void (*log)(void *store_data, bool trace, const char *text);
};

/*
 * Creates an empty store: "/" owned by domain 0, readable by dom0 only (perms n0), plus "/tool",
 * "/tool/xenstored", "/local" and "/local/domain" as Xen's xenstored makes them.
 * `ops` must outlive the store. Returns 0 or -ENOMEM.
 */
int store_create(const struct store_limits *limits, const struct store_ops *ops, void *store_data,
	struct store **out) __attribute__((warn_unused_result));

/* From now on; what a domain already has beyond them it keeps. */
void store_set_limits(struct store *store, const struct store_limits *limits);

/* Frees everything; every connection must have been closed. NULL is legal. */
void store_destroy(struct store *store);

/* ---- domains ---- */

/*
 * Tells the store that a domain exists (fires @introduceDomain). 0, -EEXIST or -ENOMEM. Domain 0
 * always exists (-EEXIST).
 */
int store_introduce(struct store *store, unsigned int domid) __attribute__((warn_unused_result));

/*
 * The domain works for others, as a driver domain does, which owns nodes and sets watches for each
 * of its guests: until it is released it may have `factor` (at least 1) times as many nodes, watches
 * and events as the limits say. 0, or -ENOENT if it has not been introduced.
 */
int store_scale_limits(struct store *store, unsigned int domid, unsigned int factor)
	__attribute__((warn_unused_result));

/*
 * The domain is gone: its connections must have been closed. Forgets its permissions on every node
 * (a later domain with the same id inherits nothing; nodes that it owned become domain 0's) and
 * fires @releaseDomain.
 */
void store_release(struct store *store, unsigned int domid);

/* ---- connections ---- */

/*
 * Opens a connection on behalf of a domain. Several connections of one domain share its quotas;
 * watches and transactions belong to the connection. 0 or -ENOMEM.
 */
int store_conn_open(struct store *store, unsigned int domid, void *conn_data,
	struct store_conn **out) __attribute__((warn_unused_result));

/* Drops the connection's watches, open transactions, input and output. NULL is legal. */
void store_conn_close(struct store_conn *conn);

/*
 * Hands in bytes that the connection received, in any fragmentation; carries out every complete
 * request among them as long as the connection may have more replies. Returns how many bytes were
 * taken (fewer than `len`, possibly 0, while the client does not read its replies: offer the rest
 * after the next store_conn_consume), or -EPROTO when the peer broke the protocol (payload over
 * 4096 bytes): then the caller must close the connection.
 */
long store_conn_input(struct store_conn *conn, const void *bytes, size_t len)
	__attribute__((warn_unused_result));

/*
 * The bytes to send next. Returns their number (0: none); *bytes stays valid until the next store
 * call.
 */
size_t store_conn_output(struct store_conn *conn, const void **bytes);

/* `len` bytes of the output were sent. */
void store_conn_consume(struct store_conn *conn, size_t len);

/* True while input would be taken. */
bool store_conn_can_take(const struct store_conn *conn);

/* ---- the embedding program's own access, as domain 0, outside transactions ---- */

/* Permissions: letters as in xenstore-chmod, "n0" "r3" "w3" "b3"; the first entry is the owner. */
struct store_perm {
	unsigned int domid;
	char access; /* 'n', 'r', 'w' or 'b' */
};

/*
 * Creates or overwrites a node, and its missing parents. With nr_perms > 0 also sets the node's
 * permissions (missing parents inherit, as for any write). 0 or -errno.
 */
int store_write(struct store *store, const char *path, const void *value, size_t len,
	const struct store_perm *perms, unsigned int nr_perms) __attribute__((warn_unused_result));

/* store_write of a formatted value that keeps (or inherits) the permissions. */
int store_printf(struct store *store, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), warn_unused_result));

/*
 * Returns the value (NUL-terminated; *len without the NUL, may be NULL) or NULL if there is no such
 * node. Valid until the node changes.
 */
const char *store_read(struct store *store, const char *path, size_t *len);

/* Removes a node and its children. 0, -ENOENT, or -EINVAL for "/". */
int store_rm(struct store *store, const char *path);

/*
 * Calls `each` for every child's name, in the order of DIRECTORY; `each` must not change the store.
 * Returns 0, -ENOENT, or the first non-zero value that `each` returned.
 */
int store_children(struct store *store, const char *path,
	int (*each)(void *data, const char *name), void *data);

/* Counts for statistics and leak tests. */
struct store_stats {
	unsigned long nr_nodes, nr_watches, nr_transactions, nr_conns, nr_domains;
	unsigned long nr_requests; /* carried out since the start */
	unsigned long nr_queued;   /* replies and events that no client has taken yet */
	size_t queued_bytes;	   /* of those */
	size_t bytes;		   /* of node names and values */
};
void store_get_stats(const struct store *store, struct store_stats *stats);

#endif
