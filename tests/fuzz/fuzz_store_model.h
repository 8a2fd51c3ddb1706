/* SPDX-License-Identifier: MIT */
/*
 * A reference model of the store: a flat array, permissions by the book, nothing clever. Bytes are
 * turned into operations that the store and the model both carry out; every reply must agree, and
 * so must the watch events of what happens outside transactions.
 *
 * Transactions are checked by their meaning: when one commits, its requests are replayed on the
 * model as of now, and every reply that the client had seen must come out again. When one fails
 * with EAGAIN, somebody else must have changed something.
 */
#ifndef RF_FUZZ_STORE_MODEL_H
#define RF_FUZZ_STORE_MODEL_H

#include <stdarg.h>

#include "../unit/test_store_client.h"

#define MODEL_NODES 256
#define MODEL_PERMS 4
#define MODEL_CLIENTS 4
#define MODEL_TXN_OPS 24
#define MODEL_WATCHES 8
#define MODEL_TEXT 1600

struct model_perm {
	unsigned int domid;
	char access;
	int is_void;
};

struct model_node {
	char path[64];
	char value[8];
	struct model_perm perm[MODEL_PERMS];
	unsigned int nr_perms;
};

struct model_tree {
	struct model_node node[MODEL_NODES]; /* in order of creation */
	unsigned int nr;
};

struct model_op {
	uint32_t type;
	char text[96]; /* payload, '|' for NUL */
	char reply[MODEL_TEXT];
};

struct model_watch {
	int used;
	char path[64]; /* as the client wrote it */
	char token[8];
};

struct model_client {
	struct client client;
	unsigned int domid;
	uint32_t txn;
	unsigned long txn_changes; /* model.changes when it began */
	struct model_op op[MODEL_TXN_OPS];
	unsigned int nr_ops;
	struct model_watch watch[MODEL_WATCHES];
	char expected[8192]; /* events */
};

struct model {
	struct store *store;
	struct model_tree tree;
	struct model_client client[MODEL_CLIENTS];
	unsigned long changes, nr_conflicts, nr_commits;
	const uint8_t *in;
	size_t left;
};

static inline void model_fail(const char *what, const char *want, const char *got)
{
	fprintf(stderr, "# store and model differ: %s\n# model: %s\n# store: %s\n", what, want,
		got);
	abort();
}

/* ---- the tree ---- */

static inline struct model_node *model_find(struct model_tree *tree, const char *path)
{
	unsigned int i;

	for (i = 0; i < tree->nr; i++)
		if (strcmp(tree->node[i].path, path) == 0)
			return &tree->node[i];
	return NULL;
}

static inline void model_parent(char *path)
{
	char *slash = strrchr(path, '/');

	slash[slash == path] = '\0';
}

static inline struct model_node *model_nearest(struct model_tree *tree, const char *path)
{
	char text[64];

	strcpy(text, path);
	while (!model_find(tree, text))
		model_parent(text);
	return model_find(tree, text);
}

/* Bits: 1 read, 2 write, 4 owner. */
static inline unsigned int model_access(const struct model_node *node, unsigned int domid)
{
	static const char letters[] = "nrwb";
	unsigned int i;

	if (domid == 0 || node->perm[0].domid == domid)
		return 7;
	for (i = 1; i < node->nr_perms; i++)
		if (node->perm[i].domid == domid && !node->perm[i].is_void)
			return (unsigned int)(strchr(letters, node->perm[i].access) - letters);
	return (unsigned int)(strchr(letters, node->perm[0].access) - letters);
}

static inline int model_below(const char *path, const char *top)
{
	size_t len = strlen(top);

	if (strcmp(top, "/") == 0)
		return path[1] != '\0';
	return strncmp(path, top, len) == 0 && path[len] == '/';
}

static inline void model_make(struct model_tree *tree, const char *path, unsigned int domid)
{
	struct model_node *nearest, *node;
	char missing[64];

	while (!model_find(tree, path)) {
		nearest = model_nearest(tree, path);
		strcpy(missing, path);
		for (;;) {
			char up[64];

			strcpy(up, missing);
			model_parent(up);
			if (strcmp(up, nearest->path) == 0)
				break;
			strcpy(missing, up);
		}
		if (tree->nr == MODEL_NODES)
			abort();
		node = &tree->node[tree->nr++];
		*node = *nearest;
		strcpy(node->path, missing);
		node->value[0] = '\0';
		if (domid)
			node->perm[0].domid = domid;
	}
}

