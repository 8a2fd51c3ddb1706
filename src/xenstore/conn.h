/* SPDX-License-Identifier: MIT */
/* A connection's output queue, and requests while they are carried out. */
#ifndef RF_XENSTORE_CONN_H
#define RF_XENSTORE_CONN_H

#include "xenstore/internal.h"

struct request {
	struct store *store;
	struct store_conn *conn;
	struct domain *dom;
	struct txn *txn; /* NULL: on the live tree */
	struct xsd_sockmsg hdr;
	const char *in; /* payload, hdr.len bytes, not terminated */
	char path[PATH_BYTES];
};

/* ---- requests (request.c) ---- */

/* Carries out one request and queues its reply. */
void request_run(struct store_conn *conn, const struct xsd_sockmsg *hdr, const char *payload);

/* A handler returns 0 after it replied, or -errno: then an error reply follows. */
typedef int request_fn(struct request *req);

/* The payload as exactly one string, or NULL. */
const char *request_only_string(const struct request *req);
/* The next string in the payload from *pos on, or NULL; advances *pos. */
const char *request_next_string(const struct request *req, size_t *pos);
/* Reads the payload's first string as a path into req->path: its length or -EINVAL. */
int request_path(struct request *req, const char *text);
/* Decimal, 0..max. 0 or -EINVAL. */
int request_number(const char *text, unsigned long max, unsigned long *out);

/* ---- output (output.c) ---- */

struct msg *msg_create(size_t payload_len); /* NULL without memory */
void msg_set_header(struct msg *msg, uint32_t type, uint32_t req_id, uint32_t tx_id);
static inline char *msg_payload(struct msg *msg)
{
	return (char *)msg->bytes + sizeof(struct xsd_sockmsg);
}

/* A reply with room for `len` bytes, to fill and to send; NULL without memory. */
struct msg *reply_create(size_t len);
void reply_send(struct request *req, struct msg *msg);
/* 0, or -ENOMEM with nothing queued. */
int reply_bytes(struct request *req, const void *bytes, size_t len);
/* These two cannot fail. */
void reply_ok(struct request *req);
void reply_error(struct request *req, int err);
/* As it travels: "ENOENT"; "EINVAL" for what the protocol has no name for. */
const char *error_name(int err);

/* `path` matched the watch; the event is queued, merged with an equal one, or its self event is. */
void event_queue(struct watch *watch, const char *path, size_t len, uint64_t hash);
/* The watch is going: takes its events back, except for one that is on the wire. */
void event_forget(struct watch *watch);
void output_drop(struct store_conn *conn);

/* ---- the log (trace.c) ---- */

void trace_print(struct store *store, const char *text);
/* A request that was carried out, with the name of its operation and of its result. */
void trace_request(const struct request *req, const char *name, const char *result);

/* The operations, one file per group. */
request_fn op_read, op_write, op_mkdir, op_rm, op_get_perms, op_set_perms, op_directory,
	op_directory_part, op_watch, op_unwatch, op_reset_watches, op_transaction_start,
	op_transaction_end, op_introduce, op_release, op_get_domain_path, op_is_domain_introduced,
	op_resume, op_set_target, op_control;

#endif
