/* SPDX-License-Identifier: MIT */
/* Quotas, framing, and that no client makes the store grow without bound. */
#include "test_store_alloc.h"
#include "test_store_fixture.h"

static int small_setup(void **state)
{
	struct fixture *fix = calloc(1, sizeof(*fix));
	struct store_limits limits = {
		.nr_nodes = 5,
		.nr_watches = 3,
		.nr_transactions = 2,
		.nr_txn_nodes = 6,
		.nr_perms = 3,
		.node_size = 20,
		.nr_requests = 4,
		.nr_events = 8,
	};

	assert_non_null(fix);
	fixture_open(fix, &limits);
	*state = fix;
	return 0;
}

#define SMALL(fn) cmocka_unit_test_setup_teardown(fn, small_setup, fixture_teardown)

static void a_guest_owns_at_most_nr_nodes(void **state)
{
	struct fixture *fix = *state;

	assert_reply(&fix->one, XS_WRITE, 0, "a/b/c/d|1", "OK|"); /* and its home */
	assert_reply(&fix->one, XS_WRITE, 0, "e|1", "!ENOSPC");
	assert_reply(&fix->one, XS_WRITE, 0, "a/b/c/d|2", "OK|");
	assert_reply(&fix->one, XS_RM, 0, "a/b/c/d|", "OK|");
	assert_reply(&fix->one, XS_WRITE, 0, "e/f|1", "!ENOSPC");
	assert_reply(&fix->one, XS_READ, 0, "e|", "!ENOENT");
	assert_reply(&fix->one, XS_MKDIR, 0, "e|", "OK|");
	assert_reply(&fix->dom0, XS_WRITE, 0, "/local/domain/1/more/and/more|1", "OK|");
}

static void the_node_quota_holds_inside_transactions(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx;

	client_ask(&fix->one, XS_WRITE, 0, "a/b|1");
	tx = client_begin(&fix->one);
	assert_reply(&fix->one, XS_WRITE, tx, "c/d|1", "OK|");
	assert_reply(&fix->one, XS_WRITE, tx, "e|1", "!ENOSPC");
	assert_reply(&fix->one, XS_RM, tx, "a|", "OK|");
	assert_reply(&fix->one, XS_WRITE, tx, "e|1", "OK|");
	assert_reply(&fix->one, XS_TRANSACTION_END, tx, "T|", "OK|");
	assert_reply(&fix->one, XS_DIRECTORY, 0, "/local/domain/1|", "c|e|");
}

static void the_node_quota_holds_at_the_commit(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx = client_begin(&fix->one);

	assert_reply(&fix->one, XS_WRITE, tx, "a/b/c|1", "OK|");
	assert_reply(&fix->one, XS_WRITE, 0, "x/y|1", "OK|");
	assert_reply(&fix->one, XS_TRANSACTION_END, tx, "T|", "!ENOSPC");
	assert_reply(&fix->one, XS_DIRECTORY, 0, "/local/domain/1|", "x|");
}

static void a_node_has_at_most_node_size_bytes(void **state)
{
	struct fixture *fix = *state;

	assert_reply(&fix->one, XS_WRITE, 0, "name|0123456789012345", "OK|");
	assert_reply(&fix->one, XS_WRITE, 0, "name|01234567890123456", "!ENOSPC");
	assert_reply(&fix->one, XS_MKDIR, 0, "a12345678901234567890|", "!ENOSPC");
	assert_reply(&fix->dom0, XS_WRITE, 0, "/name|01234567890123456", "OK|");
}

static void a_guest_has_at_most_nr_watches(void **state)
{
	struct fixture *fix = *state;
	struct client other;

	client_open(&other, fix->store, 1);
	assert_reply(&fix->one, XS_WATCH, 0, "a|1|", "OK|");
	assert_reply(&fix->one, XS_WATCH, 0, "a|2|", "OK|");
	assert_reply(&other, XS_WATCH, 0, "a|3|", "OK|");
	assert_reply(&fix->one, XS_WATCH, 0, "a|4|", "!E2BIG");
	assert_reply(&fix->one, XS_WATCH, 0, "a|1|", "!EEXIST");
	client_close(&other);
	assert_reply(&fix->one, XS_WATCH, 0, "a|4|", "OK|");
	assert_reply(&fix->two, XS_WATCH, 0, "a|4|", "OK|");
}

static void a_guest_has_at_most_nr_transactions(void **state)
{
	struct fixture *fix = *state;

	assert_int_not_equal(client_begin(&fix->one), 0);
	assert_int_not_equal(client_begin(&fix->one), 0);
	assert_reply(&fix->one, XS_TRANSACTION_START, 0, "|", "!ENOSPC");
	assert_int_not_equal(client_begin(&fix->two), 0);
}