static inline void model_remove(struct model_tree *tree, const char *path)
{
	unsigned int i, kept = 0;

	for (i = 0; i < tree->nr; i++) {
		if (strcmp(tree->node[i].path, path) == 0 || model_below(tree->node[i].path, path))
			continue;
		if (kept != i)
			tree->node[kept] = tree->node[i];
		kept++;
	}
	tree->nr = kept;
}

/* ---- operations: the reply's text ---- */

static inline void model_absolute(char *path, const char *text, unsigned int domid)
{
	if (text[0] == '/')
		snprintf(path, 64, "%.63s", text);
	else
		snprintf(path, 64, "/local/domain/%u/%.40s", domid, text);
}

static inline const char *model_check(
	struct model_tree *tree, const char *path, unsigned int domid, unsigned int want)
{
	struct model_node *node = model_find(tree, path);

	if (node)
		return (model_access(node, domid) & want) == want ? NULL : "!EACCES";
	return model_access(model_nearest(tree, path), domid) & want ? "!ENOENT" : "!EACCES";
}

static inline void model_list(struct model_tree *tree, const char *path, char *reply)
{
	unsigned int i;
	char up[64];

	reply[0] = '\0';
	for (i = 1; i < tree->nr; i++) {
		strcpy(up, tree->node[i].path);
		model_parent(up);
		if (strcmp(up, path) != 0)
			continue;
		strcat(reply, strrchr(tree->node[i].path, '/') + 1);
		strcat(reply, "|");
	}
}

static inline void model_show_perms(const struct model_node *node, char *reply)
{
	unsigned int i;

	reply[0] = '\0';
	for (i = 0; i < node->nr_perms; i++)
		sprintf(reply + strlen(reply), "%c%u|", node->perm[i].access, node->perm[i].domid);
}

static inline const char *model_set_perms(
	struct model_tree *tree, const char *path, unsigned int domid, const char *text)
{
	const char *error = model_check(tree, path, domid, 2 | 4);
	struct model_node *node = model_find(tree, path);
	struct model_perm perm[MODEL_PERMS];
	unsigned int nr = 0;

	if (error)
		return error;
	for (; *text; text = strchr(text, '|') + 1, nr++) {
		perm[nr].access = text[0];
		perm[nr].domid = (unsigned int)strtoul(text + 1, NULL, 10);
		perm[nr].is_void = nr && domid && perm[nr].domid > 2;
	}
	if (domid && perm[0].domid != node->perm[0].domid)
		return "!EPERM";
	memcpy(node->perm, perm, sizeof(perm));
	node->nr_perms = nr;
	return "OK|";
}

static inline const char *model_rm(struct model_tree *tree, const char *path, unsigned int domid)
{
	const char *error = model_check(tree, path, domid, 2);
	char up[64];

	if (strcmp(path, "/") == 0)
		return "!EINVAL";
	if (!error) {
		model_remove(tree, path);
		return "OK|";
	}
	if (strcmp(error, "!ENOENT") != 0)
		return error;
	strcpy(up, path);
	model_parent(up);
	return model_find(tree, up) ? "OK|" : error;
}

/* Carries one request out on a tree and writes the reply. True if something changed. */
static inline int model_do(
	struct model_tree *tree, unsigned int domid, uint32_t type, const char *text, char *reply)
{
	char name[96], path[64], *rest;
	const char *error;
	int existed;

	strcpy(name, text);
	rest = strchr(name, '|');
	*rest++ = '\0';
	model_absolute(path, name, domid);
	existed = model_find(tree, path) != NULL;
	switch (type) {
	case XS_READ:
	case XS_DIRECTORY:
	case XS_GET_PERMS:
		error = model_check(tree, path, domid, 1);
		if (error)
			strcpy(reply, error);
		else if (type == XS_READ)
			strcpy(reply, model_find(tree, path)->value);
		else if (type == XS_DIRECTORY)
			model_list(tree, path, reply);
		else
			model_show_perms(model_find(tree, path), reply);
		return 0;
	case XS_WRITE:
	case XS_MKDIR:
		error = model_check(tree, path, domid, 2);
		if (error && strcmp(error, "!ENOENT") != 0) {
			strcpy(reply, error);
			return 0;
		}
		model_make(tree, path, domid);
		if (type == XS_WRITE)
			strcpy(model_find(tree, path)->value, rest);
		strcpy(reply, "OK|");
		return type == XS_WRITE || !existed;
	case XS_RM:
		strcpy(reply, model_rm(tree, path, domid));
		return existed && strcmp(reply, "OK|") == 0;
	default:
		strcpy(reply, model_set_perms(tree, path, domid, rest));
		return strcmp(reply, "OK|") == 0;
	}
}

