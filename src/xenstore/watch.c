/* SPDX-License-Identifier: MIT */
/* The index of watches. Delivery, merging and limits of events are in output.c. */
#include "xenstore/watch.h"

#include <errno.h>
#include <string.h>

#include "xenstore/conn.h"
#include "xenstore/mem.h"
#include "xenstore/node.h"
#include "xenstore/perms.h"

static struct watch_group *group_find(
	struct store *store, uint64_t hash, const char *path, size_t len)
{
	struct hlink *link = htable_first(&store->watch_groups, hash);

	for (; link; link = htable_next(link)) {
		struct watch_group *group = container_of(link, struct watch_group, link);

		if (group->path_len == len && memcmp(group->path, path, len) == 0)
			return group;
	}
	return NULL;
}

static struct watch_group *group_obtain(struct store *store, const char *path)
{
	uint64_t hash = path_hash(store->key, path);
	size_t len = strlen(path);
	struct watch_group *group = group_find(store, hash, path, len);

	if (group)
		return group;
	group = store_alloc(sizeof(*group) + len + 1);
	if (!group)
		return NULL;
	list_init(&group->watches);
	group->path_len = len;
	memcpy(group->path, path, len);
	htable_insert(&store->watch_groups, &group->link, hash);
	return group;
}

static void group_drop_unused(struct store *store, struct watch_group *group)
{
	if (!list_empty(&group->watches))
		return;
	htable_remove(&store->watch_groups, &group->link);
	store_free(group);
}

static uint64_t index_hash(const struct store_conn *conn, const char *path, const char *token)
{
	uint64_t hash = path_hash(conn->store->key, path);

	hash = path_hash_extend(conn->store->key, hash, "", 1);
	hash = path_hash_extend(conn->store->key, hash, token, strlen(token));
	return path_hash_extend(conn->store->key, hash, (const char *)&conn, sizeof(conn));
}

struct watch *watch_find(struct store_conn *conn, const char *path, const char *token)
{
	struct hlink *link = htable_first(&conn->store->watch_index, index_hash(conn, path, token));

	for (; link; link = htable_next(link)) {
		struct watch *watch = container_of(link, struct watch, index);

		if (watch->conn == conn && strcmp(watch->token, token) == 0 &&
			strcmp(watch->group->path, path) == 0)
			return watch;
	}
	return NULL;
}

/* The event that names the watch's own path as the client wrote it. */
static struct msg *self_event(const struct watch *watch)
{
	const char *path = watch->group->path + watch->prefix_len;
	size_t len = strlen(path) + 1;
	struct msg *msg = msg_create(len + watch->token_len + 1);

	if (!msg)
		return NULL;
	msg->is_event = msg->is_self = true;
	msg_set_header(msg, XS_WATCH_EVENT, 0, 0);
	memcpy(msg_payload(msg), path, len);
	memcpy(msg_payload(msg) + len, watch->token, watch->token_len + 1);
	return msg;
}

int watch_add(struct store_conn *conn, const char *path, size_t prefix_len, const char *token,
	struct watch **out)
{
	struct store *store = conn->store;
	size_t token_len = strlen(token);
	struct watch *watch;

	if (watch_find(conn, path, token))
		return -EEXIST;
	watch = store_alloc(sizeof(*watch) + token_len + 1);
	if (!watch)
		return -ENOMEM;
	memcpy(watch->token, token, token_len);
	watch->token_len = token_len;
	watch->conn = conn;
	watch->prefix_len = prefix_len;
	list_init(&watch->events);
	watch->group = group_obtain(store, path);
	if (!watch->group)
		goto fail_watch;
	watch->self = self_event(watch);
	if (!watch->self)
		goto fail_group;
	watch->self->watch = watch;
	list_add_tail(&watch->group->watches, &watch->in_group);
	list_add_tail(&conn->watches, &watch->in_conn);
	htable_insert(&store->watch_index, &watch->index, index_hash(conn, path, token));
	conn->dom->nr_watches++;
	store->stats.nr_watches++;
	*out = watch;
	return 0;
fail_group:
	group_drop_unused(store, watch->group);
fail_watch:
	store_free(watch);
	return -ENOMEM;
}

void watch_remove(struct watch *watch)
{
	struct store *store = watch->conn->store;

	event_forget(watch);
	htable_remove(&store->watch_index, &watch->index);
	list_del(&watch->in_conn);
	list_del(&watch->in_group);
	group_drop_unused(store, watch->group);
	watch->conn->dom->nr_watches--;
	store->stats.nr_watches--;
	store_free(watch);
}

static bool may_read(const struct perms *perms, const struct domain *dom)
{
	return perms && (perms_access(perms, dom) & PERM_READ);
}

/* Who may read the node may learn of its change, and so may who sees it come and go in its parent.
 */
static bool may_hear(const struct domain *dom, const struct watch_audience *audience)
{
	return domain_privileged(dom) || may_read(audience->before, dom) ||
	       may_read(audience->after, dom) || may_read(audience->parent, dom);
}

static void tell_group(struct watch_group *group, const char *path, size_t len, uint64_t hash,
	const struct watch_audience *audience)
{
	struct watch *watch;

	list_for_each(watch, &group->watches, in_group)
		if (may_hear(watch->conn->dom, audience))
			event_queue(watch, path, len, hash);
}

void watch_fire(struct store *store, const char *path, const struct watch_audience *audience)
{
	struct watch_group *group;
	size_t len = strlen(path);
	struct path_iter it;
	uint64_t hash;

	if (store->watch_groups.count == 0)
		return;
	hash = path_hash(store->key, path);
	group = group_find(store, PATH_HASH_ROOT, "/", 1);
	if (group)
		tell_group(group, path, len, hash, audience);
	path_begin(&it, path, store->key);
	while (path_next(&it)) {
		group = group_find(store, it.hash, path, (size_t)(it.end - path));
		if (group)
			tell_group(group, path, len, hash, audience);
	}
}

void watch_fire_node(struct store *store, const struct node *node)
{
	struct watch_audience audience = {.before = node->perms, .parent = node->parent->perms};
	struct hlink *link = htable_first(&store->watch_groups, node->link.hash);

	for (; link; link = htable_next(link)) {
		struct watch_group *group = container_of(link, struct watch_group, link);

		if (node_is_at(node, group->path, group->path_len))
			tell_group(group, group->path, group->path_len, link->hash, &audience);
	}
}

void watch_fire_special(struct store *store, const char *name)
{
	struct watch_audience audience = {0};
	struct watch_group *group;
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (strcmp(store->special[i].name, name) == 0)
			audience.after = store->special[i].perms;
	group = group_find(store, path_hash(store->key, name), name, strlen(name));
	if (group)
		tell_group(group, name, group->path_len, group->link.hash, &audience);
}
