/* SPDX-License-Identifier: MIT */
/*
 * The structure of the live tree. One hash table holds all nodes, keyed by the hash of the full
 * path; a match needs the right parent and name, so a lookup costs one probe per component however
 * many siblings there are. Children are also on a list, in the order of DIRECTORY.
 */
#include "xenstore/node.h"

#include <string.h>

#include "xenstore/mem.h"
#include "xenstore/perms.h"
#include "xenstore/watch.h"

struct node *node_alloc(const char *name, size_t len, uint64_t hash)
{
	struct node *node = store_alloc(sizeof(*node) + len + 1);

	if (!node)
		return NULL;
	memcpy(node->name, name, len);
	node->name_len = len;
	node->link.hash = hash;
	list_init(&node->siblings);
	list_init(&node->children);
	return node;
}

void node_free(struct store *store, struct node *node)
{
	blob_put(node->value);
	blob_put(node->listing);
	perms_put(store, node->perms);
	store_free(node);
}

static void children_changed(struct store *store, struct node *parent)
{
	blob_put(parent->listing);
	parent->listing = NULL;
	parent->gen_list = ++store->generation;
}

void node_attach(struct store *store, struct node *parent, struct node *node)
{
	node->gen_value = node->gen_meta = node->gen_list = ++store->generation;
	htable_insert(&store->nodes, &node->link, node->link.hash);
	perms_owner(node->perms)->nr_nodes++;
	store->stats.nr_nodes++;
	store->stats.bytes += node->name_len + node->value->len;
	node->parent = parent;
	if (!parent)
		return;
	list_add_tail(&parent->children, &node->siblings);
	parent->nr_children++;
	parent->list_bytes += node->name_len + 1;
	children_changed(store, parent);
}

static void node_detach(struct store *store, struct node *node)
{
	struct node *parent = node->parent;

	htable_remove(&store->nodes, &node->link);
	perms_owner(node->perms)->nr_nodes--;
	store->stats.nr_nodes--;
	store->stats.bytes -= node->name_len + node->value->len;
	if (!parent)
		return;
	list_del(&node->siblings);
	parent->nr_children--;
	parent->list_bytes -= node->name_len + 1;
	children_changed(store, parent);
}

void node_remove(struct store *store, struct node *top, const char *path)
{
	struct node *node = top, *parent;

	/* Leaves first, without recursion: a client decides how deep this goes. */
	for (;;) {
		while (!list_empty(&node->children))
			node = list_first(&node->children, struct node, siblings);
		if (node == top)
			break;
		parent = node->parent;
		watch_fire_node(store, node);
		node_detach(store, node);
		node_free(store, node);
		node = parent;
	}
	if (path)
		watch_fire(store, path,
			&(struct watch_audience){
				.before = top->perms,
				.parent = top->parent ? top->parent->perms : NULL,
			});
	node_detach(store, top);
	node_free(store, top);
}

struct node *node_child(
	const struct store *store, const struct node *parent, const struct path_iter *it)
{
	struct hlink *link = htable_first(&store->nodes, it->hash);

	for (; link; link = htable_next(link)) {
		struct node *node = container_of(link, struct node, link);

		if (node->parent == parent && node->name_len == it->len &&
			memcmp(node->name, it->name, it->len) == 0)
			return node;
	}
	return NULL;
}

struct node *node_find(
	const struct store *store, const char *path, struct node **nearest, size_t *len)
{
	struct node *at = store->root, *child = at;
	struct path_iter it;
	size_t at_len = 0;

	path_begin(&it, path, store->key);
	while (path_next(&it)) {
		child = node_child(store, at, &it);
		if (!child)
			break;
		at = child;
		at_len = (size_t)(it.end - path);
	}
	if (nearest)
		*nearest = at;
	if (len)
		*len = at_len;
	return child;
}

bool node_is_at(const struct node *node, const char *path, size_t len)
{
	for (; node->parent; node = node->parent) {
		if (len < node->name_len + 1 || path[len - node->name_len - 1] != '/' ||
			memcmp(path + len - node->name_len, node->name, node->name_len) != 0)
			return false;
		len -= node->name_len + 1;
	}
	return len == 0;
}

struct node *node_next(const struct node *top, struct node *node, bool skip)
{
	if (!skip && !list_empty(&node->children))
		return list_first(&node->children, struct node, siblings);
	while (node != top && node->siblings.next == &node->parent->children)
		node = node->parent;
	if (node == top)
		return NULL;
	return container_of(node->siblings.next, struct node, siblings);
}

struct blob *node_listing(struct node *node)
{
	struct node *child;
	char *at;

	if (node->listing)
		return node->listing;
	node->listing = blob_create(NULL, node->list_bytes);
	if (!node->listing)
		return NULL;
	at = node->listing->bytes;
	list_for_each(child, &node->children, siblings) {
		memcpy(at, child->name, child->name_len + 1);
		at += child->name_len + 1;
	}
	return node->listing;
}

void node_set_value(struct store *store, struct node *node, struct blob *value)
{
	store->stats.bytes += value->len - node->value->len;
	blob_put(node->value);
	node->value = value;
	node->gen_value = ++store->generation;
}

void node_set_perms(struct store *store, struct node *node, struct perms *perms)
{
	perms_owner(node->perms)->nr_nodes--;
	perms_owner(perms)->nr_nodes++;
	perms_put(store, node->perms);
	node->perms = perms;
	node->gen_meta = ++store->generation;
}
