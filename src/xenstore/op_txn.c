/* SPDX-License-Identifier: MIT */
/* TRANSACTION_START and TRANSACTION_END. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "xenstore/conn.h"
#include "xenstore/fair.h"
#include "xenstore/txn.h"

int op_transaction_start(struct request *req)
{
	struct txn *txn;
	char text[16];
	int len, rc;

	if (req->txn)
		return -EBUSY;
	if (!domain_privileged(req->dom) && req->dom->nr_txns >= req->store->limits.nr_transactions)
		return -ENOSPC;
	rc = txn_start(req->conn, &txn);
	if (rc)
		return rc;
	len = snprintf(text, sizeof(text), "%u", txn->id);
	rc = reply_bytes(req, text, (size_t)len + 1);
	if (rc)
		txn_destroy(txn);
	return rc;
}

int op_transaction_end(struct request *req)
{
	const char *text = request_only_string(req);
	bool commit;
	int rc = 0;

	if (!text || (strcmp(text, "T") != 0 && strcmp(text, "F") != 0))
		return -EINVAL;
	if (!req->txn)
		return -ENOENT;
	commit = text[0] == 'T';
	if (commit)
		rc = txn_commit(req->txn);
	else
		fair_done(req->conn);
	txn_destroy(req->txn);
	if (!rc)
		reply_ok(req);
	return rc;
}
