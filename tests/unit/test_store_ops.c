/* SPDX-License-Identifier: MIT */
/* Requests on the live tree: replies, errors, names. */
#include "test_store_fixture.h"

static void a_written_value_is_read_back(void **state)
{
	struct fixture *fix = *state;

	assert_reply(&fix->dom0, XS_WRITE, 0, "/a/b/c|value", "OK|");
	assert_reply(&fix->dom0, XS_READ, 0, "/a/b/c|", "value");
	assert_reply(&fix->dom0, XS_READ, 0, "/a/b|", "");
	assert_reply(&fix->dom0, XS_WRITE, 0, "/a/b/c|", "OK|");
	assert_reply(&fix->dom0, XS_READ, 0, "/a/b/c|", "");
}

static void a_value_may_hold_any_byte(void **state)
{
	struct fixture *fix = *state;

	assert_reply(&fix->dom0, XS_WRITE, 0, "/a|x||\xff\n|", "OK|");
	assert_reply(&fix->dom0, XS_READ, 0, "/a|", "x||\xff\n|");
}

static void a_new_store_has_the_nodes_of_xenstored(void **state)
{
	struct fixture *fix = *state;

	assert_reply(&fix->dom0, XS_DIRECTORY, 0, "/|", "tool|local|");
	assert_reply(&fix->dom0, XS_DIRECTORY, 0, "/local|", "domain|");
	assert_reply(&fix->dom0, XS_GET_PERMS, 0, "/|", "n0|");
}

static void relative_paths_mean_the_home_of_the_domain(void **state)
{
	struct fixture *fix = *state;

	assert_reply(&fix->one, XS_WRITE, 0, "data/x|1", "OK|");
	assert_reply(&fix->dom0, XS_READ, 0, "/local/domain/1/data/x|", "1");
	assert_reply(&fix->dom0, XS_WRITE, 0, "name|Domain-0", "OK|");
	assert_reply(&fix->dom0, XS_READ, 0, "/local/domain/0/name|", "Domain-0");
}

static void directory_lists_children_in_the_order_of_creation(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->dom0, XS_MKDIR, 0, "/d/z|");
	client_ask(&fix->dom0, XS_MKDIR, 0, "/d/a|");
	client_ask(&fix->dom0, XS_MKDIR, 0, "/d/m|");
	assert_reply(&fix->dom0, XS_DIRECTORY, 0, "/d|", "z|a|m|");
	client_ask(&fix->dom0, XS_RM, 0, "/d/a|");
	assert_reply(&fix->dom0, XS_DIRECTORY, 0, "/d|", "z|m|");
	assert_reply(&fix->dom0, XS_DIRECTORY, 0, "/d/z|", "");
}

static void mkdir_keeps_an_existing_value(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->dom0, XS_WRITE, 0, "/a|v");
	assert_reply(&fix->dom0, XS_MKDIR, 0, "/a|", "OK|");
	assert_reply(&fix->dom0, XS_READ, 0, "/a|", "v");
}

static void rm_removes_the_children_too(void **state)
{
	struct fixture *fix = *state;

	client_ask(&fix->dom0, XS_WRITE, 0, "/a/b/c|v");
	assert_reply(&fix->dom0, XS_RM, 0, "/a|", "OK|");
	assert_reply(&fix->dom0, XS_READ, 0, "/a/b/c|", "!ENOENT");
	assert_reply(&fix->dom0, XS_READ, 0, "/a|", "!ENOENT");
}

static void rm_of_a_missing_node_needs_only_its_parent(void **state)
{
	struct fixture *fix = *state;

	assert_reply(&fix->dom0, XS_RM, 0, "/tool/none|", "OK|");
	assert_reply(&fix->dom0, XS_RM, 0, "/none/none|", "!ENOENT");
	assert_reply(&fix->dom0, XS_RM, 0, "/|", "!EINVAL");
}

static void names_that_are_not_allowed_are_EINVAL(void **state)
{
	static const char *const names[] = {"|", "/a//b|", "/a/|", "//|", "/a b|", "/a.b|", "a/|",
		"@special|", "/\xc3\xa4|", "/a+|"};
	struct fixture *fix = *state;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_reply(&fix->dom0, XS_READ, 0, names[i], "!EINVAL");
	assert_reply(&fix->dom0, XS_MKDIR, 0, "/aZ09-_@|", "OK|");
}

