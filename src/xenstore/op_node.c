/* SPDX-License-Identifier: MIT */
/* READ, WRITE, MKDIR, RM: what xenstore.txt calls database read and write. */
#include <errno.h>
#include <string.h>

#include "xenstore/perms.h"
#include "xenstore/tree.h"

int op_read(struct request *req)
{
	struct tree_node node;
	int rc = request_path(req, request_only_string(req));

	if (rc < 0)
		return rc;
	rc = tree_find(req, PERM_READ, ACC_VALUE, &node);
	if (rc)
		return rc;
	/* A value that domain 0's own program wrote may be longer than a message. */
	if (node.value->len > XENSTORE_PAYLOAD_MAX)
		return -E2BIG;
	return reply_bytes(req, node.value->bytes, node.value->len);
}

static int check_size(const struct request *req, size_t value_len)
{
	size_t name_len = strlen(strrchr(req->path, '/') + 1);

	if (domain_privileged(req->dom))
		return 0;
	return name_len + value_len > req->store->limits.node_size ? -ENOSPC : 0;
}

int op_write(struct request *req)
{
	struct tree_node node;
	struct blob *value;
	size_t pos = 0;
	int rc = request_path(req, request_next_string(req, &pos));

	if (rc < 0)
		return rc;
	rc = tree_find(req, PERM_WRITE, ACC_VALUE, &node);
	if (rc && rc != -ENOENT)
		return rc;
	rc = check_size(req, req->hdr.len - pos);
	if (rc)
		return rc;
	value = blob_create(req->in + pos, req->hdr.len - pos);
	if (!value)
		return -ENOMEM;
	rc = tree_write(req, &node, value);
	blob_put(value);
	if (rc)
		return rc;
	reply_ok(req);
	return 0;
}

int op_mkdir(struct request *req)
{
	struct tree_node node;
	int rc = request_path(req, request_only_string(req));

	if (rc < 0)
		return rc;
	rc = tree_find(req, PERM_WRITE, 0, &node);
	if (rc == -ENOENT) {
		rc = check_size(req, 0);
		if (!rc)
			rc = tree_write(req, &node, NULL);
	}
	if (rc)
		return rc;
	reply_ok(req);
	return 0;
}

/* Removing what does not exist succeeds if its parent does. */
static int parent_exists(struct request *req)
{
	char *slash = strrchr(req->path, '/');
	struct txn_found found;
	int rc;

	slash[slash == req->path] = '\0';
	if (!req->txn)
		return node_find(req->store, req->path, NULL, NULL) ? 0 : -ENOENT;
	rc = txn_lookup(req->txn, req->path, 0, &found);
	if (rc)
		return rc;
	return found.exists ? 0 : -ENOENT;
}

int op_rm(struct request *req)
{
	struct tree_node node;
	int rc = request_path(req, request_only_string(req));

	if (rc < 0)
		return rc;
	if (strcmp(req->path, "/") == 0)
		return -EINVAL;
	rc = tree_find(req, PERM_WRITE, 0, &node);
	if (rc == -ENOENT) {
		rc = parent_exists(req);
		if (rc)
			return rc;
	} else if (rc) {
		return rc;
	} else if (req->txn) {
		txn_remove(req->txn, node.txn.tnode);
	} else {
		live_remove(req->store, node.live, req->path);
	}
	reply_ok(req);
	return 0;
}
