/* SPDX-License-Identifier: MIT */
/* GET_PERMS and SET_PERMS, on nodes and on the two special watch names. */
#include <errno.h>
#include <string.h>

#include "xenstore/mem.h"
#include "xenstore/perms.h"
#include "xenstore/tree.h"

static struct special *find_special(struct store *store, const char *name)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (strcmp(store->special[i].name, name) == 0)
			return &store->special[i];
	return NULL;
}

static int reply_perms(struct request *req, const struct perms *perms)
{
	struct msg *msg;
	char *text;
	size_t len;

	text = store_alloc(perms->nr * PERM_TEXT_BYTES);
	if (!text)
		return -ENOMEM;
	len = perms_format(perms, text);
	msg = len <= XENSTORE_PAYLOAD_MAX ? reply_create(len) : NULL;
	if (msg) {
		memcpy(msg_payload(msg), text, len);
		reply_send(req, msg);
	}
	store_free(text);
	if (msg)
		return 0;
	return len > XENSTORE_PAYLOAD_MAX ? -E2BIG : -ENOMEM;
}

int op_get_perms(struct request *req)
{
	const char *text = request_only_string(req);
	const struct special *special;
	struct tree_node node;
	int rc;

	if (text && text[0] == '@') {
		special = find_special(req->store, text);
		if (!special)
			return -ENOENT;
		if (!(perms_access(special->perms, req->dom) & PERM_READ))
			return -EACCES;
		return reply_perms(req, special->perms);
	}
	rc = request_path(req, text);
	if (rc < 0)
		return rc;
	rc = tree_find(req, PERM_READ, 0, &node);
	return rc ? rc : reply_perms(req, node.perms);
}

/* The strings from `pos` on. *nr of them into *out, which the caller frees. */
static int parse_perms(struct request *req, size_t pos, struct store_perm **out, unsigned int *nr)
{
	size_t first = pos;
	const char *text;
	unsigned int i;

	*out = NULL;
	for (*nr = 0; request_next_string(req, &pos); ++*nr)
		;
	if (*nr == 0)
		return -EINVAL;
	if (!domain_privileged(req->dom) && *nr > req->store->limits.nr_perms)
		return -ENOSPC;
	*out = store_alloc(*nr * sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (i = 0, pos = first; i < *nr; i++) {
		text = request_next_string(req, &pos);
		if (perm_parse(text, &(*out)[i]))
			return -EINVAL;
	}
	return 0;
}

static int set_special(struct request *req, const char *name, struct perms *perms)
{
	struct special *special = find_special(req->store, name);

	if (!special)
		return -ENOENT;
	if (!domain_privileged(req->dom))
		return -EACCES;
	perms_put(req->store, special->perms);
	special->perms = perms_get(perms);
	return 0;
}

static int set_node(struct request *req, const char *text, struct perms *perms)
{
	struct tree_node node;
	int rc = request_path(req, text);

	if (rc < 0)
		return rc;
	rc = tree_find(req, PERM_WRITE | PERM_OWNER, 0, &node);
	if (rc)
		return rc;
	/* Giving a node away would charge it to somebody else. */
	if (!domain_privileged(req->dom) && perms_owner(perms) != perms_owner(node.perms))
		return -EPERM;
	if (req->txn)
		txn_set_perms(req->txn, node.txn.tnode, perms_get(perms));
	else
		live_set_perms(req->store, node.live, req->path, perms);
	return 0;
}

int op_set_perms(struct request *req)
{
	struct store_perm *entries;
	struct perms *perms = NULL;
	const char *text;
	unsigned int nr;
	size_t pos = 0;
	int rc;

	text = request_next_string(req, &pos);
	if (!text)
		return -EINVAL;
	rc = parse_perms(req, pos, &entries, &nr);
	if (!rc) {
		perms = perms_create(req->store, entries, nr, req->dom);
		rc = perms ? 0 : -ENOMEM;
	}
	store_free(entries);
	if (rc)
		return rc;
	rc = text[0] == '@' ? set_special(req, text, perms) : set_node(req, text, perms);
	perms_put(req->store, perms);
	if (!rc)
		reply_ok(req);
	return rc;
}