static void a_transaction_accesses_at_most_nr_txn_nodes(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx = client_begin(&fix->one);
	char path[16];
	int i;

	for (i = 0; i < 5; i++) {
		sprintf(path, "n%d|", i);
		assert_reply(&fix->one, XS_READ, tx, path, "!ENOENT"); /* and the home */
	}
	assert_reply(&fix->one, XS_READ, tx, "n9|", "!ENOSPC");
	assert_reply(&fix->one, XS_READ, tx, "n1|", "!ENOENT");
}

static void a_node_has_at_most_nr_perms(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->one, XS_WRITE, 0, "a|1");
	assert_reply(&fix->one, XS_SET_PERMS, 0, "a|n1|r2|r0|", "OK|");
	assert_reply(&fix->one, XS_SET_PERMS, 0, "a|n1|r2|r0|r2|", "!ENOSPC");
	assert_reply(&fix->dom0, XS_SET_PERMS, 0, "/local/domain/1/a|n1|r2|r0|r2|", "OK|");
}

static void requests_arrive_in_any_fragmentation(void **state)
{
	struct fixture *fix = *state;
	char bytes[2 * (16 + 6)];
	size_t cut, i;

	for (i = 0; i < 2; i++) {
		struct xsd_sockmsg hdr = {XS_WRITE, (uint32_t)i, 0, 6};

		memcpy(bytes + i * 22, &hdr, 16);
		memcpy(bytes + i * 22 + 16, i ? "/f\0two" : "/f\0one", 6);
	}
	for (cut = 0; cut <= sizeof(bytes); cut++) {
		assert_int_equal(store_conn_input(fix->dom0.conn, bytes, cut), cut);
		for (i = cut; i < sizeof(bytes); i++)
			assert_int_equal(store_conn_input(fix->dom0.conn, bytes + i, 1), 1);
		assert_int_equal(client_recv(&fix->dom0), XS_WRITE);
		assert_int_equal(client_recv(&fix->dom0), XS_WRITE);
		assert_int_equal(client_recv(&fix->dom0), -1);
		assert_string_equal(store_read(fix->store, "/f", NULL), "two");
	}
}

static void a_payload_over_4096_bytes_breaks_the_connection(void **state)
{
	struct fixture *fix = *state;

	assert_int_equal(client_send_bytes(&fix->one, XS_READ, 0, NULL, 4097), -EPROTO);
	assert_false(store_conn_can_take(fix->one.conn));
	assert_int_equal(client_send_bytes(&fix->one, XS_READ, 0, "a", 2), -EPROTO);
	assert_int_equal(client_recv(&fix->one), -1);
}

static void input_stops_while_replies_are_not_read(void **state)
{
	struct fixture *fix = *state;
	int i;

	for (i = 0; i < 4; i++)
		assert_int_equal(client_send_bytes(&fix->one, XS_READ, 0, "a", 2), 18);
	assert_false(store_conn_can_take(fix->one.conn));
	assert_int_equal(client_send_bytes(&fix->one, XS_READ, 0, "a", 2), 0);
	assert_int_equal(client_recv(&fix->one), XS_ERROR);
	assert_true(store_conn_can_take(fix->one.conn));
	assert_int_equal(client_send_bytes(&fix->one, XS_READ, 0, "a", 2), 18);
}

static void xsa_349_memory_stays_flat_for_a_watcher_that_never_reads(void **state)
{
	struct fixture *fix = *state;
	size_t after_some = 0;
	char path[64];
	int i;

	client_ask(&fix->one, XS_WATCH, 0, "w|t|");
	for (i = 0; i < 20000; i++) {
		/* First the same node again and again, then ever new ones. */
		sprintf(path, "/local/domain/1/w/%d", i < 10000 ? 0 : i);
		assert_int_equal(store_write(fix->store, path, "v", 1, NULL, 0), 0);
		if (i > 10000) {
			sprintf(path, "/local/domain/1/w/%d", i - 1);
			store_rm(fix->store, path);
		}
		if (i == 10100)
			after_some = alloc_bytes;
	}
	assert_in_range(alloc_bytes, 0, after_some + 1000);
	/* It still learns that something changed. */
	assert_non_null(strstr(client_events(&fix->one), "w t;"));
}

static void xsa_326_memory_stays_flat_for_a_client_that_only_writes(void **state)
{
	struct fixture *fix = *state;
	size_t after_some = 0;
	int i;

	for (i = 0; i < 10000; i++) {
		client_send_bytes(&fix->one, XS_WRITE, 0, "a\0value", 7);
		if (i == 100)
			after_some = alloc_bytes;
	}
	assert_int_equal(alloc_bytes, after_some);
}

static void equal_events_merge_while_they_wait(void **state)
{
	struct fixture *fix = *state;
	int i;

	client_ask(&fix->one, XS_WATCH, 0, "w|t|");
	client_events(&fix->one);
	for (i = 0; i < 10; i++) {
		assert_int_equal(store_printf(fix->store, "/local/domain/1/w/a", "%d", i), 0);
		assert_int_equal(store_printf(fix->store, "/local/domain/1/w/b", "%d", i), 0);
	}
	assert_string_equal(client_events(&fix->one), "w/a t;w/b t;");
}

