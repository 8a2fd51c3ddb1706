/* SPDX-License-Identifier: MIT */
/* Transactions: isolation, conflicts, and who gives way. */
#include "test_store_fixture.h"

static void changes_are_private_until_the_commit(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx = client_begin(&fix->dom0);

	client_ask(&fix->dom0, XS_WATCH, 0, "/|w|");
	client_events(&fix->dom0);
	assert_reply(&fix->dom0, XS_WRITE, tx, "/a/b|1", "OK|");
	assert_reply(&fix->dom0, XS_READ, tx, "/a/b|", "1");
	assert_reply(&fix->dom0, XS_DIRECTORY, tx, "/a|", "b|");
	assert_reply(&fix->dom0, XS_READ, 0, "/a/b|", "!ENOENT");
	assert_string_equal(client_events(&fix->dom0), "");
	assert_reply(&fix->dom0, XS_TRANSACTION_END, tx, "T|", "OK|");
	assert_reply(&fix->dom0, XS_READ, 0, "/a/b|", "1");
	assert_string_equal(client_events(&fix->dom0), "/a/b w;");
}

static void abort_drops_everything(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx;

	client_ask(&fix->dom0, XS_WRITE, 0, "/a|1");
	tx = client_begin(&fix->dom0);
	client_ask(&fix->dom0, XS_WRITE, tx, "/a|2");
	client_ask(&fix->dom0, XS_RM, tx, "/tool|");
	assert_reply(&fix->dom0, XS_TRANSACTION_END, tx, "F|", "OK|");
	assert_reply(&fix->dom0, XS_READ, 0, "/a|", "1");
	assert_reply(&fix->dom0, XS_READ, 0, "/tool|", "");
	assert_reply(&fix->dom0, XS_TRANSACTION_END, tx, "T|", "!ENOENT");
}

static void changes_by_others_are_not_seen_once_a_node_was_read(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx;

	client_ask(&fix->dom0, XS_WRITE, 0, "/a/b|1");
	tx = client_begin(&fix->dom0);
	assert_reply(&fix->dom0, XS_READ, tx, "/a/b|", "1");
	assert_reply(&fix->dom0, XS_DIRECTORY, tx, "/a|", "b|");
	client_ask(&fix->dom0, XS_WRITE, 0, "/a/b|2");
	client_ask(&fix->dom0, XS_WRITE, 0, "/a/c|2");
	assert_reply(&fix->dom0, XS_READ, tx, "/a/b|", "1");
	assert_reply(&fix->dom0, XS_DIRECTORY, tx, "/a|", "b|");
	client_ask(&fix->dom0, XS_RM, 0, "/a|");
	assert_reply(&fix->dom0, XS_READ, tx, "/a/b|", "1");
	assert_reply(&fix->dom0, XS_TRANSACTION_END, tx, "T|", "!EAGAIN");
}

/* Runs `mine` in a transaction and `theirs` beside it; returns the result of the commit. */
static const char *race(struct fixture *fix, uint32_t my_type, const char *mine,
	uint32_t their_type, const char *theirs)
{
	uint32_t tx = client_begin(&fix->dom0);

	client_ask(&fix->dom0, my_type, tx, mine);
	client_ask(&fix->dom0, XS_WRITE, tx, "/result|1");
	client_ask(&fix->dom0, their_type, 0, theirs);
	return client_ask(&fix->dom0, XS_TRANSACTION_END, tx, "T|");
}

static void a_change_of_what_was_accessed_is_a_conflict(void **state)
{
	static const struct {
		uint32_t my_type;
		const char *mine;
		uint32_t their_type;
		const char *theirs;
	} races[] = {
		{XS_READ, "/d/a|", XS_WRITE, "/d/a|2"},
		{XS_WRITE, "/d/a|1", XS_WRITE, "/d/a|2"},
		{XS_READ, "/d/none|", XS_WRITE, "/d/none|"},
		{XS_READ, "/d/n1|", XS_WRITE, "/d/n1/deep|"},
		{XS_READ, "/d/n2/deep|", XS_MKDIR, "/d/n2|"},
		{XS_DIRECTORY, "/d|", XS_WRITE, "/d/new|"},
		{XS_DIRECTORY_PART, "/d|0|", XS_WRITE, "/d/new2|"},
		{XS_DIRECTORY, "/d|", XS_RM, "/d/gone|"},
		{XS_READ, "/d/gone2|", XS_RM, "/d/gone2|"},
		{XS_GET_PERMS, "/d/a|", XS_SET_PERMS, "/d/a|r0|"},
		{XS_WRITE, "/d/a/new|", XS_SET_PERMS, "/d/a|b0|"},
		{XS_WRITE, "/d/x/y|", XS_RM, "/d/x|"},
	};
	struct fixture *fix = *state;
	size_t i;

	client_ask(&fix->dom0, XS_WRITE, 0, "/d/a|1");
	client_ask(&fix->dom0, XS_WRITE, 0, "/d/x|1");
	client_ask(&fix->dom0, XS_WRITE, 0, "/d/gone|1");
	client_ask(&fix->dom0, XS_WRITE, 0, "/d/gone2|1");
	for (i = 0; i < sizeof(races) / sizeof(races[0]); i++) {
		assert_string_equal(race(fix, races[i].my_type, races[i].mine, races[i].their_type,
					    races[i].theirs),
			"!EAGAIN");
		assert_reply(&fix->dom0, XS_READ, 0, "/result|", "!ENOENT");
	}
}

