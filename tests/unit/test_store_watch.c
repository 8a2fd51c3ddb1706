/* SPDX-License-Identifier: MIT */
/* Watches: what fires, with which path, for whom. */
#include "test_store_fixture.h"

static void a_watch_fires_once_when_it_is_set(void **state)
{
	struct fixture *fix = *state;

	assert_reply(&fix->dom0, XS_WATCH, 0, "/none|tok|", "OK|");
	assert_string_equal(client_events(&fix->dom0), "/none tok;");
	assert_string_equal(client_events(&fix->dom0), "");
}

static void the_acknowledgement_comes_before_the_first_event(void **state)
{
	struct fixture *fix = *state;

	client_send_bytes(&fix->dom0, XS_WATCH, 0, "/a\0t", 5);
	assert_int_equal(client_recv(&fix->dom0), XS_WATCH);
	assert_int_equal(client_recv(&fix->dom0), XS_WATCH_EVENT);
	assert_int_equal(fix->dom0.hdr.req_id, 0);
	assert_int_equal(fix->dom0.hdr.tx_id, 0);
}

static void changes_at_and_below_the_path_fire_with_the_path_that_changed(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->dom0, XS_WATCH, 0, "/a|t|");
	client_events(&fix->dom0);
	client_ask(&fix->dom0, XS_WRITE, 0, "/a/b/c|1");
	assert_string_equal(client_events(&fix->dom0), "/a/b/c t;");
	client_ask(&fix->dom0, XS_WRITE, 0, "/a|1");
	assert_string_equal(client_events(&fix->dom0), "/a t;");
	client_ask(&fix->dom0, XS_SET_PERMS, 0, "/a/b|r0|");
	assert_string_equal(client_events(&fix->dom0), "/a/b t;");
	client_ask(&fix->dom0, XS_WRITE, 0, "/ab|1");
	client_ask(&fix->dom0, XS_READ, 0, "/a|");
	client_ask(&fix->dom0, XS_MKDIR, 0, "/a/b|");
	assert_string_equal(client_events(&fix->dom0), "");
	client_ask(&fix->dom0, XS_RM, 0, "/a/b|");
	assert_string_equal(client_events(&fix->dom0), "/a/b t;");
}

static void removing_a_parent_tells_watchers_of_children_their_own_path(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->dom0, XS_WRITE, 0, "/a/b/c|1");
	client_ask(&fix->dom0, XS_WATCH, 0, "/a/b/c|c|");
	client_ask(&fix->dom0, XS_WATCH, 0, "/a/b|b|");
	client_ask(&fix->dom0, XS_WATCH, 0, "/|r|");
	client_events(&fix->dom0);
	client_ask(&fix->dom0, XS_RM, 0, "/a|");
	assert_string_equal(client_events(&fix->dom0), "/a/b/c c;/a/b b;/a r;");
}

static void a_relative_watch_reports_relative_paths(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->one, XS_WATCH, 0, "d|t|");
	assert_string_equal(client_events(&fix->one), "d t;");
	client_ask(&fix->dom0, XS_WRITE, 0, "/local/domain/1/d/x|1");
	assert_string_equal(client_events(&fix->one), "d/x t;");
	client_ask(&fix->dom0, XS_RM, 0, "/local/domain/1|");
	assert_string_equal(client_events(&fix->one), "d t;");
	assert_reply(&fix->one, XS_UNWATCH, 0, "/local/domain/1/d|t|", "OK|");
}

static void several_watches_on_one_path_all_fire(void **state)
{
	struct fixture *fix = *state;

	assert_reply(&fix->dom0, XS_WATCH, 0, "/a|t1|", "OK|");
	assert_reply(&fix->dom0, XS_WATCH, 0, "/a|t2|", "OK|");
	assert_reply(&fix->dom0, XS_WATCH, 0, "/a|t1|", "!EEXIST");
	client_events(&fix->dom0);
	client_ask(&fix->one, XS_WATCH, 0, "/a|t1|");
	client_ask(&fix->dom0, XS_WRITE, 0, "/a|1");
	assert_string_equal(client_events(&fix->dom0), "/a t1;/a t2;");
}

