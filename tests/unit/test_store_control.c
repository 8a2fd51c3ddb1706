/* SPDX-License-Identifier: MIT */
/* CONTROL, limits by name, and the bounds that hold for all connections of a domain together. */
#include "test_store_fixture.h"

static void control_help_names_every_command(void **state)
{
	static const char *const names[] = {"help\t", "log\t", "memreport\t", "print\t", "quota\t"};
	struct fixture *fix = *state;
	const char *text = client_ask(&fix->dom0, XS_CONTROL, 0, "help|");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_non_null(strstr(text, names[i]));
}

static void control_refuses_what_it_does_not_know(void **state)
{
	static const char *const bad[] = {"", "help", "help|x|", "nonsense|", "memreport|file|",
		"log|maybe|", "log|on|off|", "print|", "print|a|b|", "quota|set|",
		"quota|set|nodes|", "quota|set|nodes|x|", "quota|set|nodes|-1|",
		"quota|set|nodes|1|2|", "quota|set|nodes|1000000001|", "quota|set|nothing|1|",
		"quota|set|outstanding|0|", "quota|x|", "quota|65536|", "quota|1|2|",
		"quota|set|nodes|1"};
	struct fixture *fix = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_reply(&fix->dom0, XS_CONTROL, 0, bad[i], "!EINVAL");
	assert_reply(&fix->dom0, XS_CONTROL, 0, "quota|77|", "!ENOENT");
	assert_reply(&fix->one, XS_CONTROL, 0, "quota|", "!EACCES");
	assert_non_null(strstr(client_ask(&fix->dom0, XS_CONTROL, 0, "quota|"), "nodes: 1000\n"));
}

static void a_quota_that_is_set_holds_at_once(void **state)
{
	static const char *const names[] = {"nodes", "watches", "transactions", "transaction-nodes",
		"permissions", "node-size", "outstanding", "events"};
	struct fixture *fix = *state;
	char text[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		sprintf(text, "quota|set|%s|%zu|", names[i], i + 2);
		assert_reply(&fix->dom0, XS_CONTROL, 0, text, "OK|");
		sprintf(text, "\n%s: %zu\n", names[i], i + 2);
		assert_non_null(strstr(client_ask(&fix->dom0, XS_CONTROL, 0, "quota|"), text));
	}
	assert_reply(&fix->one, XS_WRITE, 0, "a|1", "OK|"); /* and its home: two nodes */
	assert_reply(&fix->one, XS_WRITE, 0, "b|1", "!ENOSPC");
	assert_reply(&fix->one, XS_WRITE, 0, "a|1234567", "!ENOSPC");
	assert_reply(&fix->dom0, XS_CONTROL, 0, "quota|set|nodes|3|", "OK|");
	assert_reply(&fix->one, XS_WRITE, 0, "b|1", "OK|");
}

static void a_quota_below_what_a_domain_has_only_stops_more(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx;

	assert_reply(&fix->one, XS_WRITE, 0, "a/b|1", "OK|");
	assert_reply(&fix->one, XS_WATCH, 0, "a|t|", "OK|");
	tx = client_begin(&fix->one);
	assert_reply(&fix->one, XS_WRITE, tx, "a/c|1", "OK|");
	assert_reply(&fix->dom0, XS_CONTROL, 0, "quota|set|nodes|0|", "OK|");
	assert_reply(&fix->dom0, XS_CONTROL, 0, "quota|set|watches|0|", "OK|");
	assert_reply(&fix->dom0, XS_CONTROL, 0, "quota|set|transactions|0|", "OK|");
	assert_reply(&fix->one, XS_TRANSACTION_END, tx, "T|", "!ENOSPC");
	assert_reply(&fix->one, XS_TRANSACTION_START, 0, "|", "!ENOSPC");
	assert_reply(&fix->one, XS_WATCH, 0, "b|t|", "!E2BIG");
	assert_reply(&fix->one, XS_WRITE, 0, "a/b|2", "OK|");
	assert_reply(&fix->one, XS_RM, 0, "a/b|", "OK|");
	assert_reply(&fix->one, XS_WRITE, 0, "a/b|", "!ENOSPC");
	assert_reply(&fix->one, XS_UNWATCH, 0, "a|t|", "OK|");
}

static void control_quota_of_a_domain_counts_what_it_has(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->one, XS_WRITE, 0, "a/b|1");
	client_ask(&fix->one, XS_WATCH, 0, "a|t|");
	client_begin(&fix->one);
	assert_string_equal(client_ask(&fix->dom0, XS_CONTROL, 0, "quota|1|"),
		"Domain 1:\nnodes: 3\nwatches: 1\ntransactions: 1\noutstanding: 0\nevents: 0\n"
		"connections: 1\n|");
}

/* ---- the log ---- */

static char last_line[512];
static bool last_was_trace;
static unsigned int nr_lines;

static void keep_line(void *store_data, bool trace, const char *text)
{
	(void)store_data;
	snprintf(last_line, sizeof(last_line), "%s", text);
	last_was_trace = trace;
	nr_lines++;
}

static const struct store_ops logging_ops = {.log = keep_line};

static int logging_setup(void **state)
{
	static const struct store_perm home = {1, 'n'};
	struct fixture *fix = calloc(1, sizeof(*fix));
	struct store_limits limits;

	assert_non_null(fix);
	store_limits_default(&limits);
	assert_int_equal(store_create(&limits, &logging_ops, NULL, &fix->store), 0);
	assert_int_equal(store_introduce(fix->store, 1), 0);
	assert_int_equal(store_write(fix->store, "/local/domain/1", "", 0, &home, 1), 0);
	client_open(&fix->dom0, fix->store, 0);
	client_open(&fix->one, fix->store, 1);
	nr_lines = 0;
	*state = fix;
	return 0;
}