static void changes_of_anything_else_are_no_conflict(void **state)
{
	static const struct {
		uint32_t my_type;
		const char *mine;
		uint32_t their_type;
		const char *theirs;
	} races[] = {
		{XS_READ, "/d/a|", XS_WRITE, "/d/b|2"},
		{XS_WRITE, "/d/c|1", XS_WRITE, "/d/e|2"}, /* two new children of one directory */
		{XS_READ, "/d/a|", XS_WRITE, "/d/a/x|2"}, {XS_DIRECTORY, "/d|", XS_WRITE, "/d/a|3"},
		{XS_DIRECTORY, "/d|", XS_WRITE, "/d/a/y|"},
		{XS_GET_PERMS, "/d/a|", XS_WRITE, "/d/a|4"},
		{XS_WRITE, "/d/a/z|", XS_WRITE, "/d/a|5"}, /* a parent's value */
		{XS_RM, "/d/c|", XS_WRITE, "/d/c/late|"},  /* the removal takes it along */
	};
	struct fixture *fix = *state;
	size_t i;

	client_ask(&fix->dom0, XS_WRITE, 0, "/d/a|1");
	for (i = 0; i < sizeof(races) / sizeof(races[0]); i++)
		assert_string_equal(race(fix, races[i].my_type, races[i].mine, races[i].their_type,
					    races[i].theirs),
			"OK|");
	assert_reply(&fix->dom0, XS_READ, 0, "/d/c/late|", "!ENOENT");
}

static void a_node_removed_and_made_again_is_another_node(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx;

	client_ask(&fix->dom0, XS_WRITE, 0, "/a/b|1");
	tx = client_begin(&fix->dom0);
	client_ask(&fix->dom0, XS_RM, tx, "/a|");
	assert_reply(&fix->dom0, XS_READ, tx, "/a/b|", "!ENOENT");
	client_ask(&fix->dom0, XS_WRITE, tx, "/a/c|2");
	assert_reply(&fix->dom0, XS_DIRECTORY, tx, "/a|", "c|");
	assert_reply(&fix->dom0, XS_READ, tx, "/a/b|", "!ENOENT");
	assert_reply(&fix->dom0, XS_TRANSACTION_END, tx, "T|", "OK|");
	assert_reply(&fix->dom0, XS_DIRECTORY, 0, "/a|", "c|");
	/* The value that a reader saw is gone and back, with the same bytes: still a conflict. */
	tx = client_begin(&fix->dom0);
	client_ask(&fix->dom0, XS_READ, tx, "/a/c|");
	client_ask(&fix->dom0, XS_RM, 0, "/a|");
	client_ask(&fix->dom0, XS_WRITE, 0, "/a/c|2");
	assert_reply(&fix->dom0, XS_TRANSACTION_END, tx, "T|", "!EAGAIN");
}

static void events_of_a_commit_come_in_the_order_of_the_changes(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx;

	client_ask(&fix->dom0, XS_WRITE, 0, "/r/x|1");
	client_ask(&fix->dom0, XS_WATCH, 0, "/|w|");
	client_ask(&fix->dom0, XS_WATCH, 0, "/r/x|x|");
	client_events(&fix->dom0);
	tx = client_begin(&fix->dom0);
	client_ask(&fix->dom0, XS_WRITE, tx, "/b|1");
	client_ask(&fix->dom0, XS_RM, tx, "/r|");
	client_ask(&fix->dom0, XS_WRITE, tx, "/a|1");
	client_ask(&fix->dom0, XS_WRITE, tx, "/gone|1");
	client_ask(&fix->dom0, XS_RM, tx, "/gone|");
	client_ask(&fix->dom0, XS_READ, tx, "/tool|");
	assert_reply(&fix->dom0, XS_TRANSACTION_END, tx, "T|", "OK|");
	assert_string_equal(client_events(&fix->dom0), "/b w;/r/x x;/r w;/a w;");
}

