/* SPDX-License-Identifier: MIT */
/*
 * Changes of the live tree as one step each: everything that can fail comes first, then the change,
 * then the events and the hook.
 */
#include <errno.h>
#include <string.h>

#include "xenstore/node.h"
#include "xenstore/perms.h"
#include "xenstore/watch.h"

void live_changed(struct store *store, const char *path)
{
	if (store->ops->changed)
		store->ops->changed(store->data, path);
}

/* Allocates the nodes for the rest of a path behind `nearest`, topmost first. */
static int make_chain(struct store *store, const char *path, size_t nearest_len,
	struct perms *inherited, struct list *chain, unsigned int *nr)
{
	struct path_iter it;
	struct node *node;

	path_begin(&it, path, store->key);
	while (path_next(&it)) {
		if ((size_t)(it.end - path) <= nearest_len)
			continue;
		node = node_alloc(it.name, it.len, it.hash);
		if (!node)
			return -ENOMEM;
		node->value = blob_get(store->empty);
		node->perms = perms_get(inherited);
		list_add_tail(chain, &node->siblings);
		++*nr;
	}
	return 0;
}

static void free_chain(struct store *store, struct list *chain)
{
	struct node *node, *tmp;

	list_for_each_safe(node, tmp, chain, siblings) {
		list_del(&node->siblings);
		node_free(store, node);
	}
}

/* Every missing parent was created as well, and the hook hears of each. */
static void changed_from(struct store *store, const char *path, size_t nearest_len)
{
	char prefix[PATH_BYTES];
	struct path_iter it;
	size_t len;

	path_begin(&it, path, store->key);
	while (path_next(&it)) {
		len = (size_t)(it.end - path);
		if (len <= nearest_len)
			continue;
		memcpy(prefix, path, len);
		prefix[len] = '\0';
		live_changed(store, prefix);
	}
}

static int live_create(struct store *store, struct domain *creator, const char *path,
	struct node *nearest, size_t nearest_len, struct blob *value, struct perms *perms)
{
	struct node *node, *tmp, *parent = nearest;
	struct perms *inherited;
	unsigned int nr = 0;
	struct list chain;
	int rc;

	list_init(&chain);
	inherited = perms_inherit(nearest->perms, creator);
	if (!inherited)
		return -ENOMEM;
	rc = make_chain(store, path, nearest_len, inherited, &chain, &nr);
	if (!rc && !domain_privileged(creator) &&
		creator->nr_nodes + nr > domain_limit(creator, store->limits.nr_nodes))
		rc = -ENOSPC;
	if (rc) {
		free_chain(store, &chain);
		perms_put(store, inherited);
		return rc;
	}
	list_for_each_safe(node, tmp, &chain, siblings) {
		bool last = node->siblings.next == &chain;

		list_del(&node->siblings);
		if (last && value) {
			blob_put(node->value);
			node->value = blob_get(value);
		}
		if (last && perms) {
			perms_put(store, node->perms);
			node->perms = perms_get(perms);
		}
		node_attach(store, parent, node);
		parent = node;
	}
	perms_put(store, inherited);
	watch_fire(store, path,
		&(struct watch_audience){
			.after = parent->perms,
			.parent = parent->parent->perms,
		});
	changed_from(store, path, nearest_len);
	return 0;
}

int live_write(struct store *store, struct domain *creator, const char *path, struct blob *value,
	struct perms *perms)
{
	struct node *nearest, *node;
	struct perms *before;
	size_t nearest_len;

	node = node_find(store, path, &nearest, &nearest_len);
	if (!node)
		return live_create(store, creator, path, nearest, nearest_len, value, perms);
	before = perms_get(node->perms);
	if (value)
		node_set_value(store, node, blob_get(value));
	if (perms)
		node_set_perms(store, node, perms_get(perms));
	watch_fire(store, path,
		&(struct watch_audience){
			.before = before,
			.after = node->perms,
			.parent = node->parent ? node->parent->perms : NULL,
		});
	perms_put(store, before);
	live_changed(store, path);
	return 0;
}

void live_remove(struct store *store, struct node *node, const char *path)
{
	node_remove(store, node, path);
	live_changed(store, path);
}

void live_set_perms(struct store *store, struct node *node, const char *path, struct perms *perms)
{
	struct perms *before = perms_get(node->perms);

	node_set_perms(store, node, perms_get(perms));
	watch_fire(store, path,
		&(struct watch_audience){
			.before = before,
			.after = node->perms,
			.parent = node->parent ? node->parent->perms : NULL,
		});
	perms_put(store, before);
}
