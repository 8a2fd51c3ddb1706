/* SPDX-License-Identifier: MIT */
/*
 * What goes to a client: one queue of replies and events in the order they came about. It is
 * bounded whatever the client does. Input stops at nr_requests replies. Events that equal a
 * waiting one merge with it; beyond nr_events they fall back to the watch's own path, of which one
 * at most waits per watch.
 */
#include <errno.h>
#include <string.h>

#include "xenstore/conn.h"
#include "xenstore/mem.h"

/* Domain 0 has no quotas, but a tool of its that stopped reading must not eat all memory either. */
#define DOM0_EVENTS_FACTOR 64
/* Payload of the reserved reply: the longest error name, or "OK". */
#define SPARE_BYTES 16

struct msg *msg_create(size_t payload_len)
{
	struct xsd_sockmsg hdr = {.len = (uint32_t)payload_len};
	struct msg *msg = store_alloc(sizeof(*msg) + sizeof(hdr) + payload_len);

	if (!msg)
		return NULL;
	msg->len = (uint32_t)(sizeof(hdr) + payload_len);
	memcpy(msg->bytes, &hdr, sizeof(hdr));
	list_init(&msg->queue);
	list_init(&msg->in_watch);
	return msg;
}

void msg_set_header(struct msg *msg, uint32_t type, uint32_t req_id, uint32_t tx_id)
{
	struct xsd_sockmsg hdr = {
		.type = type,
		.req_id = req_id,
		.tx_id = tx_id,
		.len = msg->len - (uint32_t)sizeof(hdr),
	};

	memcpy(msg->bytes, &hdr, sizeof(hdr));
}

/* Accounts for a message that comes (1) or goes (-1). */
static void count(struct store_conn *conn, const struct msg *msg, int sign)
{
	struct store_stats *stats = &conn->store->stats;
	unsigned int nr = (unsigned int)sign;

	if (msg->is_event) {
		conn->nr_events += nr;
		conn->dom->nr_events += nr;
	} else {
		conn->nr_replies += nr;
		conn->dom->nr_replies += nr;
	}
	stats->nr_queued += (unsigned long)sign;
	stats->queued_bytes += sign > 0 ? msg->len : -(size_t)msg->len;
}

static void out_queue(struct store_conn *conn, struct msg *msg)
{
	bool was_empty = list_empty(&conn->out);

	list_add_tail(&conn->out, &msg->queue);
	msg->queued = true;
	count(conn, msg, 1);
	if (was_empty && conn->store->ops->want_write)
		conn->store->ops->want_write(conn->data);
}

/* ---- replies ---- */

struct msg *reply_create(size_t len)
{
	return msg_create(len);
}

void reply_send(struct request *req, struct msg *msg)
{
	msg_set_header(msg, req->hdr.type, req->hdr.req_id, req->hdr.tx_id);
	out_queue(req->conn, msg);
}

int reply_bytes(struct request *req, const void *bytes, size_t len)
{
	struct msg *msg = reply_create(len);

	if (!msg)
		return -ENOMEM;
	memcpy(msg_payload(msg), bytes, len);
	reply_send(req, msg);
	return 0;
}

static void reply_short(struct request *req, uint32_t type, const char *text)
{
	size_t len = strlen(text) + 1;
	struct msg *msg = msg_create(len);

	if (!msg) {
		/* No request is taken while the reserve is in use: conn_can_take. */
		msg = req->conn->spare;
		msg->len = (uint32_t)(sizeof(struct xsd_sockmsg) + len);
	}
	memcpy(msg_payload(msg), text, len);
	msg_set_header(msg, type, req->hdr.req_id, req->hdr.tx_id);
	out_queue(req->conn, msg);
}

void reply_ok(struct request *req)
{
	reply_short(req, req->hdr.type, "OK");
}

