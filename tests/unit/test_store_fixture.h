/* SPDX-License-Identifier: MIT */
/* A store with domain 0 and two guests whose homes are theirs, one client each, for unit tests. */
#ifndef RF_TEST_STORE_FIXTURE_H
#define RF_TEST_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "test_store_client.h"

struct fixture {
	struct store *store;
	struct client dom0, one, two;
};

static inline void fixture_open(struct fixture *fix, const struct store_limits *limits)
{
	static const struct store_perm homes[2] = {{1, 'n'}, {2, 'n'}};

	assert_int_equal(store_create(limits, &client_ops, NULL, &fix->store), 0);
	assert_int_equal(store_introduce(fix->store, 1), 0);
	assert_int_equal(store_introduce(fix->store, 2), 0);
	assert_int_equal(store_write(fix->store, "/local/domain/1", "", 0, &homes[0], 1), 0);
	assert_int_equal(store_write(fix->store, "/local/domain/2", "", 0, &homes[1], 1), 0);
	client_open(&fix->dom0, fix->store, 0);
	client_open(&fix->one, fix->store, 1);
	client_open(&fix->two, fix->store, 2);
}

static inline int fixture_setup(void **state)
{
	struct fixture *fix = calloc(1, sizeof(*fix));
	struct store_limits limits;

	assert_non_null(fix);
	store_limits_default(&limits);
	fixture_open(fix, &limits);
	*state = fix;
	return 0;
}

static inline void fixture_close(struct fixture *fix)
{
	client_close(&fix->dom0);
	client_close(&fix->one);
	client_close(&fix->two);
	store_destroy(fix->store);
}

static inline int fixture_teardown(void **state)
{
	fixture_close(*state);
	free(*state);
	return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

/* The reply to a request, on the live tree or in a transaction. */
#define assert_reply(client, type, tx, text, reply)                                                \
	assert_string_equal(client_ask(client, type, tx, text), reply)

#endif
