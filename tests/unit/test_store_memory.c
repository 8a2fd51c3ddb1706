/* SPDX-License-Identifier: MIT */
/* Every allocation fails once: the answer is ENOMEM, and nothing has changed and nothing leaks. */
#include "test_store_alloc.h"
#include "test_store_fixture.h"

/* The whole tree with values and permissions as text. */
static void dump(struct fixture *fix, const char *path, char *out)
{
	char request[128], list[512], child[128], *at;

	snprintf(request, sizeof(request), "%s|", path);
	sprintf(out + strlen(out), "%s=%s ", path, client_ask(&fix->dom0, XS_READ, 0, request));
	sprintf(out + strlen(out), "%s\n", client_ask(&fix->dom0, XS_GET_PERMS, 0, request));
	snprintf(list, sizeof(list), "%s", client_ask(&fix->dom0, XS_DIRECTORY, 0, request));
	for (at = list; *at; at = strchr(at, '|') + 1) {
		snprintf(child, sizeof(child), "%s/%.*s", strcmp(path, "/") ? path : "",
			(int)strcspn(at, "|"), at);
		dump(fix, child, out);
	}
}

static void prepare(struct fixture *fix)
{
	struct store_limits limits;

	store_limits_default(&limits);
	fixture_open(fix, &limits);
	client_ask(&fix->one, XS_WRITE, 0, "a/b|old");
	client_ask(&fix->one, XS_WRITE, 0, "gone/x/y|old");
	client_ask(&fix->two, XS_WRITE, 0, "a|old");
	client_ask(&fix->dom0, XS_WATCH, 0, "/|all|");
	client_ask(&fix->one, XS_WATCH, 0, "gone/x|x|");
	client_events(&fix->dom0);
	client_events(&fix->one);
}

struct step {
	uint32_t type;
	const char *text;
};

/* Runs one request with the k-th allocation failing, for every k. */
static void fail_each(const struct step *step, bool changes)
{
	char before[8192], after[8192], reply[64];
	struct fixture fix;
	bool failed = true;
	long k;

	for (k = 0; failed; k++) {
		prepare(&fix);
		before[0] = after[0] = '\0';
		dump(&fix, "/", before);
		alloc_fail_after(k, 1);
		snprintf(reply, sizeof(reply), "%.60s",
			client_ask(&fix.one, step->type, 0, step->text));
		failed = alloc_failed;
		alloc_fail_after(-1, 0);
		dump(&fix, "/", after);
		if (reply[0] == '!') {
			assert_true(failed);
			assert_string_equal(reply, "!ENOMEM");
			assert_string_equal(before, after);
			assert_string_equal(client_events(&fix.dom0), "");
		} else if (changes) {
			assert_string_not_equal(before, after);
			/* Told, if only in general terms. */
			assert_string_not_equal(client_events(&fix.dom0), "");
		}
		fixture_close(&fix);
		assert_int_equal(alloc_outstanding, 0);
	}
	assert_true(k > 1);
}

