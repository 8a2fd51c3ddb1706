/* SPDX-License-Identifier: MIT */
/*
 * Transactions. Each has a private tree of tnodes laid over the live one: what it read, as it was
 * then, and what it changed. At the end the live tree is compared by generation with what was
 * read; if it agrees, the changes are applied in one step that allocates nothing.
 */
#ifndef RF_XENSTORE_TXN_H
#define RF_XENSTORE_TXN_H

#include "xenstore/internal.h"

/* What of a node a transaction depends on, besides its list of children (tnode.listed). */
#define ACC_META 1u  /* that it exists (or not), and its permissions */
#define ACC_VALUE 2u /* its value */

struct tnode {
	struct hlink link; /* txn.table, by hash of the full path */
	struct tnode *parent;
	struct list in_all, in_parent, in_dirty;
	struct list children;
	bool own;	  /* the view is here; otherwise only on the way to a descendant */
	bool exists;	  /* own: in the view */
	bool cut;	  /* created or removed here: nothing live shows through at or below it */
	bool implied;	  /* created as a missing parent: no event of its own */
	bool write_value; /* not cut: the commit sets it */
	bool write_perms;
	bool listed;  /* seen_list is valid */
	bool applied; /* scratch of the commit: the hook must hear of it */
	unsigned int acc;
	uint64_t seen_value, seen_meta, seen_list; /* live generations; meta 0: did not exist */
	uint64_t list_version;			   /* changes with the view's list; 0: as live */
	struct blob *value;			   /* own and exists */
	struct perms *perms;
	struct blob *base_list; /* the live children when first listed */
	struct blob *view_list; /* what DIRECTORY shows, while unchanged */
	struct node *live;	/* scratch of the commit */
	struct node *fresh;	/* scratch of the commit: allocated ahead */
	size_t name_len;
	char name[];
};

int txn_start(struct store_conn *conn, struct txn **out);
struct txn *txn_find(struct store_conn *conn, uint32_t id);
void txn_destroy(struct txn *txn);
/*
 * 0, -EAGAIN (somebody changed what it depends on), -ENOSPC (quota), -ENOMEM; after an error
 * nothing has changed. The caller destroys the transaction in any case.
 */
int txn_commit(struct txn *txn);

struct txn_found {
	bool exists;
	struct tnode *tnode; /* the node, or the nearest parent that exists */
	size_t len;	     /* length of that one's path */
	struct node *live;   /* what shows through at tnode, or NULL */
};

/*
 * Looks a path up in the view and records the dependence: `acc` on the node, or on its absence and
 * the nearest parent's permissions. 0, -ENOMEM, -ENOSPC (too many nodes in one transaction).
 */
int txn_lookup(struct txn *txn, const char *path, unsigned int acc, struct txn_found *found);
/* The children's names in the view; borrowed until the next change. `found` exists. */
int txn_listing(
	struct txn *txn, const struct txn_found *found, struct blob **list, uint64_t *version);
/* Like live_write; `found` is the result of txn_lookup of `path`. */
int txn_write(struct txn *txn, const char *path, const struct txn_found *found, struct blob *value);
void txn_remove(struct txn *txn, struct tnode *tnode);
/* Takes the reference. */
void txn_set_perms(struct txn *txn, struct tnode *tnode, struct perms *perms);

/* ---- between the transaction's own files ---- */

struct tnode *tnode_create(
	struct txn *txn, struct tnode *parent, const char *name, size_t len, uint64_t hash);
/* One more node that this transaction accesses. 0 or -ENOSPC. */
int txn_count_access(struct txn *txn);
/* Empties the view of a node and of all below it. */
void txn_hide(struct txn *txn, struct tnode *top);
struct tnode *tnode_child(const struct txn *txn, const struct tnode *parent, const char *name,
	size_t len, uint64_t hash);
/* The tnode of a path, or NULL. */
struct tnode *tnode_find(const struct txn *txn, const char *path);
/* Pre-order below and with `top`; NULL at the end. */
struct tnode *tnode_next(const struct tnode *top, struct tnode *tnode);
/* Writes its path to path[PATH_BYTES]. */
void tnode_path(const struct tnode *tnode, char *path);
/*
 * 0 if its domain may own `nr` more nodes on top of what a commit now would leave, else -ENOSPC.
 */
int txn_check_quota(struct txn *txn, unsigned int nr);

#endif