static void beyond_nr_events_the_watch_itself_is_named(void **state)
{
	struct fixture *fix = *state;
	char path[64];
	int i;

	client_ask(&fix->one, XS_WATCH, 0, "w|t|");
	client_events(&fix->one);
	for (i = 0; i < 20; i++) {
		sprintf(path, "/local/domain/1/w/%02d", i);
		assert_int_equal(store_write(fix->store, path, "", 0, NULL, 0), 0);
	}
	assert_string_equal(client_events(&fix->one),
		"w/00 t;w/01 t;w/02 t;w/03 t;w/04 t;w/05 t;w/06 t;w/07 t;w t;");
}

static void who_works_for_others_has_more(void **state)
{
	struct fixture *fix = *state;
	char text[64];
	uint32_t tx;
	int i;

	assert_int_equal(store_scale_limits(fix->store, 3, 10), -ENOENT);
	assert_int_equal(store_scale_limits(fix->store, 1, 10), 0);
	/* Its home is one of the nodes. */
	for (i = 1; i < 48; i++) {
		sprintf(text, "%02d|", i);
		assert_reply(&fix->one, XS_WRITE, 0, text, "OK|");
	}
	tx = client_begin(&fix->one);
	assert_reply(&fix->one, XS_WRITE, tx, "48|", "OK|");
	assert_reply(&fix->one, XS_WRITE, tx, "49|", "OK|");
	assert_reply(&fix->one, XS_WRITE, tx, "50|", "!ENOSPC");
	assert_reply(&fix->one, XS_TRANSACTION_END, tx, "T|", "OK|");
	assert_reply(&fix->one, XS_WRITE, 0, "50|", "!ENOSPC");
	for (i = 0; i < 30; i++) {
		sprintf(text, "w|%d|", i);
		assert_reply(&fix->one, XS_WATCH, 0, text, "OK|");
	}
	assert_reply(&fix->one, XS_WATCH, 0, "w|30|", "!E2BIG");
	/* Others have not. */
	assert_reply(&fix->two, XS_WRITE, 0, "a/b/c/d|", "OK|");
	assert_reply(&fix->two, XS_WRITE, 0, "e|", "!ENOSPC");
}

static void a_successor_has_no_more_than_others(void **state)
{
	struct fixture *fix = *state;
	const struct store_perm home = {1, 'n'};

	assert_int_equal(store_scale_limits(fix->store, 1, 10), 0);
	client_close(&fix->one);
	store_release(fix->store, 1);
	assert_int_equal(store_rm(fix->store, "/local/domain/1"), 0);
	assert_int_equal(store_introduce(fix->store, 1), 0);
	assert_int_equal(store_write(fix->store, "/local/domain/1", "", 0, &home, 1), 0);
	client_open(&fix->one, fix->store, 1);
	assert_reply(&fix->one, XS_WRITE, 0, "a/b/c/d|", "OK|");
	assert_reply(&fix->one, XS_WRITE, 0, "e|", "!ENOSPC");
}

static void a_hundred_thousand_siblings_work(void **state)
{
	struct fixture *fix = *state;
	struct store_stats stats;
	char path[64];
	int i;

	for (i = 0; i < 100000; i++) {
		sprintf(path, "/many/%d", i);
		assert_int_equal(store_write(fix->store, path, "", 0, NULL, 0), 0);
	}
	for (i = 0; i < 100000; i += 2) {
		sprintf(path, "/many/%d", i);
		assert_int_equal(store_rm(fix->store, path), 0);
	}
	store_get_stats(fix->store, &stats);
	assert_in_range(stats.nr_nodes, 50000, 50020);
	assert_int_equal(store_rm(fix->store, "/many"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SMALL(a_guest_owns_at_most_nr_nodes),
		SMALL(the_node_quota_holds_inside_transactions),
		SMALL(the_node_quota_holds_at_the_commit),
		SMALL(a_node_has_at_most_node_size_bytes),
		SMALL(a_guest_has_at_most_nr_watches),
		SMALL(a_guest_has_at_most_nr_transactions),
		SMALL(a_transaction_accesses_at_most_nr_txn_nodes),
		SMALL(a_node_has_at_most_nr_perms),
		TEST(requests_arrive_in_any_fragmentation),
		TEST(a_payload_over_4096_bytes_breaks_the_connection),
		SMALL(input_stops_while_replies_are_not_read),
		SMALL(xsa_349_memory_stays_flat_for_a_watcher_that_never_reads),
		SMALL(xsa_326_memory_stays_flat_for_a_client_that_only_writes),
		SMALL(equal_events_merge_while_they_wait),
		SMALL(beyond_nr_events_the_watch_itself_is_named),
		SMALL(who_works_for_others_has_more),
		SMALL(a_successor_has_no_more_than_others),
		TEST(a_hundred_thousand_siblings_work),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
