/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer: raw bytes on several connections of several domains, in fragments, with clients that
 * read their replies or do not. Input: records of a control byte and its bytes.
 *   bits 0-1  which connection         bits 2-3  what (feed, feed framed, consume, domain life)
 *   bits 4-7  how much
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xs_wire.h>

#include "xenstore/store.h"

#define NR_CONNS 4

struct fuzz {
	struct store *store;
	struct store_conn *conn[NR_CONNS];
	const uint8_t *in;
	size_t left;
};

static const unsigned int domids[NR_CONNS] = {0, 1, 2, 1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_conn(struct fuzz *fuzz, unsigned int i)
{
	if (store_conn_open(fuzz->store, domids[i], NULL, &fuzz->conn[i]))
		abort();
}

static void feed(struct fuzz *fuzz, unsigned int i, const void *bytes, size_t len)
{
	const char *at = bytes;
	long taken;

	/* Never more than once round: a client that does not read is refused, and that is all. */
	taken = store_conn_input(fuzz->conn[i], at, len);
	if (taken < 0) {
		store_conn_close(fuzz->conn[i]);
		open_conn(fuzz, i);
	} else if ((size_t)taken > len) {
		abort();
	}
}

static void feed_raw(struct fuzz *fuzz, unsigned int i, size_t len)
{
	if (len > fuzz->left)
		len = fuzz->left;
	feed(fuzz, i, fuzz->in, len);
	fuzz->in += len;
	fuzz->left -= len;
}

/* A header with a fitting length, so that the fuzzer gets past the framing. */
static void feed_framed(struct fuzz *fuzz, unsigned int i, size_t len)
{
	struct xsd_sockmsg hdr = {0};
	char message[sizeof(hdr) + 256];

	if (fuzz->left < 2)
		return;
	hdr.type = fuzz->in[0] % (XS_TYPE_COUNT + 1);
	hdr.tx_id = fuzz->in[1] % 4;
	fuzz->in += 2;
	fuzz->left -= 2;
	len = len * len;
	if (len > fuzz->left)
		len = fuzz->left;
	hdr.len = (uint32_t)len;
	memcpy(message, &hdr, sizeof(hdr));
	memcpy(message + sizeof(hdr), fuzz->in, len);
	feed(fuzz, i, message, sizeof(hdr) + len);
	fuzz->in += len;
	fuzz->left -= len;
}

static void drain(struct fuzz *fuzz, unsigned int i, size_t amount)
{
	const void *bytes;
	size_t len, all = amount == 15 ? SIZE_MAX : amount * 4;

	while (all > 0 && (len = store_conn_output(fuzz->conn[i], &bytes)) > 0) {
		len = len < all ? len : all;
		store_conn_consume(fuzz->conn[i], len);
		all -= len;
	}
}

static void domain_life(struct fuzz *fuzz, unsigned int i, size_t what)
{
	unsigned int j;

	if (what < 4) {
		if (store_introduce(fuzz->store, domids[i])) {
		}
		return;
	}
	if (what < 6) {
		store_conn_close(fuzz->conn[i]);
		open_conn(fuzz, i);
		return;
	}
	if (domids[i] == 0)
		return;
	for (j = 0; j < NR_CONNS; j++)
		if (domids[j] == domids[i])
			store_conn_close(fuzz->conn[j]);
	store_release(fuzz->store, domids[i]);
	for (j = 0; j < NR_CONNS; j++)
		if (domids[j] == domids[i])
			open_conn(fuzz, j);
}

static void fuzz_open(struct fuzz *fuzz)
{
	static const struct store_ops ops;
	static const struct store_perm home = {1, 'n'};
	struct store_limits limits;
	unsigned int i;

	store_limits_default(&limits);
	limits.nr_nodes = 20;
	limits.nr_watches = 5;
	limits.nr_txn_nodes = 12;
	limits.nr_events = 6;
	limits.nr_requests = 4;
	if (store_create(&limits, &ops, NULL, &fuzz->store))
		abort();
	if (store_introduce(fuzz->store, 1) || store_introduce(fuzz->store, 2) ||
		store_write(fuzz->store, "/local/domain/1", "", 0, &home, 1))
		abort();
	for (i = 0; i < NR_CONNS; i++)
		open_conn(fuzz, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz fuzz = {.in = data, .left = size};
	unsigned int i;

	fuzz_open(&fuzz);
	while (fuzz.left > 0) {
		uint8_t control = *fuzz.in++;
		size_t amount = control >> 4;

		fuzz.left--;
		i = control & 3;
		switch (control >> 2 & 3) {
		case 0:
			feed_raw(&fuzz, i, amount * 3);
			break;
		case 1:
			feed_framed(&fuzz, i, amount);
			break;
		case 2:
			drain(&fuzz, i, amount);
			break;
		default:
			domain_life(&fuzz, i, amount);
		}
	}
	for (i = 0; i < NR_CONNS; i++)
		store_conn_close(fuzz.conn[i]);
	store_destroy(fuzz.store);
	return 0;
}
