/* SPDX-License-Identifier: MIT */
/* Who may do what, and what is left when a domain goes. */
#include "test_store_fixture.h"

static void new_nodes_inherit_and_belong_to_the_guest_that_made_them(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->dom0, XS_MKDIR, 0, "/s|");
	client_ask(&fix->dom0, XS_SET_PERMS, 0, "/s|n0|b1|r2|");
	assert_reply(&fix->one, XS_WRITE, 0, "/s/x/y|1", "OK|");
	assert_reply(&fix->dom0, XS_GET_PERMS, 0, "/s/x|", "n1|b1|r2|");
	assert_reply(&fix->dom0, XS_GET_PERMS, 0, "/s/x/y|", "n1|b1|r2|");
	client_ask(&fix->dom0, XS_MKDIR, 0, "/s/z|");
	assert_reply(&fix->dom0, XS_GET_PERMS, 0, "/s/z|", "n0|b1|r2|");
}

static void what_may_not_be_read_is_EACCES_even_if_it_does_not_exist(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->dom0, XS_WRITE, 0, "/secret/x|1");
	assert_reply(&fix->one, XS_READ, 0, "/secret/x|", "!EACCES");
	assert_reply(&fix->one, XS_READ, 0, "/secret/none/deeper|", "!EACCES");
	assert_reply(&fix->one, XS_READ, 0, "none|", "!ENOENT");
	assert_reply(&fix->one, XS_WRITE, 0, "/secret/new|1", "!EACCES");
	assert_reply(&fix->one, XS_MKDIR, 0, "/secret/x|", "!EACCES");
	assert_reply(&fix->one, XS_RM, 0, "/secret/x|", "!EACCES");
	assert_reply(&fix->one, XS_DIRECTORY, 0, "/local/domain|", "!EACCES");
	assert_reply(&fix->one, XS_GET_PERMS, 0, "/secret/x|", "!EACCES");
}

static void readers_cannot_write_and_writers_cannot_read(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->one, XS_WRITE, 0, "x|1");
	client_ask(&fix->one, XS_SET_PERMS, 0, "x|n1|r2|");
	assert_reply(&fix->two, XS_READ, 0, "/local/domain/1/x|", "1");
	assert_reply(&fix->two, XS_WRITE, 0, "/local/domain/1/x|2", "!EACCES");
	client_ask(&fix->one, XS_SET_PERMS, 0, "x|w1|");
	assert_reply(&fix->two, XS_READ, 0, "/local/domain/1/x|", "!EACCES");
	assert_reply(&fix->two, XS_WRITE, 0, "/local/domain/1/x|2", "OK|");
	assert_reply(&fix->one, XS_READ, 0, "x|", "2");
}

static void the_entry_of_a_domain_overrides_the_default(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->one, XS_WRITE, 0, "x|1");
	client_ask(&fix->one, XS_SET_PERMS, 0, "x|b1|n2|");
	assert_reply(&fix->two, XS_READ, 0, "/local/domain/1/x|", "!EACCES");
}

static void only_the_owner_sets_permissions_and_only_dom0_the_owner(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->one, XS_WRITE, 0, "x|1");
	client_ask(&fix->one, XS_SET_PERMS, 0, "x|b1|b2|");
	assert_reply(&fix->two, XS_SET_PERMS, 0, "/local/domain/1/x|b2|", "!EACCES");
	assert_reply(&fix->one, XS_SET_PERMS, 0, "x|b2|", "!EPERM");
	assert_reply(&fix->dom0, XS_SET_PERMS, 0, "/local/domain/1/x|n2|", "OK|");
	assert_reply(&fix->one, XS_READ, 0, "x|", "!EACCES");
	assert_reply(&fix->two, XS_READ, 0, "/local/domain/1/x|", "1");
}

static void a_target_lends_its_permissions(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->one, XS_WRITE, 0, "x|1");
	assert_reply(&fix->two, XS_READ, 0, "/local/domain/1/x|", "!EACCES");
	assert_reply(&fix->dom0, XS_SET_TARGET, 0, "2|1|", "OK|");
	assert_reply(&fix->two, XS_READ, 0, "/local/domain/1/x|", "1");
	client_close(&fix->one);
	store_release(fix->store, 1);
	client_open(&fix->one, fix->store, 1);
	assert_reply(&fix->two, XS_READ, 0, "/local/domain/1/x|", "!EACCES");
}

static void xsa_322_a_new_domain_inherits_nothing_of_an_old_one_with_its_id(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->one, XS_WRITE, 0, "mine|1");
	client_ask(&fix->two, XS_WRITE, 0, "lent|1");
	client_ask(&fix->two, XS_SET_PERMS, 0, "lent|n2|r1|b3|");
	client_close(&fix->one);
	store_release(fix->store, 1);
	assert_int_equal(store_introduce(fix->store, 1), 0);
	client_open(&fix->one, fix->store, 1);
	assert_reply(&fix->one, XS_READ, 0, "mine|", "!EACCES");
	assert_reply(&fix->one, XS_READ, 0, "/local/domain/2/lent|", "!EACCES");
	assert_reply(&fix->dom0, XS_GET_PERMS, 0, "/local/domain/1/mine|", "n0|");
	assert_reply(&fix->dom0, XS_GET_PERMS, 0, "/local/domain/2/lent|", "n2|b3|");
}