static int logging_teardown(void **state)
{
	struct fixture *fix = *state;

	client_close(&fix->dom0);
	client_close(&fix->one);
	store_destroy(fix->store);
	free(fix);
	return 0;
}

static void control_log_shows_every_request_and_its_result(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->one, XS_READ, 0, "a|");
	assert_int_equal(nr_lines, 0);
	assert_reply(&fix->dom0, XS_CONTROL, 0, "log|on|", "OK|");
	assert_reply(&fix->dom0, XS_CONTROL, 0, "log|", "log: on\n|");
	client_ask(&fix->one, XS_READ, 0, "a|");
	assert_string_equal(last_line, "domain 1: READ tx=0: ENOENT: a|");
	assert_true(last_was_trace);
	client_ask(&fix->one, XS_WRITE, 0, "a|1\n2");
	assert_string_equal(last_line, "domain 1: WRITE tx=0: OK: a|1?2");
	client_ask(&fix->one, 99, 7, "a");
	assert_string_equal(last_line, "domain 1: unknown tx=7: ENOSYS: a");
	assert_reply(&fix->dom0, XS_CONTROL, 0, "log|off|", "OK|");
	nr_lines = 0;
	client_ask(&fix->one, XS_READ, 0, "a|");
	assert_int_equal(nr_lines, 0);
}

static void control_print_masks_and_bounds_its_text(void **state)
{
	struct fixture *fix = *state;
	char text[2000] = "print|";

	assert_reply(&fix->dom0, XS_CONTROL, 0, "print|hello\033[1m|", "OK|");
	assert_string_equal(last_line, "hello?[1m");
	assert_false(last_was_trace);
	memset(text + 6, 'x', 1900);
	strcpy(text + 1906, "|");
	assert_reply(&fix->dom0, XS_CONTROL, 0, text, "OK|");
	assert_in_range(strlen(last_line), 200, 300);
}

/* ---- what a domain's connections may have together ---- */

#define NR_CONNS 200

/* Hands in a request without reading the reply. True if it was taken. */
static bool tell(struct client *client, uint32_t type, const char *text, size_t len)
{
	char bytes[128];
	struct xsd_sockmsg hdr = {.type = type, .len = (uint32_t)len};

	memcpy(bytes, &hdr, sizeof(hdr));
	memcpy(bytes + sizeof(hdr), text, len);
	return store_conn_input(client->conn, bytes, sizeof(hdr) + len) ==
	       (long)(sizeof(hdr) + len);
}

static void xsa_326_many_connections_have_no_more_replies_than_a_few(void **state)
{
	static struct client many[NR_CONNS];
	struct fixture *fix = *state;
	struct store_stats stats;
	const void *bytes;
	unsigned int i;
	int round;

	for (i = 0; i < NR_CONNS; i++)
		client_open(&many[i], fix->store, 1);
	for (round = 0; round < 30; round++)
		for (i = 0; i < NR_CONNS; i++)
			(void)!tell(&many[i], XS_READ, "a", 2);
	store_get_stats(fix->store, &stats);
	assert_in_range(stats.nr_queued, 64 * 20, 64 * 20 + NR_CONNS);
	assert_false(store_conn_can_take(many[0].conn));
	/* A connection that reads goes on, and so do other domains. */
	store_conn_consume(many[0].conn, 100000);
	assert_int_equal(store_conn_output(many[0].conn, &bytes), 0);
	assert_true(tell(&many[0], XS_READ, "a", 2));
	assert_reply(&fix->one, XS_READ, 0, "a|", "!ENOENT");
	assert_reply(&fix->two, XS_READ, 0, "a|", "!ENOENT");
	for (i = 0; i < NR_CONNS; i++)
		client_close(&many[i]);
	store_get_stats(fix->store, &stats);
	assert_int_equal(stats.nr_queued, 0);
	assert_int_equal(stats.queued_bytes, 0);
}

static void xsa_349_many_connections_have_no_more_events_than_one(void **state)
{
	static struct client many[NR_CONNS];
	struct fixture *fix = *state;
	struct store_stats stats;
	char path[64];
	unsigned int i;

	for (i = 0; i < 100; i++) {
		client_open(&many[i], fix->store, 1);
		client_ask(&many[i], XS_WATCH, 0, "w|t|");
	}
	for (i = 0; i < 3000; i++) {
		sprintf(path, "/local/domain/1/w/%u", i);
		assert_int_equal(store_write(fix->store, path, "", 0, NULL, 0), 0);
	}
	store_get_stats(fix->store, &stats);
	assert_in_range(stats.nr_queued, 1024, 1024 + 2 * 100);
	for (i = 0; i < 100; i++) {
		/* Nobody missed that there was a change. */
		assert_true(client_events(&many[i])[0] != '\0');
		client_close(&many[i]);
	}
	store_get_stats(fix->store, &stats);
	assert_int_equal(stats.queued_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(control_help_names_every_command),
		TEST(control_refuses_what_it_does_not_know),
		TEST(a_quota_that_is_set_holds_at_once),
		TEST(a_quota_below_what_a_domain_has_only_stops_more),
		TEST(control_quota_of_a_domain_counts_what_it_has),
		cmocka_unit_test_setup_teardown(control_log_shows_every_request_and_its_result,
			logging_setup, logging_teardown),
		cmocka_unit_test_setup_teardown(
			control_print_masks_and_bounds_its_text, logging_setup, logging_teardown),
		TEST(xsa_326_many_connections_have_no_more_replies_than_a_few),
		TEST(xsa_349_many_connections_have_no_more_events_than_one),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