/* Asks about a path of `len` bytes that starts with `start`. */
static const char *ask_long(struct client *client, const char *start, size_t len)
{
	char payload[XENSTORE_PAYLOAD_MAX];

	memset(payload, 'x', len);
	memcpy(payload, start, strlen(start));
	payload[len] = '\0';
	return client_ask_bytes(client, XS_READ, 0, payload, len + 1);
}

static void paths_have_a_greatest_length(void **state)
{
	struct fixture *fix = *state;

	assert_string_equal(ask_long(&fix->dom0, "/", 3072), "!ENOENT");
	assert_string_equal(ask_long(&fix->dom0, "/", 3073), "!EINVAL");
	assert_string_equal(ask_long(&fix->dom0, "x", 2048), "!ENOENT");
	assert_string_equal(ask_long(&fix->dom0, "x", 2049), "!EINVAL");
	assert_string_equal(ask_long(&fix->dom0, "/local/domain/1/", 16 + 2048), "!ENOENT");
	assert_string_equal(ask_long(&fix->dom0, "/local/domain/1/", 16 + 2049), "!EINVAL");
}

static void the_deepest_path_works(void **state)
{
	struct fixture *fix = *state;
	char payload[3073];
	size_t i;

	for (i = 0; i < 3072; i += 2)
		memcpy(payload + i, "/d", 2);
	payload[3072] = '\0';
	assert_string_equal(client_ask_bytes(&fix->dom0, XS_MKDIR, 0, payload, 3073), "OK|");
	assert_string_equal(client_ask_bytes(&fix->dom0, XS_READ, 0, payload, 3073), "");
	assert_reply(&fix->dom0, XS_RM, 0, "/d|", "OK|");
}

static void malformed_payloads_are_EINVAL(void **state)
{
	static const struct {
		uint32_t type;
		const char *text;
	} bad[] = {
		{XS_READ, ""},
		{XS_READ, "/a"},
		{XS_READ, "/a|b|"},
		{XS_WRITE, "/a"},
		{XS_WRITE, ""},
		{XS_MKDIR, "/a|b"},
		{XS_RM, "/a"},
		{XS_DIRECTORY, ""},
		{XS_DIRECTORY_PART, "/|"},
		{XS_DIRECTORY_PART, "/|x|"},
		{XS_SET_PERMS, "/|"},
		{XS_SET_PERMS, "/|z0|"},
		{XS_SET_PERMS, "/|n|"},
		{XS_SET_PERMS, "/|n0x|"},
		{XS_SET_PERMS, "/|n70000|"},
		{XS_SET_PERMS, ""},
		{XS_WATCH, "/a|"},
		{XS_WATCH, "/a"},
		{XS_UNWATCH, "/a|"},
		{XS_TRANSACTION_END, "X|"},
		{XS_TRANSACTION_END, ""},
		{XS_GET_DOMAIN_PATH, "x|"},
		{XS_GET_DOMAIN_PATH, "70000|"},
		{XS_IS_DOMAIN_INTRODUCED, "|"},
		{XS_INTRODUCE, "1|"},
		{XS_RELEASE, "|"},
		{XS_SET_TARGET, "1|"},
		{XS_CONTROL, "nonsense|"},
		{XS_CONTROL, ""},
	};
	struct fixture *fix = *state;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_reply(&fix->dom0, bad[i].type, 0, bad[i].text, "!EINVAL");
}

static void unknown_operations_are_ENOSYS(void **state)
{
	static const uint32_t types[] = {
		XS_WATCH_EVENT, XS_ERROR, XS_SET_TARGET + 1, XS_TYPE_COUNT, XS_INVALID, UINT32_MAX};
	struct fixture *fix = *state;
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_reply(&fix->dom0, types[i], 0, "/|", "!ENOSYS");
}

static void a_directory_too_long_for_a_message_is_E2BIG(void **state)
{
	struct fixture *fix = *state;
	char path[64];
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		sprintf(path, "/big/n%05u", i);
		assert_int_equal(store_write(fix->store, path, "", 0, NULL, 0), 0);
	}
	assert_reply(&fix->dom0, XS_DIRECTORY, 0, "/big|", "!E2BIG");
}

