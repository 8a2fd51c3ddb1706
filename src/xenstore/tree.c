/* SPDX-License-Identifier: MIT */
/* One face for the live tree and a transaction's view; owns the rule of what a domain may learn. */
#include "xenstore/tree.h"

#include <errno.h>
#include <string.h>

#include "xenstore/perms.h"

static int find_in_txn(struct request *req, unsigned int acc, struct tree_node *node, bool *exists,
	struct perms **nearest)
{
	int rc = txn_lookup(req->txn, req->path, acc, &node->txn);

	if (rc)
		return rc;
	*exists = node->txn.exists;
	*nearest = node->txn.tnode->perms;
	if (*exists) {
		node->value = node->txn.tnode->value;
		node->perms = node->txn.tnode->perms;
	}
	return 0;
}

static void find_live(
	struct request *req, struct tree_node *node, bool *exists, struct perms **nearest)
{
	struct node *parent;

	node->live = node_find(req->store, req->path, &parent, NULL);
	*exists = node->live != NULL;
	*nearest = parent->perms;
	if (node->live) {
		node->value = node->live->value;
		node->perms = node->live->perms;
	}
}

int tree_find(struct request *req, unsigned int want, unsigned int acc, struct tree_node *node)
{
	struct perms *nearest;
	unsigned int access;
	bool exists;
	int rc = 0;

	memset(node, 0, sizeof(*node));
	if (req->txn)
		rc = find_in_txn(req, acc, node, &exists, &nearest);
	else
		find_live(req, node, &exists, &nearest);
	if (rc)
		return rc;
	access = perms_access(nearest, req->dom);
	if (exists)
		return (access & want) == want ? 0 : -EACCES;
	return access & want ? -ENOENT : -EACCES;
}

int tree_write(struct request *req, struct tree_node *node, struct blob *value)
{
	if (req->txn)
		return txn_write(req->txn, req->path, &node->txn, value);
	return live_write(req->store, req->dom, req->path, value, NULL);
}

int tree_listing(struct request *req, struct tree_node *node, struct blob **list, uint64_t *version)
{
	if (req->txn)
		return txn_listing(req->txn, &node->txn, list, version);
	*list = node_listing(node->live);
	*version = node->live->gen_list;
	return *list ? 0 : -ENOMEM;
}