/* ---- events ---- */

static inline void model_expect(struct model *model, const char *path, const struct model_node *a,
	const struct model_node *b, const struct model_node *parent, int exact)
{
	char watched[64], text[160];
	unsigned int i, j;
	size_t skip;

	for (i = 0; i < MODEL_CLIENTS; i++) {
		struct model_client *mc = &model->client[i];

		if (!((a ? model_access(a, mc->domid) : 0) & 1) &&
			!((b ? model_access(b, mc->domid) : 0) & 1) &&
			!((parent ? model_access(parent, mc->domid) : 0) & 1))
			continue;
		for (j = 0; j < MODEL_WATCHES; j++) {
			if (!mc->watch[j].used)
				continue;
			model_absolute(watched, mc->watch[j].path, mc->domid);
			if (strcmp(watched, path) != 0 && (exact || !model_below(path, watched)))
				continue;
			skip = mc->watch[j].path[0] == '/'
				       ? 0
				       : strlen(watched) - strlen(mc->watch[j].path);
			sprintf(text, "%s %s;", path + skip, mc->watch[j].token);
			strcat(mc->expected, text);
		}
	}
}

/* Compared as sets: the order within one operation is the store's business. */
static inline void model_compare_events(struct model_client *mc, const char *what)
{
	char got[CLIENT_EVENTS_BYTES], *event, *end;
	char *at;

	strcpy(got, client_events(&mc->client));
	for (event = got; *event; event = end + 1) {
		char one[200];

		end = strchr(event, ';');
		memcpy(one, event, (size_t)(end - event + 1));
		one[end - event + 1] = '\0';
		for (at = mc->expected; at; at = at ? at + 1 : NULL) {
			at = strstr(at, one);
			if (!at || at == mc->expected || at[-1] == ';')
				break;
		}
		if (!at)
			model_fail(what, mc->expected, one);
		memmove(at, at + strlen(one), strlen(at + strlen(one)) + 1);
	}
	if (mc->expected[0])
		model_fail(what, mc->expected, "(no such event)");
}

static inline void model_drop_events(struct model *model)
{
	unsigned int i;

	for (i = 0; i < MODEL_CLIENTS; i++) {
		client_events(&model->client[i].client);
		model->client[i].expected[0] = '\0';
	}
}

/* What a live request that changed `path` tells the watchers. */
static inline void model_fire(
	struct model *model, const struct model_tree *before, const char *path)
{
	static struct model_tree old;
	struct model_node *was, *is, *up;
	char parent[64];
	unsigned int i;

	old = *before;
	was = model_find(&old, path);
	is = model_find(&model->tree, path);
	strcpy(parent, path);
	model_parent(parent);
	up = strcmp(path, "/") ? model_find(&model->tree, parent) : NULL;
	model_expect(model, path, was, is, up, 0);
	if (is)
		return;
	for (i = 0; i < old.nr; i++) {
		if (!model_below(old.node[i].path, path))
			continue;
		strcpy(parent, old.node[i].path);
		model_parent(parent);
		model_expect(
			model, old.node[i].path, &old.node[i], NULL, model_find(&old, parent), 1);
	}
}

/* ---- the driver ---- */

static inline unsigned int model_byte(struct model *model, unsigned int below)
{
	if (model->left == 0)
		return 0;
	model->left--;
	return *model->in++ % below;
}

static inline void model_pick_path(struct model *model, char *text)
{
	static const char *const tops[] = {"", "/local/domain/1", "/local/domain/2", "/x", "/x/a"};
	unsigned int depth = model_byte(model, 4), top = model_byte(model, 5);

	strcpy(text, tops[top]);
	if (top == 0 && depth == 0)
		depth = 1;
	for (; depth > 0; depth--) {
		/* Without a slash in front it is relative. */
		if (*text || model_byte(model, 4) == 0)
			strcat(text, "/");
		sprintf(text + strlen(text), "%c", "abc"[model_byte(model, 3)]);
	}
}

