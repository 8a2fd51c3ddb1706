/* SPDX-License-Identifier: MIT */
/* The store itself, and the embedding program's own access to the tree. */
#include "xenstore/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "xenstore/internal.h"
#include "xenstore/mem.h"
#include "xenstore/node.h"
#include "xenstore/perms.h"

void store_limits_default(struct store_limits *limits)
{
	*limits = (struct store_limits){
		.nr_nodes = 1000,
		.nr_watches = 128,
		.nr_transactions = 10,
		.nr_txn_nodes = 1024,
		.nr_perms = 5,
		.node_size = 2048,
		.nr_requests = 20,
		.nr_events = 1024,
	};
}

static unsigned int *limit_find(struct store_limits *limits, const char *name)
{
	const struct {
		const char *name;
		unsigned int *value;
	} names[] = {
		{"nodes", &limits->nr_nodes},
		{"watches", &limits->nr_watches},
		{"transactions", &limits->nr_transactions},
		{"transaction-nodes", &limits->nr_txn_nodes},
		{"permissions", &limits->nr_perms},
		{"node-size", &limits->node_size},
		{"outstanding", &limits->nr_requests},
		{"events", &limits->nr_events},
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].value;
	return NULL;
}

int store_limits_set(struct store_limits *limits, const char *name, unsigned long value)
{
	unsigned int *limit = limit_find(limits, name);

	if (!limit)
		return -ENOENT;
	/* Without a reply outstanding nobody could ask for anything. */
	if (value > STORE_LIMIT_MAX || (limit == &limits->nr_requests && value == 0))
		return -ERANGE;
	*limit = (unsigned int)value;
	return 0;
}

/* The secret of the path hash. Where the kernel has no randomness yet, an address must do. */
static uint64_t random_key(const void *address)
{
	uint64_t key;

	if (getrandom(&key, sizeof(key), GRND_NONBLOCK) != (ssize_t)sizeof(key))
		key = (uint64_t)(uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15);
	return (key >> 4) | 0x10000; /* below 2^60, and not tiny */
}

void store_set_limits(struct store *store, const struct store_limits *limits)
{
	store->limits = *limits;
}

static int make_root(struct store *store, struct perms *perms)
{
	struct node *root = node_alloc("", 0, PATH_HASH_ROOT);

	if (!root)
		return -ENOMEM;
	root->value = blob_get(store->empty);
	root->perms = perms_get(perms);
	node_attach(store, NULL, root);
	store->root = root;
	return 0;
}

static void make_special(struct store *store, unsigned int i, const char *name, struct perms *perms)
{
	store->special[i].name = name;
	store->special[i].perms = perms_get(perms);
}

static int make_tree(struct store *store)
{
	static const struct store_perm dom0_only = {DOM0, 'n'};
	static const char *const paths[] = {"/tool", "/tool/xenstored", "/local", "/local/domain"};
	struct perms *perms;
	size_t i;
	int rc;

	perms = perms_create(store, &dom0_only, 1, store->dom0);
	if (!perms)
		return -ENOMEM;
	make_special(store, 0, "@introduceDomain", perms);
	make_special(store, 1, "@releaseDomain", perms);
	rc = make_root(store, perms);
	perms_put(store, perms);
	for (i = 0; !rc && i < sizeof(paths) / sizeof(paths[0]); i++)
		rc = live_write(store, store->dom0, paths[i], NULL, NULL);
	return rc;
}

int store_create(const struct store_limits *limits, const struct store_ops *ops, void *store_data,
	struct store **out)
{
	static const struct store_ops no_hooks;
	struct store *store = store_alloc(sizeof(*store));
	int rc = -ENOMEM;

	if (!store)
		return -ENOMEM;
	store->limits = *limits;
	store->ops = &no_hooks; /* nobody hears of the first nodes */
	store->data = store_data;
	store->key = random_key(store);
	htable_init(&store->nodes);
	htable_init(&store->domains);
	htable_init(&store->watch_groups);
	htable_init(&store->watch_index);
	htable_init(&store->pending);
	list_init(&store->conns);
	list_init(&store->losers);
	store->empty = blob_create(NULL, 0);
	store->dom0 = domain_obtain(store, DOM0);
	if (store->empty && store->dom0)
		rc = make_tree(store);
	if (rc) {
		store_destroy(store);
		return rc;
	}
	store->ops = ops;
	*out = store;
	return 0;
}

static void free_domains(struct store *store)
{
	struct hlink *link, *next;
	size_t i;

	for (i = 0; i < store->domains.nr_buckets; i++) {
		for (link = store->domains.buckets[i]; link; link = next) {
			next = link->next;
			store_free(container_of(link, struct domain, link));
		}
	}
}

void store_destroy(struct store *store)
{
	if (!store)
		return;
	if (store->root)
		node_remove(store, store->root, NULL);
	perms_put(store, store->special[0].perms);
	perms_put(store, store->special[1].perms);
	blob_put(store->empty);
	free_domains(store);
	htable_fini(&store->nodes);
	htable_fini(&store->domains);
	htable_fini(&store->watch_groups);
	htable_fini(&store->watch_index);
	htable_fini(&store->pending);
	store_free(store);
}

/* ---- the embedding program's access ---- */

static int absolute(char *path, const char *text)
{
	int len = text[0] == '/' ? path_absolute(path, text, DOM0) : -EINVAL;

	return len < 0 ? len : 0;
}

int store_write(struct store *store, const char *text, const void *value, size_t len,
	const struct store_perm *entries, unsigned int nr_perms)
{
	struct perms *perms = NULL;
	char path[PATH_BYTES];
	struct blob *blob;
	int rc = absolute(path, text);

	if (rc)
		return rc;
	if (nr_perms) {
		perms = perms_create(store, entries, nr_perms, store->dom0);
		if (!perms)
			return -ENOMEM;
	}
	blob = blob_create(value, len);
	rc = -ENOMEM;
	if (blob)
		rc = live_write(store, store->dom0, path, blob, perms);
	blob_put(blob);
	perms_put(store, perms);
	return rc;
}

int store_printf(struct store *store, const char *path, const char *fmt, ...)
{
	char text[XENSTORE_PAYLOAD_MAX + 1];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (len < 0)
		return -EINVAL;
	if ((size_t)len >= sizeof(text))
		return -E2BIG;
	return store_write(store, path, text, (size_t)len, NULL, 0);
}

static struct node *find(struct store *store, const char *text, char *path)
{
	return absolute(path, text) ? NULL : node_find(store, path, NULL, NULL);
}

const char *store_read(struct store *store, const char *text, size_t *len)
{
	char path[PATH_BYTES];
	const struct node *node = find(store, text, path);

	if (!node)
		return NULL;
	if (len)
		*len = node->value->len;
	return node->value->bytes;
}

int store_rm(struct store *store, const char *text)
{
	char path[PATH_BYTES];
	struct node *node = find(store, text, path);

	if (!node)
		return -ENOENT;
	if (!node->parent)
		return -EINVAL;
	live_remove(store, node, path);
	return 0;
}

int store_children(struct store *store, const char *text, int (*each)(void *data, const char *name),
	void *data)
{
	char path[PATH_BYTES];
	const struct node *node = find(store, text, path), *child;
	int rc;

	if (!node)
		return -ENOENT;
	list_for_each(child, &node->children, siblings) {
		rc = each(data, child->name);
		if (rc)
			return rc;
	}
	return 0;
}

void store_get_stats(const struct store *store, struct store_stats *stats)
{
	*stats = store->stats;
}