static void permissions_hold_inside_transactions(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx = client_begin(&fix->one);

	assert_reply(&fix->one, XS_WRITE, tx, "/x|1", "!EACCES");
	assert_reply(&fix->one, XS_READ, tx, "/tool|", "!EACCES");
	assert_reply(&fix->one, XS_WRITE, tx, "a/b|1", "OK|");
	assert_reply(&fix->one, XS_SET_PERMS, tx, "a|n1|r2|", "OK|");
	assert_reply(&fix->one, XS_GET_PERMS, tx, "a|", "n1|r2|");
	assert_reply(&fix->one, XS_SET_PERMS, tx, "a|n2|", "!EPERM");
	assert_reply(&fix->two, XS_READ, 0, "/local/domain/1/a|", "!EACCES");
	assert_reply(&fix->one, XS_TRANSACTION_END, tx, "T|", "OK|");
	assert_reply(&fix->two, XS_READ, 0, "/local/domain/1/a|", "");
	assert_reply(&fix->two, XS_READ, 0, "/local/domain/1/a/b|", "!EACCES");
}

static void ids_of_transactions_are_checked(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx = client_begin(&fix->one);

	assert_reply(&fix->one, XS_READ, 77, "x|", "!ENOENT");
	assert_reply(&fix->two, XS_READ, tx, "x|", "!ENOENT");
	assert_reply(&fix->one, XS_TRANSACTION_START, tx, "|", "!EBUSY");
	assert_reply(&fix->one, XS_TRANSACTION_END, 0, "T|", "!ENOENT");
	assert_reply(&fix->one, XS_WATCH, 77, "x|t|", "OK|"); /* ignored there */
	assert_reply(&fix->one, XS_TRANSACTION_END, tx, "T|", "OK|");
}

static void one_connection_may_have_several_transactions(void **state)
{
	struct fixture *fix = *state;
	uint32_t a = client_begin(&fix->one), b = client_begin(&fix->one);

	client_ask(&fix->one, XS_WRITE, a, "x|a");
	client_ask(&fix->one, XS_WRITE, b, "x|b");
	assert_reply(&fix->one, XS_READ, a, "x|", "a");
	assert_reply(&fix->one, XS_TRANSACTION_END, b, "T|", "OK|");
	assert_reply(&fix->one, XS_TRANSACTION_END, a, "T|", "!EAGAIN");
	assert_reply(&fix->one, XS_READ, 0, "x|", "b");
}

/* Adds one to a counter in an open transaction. */
static uint32_t begin_increment(struct client *client, const char *path)
{
	uint32_t tx = client_begin(client);
	char text[64];
	int value;

	sprintf(text, "%s|", path);
	value = atoi(client_ask(client, XS_READ, tx, text));
	sprintf(text, "%s|%d", path, value + 1);
	client_ask(client, XS_WRITE, tx, text);
	return tx;
}

static void a_retrier_is_not_starved_by_other_transactions(void **state)
{
	struct fixture *fix = *state;
	unsigned int round, tries = 0;
	uint32_t slow, fast;

	client_ask(&fix->dom0, XS_WRITE, 0, "/n|0");
	client_ask(&fix->dom0, XS_SET_PERMS, 0, "/n|b0|");
	/* `two` always commits first, a whole transaction within each of `one`'s. */
	for (round = 0; round < 50; round++) {
		slow = begin_increment(&fix->one, "/n");
		fast = begin_increment(&fix->two, "/n");
		client_ask(&fix->two, XS_TRANSACTION_END, fast, "T|");
		tries++;
		if (!strcmp(client_ask(&fix->one, XS_TRANSACTION_END, slow, "T|"), "OK|"))
			break;
	}
	assert_int_equal(tries, 3);
}

static void an_idle_loser_holds_up_others_only_for_a_while(void **state)
{
	struct fixture *fix = *state;
	unsigned int round, refused = 0;
	uint32_t tx, mine;

	client_ask(&fix->dom0, XS_WRITE, 0, "/n|0");
	client_ask(&fix->dom0, XS_SET_PERMS, 0, "/n|b0|");
	for (round = 0; round < 2; round++) {
		mine = begin_increment(&fix->one, "/n");
		client_ask(&fix->dom0, XS_WRITE, 0, "/n|5");
		assert_reply(&fix->one, XS_TRANSACTION_END, mine, "T|", "!EAGAIN");
	}
	begin_increment(&fix->one, "/n"); /* and never ends it */
	for (round = 0; round < 100; round++) {
		tx = begin_increment(&fix->two, "/n");
		if (strcmp(client_ask(&fix->two, XS_TRANSACTION_END, tx, "T|"), "OK|"))
			refused++;
	}
	assert_in_range(refused, 1, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(changes_are_private_until_the_commit),
		TEST(abort_drops_everything),
		TEST(changes_by_others_are_not_seen_once_a_node_was_read),
		TEST(a_change_of_what_was_accessed_is_a_conflict),
		TEST(changes_of_anything_else_are_no_conflict),
		TEST(a_node_removed_and_made_again_is_another_node),
		TEST(events_of_a_commit_come_in_the_order_of_the_changes),
		TEST(permissions_hold_inside_transactions),
		TEST(ids_of_transactions_are_checked),
		TEST(one_connection_may_have_several_transactions),
		TEST(a_retrier_is_not_starved_by_other_transactions),
		TEST(an_idle_loser_holds_up_others_only_for_a_while),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
