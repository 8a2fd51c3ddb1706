/* SPDX-License-Identifier: MIT */
/* WATCH, UNWATCH, RESET_WATCHES. */
#include <errno.h>
#include <string.h>

#include "xenstore/conn.h"
#include "xenstore/fair.h"
#include "xenstore/txn.h"
#include "xenstore/watch.h"

/* The absolute or special name into req->path; *prefix is what a relative watch leaves off. */
static int watch_path(struct request *req, const char *text, size_t *prefix)
{
	char home[PATH_PREFIX_BYTES];
	size_t len;
	int rc;

	*prefix = 0;
	if (text && text[0] == '@') {
		len = strlen(text);
		if (len > XENSTORE_REL_PATH_MAX)
			return -EINVAL;
		memcpy(req->path, text, len + 1);
		return 0;
	}
	rc = request_path(req, text);
	if (rc < 0)
		return rc;
	if (text[0] != '/')
		*prefix = path_prefix(home, req->dom->domid);
	return 0;
}

int op_watch(struct request *req)
{
	const char *text, *token;
	struct watch *watch;
	size_t pos = 0, prefix;
	int rc;

	text = request_next_string(req, &pos);
	token = request_next_string(req, &pos);
	if (!token)
		return -EINVAL;
	rc = watch_path(req, text, &prefix);
	if (rc)
		return rc;
	if (!domain_privileged(req->dom) &&
		req->dom->nr_watches >= domain_limit(req->dom, req->store->limits.nr_watches) &&
		!watch_find(req->conn, req->path, token))
		return -E2BIG;
	rc = watch_add(req->conn, req->path, prefix, token, &watch);
	if (rc)
		return rc;
	reply_ok(req);
	/* Once up front, whatever the permissions: the client learns to look for itself. */
	event_queue(watch, req->path, watch->group->path_len, watch->group->link.hash);
	return 0;
}

int op_unwatch(struct request *req)
{
	const char *text, *token;
	struct watch *watch;
	size_t pos = 0, prefix;
	int rc;

	text = request_next_string(req, &pos);
	token = request_next_string(req, &pos);
	if (!token)
		return -EINVAL;
	rc = watch_path(req, text, &prefix);
	if (rc)
		return rc;
	watch = watch_find(req->conn, req->path, token);
	if (!watch)
		return -ENOENT;
	watch_remove(watch);
	reply_ok(req);
	return 0;
}

int op_reset_watches(struct request *req)
{
	struct watch *watch, *next_watch;
	struct txn *txn, *next_txn;

	list_for_each_safe(watch, next_watch, &req->conn->watches, in_conn)
		watch_remove(watch);
	list_for_each_safe(txn, next_txn, &req->conn->txns, in_conn)
		txn_destroy(txn);
	fair_done(req->conn);
	reply_ok(req);
	return 0;
}
