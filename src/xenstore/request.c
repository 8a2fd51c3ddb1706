/* SPDX-License-Identifier: MIT */
/* From a message to its operation, and helpers to take payloads apart. */
#include <errno.h>
#include <string.h>

#include "xenstore/conn.h"
#include "xenstore/txn.h"

#define OP_DOM0 1u   /* domain 0 alone may ask */
#define OP_NO_TXN 2u /* the transaction id is ignored, as in Xen */

static const struct operation {
	const char *name;
	request_fn *run;
	unsigned int flags;
} operations[XS_TYPE_COUNT] = {
	[XS_CONTROL] = {"CONTROL", op_control, OP_DOM0 | OP_NO_TXN},
	[XS_DIRECTORY] = {"DIRECTORY", op_directory, 0},
	[XS_DIRECTORY_PART] = {"DIRECTORY_PART", op_directory_part, 0},
	[XS_READ] = {"READ", op_read, 0},
	[XS_GET_PERMS] = {"GET_PERMS", op_get_perms, 0},
	[XS_SET_PERMS] = {"SET_PERMS", op_set_perms, 0},
	[XS_WRITE] = {"WRITE", op_write, 0},
	[XS_MKDIR] = {"MKDIR", op_mkdir, 0},
	[XS_RM] = {"RM", op_rm, 0},
	[XS_WATCH] = {"WATCH", op_watch, OP_NO_TXN},
	[XS_UNWATCH] = {"UNWATCH", op_unwatch, OP_NO_TXN},
	[XS_RESET_WATCHES] = {"RESET_WATCHES", op_reset_watches, OP_NO_TXN},
	[XS_TRANSACTION_START] = {"TRANSACTION_START", op_transaction_start, 0},
	[XS_TRANSACTION_END] = {"TRANSACTION_END", op_transaction_end, 0},
	[XS_INTRODUCE] = {"INTRODUCE", op_introduce, OP_DOM0 | OP_NO_TXN},
	[XS_RELEASE] = {"RELEASE", op_release, OP_DOM0 | OP_NO_TXN},
	[XS_RESUME] = {"RESUME", op_resume, OP_DOM0 | OP_NO_TXN},
	[XS_SET_TARGET] = {"SET_TARGET", op_set_target, OP_DOM0 | OP_NO_TXN},
	[XS_GET_DOMAIN_PATH] = {"GET_DOMAIN_PATH", op_get_domain_path, OP_NO_TXN},
	[XS_IS_DOMAIN_INTRODUCED] = {"IS_DOMAIN_INTRODUCED", op_is_domain_introduced, OP_NO_TXN},
};

static int request_dispatch(struct request *req)
{
	const struct operation *op;

	if (req->hdr.type >= XS_TYPE_COUNT)
		return -ENOSYS;
	op = &operations[req->hdr.type];
	if (!op->run)
		return -ENOSYS;
	if (!req->in && req->hdr.len)
		return -ENOMEM;
	if ((op->flags & OP_DOM0) && !domain_privileged(req->dom))
		return -EACCES;
	if (req->hdr.tx_id && !(op->flags & OP_NO_TXN)) {
		req->txn = txn_find(req->conn, req->hdr.tx_id);
		if (!req->txn)
			return -ENOENT;
	}
	return op->run(req);
}

static void trace(const struct request *req, int err)
{
	const char *name = NULL;

	if (req->hdr.type < XS_TYPE_COUNT)
		name = operations[req->hdr.type].name;
	trace_request(req, name ? name : "unknown", err ? error_name(err) : "OK");
}

void request_run(struct store_conn *conn, const struct xsd_sockmsg *hdr, const char *payload)
{
	struct request req;
	int rc;

	req.store = conn->store;
	req.conn = conn;
	req.dom = conn->dom;
	req.txn = NULL;
	req.hdr = *hdr;
	req.in = payload;
	rc = request_dispatch(&req);
	if (req.store->tracing)
		trace(&req, -rc);
	if (rc)
		reply_error(&req, -rc);
}

const char *request_next_string(const struct request *req, size_t *pos)
{
	const char *text = req->in + *pos, *nul;

	if (*pos >= req->hdr.len)
		return NULL;
	nul = memchr(text, '\0', req->hdr.len - *pos);
	if (!nul)
		return NULL;
	*pos += (size_t)(nul - text) + 1;
	return text;
}

const char *request_only_string(const struct request *req)
{
	size_t pos = 0;
	const char *text = request_next_string(req, &pos);

	return pos == req->hdr.len ? text : NULL;
}

int request_path(struct request *req, const char *text)
{
	return text ? path_absolute(req->path, text, req->dom->domid) : -EINVAL;
}

int request_number(const char *text, unsigned long max, unsigned long *out)
{
	unsigned long value = 0;

	if (!text || !*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = 10 * value + (unsigned long)(*text - '0');
		if (value > max)
			return -EINVAL;
	}
	*out = value;
	return 0;
}
