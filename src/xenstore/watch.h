/* SPDX-License-Identifier: MIT */
/*
 * Watches, found by the hash of their path: a change looks up its own path and each parent, never
 * the watches that do not match. Delivering cannot fail: every watch owns the event that names its
 * own path, and that one stands in when there is no memory or no room for an exact one.
 */
#ifndef RF_XENSTORE_WATCH_H
#define RF_XENSTORE_WATCH_H

#include "xenstore/internal.h"

/* `path` is absolute or special. 0, -EEXIST, -ENOMEM. Fires nothing. */
int watch_add(struct store_conn *conn, const char *path, size_t prefix_len, const char *token,
	struct watch **out);
struct watch *watch_find(struct store_conn *conn, const char *path, const char *token);
void watch_remove(struct watch *watch);

/* What a change lets watchers know: readers of any of these get the event. Each may be NULL. */
struct watch_audience {
	const struct perms *before, *after, *parent;
};

/* `path` changed: tells the watches on it and on its parents. */
void watch_fire(struct store *store, const char *path, const struct watch_audience *audience);
/* `node` is about to vanish because a parent was removed: tells the watches exactly on it. */
void watch_fire_node(struct store *store, const struct node *node);
void watch_fire_special(struct store *store, const char *name);

#endif
