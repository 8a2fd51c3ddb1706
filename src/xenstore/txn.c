/* SPDX-License-Identifier: MIT */
/* A transaction's view: lookups that record what they depend on. */
#include "xenstore/txn.h"

#include <errno.h>
#include <string.h>

#include "xenstore/mem.h"
#include "xenstore/node.h"
#include "xenstore/perms.h"

struct tnode *tnode_create(
	struct txn *txn, struct tnode *parent, const char *name, size_t len, uint64_t hash)
{
	struct tnode *tnode = store_alloc(sizeof(*tnode) + len + 1);

	if (!tnode)
		return NULL;
	memcpy(tnode->name, name, len);
	tnode->name_len = len;
	tnode->parent = parent;
	list_init(&tnode->children);
	list_init(&tnode->in_parent);
	list_init(&tnode->in_dirty);
	list_add_tail(&txn->all, &tnode->in_all);
	if (parent)
		list_add_tail(&parent->children, &tnode->in_parent);
	htable_insert(&txn->table, &tnode->link, hash);
	return tnode;
}

static void tnode_drop_view(struct store *store, struct tnode *tnode)
{
	blob_put(tnode->value);
	perms_put(store, tnode->perms);
	blob_put(tnode->view_list);
	tnode->value = tnode->view_list = NULL;
	tnode->perms = NULL;
	tnode->exists = tnode->write_value = tnode->write_perms = false;
}

static void tnode_free(struct store *store, struct tnode *tnode)
{
	tnode_drop_view(store, tnode);
	blob_put(tnode->base_list);
	if (tnode->fresh)
		node_free(store, tnode->fresh);
	list_del(&tnode->in_all);
	store_free(tnode);
}

int txn_start(struct store_conn *conn, struct txn **out)
{
	struct txn *txn = store_alloc(sizeof(*txn));

	if (!txn)
		return -ENOMEM;
	txn->conn = conn;
	list_init(&txn->all);
	list_init(&txn->dirty);
	htable_init(&txn->table);
	txn->root = tnode_create(txn, NULL, "", 0, PATH_HASH_ROOT);
	if (!txn->root) {
		store_free(txn);
		return -ENOMEM;
	}
	do {
		txn->id = ++conn->last_txn;
	} while (txn->id == 0 || txn_find(conn, txn->id));
	list_add_tail(&conn->txns, &txn->in_conn);
	conn->dom->nr_txns++;
	conn->store->stats.nr_transactions++;
	*out = txn;
	return 0;
}

struct txn *txn_find(struct store_conn *conn, uint32_t id)
{
	struct txn *txn;

	list_for_each(txn, &conn->txns, in_conn)
		if (txn->id == id)
			return txn;
	return NULL;
}

void txn_destroy(struct txn *txn)
{
	struct store *store = txn->conn->store;
	struct tnode *tnode, *tmp;

	list_for_each_safe(tnode, tmp, &txn->all, in_all)
		tnode_free(store, tnode);
	htable_fini(&txn->table);
	list_del(&txn->in_conn);
	txn->conn->dom->nr_txns--;
	store->stats.nr_transactions--;
	store_free(txn);
}

struct tnode *tnode_child(const struct txn *txn, const struct tnode *parent, const char *name,
	size_t len, uint64_t hash)
{
	struct hlink *link = htable_first(&txn->table, hash);

	for (; link; link = htable_next(link)) {
		struct tnode *tnode = container_of(link, struct tnode, link);

		if (tnode->parent == parent && tnode->name_len == len &&
			memcmp(tnode->name, name, len) == 0)
			return tnode;
	}
	return NULL;
}

struct tnode *tnode_find(const struct txn *txn, const char *path)
{
	struct tnode *tnode = txn->root;
	struct path_iter it;

	path_begin(&it, path, txn->conn->store->key);
	while (tnode && path_next(&it))
		tnode = tnode_child(txn, tnode, it.name, it.len, it.hash);
	return tnode;
}

struct tnode *tnode_next(const struct tnode *top, struct tnode *tnode)
{
	if (!list_empty(&tnode->children))
		return list_first(&tnode->children, struct tnode, in_parent);
	while (tnode != top && tnode->in_parent.next == &tnode->parent->children)
		tnode = tnode->parent;
	if (tnode == top)
		return NULL;
	return container_of(tnode->in_parent.next, struct tnode, in_parent);
}

void tnode_path(const struct tnode *tnode, char *path)
{
	const struct tnode *at;
	size_t len = 0;

	for (at = tnode; at->parent; at = at->parent)
		len += at->name_len + 1;
	if (len == 0) {
		strcpy(path, "/");
		return;
	}
	path[len] = '\0';
	for (at = tnode; at->parent; at = at->parent) {
		len -= at->name_len;
		memcpy(path + len, at->name, at->name_len);
		path[--len] = '/';
	}
}

int txn_count_access(struct txn *txn)
{
	struct store_conn *conn = txn->conn;

	if (!domain_privileged(conn->dom) && txn->nr_accessed >= conn->store->limits.nr_txn_nodes)
		return -ENOSPC;
	txn->nr_accessed++;
	return 0;
}