static void unwatch_stops_events_and_takes_back_waiting_ones(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->dom0, XS_WATCH, 0, "/a|t|");
	client_ask(&fix->one, XS_READ, 0, "x|");
	client_ask(&fix->dom0, XS_WRITE, 0, "/a/b|1");
	client_events(&fix->dom0);
	/* Waiting at the time of the UNWATCH: */
	assert_int_equal(store_printf(fix->store, "/a/c", "1"), 0);
	assert_reply(&fix->dom0, XS_UNWATCH, 0, "/a|other|", "!ENOENT");
	client_events(&fix->dom0);
	assert_int_equal(store_printf(fix->store, "/a/d", "1"), 0);
	assert_int_equal(store_printf(fix->store, "/a/e", "1"), 0);
	client_send_bytes(&fix->dom0, XS_UNWATCH, 0, "/a\0t", 5);
	assert_int_equal(client_recv(&fix->dom0), XS_UNWATCH);
	assert_int_equal(client_recv(&fix->dom0), -1);
}

static void an_event_half_sent_survives_its_watch(void **state)
{
	struct fixture *fix = *state;
	const void *bytes;

	client_ask(&fix->dom0, XS_WATCH, 0, "/a|t|");
	client_events(&fix->dom0);
	assert_int_equal(store_printf(fix->store, "/a", "1"), 0);
	assert_int_equal(store_conn_output(fix->dom0.conn, &bytes), 16 + 5);
	store_conn_consume(fix->dom0.conn, 7);
	client_send_bytes(&fix->dom0, XS_UNWATCH, 0, "/a\0t", 5);
	assert_int_equal(store_conn_output(fix->dom0.conn, &bytes), 16 + 5 - 7);
	assert_memory_equal((const char *)bytes + 9, "/a\0t", 5);
	store_conn_consume(fix->dom0.conn, 14);
	assert_int_equal(client_recv(&fix->dom0), XS_UNWATCH);
}

static void a_change_behind_a_half_sent_event_fires_again(void **state)
{
	struct fixture *fix = *state;
	const void *bytes;

	client_ask(&fix->dom0, XS_WATCH, 0, "/a|t|");
	client_events(&fix->dom0);
	assert_int_equal(store_printf(fix->store, "/a", "1"), 0);
	store_conn_output(fix->dom0.conn, &bytes);
	store_conn_consume(fix->dom0.conn, 7);
	assert_int_equal(store_printf(fix->store, "/a", "2"), 0);
	assert_int_equal(store_printf(fix->store, "/a", "3"), 0);
	store_conn_consume(fix->dom0.conn, 14);
	assert_string_equal(client_events(&fix->dom0), "/a t;");
}

static void special_watches_fire_for_those_who_may_know(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->dom0, XS_WATCH, 0, "@introduceDomain|i|");
	client_ask(&fix->dom0, XS_WATCH, 0, "@releaseDomain|r|");
	client_ask(&fix->dom0, XS_WATCH, 0, "/|root|");
	client_ask(&fix->one, XS_WATCH, 0, "@releaseDomain|r|");
	client_ask(&fix->two, XS_WATCH, 0, "@releaseDomain|r|");
	client_ask(&fix->dom0, XS_SET_PERMS, 0, "@releaseDomain|n0|r1|");
	client_events(&fix->dom0);
	assert_string_equal(client_events(&fix->one), "@releaseDomain r;");
	client_events(&fix->two);
	assert_int_equal(store_introduce(fix->store, 9), 0);
	assert_int_equal(store_introduce(fix->store, 9), -EEXIST);
	assert_string_equal(client_events(&fix->dom0), "@introduceDomain i;");
	store_release(fix->store, 9);
	assert_string_equal(client_events(&fix->dom0), "@releaseDomain r;");
	assert_string_equal(client_events(&fix->one), "@releaseDomain r;");
	assert_string_equal(client_events(&fix->two), "");
}

static void xsa_115_events_go_only_to_those_who_may_read(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->dom0, XS_WATCH, 0, "/|root|");
	client_ask(&fix->two, XS_WATCH, 0, "/|spy|");
	client_ask(&fix->two, XS_WATCH, 0, "/local/domain/1/secret|spy|");
	client_events(&fix->dom0);
	client_events(&fix->two);
	client_ask(&fix->one, XS_WRITE, 0, "secret|1");
	client_ask(&fix->one, XS_WRITE, 0, "secret/x|1");
	client_ask(&fix->one, XS_RM, 0, "secret|");
	client_ask(&fix->dom0, XS_WRITE, 0, "/vm/x|1");
	assert_string_equal(client_events(&fix->two), "");
	assert_int_not_equal(strlen(client_events(&fix->dom0)), 0);
}

