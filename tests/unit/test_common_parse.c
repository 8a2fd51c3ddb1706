/* SPDX-License-Identifier: MIT */
/* Numbers that users type, the runtime directory, and the rate limit of messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/parse.h"
#include "common/rundir.h"

static void test_numbers(void **state)
{
	static const char *const bad[] = {
		"", " 1", "1 ", "+1", "-1", "0x10", "1e3", "a", "1.0", "\n"};
	uint64_t v = 42;

	(void)state;
	assert_int_equal(parse_u64("18446744073709551615", 0, UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(parse_u64("007", 0, 10, &v), 0);
	assert_int_equal(v, 7);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_u64(bad[i], 0, 10, &v), -EINVAL);
	assert_int_equal(parse_u64("11", 0, 10, &v), -ERANGE);
	assert_int_equal(parse_u64("1", 2, 10, &v), -ERANGE);
	assert_int_equal(parse_u64("18446744073709551616", 0, UINT64_MAX, &v), -ERANGE);
	assert_int_equal(v, 7);
}

static void test_sizes(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_int_equal(parse_size("512", &v), 0);
	assert_int_equal(v, 512);
	assert_int_equal(parse_size("3k", &v), 0);
	assert_int_equal(v, 3072);
	assert_int_equal(parse_size("2T", &v), 0);
	assert_true(v == UINT64_C(2) << 40);
	assert_int_equal(parse_size("16777216T", &v), -ERANGE);
	assert_int_equal(parse_size("1KB", &v), -EINVAL);
	assert_int_equal(parse_size("K", &v), -EINVAL);
	assert_int_equal(parse_size("1P", &v), -EINVAL);
}

static void test_percentages(void **state)
{
	static const struct {
		const char *text;
		uint32_t ppm;
	} good[] = {{"1%", 10000}, {"0.5%", 5000}, {"0%", 0}, {"100%", 1000000}, {"100.0%", 1000000},
		{"0.0001%", 1}, {"12.34%", 123400}, {"007.25%", 72500}};
	static const char *const bad[] = {"", "%", "1", "1 %", "1%%", ".5%", "1.%", "-1%", "+1%",
		"1,5%", "1e1%", "1.00001%", "1%x", " 1%"};
	uint32_t ppm = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_percent(bad[i], &ppm), -EINVAL);
	assert_int_equal(parse_percent("101%", &ppm), -ERANGE);
	assert_int_equal(parse_percent("100.0001%", &ppm), -ERANGE);
	assert_int_equal(parse_percent("18446744073709551616%", &ppm), -ERANGE);
	assert_int_equal(ppm, 42);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(parse_percent(good[i].text, &ppm), 0);
		assert_int_equal(ppm, good[i].ppm);
	}
}

static void test_runtime_directory_path(void **state)
{
	char path[PATH_MAX], cwd[PATH_MAX];

	(void)state;
	setenv("RINGFENCE_RUN", "/some/where", 1);
	assert_int_equal(rundir_path(path, sizeof(path)), 0);
	assert_string_equal(path, "/some/where");
	assert_int_equal(rundir_path(path, 5), -ENAMETOOLONG);
	setenv("RINGFENCE_RUN", "here", 1);
	assert_int_equal(rundir_path(path, sizeof(path)), 0);
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_memory_equal(path, cwd, strlen(cwd));
	assert_string_equal(path + strlen(cwd), "/here");
	setenv("RINGFENCE_RUN", "", 1);
	assert_int_equal(rundir_path(path, sizeof(path)), 0);
	assert_true(path[0] == '/');
}

static void test_runtime_directory_is_ours_alone(void **state)
{
	char dir[] = "/tmp/rf-unit.XXXXXX", sub[64], link_path[64];
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/run", dir);
	assert_int_equal(rundir_prepare(sub), 0);
	assert_int_equal(rundir_prepare(sub), 0);
	assert_int_equal(stat(sub, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(chmod(sub, 0755), 0);
	assert_int_equal(rundir_prepare(sub), 0);
	assert_int_equal(chmod(sub, 0720), 0);
	assert_int_equal(rundir_prepare(sub), -EPERM);
	assert_int_equal(chmod(sub, 0702), 0);
	assert_int_equal(rundir_prepare(sub), -EPERM);
	snprintf(link_path, sizeof(link_path), "%s/link", dir);
	assert_int_equal(symlink("run", link_path), 0);
	assert_int_equal(rundir_prepare(link_path), -ENOTDIR);
	assert_int_equal(unlink(link_path), 0);
	assert_int_equal(rmdir(sub), 0);
	snprintf(sub, sizeof(sub), "%s/a/b", dir);
	assert_int_equal(rundir_prepare(sub), -ENOENT);
	assert_int_equal(rmdir(dir), 0);
}

static void test_messages_are_limited(void **state)
{
	struct ratelimit rl = {0};
	unsigned int passed = 0;

	(void)state;
	log_setup("test", LOG_ERROR);
	for (int i = 0; i < 1000; i++)
		passed += ratelimit_pass(&rl, 5, UINT64_C(3600) * 1000000000);
	assert_int_equal(passed, 5);
	assert_int_equal(rl.nr_suppressed, 995);
	assert_true(ratelimit_pass(&rl, 5, 0)); /* the next interval */
	assert_int_equal(rl.nr_suppressed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_percentages),
		cmocka_unit_test(test_runtime_directory_path),
		cmocka_unit_test(test_runtime_directory_is_ours_alone),
		cmocka_unit_test(test_messages_are_limited),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("common: parse", tests, NULL, NULL);
}
