/* SPDX-License-Identifier: MIT */
/*
 * Xen's security advisories about xenstored that no other test of the store is named after; the
 * table of all is in docs/design/testing.md.
 */
#include "test_store_alloc.h"
#include "test_store_fixture.h"

static const char *const odd_payloads[] = {"", "|", "||", "a", "a|", "/|", "//|", "a||", "@|",
	"@introduceDomain|", "@introduceDomain|t|", "@releaseDomain|t|", "@nonsense|t|", "a|t|u|",
	"/local/domain/1|n0|", "a|x9|", "a|n1|r99999999999|", "a|0|", "a|4294967295|", "-1|", "1|",
	"7|", "65536|1|1|", "1|1|1|", "T|", "F|", "help|", "quota|", "quota|1|", "log|on|",
	"memreport|", "\xff\xfe|", "a b|", "a/|", "/local/domain/2/x|v", "a|v|v|v|v|v|v|v|"};
enum { NR_PAYLOADS = sizeof(odd_payloads) / sizeof(odd_payloads[0]) };

/* There: an assertion that a guest could reach. client_ask aborts when no reply comes. */
static void xsa_414_every_request_has_a_reply(void **state)
{
	struct fixture *fix = *state;
	struct client *clients[] = {&fix->one, &fix->dom0};

	for (size_t c = 0; c < 2; c++) {
		for (uint32_t type = 0; type <= XS_TYPE_COUNT; type++) {
			for (size_t i = 0; i < NR_PAYLOADS; i++) {
				uint32_t tx = i % 2 ? client_begin(clients[c]) : 0;

				client_ask(clients[c], type, tx, odd_payloads[i]);
				client_ask(clients[c], type, 99, odd_payloads[i]);
				if (tx)
					client_ask(clients[c], XS_TRANSACTION_END, tx, "F|");
			}
		}
	}
	/* And it goes on. */
	client_ask(&fix->two, XS_WRITE, 0, "still|here");
	assert_string_equal(client_ask(&fix->two, XS_READ, 0, "still|"), "here");
}

/* There: what a request had allocated stayed when it failed. */
static void xsa_416_failed_requests_keep_no_memory(void **state)
{
	static const uint32_t types[] = {XS_READ, XS_WRITE, XS_MKDIR, XS_RM, XS_DIRECTORY,
		XS_DIRECTORY_PART, XS_SET_PERMS, XS_GET_PERMS, XS_WATCH, XS_UNWATCH,
		XS_TRANSACTION_END, XS_INTRODUCE, XS_RELEASE, XS_SET_TARGET, XS_CONTROL};
	static const char *const bad[] = {"", "/local/domain/2/x|v", "/local|n1|", "none/there|",
		"a//b|t|", "@none|t|", "a|x9|", "a|n1|r1|r1|r1|r1|r1|r1|r1|"};
	struct fixture *fix = *state;
	size_t after_one = 0;

	for (int round = 0; round < 200; round++) {
		for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
			for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
				client_ask(&fix->one, types[t], 0, bad[i]);
		client_ask(&fix->one, XS_RESET_WATCHES, 0, "|");
		if (round == 0)
			after_one = alloc_bytes;
	}
	assert_int_equal(alloc_bytes, after_one);
}

/* There: nodes removed inside and outside of a transaction made a count negative. */
static void xsa_440_a_conflict_leaves_the_count_of_nodes_right(void **state)
{
	struct fixture *fix = *state;
	struct store_stats before, after;
	uint32_t tx;

	store_get_stats(fix->store, &before);
	for (int i = 0; i < 3000; i++) {
		client_ask(&fix->one, XS_WRITE, 0, "a/b|v");
		tx = client_begin(&fix->one);
		assert_string_equal(client_ask(&fix->one, XS_RM, tx, "a|"), "OK|");
		assert_string_equal(
			client_ask(&fix->dom0, XS_RM, 0, "/local/domain/1/a|"), "OK|");
		assert_string_equal(client_ask(&fix->one, XS_TRANSACTION_END, tx, "T|"), "!EAGAIN");
	}
	store_get_stats(fix->store, &after);
	assert_int_equal(after.nr_nodes, before.nr_nodes);
	assert_int_equal(after.nr_transactions, 0);
	/* Nothing was won or lost of the quota: 1000, of which its home is one. */
	for (int i = 0; i < 1100; i++) {
		char text[16];

		snprintf(text, sizeof(text), "q%d|v", i);
		assert_string_equal(
			client_ask(&fix->one, XS_WRITE, 0, text), i < 999 ? "OK|" : "!ENOSPC");
	}
}

/* A new domain of an old id has neither its predecessor's nodes, nor its quota used up. */
static void xsa_483_a_domain_of_an_old_id_starts_clean(void **state)
{
	struct fixture *fix = *state;

	for (int life = 0; life < 5; life++) {
		client_ask(&fix->one, XS_WATCH, 0, "a|t|");
		client_ask(&fix->two, XS_WRITE, 0, "shared|v");
		client_ask(&fix->two, XS_SET_PERMS, 0, "shared|n2|b1|");
		for (int i = 0; i < 999; i++) {
			char text[16];

			snprintf(text, sizeof(text), "q%d|v", i);
			assert_string_equal(client_ask(&fix->one, XS_WRITE, 0, text), "OK|");
		}
		assert_true(client_begin(&fix->one) != 0);
		client_close(&fix->one);
		store_rm(fix->store, "/local/domain/1");
		store_release(fix->store, 1);

		assert_int_equal(store_introduce(fix->store, 1), 0);
		const struct store_perm home = {1, 'n'};
		assert_int_equal(store_write(fix->store, "/local/domain/1", "", 0, &home, 1), 0);
		client_open(&fix->one, fix->store, 1);
		assert_string_equal(
			client_ask(&fix->one, XS_READ, 0, "/local/domain/2/shared|"), "!EACCES");
		assert_string_equal(
			client_ask(&fix->one, XS_DIRECTORY, 0, "/local/domain/1|"), "");
		assert_string_equal(client_ask(&fix->one, XS_WRITE, 0, "a|v"), "OK|");
		assert_string_equal(client_events(&fix->one), "");
		assert_string_equal(client_ask(&fix->one, XS_RM, 0, "a|"), "OK|");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(xsa_414_every_request_has_a_reply),
		TEST(xsa_416_failed_requests_keep_no_memory),
		TEST(xsa_440_a_conflict_leaves_the_count_of_nodes_right),
		TEST(xsa_483_a_domain_of_an_old_id_starts_clean),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("store: advisories", tests, NULL, NULL);
}