static inline void model_pick_perms(struct model *model, char *text)
{
	unsigned int nr = 1 + model_byte(model, 3);

	for (; nr > 0; nr--)
		sprintf(text + strlen(text), "%c%u|", "nrwb"[model_byte(model, 4)],
			model_byte(model, 4));
}

static inline void model_request(struct model *model, struct model_client *mc)
{
	static const uint32_t types[] = {XS_READ, XS_WRITE, XS_WRITE, XS_WRITE, XS_MKDIR, XS_RM,
		XS_DIRECTORY, XS_GET_PERMS, XS_SET_PERMS};
	static struct model_tree before;
	uint32_t type = types[model_byte(model, 9)];
	char text[96], path[64], reply[MODEL_TEXT];
	const char *got;

	if (mc->txn && mc->nr_ops == MODEL_TXN_OPS)
		return;
	model_pick_path(model, text);
	model_absolute(path, text, mc->domid);
	strcat(text, "|");
	if (type == XS_WRITE)
		sprintf(text + strlen(text), "%u", model_byte(model, 100));
	if (type == XS_SET_PERMS)
		model_pick_perms(model, text);
	got = client_ask(&mc->client, type, mc->txn, text);
	if (mc->txn) {
		struct model_op *op = &mc->op[mc->nr_ops++];

		op->type = type;
		strcpy(op->text, text);
		snprintf(op->reply, sizeof(op->reply), "%s", got);
		return;
	}
	before = model->tree;
	if (model_do(&model->tree, mc->domid, type, text, reply)) {
		model->changes++;
		model_fire(model, &before, path);
	}
	if (strcmp(got, reply) != 0)
		model_fail(text, reply, got);
}

static inline void model_commit(struct model *model, struct model_client *mc)
{
	const char *got = client_ask(&mc->client, XS_TRANSACTION_END, mc->txn, "T|");
	char reply[MODEL_TEXT];
	unsigned int i;

	mc->txn = 0;
	if (strcmp(got, "!EAGAIN") == 0) {
		if (model->changes == mc->txn_changes && model->nr_conflicts < 2)
			model_fail("a conflict with nobody", "OK", got);
		model->nr_conflicts++;
		return;
	}
	if (strcmp(got, "OK|") != 0)
		model_fail("commit", "OK", got);
	model->nr_commits++;
	for (i = 0; i < mc->nr_ops; i++) {
		model->changes += (unsigned long)model_do(
			&model->tree, mc->domid, mc->op[i].type, mc->op[i].text, reply);
		if (strcmp(reply, mc->op[i].reply) != 0)
			model_fail(mc->op[i].text, reply, mc->op[i].reply);
	}
	model_drop_events(model);
}

static inline void model_transaction(struct model *model, struct model_client *mc)
{
	if (!mc->txn) {
		mc->txn = client_begin(&mc->client);
		mc->txn_changes = model->changes;
		mc->nr_ops = 0;
	} else if (model_byte(model, 5) == 0) {
		client_ask(&mc->client, XS_TRANSACTION_END, mc->txn, "F|");
		mc->txn = 0;
	} else {
		model_commit(model, mc);
	}
}

static inline void model_watch(struct model *model, struct model_client *mc)
{
	unsigned int slot = model_byte(model, MODEL_WATCHES);
	struct model_watch *watch = &mc->watch[slot];
	char text[96];

	if (!watch->used) {
		model_pick_path(model, watch->path);
		sprintf(watch->token, "t%u", slot);
	}
	snprintf(text, sizeof(text), "%s|%s|", watch->path, watch->token);
	if (strcmp(client_ask(&mc->client, watch->used ? XS_UNWATCH : XS_WATCH, 0, text), "OK|"))
		model_fail("watch", "OK", "an error");
	if (!watch->used) {
		snprintf(text, sizeof(text), "%s %s;", watch->path, watch->token);
		strcpy(mc->expected, text);
	}
	watch->used = !watch->used;
}

