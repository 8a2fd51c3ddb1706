/* SPDX-License-Identifier: MIT */
/* The tree as one request sees it: live, or through its transaction; with permissions checked. */
#ifndef RF_XENSTORE_TREE_H
#define RF_XENSTORE_TREE_H

#include "xenstore/conn.h"
#include "xenstore/node.h"
#include "xenstore/txn.h"

struct tree_node {
	struct blob *value;  /* borrowed */
	struct perms *perms; /* borrowed */
	struct node *live;   /* without a transaction */
	struct txn_found txn;
};

/*
 * Finds req->path if the domain has all of `want` (PERM_ bits) on it; `acc` (ACC_ bits) is what a
 * transaction will depend on. -EACCES: it exists but not for this domain, or it does not exist and
 * the nearest parent that does gives none of `want`, so that nobody can probe what he may not
 * see. -ENOENT otherwise; then `node` is good for tree_write. -ENOMEM, -ENOSPC.
 */
int tree_find(struct request *req, unsigned int want, unsigned int acc, struct tree_node *node);

/* Writes value (NULL: only make sure that it exists) to the node of the last tree_find. */
int tree_write(struct request *req, struct tree_node *node, struct blob *value);

/* Borrowed until the next change. */
int tree_listing(
	struct request *req, struct tree_node *node, struct blob **list, uint64_t *version);

#endif