static void xsa_115_a_removal_is_judged_by_the_permissions_as_they_were(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->one, XS_WRITE, 0, "open|1");
	client_ask(&fix->one, XS_WRITE, 0, "dir/open|1");
	client_ask(&fix->one, XS_WRITE, 0, "dir/closed|1");
	client_ask(&fix->one, XS_SET_PERMS, 0, "open|n1|r2|");
	client_ask(&fix->one, XS_SET_PERMS, 0, "dir/open|n1|r2|");
	client_ask(&fix->two, XS_WATCH, 0, "/local/domain/1/open|o|");
	client_ask(&fix->two, XS_WATCH, 0, "/local/domain/1/dir/open|do|");
	client_ask(&fix->two, XS_WATCH, 0, "/local/domain/1/dir/closed|dc|");
	client_events(&fix->two);
	client_ask(&fix->one, XS_RM, 0, "open|");
	assert_string_equal(client_events(&fix->two), "/local/domain/1/open o;");
	client_ask(&fix->one, XS_RM, 0, "dir|");
	assert_string_equal(client_events(&fix->two), "/local/domain/1/dir/open do;");
}

static void losing_the_right_to_read_is_the_last_event(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->one, XS_WRITE, 0, "x|1");
	client_ask(&fix->one, XS_SET_PERMS, 0, "x|n1|r2|");
	client_ask(&fix->two, XS_WATCH, 0, "/local/domain/1/x|t|");
	client_events(&fix->two);
	client_ask(&fix->one, XS_SET_PERMS, 0, "x|n1|");
	assert_string_equal(client_events(&fix->two), "/local/domain/1/x t;");
	client_ask(&fix->one, XS_WRITE, 0, "x|2");
	assert_string_equal(client_events(&fix->two), "");
}

static void reset_watches_drops_watches_and_transactions(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx = client_begin(&fix->one);

	client_ask(&fix->one, XS_WATCH, 0, "x|t|");
	client_events(&fix->one);
	assert_reply(&fix->one, XS_RESET_WATCHES, 0, "|", "OK|");
	client_ask(&fix->one, XS_WRITE, 0, "x|1");
	assert_string_equal(client_events(&fix->one), "");
	assert_reply(&fix->one, XS_READ, tx, "x|", "!ENOENT");
	assert_reply(&fix->one, XS_TRANSACTION_END, tx, "T|", "!ENOENT");
}

static void want_write_is_called_when_output_appears_and_not_before_it_is_gone(void **state)
{
	struct fixture *fix = *state;
	unsigned int wakes;

	client_ask(&fix->one, XS_WATCH, 0, "x|t|");
	client_events(&fix->one);
	wakes = fix->one.nr_wakes;
	assert_int_equal(store_printf(fix->store, "/local/domain/1/x/1", "1"), 0);
	assert_int_equal(store_printf(fix->store, "/local/domain/1/x/2", "1"), 0);
	assert_int_equal(fix->one.nr_wakes, wakes + 1);
	client_events(&fix->one);
	assert_int_equal(store_printf(fix->store, "/local/domain/1/x/3", "1"), 0);
	assert_int_equal(fix->one.nr_wakes, wakes + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_watch_fires_once_when_it_is_set),
		TEST(the_acknowledgement_comes_before_the_first_event),
		TEST(changes_at_and_below_the_path_fire_with_the_path_that_changed),
		TEST(removing_a_parent_tells_watchers_of_children_their_own_path),
		TEST(a_relative_watch_reports_relative_paths),
		TEST(several_watches_on_one_path_all_fire),
		TEST(unwatch_stops_events_and_takes_back_waiting_ones),
		TEST(an_event_half_sent_survives_its_watch),
		TEST(a_change_behind_a_half_sent_event_fires_again),
		TEST(special_watches_fire_for_those_who_may_know),
		TEST(xsa_115_events_go_only_to_those_who_may_read),
		TEST(xsa_115_a_removal_is_judged_by_the_permissions_as_they_were),
		TEST(losing_the_right_to_read_is_the_last_event),
		TEST(reset_watches_drops_watches_and_transactions),
		TEST(want_write_is_called_when_output_appears_and_not_before_it_is_gone),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
