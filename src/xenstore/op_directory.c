/* SPDX-License-Identifier: MIT */
/* DIRECTORY and DIRECTORY_PART. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "xenstore/perms.h"
#include "xenstore/tree.h"

/* Lists straight from the tree: no copy of the list is kept for a directory read once. */
static int list_live(struct request *req, const struct node *node)
{
	const struct node *child;
	struct msg *msg;
	char *at;

	if (node->list_bytes > XENSTORE_PAYLOAD_MAX)
		return -E2BIG;
	msg = reply_create(node->list_bytes);
	if (!msg)
		return -ENOMEM;
	at = msg_payload(msg);
	list_for_each(child, &node->children, siblings) {
		memcpy(at, child->name, child->name_len + 1);
		at += child->name_len + 1;
	}
	reply_send(req, msg);
	return 0;
}

int op_directory(struct request *req)
{
	struct tree_node node;
	struct blob *list;
	uint64_t version;
	int rc = request_path(req, request_only_string(req));

	if (rc < 0)
		return rc;
	rc = tree_find(req, PERM_READ, 0, &node);
	if (rc)
		return rc;
	if (!req->txn)
		return list_live(req, node.live);
	rc = tree_listing(req, &node, &list, &version);
	if (rc)
		return rc;
	if (list->len > XENSTORE_PAYLOAD_MAX)
		return -E2BIG;
	return reply_bytes(req, list->bytes, list->len);
}

/* Whole names from `offset` on that fit into `room`. */
static size_t whole_names(const struct blob *list, size_t offset, size_t room)
{
	size_t used = 0, len;

	while (offset + used < list->len) {
		len = strlen(list->bytes + offset + used) + 1;
		if (len > room - used)
			break;
		used += len;
	}
	return used;
}

static int reply_part(struct request *req, const struct blob *list, uint64_t version, size_t offset)
{
	char head[24], *at;
	size_t head_len, names = 0;
	struct msg *msg;
	bool end;

	head_len = (size_t)snprintf(head, sizeof(head), "%llu", (unsigned long long)version) + 1;
	if (offset < list->len)
		names = whole_names(list, offset, XENSTORE_PAYLOAD_MAX - head_len - 1);
	/* An empty name marks the end. */
	end = offset >= list->len || offset + names == list->len;
	msg = reply_create(head_len + names + end);
	if (!msg)
		return -ENOMEM;
	at = msg_payload(msg);
	memcpy(at, head, head_len);
	if (names)
		memcpy(at + head_len, list->bytes + offset, names);
	reply_send(req, msg);
	return 0;
}

int op_directory_part(struct request *req)
{
	const char *path, *text;
	struct tree_node node;
	unsigned long offset;
	struct blob *list;
	uint64_t version;
	size_t pos = 0;
	int rc;

	path = request_next_string(req, &pos);
	text = request_next_string(req, &pos);
	rc = request_path(req, path);
	if (rc >= 0)
		rc = request_number(text, UINT32_MAX, &offset);
	if (rc < 0)
		return rc;
	rc = tree_find(req, PERM_READ, 0, &node);
	if (!rc)
		rc = tree_listing(req, &node, &list, &version);
	if (rc)
		return rc;
	return reply_part(req, list, version, offset);
}
