/* SPDX-License-Identifier: MIT */
/* Connections: the framing of requests, and their life. Every byte here is the client's. */
#include <errno.h>
#include <string.h>

#include "xenstore/conn.h"
#include "xenstore/fair.h"
#include "xenstore/mem.h"
#include "xenstore/txn.h"
#include "xenstore/watch.h"

#define HDR_BYTES sizeof(struct xsd_sockmsg)
#define DOMAIN_REPLIES_FACTOR 64

int store_conn_open(
	struct store *store, unsigned int domid, void *conn_data, struct store_conn **out)
{
	struct store_conn *conn = store_alloc(sizeof(*conn));

	if (!conn)
		return -ENOMEM;
	conn->spare = msg_create(HDR_BYTES);
	if (!conn->spare)
		goto fail_conn;
	conn->dom = domain_obtain(store, domid);
	if (!conn->dom)
		goto fail_spare;
	conn->store = store;
	conn->data = conn_data;
	conn->dom->nr_conns++;
	list_init(&conn->out);
	list_init(&conn->watches);
	list_init(&conn->txns);
	list_add_tail(&store->conns, &conn->in_store);
	store->stats.nr_conns++;
	*out = conn;
	return 0;
fail_spare:
	store_free(conn->spare);
fail_conn:
	store_free(conn);
	return -ENOMEM;
}

void store_conn_close(struct store_conn *conn)
{
	struct watch *watch, *next_watch;
	struct txn *txn, *next_txn;
	struct store *store;

	if (!conn)
		return;
	store = conn->store;
	fair_done(conn);
	list_for_each_safe(watch, next_watch, &conn->watches, in_conn)
		watch_remove(watch);
	list_for_each_safe(txn, next_txn, &conn->txns, in_conn)
		txn_destroy(txn);
	output_drop(conn);
	store_free(conn->spare);
	store_free(conn->payload);
	list_del(&conn->in_store);
	store->stats.nr_conns--;
	conn->dom->nr_conns--;
	domain_drop_unused(store, conn->dom);
	store_free(conn);
}

bool store_conn_can_take(const struct store_conn *conn)
{
	unsigned long limit = conn->store->limits.nr_requests;

	if (conn->broken || conn->spare->queued || conn->nr_replies >= limit)
		return false;
	/* Many connections win nothing; but one that reads is never stopped by others that do not. */
	return conn->nr_replies == 0 || domain_privileged(conn->dom) ||
	       conn->dom->nr_replies < DOMAIN_REPLIES_FACTOR * limit;
}

/* Takes up to what is missing of the header. Returns the bytes taken. */
static size_t take_header(struct store_conn *conn, const char *bytes, size_t len)
{
	size_t want = HDR_BYTES - conn->have;

	if (want > len)
		want = len;
	memcpy((char *)&conn->hdr + conn->have, bytes, want);
	conn->have += want;
	return want;
}

static size_t take_payload(struct store_conn *conn, const char *bytes, size_t len)
{
	size_t at = conn->have - HDR_BYTES, want = conn->hdr.len - at;

	if (want > len)
		want = len;
	/* Without memory the bytes are passed over, and the reply will say so. */
	if (conn->payload)
		memcpy(conn->payload + at, bytes, want);
	conn->have += want;
	return want;
}

static void run(struct store_conn *conn, const char *payload)
{
	conn->have = 0;
	conn->store->stats.nr_requests++;
	request_run(conn, &conn->hdr, payload);
}

/* The next step of one request. Returns the bytes taken or -EPROTO. */
static long take_some(struct store_conn *conn, const char *bytes, size_t len)
{
	size_t taken = 0;
	char *payload;

	if (conn->have < HDR_BYTES) {
		taken = take_header(conn, bytes, len);
		if (conn->have < HDR_BYTES)
			return (long)taken;
		if (conn->hdr.len > XENSTORE_PAYLOAD_MAX)
			return -EPROTO;
		if (conn->hdr.len <= len - taken) {
			/* All of it is here: no copy. */
			run(conn, bytes + taken);
			return (long)(taken + conn->hdr.len);
		}
		conn->payload = store_alloc(conn->hdr.len);
	}
	taken += take_payload(conn, bytes + taken, len - taken);
	if (conn->have == HDR_BYTES + conn->hdr.len) {
		payload = conn->payload;
		conn->payload = NULL;
		run(conn, payload);
		store_free(payload);
	}
	return (long)taken;
}

long store_conn_input(struct store_conn *conn, const void *bytes, size_t len)
{
	const char *at = bytes;
	size_t left = len;
	long taken;

	if (conn->broken)
		return -EPROTO;
	while (left > 0 && store_conn_can_take(conn)) {
		taken = take_some(conn, at, left);
		if (taken < 0) {
			conn->broken = true;
			return taken;
		}
		at += taken;
		left -= (size_t)taken;
	}
	return (long)(len - left);
}