/* Reads a directory by parts and compares it with n%05u for 0..count-1. */
static void check_parts(struct client *client, uint32_t tx, const char *path, unsigned int count)
{
	char request[64], want[16], version[32] = "";
	unsigned int nr = 0;
	size_t offset = 0;

	for (;;) {
		const char *reply, *at, *end;

		snprintf(request, sizeof(request), "%s|%zu|", path, offset);
		reply = client_ask(client, XS_DIRECTORY_PART, tx, request);
		end = reply + strlen(reply);
		at = strchr(reply, '|') + 1;
		if (offset == 0)
			memcpy(version, reply, (size_t)(at - reply));
		assert_memory_equal(version, reply, (size_t)(at - reply));
		while (at < end && *at != '|') {
			sprintf(want, "n%05u|", nr++);
			assert_memory_equal(at, want, 7);
			at += 7;
			offset += 7;
		}
		if (at < end)
			break;
	}
	assert_int_equal(nr, count);
}

static void directory_part_pages_through_a_long_directory(void **state)
{
	struct fixture *fix = *state;
	char path[64];
	unsigned int i;

	for (i = 0; i < 3000; i++) {
		sprintf(path, "/big/n%05u", i);
		assert_int_equal(store_write(fix->store, path, "", 0, NULL, 0), 0);
	}
	check_parts(&fix->dom0, 0, "/big", 3000);
	check_parts(&fix->dom0, client_begin(&fix->dom0), "/big", 3000);
}

static void directory_part_shows_by_its_generation_that_the_list_changed(void **state)
{
	struct fixture *fix = *state;
	char first[64];

	client_ask(&fix->dom0, XS_MKDIR, 0, "/d/a|");
	strcpy(first, client_ask(&fix->dom0, XS_DIRECTORY_PART, 0, "/d|0|"));
	assert_string_equal(strchr(first, '|'), "|a||");
	assert_reply(&fix->dom0, XS_DIRECTORY_PART, 0, "/d|0|", first);
	client_ask(&fix->dom0, XS_MKDIR, 0, "/d/b|");
	assert_string_not_equal(client_ask(&fix->dom0, XS_DIRECTORY_PART, 0, "/d|0|"), first);
	assert_string_equal(
		strchr(client_ask(&fix->dom0, XS_DIRECTORY_PART, 0, "/d|99|"), '|'), "||");
}

static void domain_requests_have_the_replies_of_xenstored(void **state)
{
	struct fixture *fix = *state;

	assert_reply(&fix->one, XS_GET_DOMAIN_PATH, 0, "007|", "/local/domain/7|");
	assert_reply(&fix->one, XS_IS_DOMAIN_INTRODUCED, 0, "2|", "T|");
	assert_reply(&fix->one, XS_IS_DOMAIN_INTRODUCED, 0, "0|", "T|");
	assert_reply(&fix->one, XS_IS_DOMAIN_INTRODUCED, 0, "3|", "F|");
	assert_reply(&fix->dom0, XS_INTRODUCE, 0, "1|1|1|", "OK|");
	assert_reply(&fix->dom0, XS_INTRODUCE, 0, "3|1|1|", "!EINVAL");
	assert_reply(&fix->dom0, XS_RELEASE, 0, "1|", "OK|");
	assert_reply(&fix->dom0, XS_RELEASE, 0, "3|", "!ENOENT");
	assert_reply(&fix->dom0, XS_RELEASE, 0, "0|", "!EINVAL");
	assert_reply(&fix->dom0, XS_RESUME, 0, "1|", "OK|");
	assert_reply(&fix->dom0, XS_RESUME, 0, "3|", "!ENOENT");
	assert_reply(&fix->dom0, XS_SET_TARGET, 0, "1|3|", "!ENOENT");
}

static void privileged_requests_of_guests_are_EACCES(void **state)
{
	struct fixture *fix = *state;

	assert_reply(&fix->one, XS_CONTROL, 0, "help|", "!EACCES");
	assert_reply(&fix->one, XS_INTRODUCE, 0, "2|1|1|", "!EACCES");
	assert_reply(&fix->one, XS_RELEASE, 0, "2|", "!EACCES");
	assert_reply(&fix->one, XS_RESUME, 0, "2|", "!EACCES");
	assert_reply(&fix->one, XS_SET_TARGET, 0, "1|2|", "!EACCES");
}

static void control_reports_quotas_and_counts(void **state)
{
	struct fixture *fix = *state;

	assert_non_null(strstr(client_ask(&fix->dom0, XS_CONTROL, 0, "help|"), "quota"));
	assert_non_null(strstr(client_ask(&fix->dom0, XS_CONTROL, 0, "quota|"), "nodes: 1000"));
	assert_non_null(
		strstr(client_ask(&fix->dom0, XS_CONTROL, 0, "memreport|"), "connections: 3"));
}

