/* SPDX-License-Identifier: MIT */
/*
 * The end of a transaction: compare, reserve, apply. Whatever can fail happens before the first
 * change, so that a commit leaves all or nothing.
 */
#include <assert.h>
#include <errno.h>

#include "xenstore/fair.h"
#include "xenstore/node.h"
#include "xenstore/perms.h"
#include "xenstore/txn.h"
#include "xenstore/watch.h"

/* Parents come before children in txn.all. */
static void find_live(struct txn *txn)
{
	struct store *store = txn->conn->store;
	struct tnode *tnode;

	list_for_each(tnode, &txn->all, in_all) {
		struct path_iter it = {
			.name = tnode->name,
			.len = tnode->name_len,
			.hash = tnode->link.hash,
		};

		if (!tnode->parent)
			tnode->live = store->root;
		else if (tnode->parent->live)
			tnode->live = node_child(store, tnode->parent->live, &it);
		else
			tnode->live = NULL;
	}
}

static bool unchanged(const struct tnode *tnode)
{
	const struct node *live = tnode->live;

	if ((tnode->acc & ACC_META) && (live ? live->gen_meta : 0) != tnode->seen_meta)
		return false;
	if ((tnode->acc & ACC_VALUE) && live && live->gen_value != tnode->seen_value)
		return false;
	if (tnode->listed && live && live->gen_list != tnode->seen_list)
		return false;
	return true;
}

static bool conflicts(const struct txn *txn)
{
	const struct tnode *tnode;

	list_for_each(tnode, &txn->all, in_all)
		if (!unchanged(tnode))
			return true;
	return false;
}

static long owned_below(struct node *top, const struct domain *dom)
{
	struct node *node;
	long nr = 0;

	for (node = top; node; node = node_next(top, node, false))
		if (perms_owner(node->perms) == dom)
			nr++;
	return nr;
}

/* How many more nodes the domain would own after the commit; tnode.live is up to date. */
static long net_nodes(struct txn *txn)
{
	const struct domain *dom = txn->conn->dom;
	struct tnode *tnode;
	long net = 0;

	list_for_each(tnode, &txn->dirty, in_dirty) {
		if (tnode->exists)
			net += perms_owner(tnode->perms) == dom;
		/* What a removed parent takes along is counted there. */
		if (tnode->live && !tnode->cut)
			net -= perms_owner(tnode->live->perms) == dom;
		else if (tnode->live && !tnode->parent->cut)
			net -= owned_below(tnode->live, dom);
	}
	return net;
}

int txn_check_quota(struct txn *txn, unsigned int nr)
{
	const struct domain *dom = txn->conn->dom;
	long limit = (long)domain_limit(dom, txn->conn->store->limits.nr_nodes), net;

	/* Counting exactly walks what was removed, so do it only where it matters. */
	if (domain_privileged(dom) || txn->nr_created + nr == 0 ||
		(long)dom->nr_nodes + txn->nr_created + nr <= limit)
		return 0;
	find_live(txn);
	net = net_nodes(txn) + nr;
	return net > 0 && dom->nr_nodes + net > limit ? -ENOSPC : 0;
}

static int prepare(struct txn *txn)
{
	struct tnode *tnode;

	list_for_each(tnode, &txn->dirty, in_dirty) {
		if (!tnode->cut || !tnode->exists)
			continue;
		tnode->fresh = node_alloc(tnode->name, tnode->name_len, tnode->link.hash);
		if (!tnode->fresh)
			return -ENOMEM;
		tnode->fresh->value = blob_get(tnode->value);
		tnode->fresh->perms = perms_get(tnode->perms);
	}
	return 0;
}

static void apply_create(
	struct store *store, struct tnode *tnode, struct node *parent, const char *path)
{
	struct node *node = tnode->fresh;

	assert(parent); /* created before, or read by this transaction and unchanged */
	tnode->fresh = NULL;
	node_attach(store, parent, node);
	tnode->applied = true;
	if (!tnode->implied)
		watch_fire(store, path,
			&(struct watch_audience){
				.after = node->perms,
				.parent = parent->perms,
			});
}

static void apply_change(
	struct store *store, struct tnode *tnode, struct node *node, const char *path)
{
	struct perms *before = perms_get(node->perms);

	if (tnode->write_value)
		node_set_value(store, node, blob_get(tnode->value));
	if (tnode->write_perms)
		node_set_perms(store, node, perms_get(tnode->perms));
	tnode->applied = tnode->write_value;
	watch_fire(store, path,
		&(struct watch_audience){
			.before = before,
			.after = node->perms,
			.parent = node->parent ? node->parent->perms : NULL,
		});
	perms_put(store, before);
}

static void apply(struct store *store, struct tnode *tnode)
{
	struct node *node, *nearest, *parent;
	char path[PATH_BYTES];
	size_t nearest_len;

	tnode_path(tnode, path);
	node = node_find(store, path, &nearest, &nearest_len);
	if (!tnode->cut) {
		assert(node);
		apply_change(store, tnode, node, path);
		return;
	}
	parent = node ? node->parent : nearest;
	if (node) {
		node_remove(store, node, path);
		tnode->applied = true;
	}
	if (tnode->exists)
		apply_create(store, tnode, parent, path);
}

int txn_commit(struct txn *txn)
{
	struct store *store = txn->conn->store;
	char path[PATH_BYTES];
	struct tnode *tnode;
	int rc;

	find_live(txn);
	if (conflicts(txn) || fair_refuses(txn)) {
		fair_lost(txn->conn);
		return -EAGAIN;
	}
	fair_done(txn->conn);
	rc = txn_check_quota(txn, 0);
	if (!rc)
		rc = prepare(txn);
	if (rc)
		return rc;
	list_for_each(tnode, &txn->dirty, in_dirty)
		apply(store, tnode);
	list_for_each(tnode, &txn->dirty, in_dirty) {
		if (!tnode->applied)
			continue;
		tnode_path(tnode, path);
		live_changed(store, path);
	}
	return 0;
}