void txn_hide(struct txn *txn, struct tnode *top)
{
	struct tnode *tnode;

	for (tnode = top; tnode; tnode = tnode_next(top, tnode)) {
		if (!tnode->own)
			continue;
		tnode_drop_view(txn->conn->store, tnode);
		list_del(&tnode->in_dirty);
	}
}

/* Records that the live tree has no such node. */
static int note_absent(
	struct txn *txn, struct tnode *parent, struct tnode *tnode, const struct path_iter *it)
{
	int rc = txn_count_access(txn);

	if (rc)
		return rc;
	/* It was there on the way to a descendant, and somebody removed it since: a conflict. */
	if (tnode)
		txn_hide(txn, tnode);
	else
		tnode = tnode_create(txn, parent, it->name, it->len, it->hash);
	if (!tnode)
		return -ENOMEM;
	tnode->own = true;
	tnode->acc = ACC_META;
	return 0;
}

/* Makes the view of an existing node this transaction's own, and adds to what it depends on. */
static int touch(struct txn *txn, struct tnode *tnode, struct node *live, unsigned int acc)
{
	int rc;

	if (!tnode->own) {
		rc = txn_count_access(txn);
		if (rc)
			return rc;
		tnode->own = tnode->exists = true;
		tnode->value = blob_get(live->value);
		tnode->perms = perms_get(live->perms);
		tnode->seen_value = live->gen_value;
		tnode->seen_meta = live->gen_meta;
	}
	if (!tnode->cut)
		tnode->acc |= acc;
	return 0;
}

int txn_lookup(struct txn *txn, const char *path, unsigned int acc, struct txn_found *found)
{
	struct store *store = txn->conn->store;
	struct tnode *at = txn->root, *child;
	struct node *live = store->root, *live_child;
	struct path_iter it;
	int rc;

	memset(found, 0, sizeof(*found));
	found->exists = true;
	path_begin(&it, path, store->key);
	while (path_next(&it)) {
		child = tnode_child(txn, at, it.name, it.len, it.hash);
		live_child = live && !at->cut ? node_child(store, live, &it) : NULL;
		if (child && child->own ? !child->exists : !live_child) {
			found->exists = false;
			acc = 0;
			if (!at->cut && !(child && child->own)) {
				rc = note_absent(txn, at, child, &it);
				if (rc)
					return rc;
			}
			break;
		}
		if (!child)
			child = tnode_create(txn, at, it.name, it.len, it.hash);
		if (!child)
			return -ENOMEM;
		at = child;
		live = child->cut ? NULL : live_child;
		found->len = (size_t)(it.end - path);
	}
	found->tnode = at;
	found->live = live;
	return touch(txn, at, live, acc | ACC_META);
}

/* ---- lists of children ---- */

static int take_base_list(struct txn *txn, struct tnode *tnode, struct node *live)
{
	struct blob *base = txn->conn->store->empty;

	if (tnode->base_list)
		return 0;
	if (live && !tnode->cut) {
		base = node_listing(live);
		if (!base)
			return -ENOMEM;
		tnode->seen_list = live->gen_list;
		tnode->listed = true;
	}
	tnode->base_list = blob_get(base);
	return 0;
}

/* A child of the live node that the view does not take from there. */
static bool overlaid(
	const struct txn *txn, const struct tnode *parent, const char *name, size_t len)
{
	uint64_t key = txn->conn->store->key, hash = parent->link.hash;
	const struct tnode *tnode;

	hash = path_hash_extend(key, hash, "/", 1);
	tnode = tnode_child(txn, parent, name, len, path_hash_extend(key, hash, name, len));
	return tnode && tnode->own && (tnode->cut || !tnode->exists);
}

static struct blob *make_view_list(const struct txn *txn, const struct tnode *tnode)
{
	const struct blob *base = tnode->base_list;
	size_t len, room = base->len, used = 0;
	const struct tnode *child;
	struct blob *list;
	const char *at;

	list_for_each(child, &tnode->children, in_parent)
		if (child->own && child->exists && child->cut)
			room += child->name_len + 1;
	list = blob_create(NULL, room);
	if (!list)
		return NULL;
	for (at = base->bytes; at < base->bytes + base->len; at += len + 1) {
		len = strlen(at);
		if (overlaid(txn, tnode, at, len))
			continue;
		memcpy(list->bytes + used, at, len + 1);
		used += len + 1;
	}
	list_for_each(child, &tnode->children, in_parent) {
		if (!child->own || !child->exists || !child->cut)
			continue;
		memcpy(list->bytes + used, child->name, child->name_len + 1);
		used += child->name_len + 1;
	}
	list->len = used;
	return list;
}

int txn_listing(
	struct txn *txn, const struct txn_found *found, struct blob **list, uint64_t *version)
{
	struct tnode *tnode = found->tnode;
	int rc = take_base_list(txn, tnode, found->live);

	if (rc)
		return rc;
	if (!tnode->view_list && tnode->list_version == 0)
		tnode->view_list = blob_get(tnode->base_list);
	if (!tnode->view_list)
		tnode->view_list = make_view_list(txn, tnode);
	if (!tnode->view_list)
		return -ENOMEM;
	*list = tnode->view_list;
	*version = tnode->list_version ? tnode->list_version : tnode->seen_list;
	return 0;
}
