/* SPDX-License-Identifier: MIT */
/* A transaction's changes, which stay private until the commit. */
#include "xenstore/txn.h"

#include <errno.h>

#include "xenstore/perms.h"

static void children_changed(struct txn *txn, struct tnode *parent)
{
	blob_put(parent->view_list);
	parent->view_list = NULL;
	parent->list_version = ++txn->conn->store->generation;
}

/*
 * The order of `dirty` is that in which the commit can apply it. A created or removed node goes to
 * the end, so it comes behind its parent's creation; a removal takes what is below it off the list.
 */
static void mark_dirty(struct txn *txn, struct tnode *tnode, bool shape)
{
	if (shape)
		list_del(&tnode->in_dirty);
	if (list_empty(&tnode->in_dirty))
		list_add_tail(&txn->dirty, &tnode->in_dirty);
}

static void appear(
	struct txn *txn, struct tnode *tnode, struct blob *value, struct perms *perms, bool implied)
{
	tnode->own = tnode->exists = tnode->cut = true;
	tnode->implied = implied;
	tnode->value = blob_get(value);
	tnode->perms = perms_get(perms);
	/* Of an earlier node of this name no child is left. */
	blob_put(tnode->base_list);
	tnode->base_list = NULL;
	tnode->list_version = ++txn->conn->store->generation;
	txn->nr_created++;
	mark_dirty(txn, tnode, true);
	list_del(&tnode->in_parent);
	list_add_tail(&tnode->parent->children, &tnode->in_parent);
	children_changed(txn, tnode->parent);
}

/* Tnodes for all missing components. They stay when this fails: harmless, they show nothing. */
static int reserve_chain(
	struct txn *txn, const char *path, const struct txn_found *found, unsigned int *nr)
{
	struct tnode *at = found->tnode, *child;
	struct path_iter it;
	int rc;

	path_begin(&it, path, txn->conn->store->key);
	while (path_next(&it)) {
		if ((size_t)(it.end - path) <= found->len)
			continue;
		child = tnode_child(txn, at, it.name, it.len, it.hash);
		if (!child || !child->own) {
			rc = txn_count_access(txn);
			if (rc)
				return rc;
		}
		if (!child)
			child = tnode_create(txn, at, it.name, it.len, it.hash);
		if (!child)
			return -ENOMEM;
		child->own = true;
		at = child;
		++*nr;
	}
	return 0;
}

static int txn_create(
	struct txn *txn, const char *path, const struct txn_found *found, struct blob *value)
{
	struct store *store = txn->conn->store;
	struct tnode *at = found->tnode;
	struct perms *perms;
	struct path_iter it;
	unsigned int nr = 0;
	int rc;

	rc = reserve_chain(txn, path, found, &nr);
	if (!rc)
		rc = txn_check_quota(txn, nr);
	if (rc)
		return rc;
	perms = perms_inherit(at->perms, txn->conn->dom);
	if (!perms)
		return -ENOMEM;
	path_begin(&it, path, store->key);
	while (path_next(&it)) {
		bool last = *it.end == '\0';

		if ((size_t)(it.end - path) <= found->len)
			continue;
		at = tnode_child(txn, at, it.name, it.len, it.hash);
		appear(txn, at, last && value ? value : store->empty, perms, !last);
	}
	perms_put(store, perms);
	return 0;
}

int txn_write(struct txn *txn, const char *path, const struct txn_found *found, struct blob *value)
{
	struct tnode *tnode = found->tnode;

	if (!found->exists)
		return txn_create(txn, path, found, value);
	tnode->implied = false;
	if (value) {
		blob_put(tnode->value);
		tnode->value = blob_get(value);
		tnode->write_value = true;
	}
	mark_dirty(txn, tnode, false);
	return 0;
}

void txn_remove(struct txn *txn, struct tnode *top)
{
	txn_hide(txn, top);
	top->cut = true;
	mark_dirty(txn, top, true);
	children_changed(txn, top->parent);
}

void txn_set_perms(struct txn *txn, struct tnode *tnode, struct perms *perms)
{
	perms_put(txn->conn->store, tnode->perms);
	tnode->perms = perms;
	tnode->write_perms = true;
	mark_dirty(txn, tnode, false);
}