struct heard {
	struct store *store;
	char text[256];
};

static void note_change(void *data, const char *path)
{
	struct heard *heard = data;

	/* The hook may read; what it hears of is complete. */
	snprintf(heard->text + strlen(heard->text), sizeof(heard->text) - strlen(heard->text),
		"%s%s;", path, store_read(heard->store, path, NULL) ? "" : " gone");
}

static void the_hook_hears_of_every_change_when_it_is_complete(void **state)
{
	static const struct store_ops ops = {.changed = note_change};
	struct store_limits limits;
	struct heard heard = {0};
	struct client client;
	uint32_t tx;

	(void)state;
	store_limits_default(&limits);
	assert_int_equal(store_create(&limits, &ops, &heard, &heard.store), 0);
	client_open(&client, heard.store, 0);
	client_ask(&client, XS_WRITE, 0, "/a/b|1");
	client_ask(&client, XS_WRITE, 0, "/a/b|2");
	client_ask(&client, XS_SET_PERMS, 0, "/a/b|r0|");
	client_ask(&client, XS_RM, 0, "/a|");
	assert_string_equal(heard.text, "/a;/a/b;/a/b;/a gone;");
	heard.text[0] = '\0';
	tx = client_begin(&client);
	client_ask(&client, XS_WRITE, tx, "/c/d|1");
	assert_string_equal(heard.text, "");
	client_ask(&client, XS_TRANSACTION_END, tx, "T|");
	assert_string_equal(heard.text, "/c;/c/d;");
	client_close(&client);
	store_destroy(heard.store);
}

static int collect(void *data, const char *name)
{
	strcat(strcat(data, name), ",");
	return strcmp(name, "stop") == 0 ? 7 : 0;
}

static void the_embedding_program_has_its_own_access(void **state)
{
	struct fixture *fix = *state;
	struct store_perm perms[2] = {{1, 'n'}, {2, 'r'}};
	char names[64] = "";
	size_t len;

	assert_int_equal(store_write(fix->store, "/e/x", "abc", 3, perms, 2), 0);
	assert_string_equal(store_read(fix->store, "/e/x", &len), "abc");
	assert_int_equal(len, 3);
	assert_reply(&fix->dom0, XS_GET_PERMS, 0, "/e/x|", "n1|r2|");
	assert_int_equal(store_printf(fix->store, "/e/y", "%d", 42), 0);
	assert_string_equal(store_read(fix->store, "/e/y", NULL), "42");
	assert_int_equal(store_printf(fix->store, "/e/stop", "."), 0);
	assert_int_equal(store_children(fix->store, "/e", collect, names), 7);
	assert_string_equal(names, "x,y,stop,");
	assert_int_equal(store_children(fix->store, "/none", collect, names), -ENOENT);
	assert_int_equal(store_rm(fix->store, "/e"), 0);
	assert_int_equal(store_rm(fix->store, "/e"), -ENOENT);
	assert_null(store_read(fix->store, "/e/x", NULL));
	assert_int_equal(store_write(fix->store, "relative", "", 0, NULL, 0), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_written_value_is_read_back),
		TEST(a_value_may_hold_any_byte),
		TEST(a_new_store_has_the_nodes_of_xenstored),
		TEST(relative_paths_mean_the_home_of_the_domain),
		TEST(directory_lists_children_in_the_order_of_creation),
		TEST(mkdir_keeps_an_existing_value),
		TEST(rm_removes_the_children_too),
		TEST(rm_of_a_missing_node_needs_only_its_parent),
		TEST(names_that_are_not_allowed_are_EINVAL),
		TEST(paths_have_a_greatest_length),
		TEST(the_deepest_path_works),
		TEST(malformed_payloads_are_EINVAL),
		TEST(unknown_operations_are_ENOSYS),
		TEST(a_directory_too_long_for_a_message_is_E2BIG),
		TEST(directory_part_pages_through_a_long_directory),
		TEST(directory_part_shows_by_its_generation_that_the_list_changed),
		TEST(domain_requests_have_the_replies_of_xenstored),
		TEST(privileged_requests_of_guests_are_EACCES),
		TEST(control_reports_quotas_and_counts),
		TEST(the_hook_hears_of_every_change_when_it_is_complete),
		TEST(the_embedding_program_has_its_own_access),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