static void a_request_without_memory_leaves_all_or_nothing(void **state)
{
	static const struct step changes[] = {
		{XS_WRITE, "a/b|new"},
		{XS_WRITE, "n/e/w|1"},
		{XS_MKDIR, "n/e/w|"},
		{XS_RM, "gone|"},
		{XS_SET_PERMS, "a|r1|r7|r2|"},
	};
	static const struct step reads[] = {
		{XS_READ, "a/b|"},
		{XS_DIRECTORY, "a|"},
		{XS_DIRECTORY_PART, "a|0|"},
		{XS_GET_PERMS, "a|"},
		{XS_WATCH, "a|tok|"},
		{XS_TRANSACTION_START, "|"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		fail_each(&changes[i], true);
	for (i = 0; i < sizeof(reads) / sizeof(reads[0]); i++)
		fail_each(&reads[i], false);
}

static const struct step txn_steps[] = {
	{XS_WRITE, "a/b|new"},
	{XS_DIRECTORY, "a|"},
	{XS_WRITE, "n/e/w|1"},
	{XS_RM, "gone|"},
	{XS_WRITE, "gone/again|1"},
	{XS_DIRECTORY, "gone|"},
	{XS_SET_PERMS, "a|r1|r2|"},
	{XS_RM, "n/e/w|"},
	{XS_MKDIR, "n/e/w/x|"},
	{XS_READ, "none/at/all|"},
};
#define NR_TXN_STEPS (sizeof(txn_steps) / sizeof(txn_steps[0]))

static void xsa_421_a_commit_without_memory_leaves_all_or_nothing(void **state)
{
	char before[8192], after[8192];
	struct fixture fix;
	bool failed = true, bad_luck;
	uint32_t tx;
	size_t i;
	long k;

	(void)state;
	for (k = 0; failed; k++) {
		prepare(&fix);
		tx = client_begin(&fix.one);
		for (i = 0; i < NR_TXN_STEPS; i++)
			client_ask(&fix.one, txn_steps[i].type, tx, txn_steps[i].text);
		before[0] = after[0] = '\0';
		dump(&fix, "/", before);
		alloc_fail_after(k, 1);
		bad_luck = strcmp(client_ask(&fix.one, XS_TRANSACTION_END, tx, "T|"), "OK|") != 0;
		failed = alloc_failed;
		alloc_fail_after(-1, 0);
		dump(&fix, "/", after);
		if (bad_luck) {
			assert_string_equal(fix.one.reply, "!ENOMEM");
			assert_string_equal(before, after);
			assert_string_equal(client_events(&fix.dom0), "");
			assert_string_equal(client_events(&fix.one), "");
		} else {
			assert_reply(&fix.dom0, XS_READ, 0, "/local/domain/1/a/b|", "new");
			assert_reply(&fix.dom0, XS_DIRECTORY, 0, "/local/domain/1/gone|", "again|");
			assert_reply(&fix.dom0, XS_DIRECTORY, 0, "/local/domain/1/n/e/w|", "x|");
			assert_string_equal(client_events(&fix.one), "gone/x x;");
		}
		fixture_close(&fix);
		assert_int_equal(alloc_outstanding, 0);
	}
	assert_true(k > 4);
}

static void xsa_421_a_transaction_survives_requests_that_failed(void **state)
{
	bool failed = true;
	struct fixture fix;
	uint32_t tx;
	size_t i;
	long k;

	(void)state;
	for (k = 0; failed; k++) {
		prepare(&fix);
		tx = client_begin(&fix.one);
		alloc_fail_after(k, 1);
		for (i = 0; i < NR_TXN_STEPS; i++) {
			const struct step *step = &txn_steps[i];

			/* A client that was told ENOMEM tries again. */
			if (!strcmp(client_ask(&fix.one, step->type, tx, step->text), "!ENOMEM"))
				client_ask(&fix.one, step->type, tx, step->text);
		}
		failed = alloc_failed;
		alloc_fail_after(-1, 0);
		assert_reply(&fix.one, XS_TRANSACTION_END, tx, "T|", "OK|");
		assert_reply(&fix.dom0, XS_READ, 0, "/local/domain/1/a/b|", "new");
		assert_reply(&fix.dom0, XS_DIRECTORY, 0, "/local/domain/1/gone|", "again|");
		assert_reply(&fix.dom0, XS_DIRECTORY, 0, "/local/domain/1/n/e/w|", "x|");
		assert_reply(&fix.dom0, XS_GET_PERMS, 0, "/local/domain/1/a|", "r1|r2|");
		fixture_close(&fix);
		assert_int_equal(alloc_outstanding, 0);
	}
	assert_true(k > 20);
}

static void requests_are_answered_while_nothing_can_be_allocated(void **state)
{
	struct fixture fix;
	const char fragment[] = "a/b";
	struct xsd_sockmsg hdr = {XS_READ, 5, 0, 4};
	int i;

	(void)state;
	prepare(&fix);
	alloc_fail_after(0, 1000000);
	for (i = 0; i < 10; i++)
		assert_reply(&fix.one, XS_WRITE, 0, "a/b|new", "!ENOMEM");
	/* The reserve holds one reply; with that unread the next request waits. */
	assert_int_equal(client_send_bytes(&fix.one, XS_READ, 0, "a", 2), 18);
	assert_false(store_conn_can_take(fix.one.conn));
	assert_int_equal(client_recv(&fix.one), XS_ERROR);
	/* A request in pieces has nowhere to wait, yet is answered. */
	assert_int_equal(store_conn_input(fix.one.conn, &hdr, 16), 16);
	assert_int_equal(store_conn_input(fix.one.conn, fragment, 4), 4);
	assert_int_equal(client_recv(&fix.one), XS_ERROR);
	assert_string_equal(fix.one.reply, "ENOMEM");
	assert_int_equal(fix.one.hdr.req_id, 5);
	/* Events keep coming: each watch owns one. */
	store_release(fix.store, 2);
	assert_int_equal(store_rm(fix.store, "/local/domain/1/gone"), 0);
	assert_string_equal(client_events(&fix.dom0), "/ all;");
	assert_string_equal(client_events(&fix.one), "gone/x x;");
	alloc_fail_after(-1, 0);
	fixture_close(&fix);
	assert_int_equal(alloc_outstanding, 0);
}

static void creation_without_memory_fails_cleanly(void **state)
{
	static const struct store_perm perms[2] = {{5, 'n'}, {6, 'r'}};
	struct store_limits limits;
	struct store_conn *conn;
	struct store *store;
	int rc = -ENOMEM;
	long k;

	(void)state;
	store_limits_default(&limits);
	for (k = 0; rc; k++) {
		alloc_fail_after(k, 1);
		conn = NULL;
		rc = store_create(&limits, &client_ops, NULL, &store);
		assert_true(!rc || rc == -ENOMEM);
		if (!rc) {
			rc = store_introduce(store, 5);
			if (!rc)
				rc = store_conn_open(store, 5, NULL, &conn);
			if (!rc)
				rc = store_write(store, "/local/domain/5/x", "1", 1, perms, 2);
			assert_true(!rc || rc == -ENOMEM);
			store_conn_close(conn);
			store_destroy(store);
		}
		assert_int_equal(alloc_outstanding, 0);
	}
	alloc_fail_after(-1, 0);
	assert_true(k > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_without_memory_leaves_all_or_nothing),
		cmocka_unit_test(xsa_421_a_commit_without_memory_leaves_all_or_nothing),
		cmocka_unit_test(xsa_421_a_transaction_survives_requests_that_failed),
		cmocka_unit_test(requests_are_answered_while_nothing_can_be_allocated),
		cmocka_unit_test(creation_without_memory_fails_cleanly),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