const char *error_name(int err)
{
	size_t i;

	for (i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
		if (xsd_errors[i].errnum == err)
			return xsd_errors[i].errstring;
	return "EINVAL";
}

void reply_error(struct request *req, int err)
{
	reply_short(req, XS_ERROR, error_name(err));
}

/* ---- events ---- */

static uint64_t pending_hash(const struct watch *watch, uint64_t path_hash_value)
{
	return path_hash_value ^ (uint64_t)(uintptr_t)watch * UINT64_C(0x9e3779b97f4a7c15) >> 4;
}

static struct msg *pending_find(struct watch *watch, uint64_t hash, const char *path, size_t len)
{
	struct hlink *link = htable_first(&watch->conn->store->pending, hash);

	for (; link; link = htable_next(link)) {
		struct msg *msg = container_of(link, struct msg, pending);
		const char *shown = msg_payload(msg);

		if (msg->watch == watch && strlen(shown) == len && memcmp(shown, path, len) == 0)
			return msg;
	}
	return NULL;
}

static void event_queue_self(struct watch *watch)
{
	if (!watch->self->queued)
		out_queue(watch->conn, watch->self);
	else if (watch->self->exposed)
		watch->self->again = true;
}

static bool events_full(const struct store_conn *conn)
{
	uint64_t limit = domain_limit(conn->dom, conn->store->limits.nr_events);

	if (domain_privileged(conn->dom))
		return conn->nr_events >= limit * DOM0_EVENTS_FACTOR;
	return conn->dom->nr_events >= limit;
}

void event_queue(struct watch *watch, const char *path, size_t len, uint64_t hash)
{
	size_t payload_len;
	struct msg *msg;

	if (len == watch->group->path_len) {
		event_queue_self(watch);
		return;
	}
	path += watch->prefix_len;
	len -= watch->prefix_len;
	hash = pending_hash(watch, hash);
	if (pending_find(watch, hash, path, len))
		return;
	payload_len = len + 1 + watch->token_len + 1;
	msg = NULL;
	if (!events_full(watch->conn) && payload_len <= XENSTORE_PAYLOAD_MAX)
		msg = msg_create(payload_len);
	if (!msg) {
		event_queue_self(watch);
		return;
	}
	msg->is_event = true;
	msg->watch = watch;
	msg_set_header(msg, XS_WATCH_EVENT, 0, 0);
	memcpy(msg_payload(msg), path, len);
	memcpy(msg_payload(msg) + len + 1, watch->token, watch->token_len + 1);
	htable_insert(&watch->conn->store->pending, &msg->pending, hash);
	list_add_tail(&watch->events, &msg->in_watch);
	out_queue(watch->conn, msg);
}

/* Unlinks a message from everything but its watch's self pointer. */
static void msg_unqueue(struct store_conn *conn, struct msg *msg)
{
	list_del(&msg->queue);
	list_del(&msg->in_watch);
	count(conn, msg, -1);
	if (msg->is_event && !msg->is_self && !msg->exposed)
		htable_remove(&conn->store->pending, &msg->pending);
	msg->queued = msg->exposed = false;
}

static void event_take_back(struct store_conn *conn, struct msg *msg)
{
	msg->watch = NULL;
	msg->again = false;
	if (msg->exposed) {
		list_del(&msg->in_watch);
		return; /* freed when it is out */
	}
	if (msg->queued)
		msg_unqueue(conn, msg);
	store_free(msg);
}

void event_forget(struct watch *watch)
{
	struct msg *msg, *tmp;

	list_for_each_safe(msg, tmp, &watch->events, in_watch)
		event_take_back(watch->conn, msg);
	event_take_back(watch->conn, watch->self);
	watch->self = NULL;
}

/* ---- the client's side ---- */

static void msg_done(struct store_conn *conn, struct msg *msg)
{
	bool again = msg->again;

	msg_unqueue(conn, msg);
	msg->again = false;
	if (msg->is_self && msg->watch) {
		if (again)
			out_queue(conn, msg);
		return;
	}
	if (msg != conn->spare)
		store_free(msg);
}

size_t store_conn_output(struct store_conn *conn, const void **bytes)
{
	struct msg *msg;

	if (list_empty(&conn->out))
		return 0;
	msg = list_first(&conn->out, struct msg, queue);
	/* The caller may send it at any time now, so nothing may merge with it or take it back. */
	if (!msg->exposed && msg->is_event && !msg->is_self)
		htable_remove(&conn->store->pending, &msg->pending);
	msg->exposed = true;
	*bytes = msg->bytes + conn->sent;
	return msg->len - conn->sent;
}

void store_conn_consume(struct store_conn *conn, size_t len)
{
	const void *bytes;
	size_t left;

	while (len > 0) {
		left = store_conn_output(conn, &bytes);
		if (left == 0)
			return;
		if (len < left) {
			conn->sent += len;
			return;
		}
		len -= left;
		conn->sent = 0;
		msg_done(conn, list_first(&conn->out, struct msg, queue));
	}
}

void output_drop(struct store_conn *conn)
{
	struct msg *msg;

	while (!list_empty(&conn->out)) {
		msg = list_first(&conn->out, struct msg, queue);
		msg->again = false;
		msg_done(conn, msg);
	}
}