/* Domain 2 dies and comes back; nobody else's transaction is open, for it could have read of it. */
static inline void model_release(struct model *model)
{
	unsigned int i, j, k;

	for (i = 0; i < MODEL_CLIENTS; i++)
		if (model->client[i].txn)
			return;
	for (i = 0; i < MODEL_CLIENTS; i++)
		if (model->client[i].domid == 2)
			client_close(&model->client[i].client);
	store_release(model->store, 2);
	if (store_introduce(model->store, 2))
		abort();
	for (i = 0; i < MODEL_CLIENTS; i++) {
		if (model->client[i].domid != 2)
			continue;
		client_open(&model->client[i].client, model->store, 2);
		memset(model->client[i].watch, 0, sizeof(model->client[i].watch));
	}
	for (i = 0; i < model->tree.nr; i++) {
		struct model_node *node = &model->tree.node[i];

		if (node->perm[0].domid == 2)
			node->perm[0].domid = 0;
		for (j = k = 1; j < node->nr_perms; j++)
			if (node->perm[j].domid != 2)
				node->perm[k++] = node->perm[j];
		node->nr_perms = k;
	}
}

static inline void model_compare_trees(struct model *model)
{
	char text[80], reply[MODEL_TEXT];
	struct store_stats stats;
	const char *got;
	unsigned int i;

	store_get_stats(model->store, &stats);
	if (stats.nr_nodes != model->tree.nr)
		model_fail("number of nodes", "", "");
	for (i = 0; i < model->tree.nr; i++) {
		static const uint32_t types[] = {XS_READ, XS_DIRECTORY, XS_GET_PERMS};
		unsigned int j;

		sprintf(text, "%s|", model->tree.node[i].path);
		for (j = 0; j < 3; j++) {
			model_do(&model->tree, 0, types[j], text, reply);
			got = client_ask(&model->client[0].client, types[j], 0, text);
			if (strcmp(got, reply) != 0)
				model_fail(text, reply, got);
		}
	}
}

static inline void model_setup(struct model *model)
{
	static const unsigned int domids[MODEL_CLIENTS] = {0, 1, 2, 1};
	static const char *const first[] = {
		"/", "/tool", "/tool/xenstored", "/local", "/local/domain"};
	static const struct store_perm homes[2] = {{1, 'n'}, {2, 'r'}};
	struct store_limits limits;
	unsigned int i;

	store_limits_default(&limits);
	if (store_create(&limits, &client_ops, NULL, &model->store) ||
		store_introduce(model->store, 1) || store_introduce(model->store, 2) ||
		store_write(model->store, "/local/domain/1", "", 0, &homes[0], 1) ||
		store_write(model->store, "/local/domain/2", "", 0, &homes[1], 1))
		abort();
	for (i = 0; i < 5; i++) {
		struct model_node *node = &model->tree.node[model->tree.nr++];

		strcpy(node->path, first[i]);
		node->perm[0] = (struct model_perm){0, 'n', 0};
		node->nr_perms = 1;
	}
	model_make(&model->tree, "/local/domain/1", 0);
	model_make(&model->tree, "/local/domain/2", 0);
	model_find(&model->tree, "/local/domain/1")->perm[0] = (struct model_perm){1, 'n', 0};
	model_find(&model->tree, "/local/domain/2")->perm[0] = (struct model_perm){2, 'r', 0};
	for (i = 0; i < MODEL_CLIENTS; i++) {
		model->client[i].domid = domids[i];
		client_open(&model->client[i].client, model->store, domids[i]);
	}
}

/* Aborts, with a word on stderr, where store and model differ. Returns the commits that succeeded.
 */
static inline unsigned long model_run(const uint8_t *bytes, size_t len)
{
	struct model *model = calloc(1, sizeof(*model));
	struct store_stats stats;
	unsigned long nr_commits;
	unsigned int i;

	if (!model)
		abort();
	model->in = bytes;
	model->left = len;
	model_setup(model);
	while (model->left > 0 && model->tree.nr < MODEL_NODES - 160) {
		struct model_client *mc = &model->client[model_byte(model, MODEL_CLIENTS)];
		unsigned int what = model_byte(model, 32);

		if (what < 22)
			model_request(model, mc);
		else if (what < 28)
			model_transaction(model, mc);
		else if (what < 31)
			model_watch(model, mc);
		else
			model_release(model);
		for (i = 0; i < MODEL_CLIENTS; i++)
			model_compare_events(&model->client[i], "events");
	}
	model_compare_trees(model);
	for (i = 0; i < MODEL_CLIENTS; i++)
		client_close(&model->client[i].client);
	store_get_stats(model->store, &stats);
	if (stats.nr_conns || stats.nr_watches || stats.nr_transactions)
		model_fail("left over", "nothing", "something");
	store_destroy(model->store);
	nr_commits = model->nr_commits;
	free(model);
	return nr_commits;
}

#endif
