/* SPDX-License-Identifier: MIT */
/* The live tree: finding, creating, changing and removing nodes, with the events that follow. */
#ifndef RF_XENSTORE_NODE_H
#define RF_XENSTORE_NODE_H

#include "xenstore/internal.h"

/* ---- the structure alone (node.c) ---- */

/* A node that is in no tree yet. Takes no references. NULL without memory. */
struct node *node_alloc(const char *name, size_t len, uint64_t hash);
/* Frees it with its references to value and permissions; it must not be in the tree. */
void node_free(struct store *store, struct node *node);
/* Puts a node, complete with value and permissions, below its parent. Cannot fail. */
void node_attach(struct store *store, struct node *parent, struct node *node);
/* Removes a node and all below it, and fires for each. `path` is the node's. */
void node_remove(struct store *store, struct node *node, const char *path);

struct node *node_child(
	const struct store *store, const struct node *parent, const struct path_iter *it);
/* The node, or NULL; then *nearest (may be NULL) is the last that exists, *len its path's length.
 */
struct node *node_find(
	const struct store *store, const char *path, struct node **nearest, size_t *len);
/* True if `path` is this node's. */
bool node_is_at(const struct node *node, const char *path, size_t len);
/* The next node in pre-order below `top`, or NULL; with `skip` the node's children are left out. */
struct node *node_next(const struct node *top, struct node *node, bool skip);

/* The children's names, each with its NUL; borrowed until they change. NULL without memory. */
struct blob *node_listing(struct node *node);

void node_set_value(struct store *store, struct node *node, struct blob *value);  /* takes it */
void node_set_perms(struct store *store, struct node *node, struct perms *perms); /* takes it */

/* ---- whole changes (live.c) ---- */

/*
 * Writes `value` (NULL: empty, and an existing node keeps its own) on behalf of `creator`; missing
 * parents are made. `perms`, if not NULL, become the node's. Fires watches and the hook.
 * 0, -ENOMEM, -ENOSPC (quota of the creator); after an error nothing has changed.
 */
int live_write(struct store *store, struct domain *creator, const char *path, struct blob *value,
	struct perms *perms);
void live_remove(struct store *store, struct node *node, const char *path);
void live_set_perms(struct store *store, struct node *node, const char *path, struct perms *perms);

/* Tells the hook. */
void live_changed(struct store *store, const char *path);

#endif