static void xsa_322_a_release_reaches_into_open_transactions(void **state)
{
	struct fixture *fix = *state;
	uint32_t tx = client_begin(&fix->dom0);

	client_ask(&fix->dom0, XS_WRITE, tx, "/t|1");
	client_ask(&fix->dom0, XS_SET_PERMS, tx, "/t|n1|b1|");
	client_close(&fix->one);
	store_release(fix->store, 1);
	client_open(&fix->one, fix->store, 1);
	assert_reply(&fix->dom0, XS_TRANSACTION_END, tx, "T|", "OK|");
	assert_reply(&fix->one, XS_READ, 0, "/t|", "!EACCES");
	assert_reply(&fix->dom0, XS_GET_PERMS, 0, "/t|", "n0|");
}

static void a_guest_opens_no_door_for_a_domain_that_does_not_exist_yet(void **state)
{
	struct fixture *fix = *state;
	struct client three;

	client_ask(&fix->one, XS_WRITE, 0, "x|1");
	client_ask(&fix->one, XS_SET_PERMS, 0, "x|n1|b3|");
	client_ask(&fix->dom0, XS_WRITE, 0, "/y|1");
	client_ask(&fix->dom0, XS_SET_PERMS, 0, "/y|n0|r3|");
	assert_int_equal(store_introduce(fix->store, 3), 0);
	client_open(&three, fix->store, 3);
	assert_reply(&three, XS_READ, 0, "/local/domain/1/x|", "!EACCES");
	/* Domain 0 prepares domains before it introduces them. */
	assert_reply(&three, XS_READ, 0, "/y|", "1");
	client_close(&three);
}

static void special_watches_have_permissions(void **state)
{
	struct fixture *fix = *state;

	assert_reply(&fix->dom0, XS_GET_PERMS, 0, "@releaseDomain|", "n0|");
	assert_reply(&fix->one, XS_GET_PERMS, 0, "@releaseDomain|", "!EACCES");
	assert_reply(&fix->one, XS_SET_PERMS, 0, "@releaseDomain|r1|", "!EACCES");
	assert_reply(&fix->dom0, XS_SET_PERMS, 0, "@releaseDomain|n0|r1|", "OK|");
	assert_reply(&fix->one, XS_GET_PERMS, 0, "@releaseDomain|", "n0|r1|");
	assert_reply(&fix->dom0, XS_GET_PERMS, 0, "@other|", "!ENOENT");
}

static void ten_thousand_domain_lives_leave_nothing_behind(void **state)
{
	struct fixture *fix = *state;
	struct store_stats before, after;
	struct client guest;
	char path[64];
	unsigned int i;

	store_get_stats(fix->store, &before);
	for (i = 0; i < 10000; i++) {
		unsigned int domid = 10 + i % 3;
		struct store_perm home = {domid, 'n'};

		assert_int_equal(store_introduce(fix->store, domid), 0);
		sprintf(path, "/local/domain/%u", domid);
		assert_int_equal(store_write(fix->store, path, "", 0, &home, 1), 0);
		client_open(&guest, fix->store, domid);
		assert_reply(&guest, XS_WRITE, 0, "a/b|1", "OK|");
		assert_reply(&guest, XS_WATCH, 0, "a|t|", "OK|");
		assert_int_not_equal(client_begin(&guest), 0);
		client_close(&guest);
		assert_int_equal(store_rm(fix->store, path), 0);
		store_release(fix->store, domid);
	}
	store_get_stats(fix->store, &after);
	after.nr_requests = before.nr_requests;
	assert_memory_equal(&before, &after, sizeof(before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(new_nodes_inherit_and_belong_to_the_guest_that_made_them),
		TEST(what_may_not_be_read_is_EACCES_even_if_it_does_not_exist),
		TEST(readers_cannot_write_and_writers_cannot_read),
		TEST(the_entry_of_a_domain_overrides_the_default),
		TEST(only_the_owner_sets_permissions_and_only_dom0_the_owner),
		TEST(a_target_lends_its_permissions),
		TEST(xsa_322_a_new_domain_inherits_nothing_of_an_old_one_with_its_id),
		TEST(xsa_322_a_release_reaches_into_open_transactions),
		TEST(a_guest_opens_no_door_for_a_domain_that_does_not_exist_yet),
		TEST(special_watches_have_permissions),
		TEST(ten_thousand_domain_lives_leave_nothing_behind),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
