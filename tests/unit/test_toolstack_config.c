/* SPDX-License-Identifier: MIT */
/*
 * Configuration texts: the keys that are found in a text are those that libxlutil has read from it;
 * and values with a syntax of their own. config.bats has whole files and what is said about them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <libxlutil.h>

#include "toolstack/config.h"
#include "toolstack/config_keys.h"

/* ---- keys ---- */

/* Pieces of texts, some whole settings, some parts of what would break them. */
static const char *const pieces[] = {"a = 1\n", "b='x'\n", "c=[ 'd = 1', \"e\", # f = 1\n 2 ]\n",
	"g+='h'\n", "i=\"j=\\\"k=1\"; l=0x1f\n", "# m=1 'n=\n", "\n", ";", "o = [ ]\n",
	"p=[\n\n'#q=1'\n]\n", "r1_s=12abc\n",
	"t='\\\\'", "u='\\''\n", "a", "=", "+=", "[", "]", "'", "\"", "\\", "#", " ", ",", "1", "v w=1\n"};

#define NR_PIECES (sizeof(pieces) / sizeof(pieces[0]))
#define NR_TEXTS 20000
#define TEXT_SIZE 512

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void make_text(uint32_t *state, char *text)
{
	unsigned int nr = 1 + next_random(state) % 8;

	*text = '\0';
	for (unsigned int i = 0; i < nr; i++)
		strcat(text, pieces[next_random(state) % NR_PIECES]);
	strcat(text, "\n");
}

static bool was_read(XLU_Config *xlu, const char *key)
{
	const char *value;

	return xlu_cfg_get_string(xlu, key, &value, 1) == 0 ||
		xlu_cfg_get_list(xlu, key, NULL, NULL, 1) == 0;
}

static bool was_found(const struct config_key *keys, unsigned int nr_keys, const char *name)
{
	for (unsigned int i = 0; i < nr_keys; i++) {
		if (strcmp(keys[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Every word that the pieces could make a key of, found or not, is judged the same. */
static void compare(XLU_Config *xlu, const char *text)
{
	static const char *const words[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l",
		"m", "n", "o", "p", "q", "r1_s", "t", "u", "v", "w", "x", "aa", "va", "abc", "x1f"};
	struct config_key *keys;
	unsigned int nr_keys;

	assert_int_equal(config_keys_find(text, &keys, &nr_keys), 0);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (was_read(xlu, words[i]) != was_found(keys, nr_keys, words[i]))
			fail_msg("libxlutil and we differ about '%s' in:\n%s", words[i], text);
	}
	for (unsigned int i = 0; i < nr_keys; i++) {
		if (!was_read(xlu, keys[i].name))
			fail_msg("libxlutil has no '%s' in:\n%s", keys[i].name, text);
	}
	free(keys);
}

static void keys_are_those_that_libxlutil_has(void **test)
{
	FILE *nowhere = fopen("/dev/null", "w");
	unsigned int nr_accepted = 0;
	char text[TEXT_SIZE];
	uint32_t state = 1;
	XLU_Config *xlu;

	(void)test;
	assert_non_null(nowhere);
	for (unsigned int i = 0; i < NR_TEXTS; i++) {
		make_text(&state, text);
		xlu = xlu_cfg_init(nowhere, "text");
		assert_non_null(xlu);
		if (xlu_cfg_readdata(xlu, text, (int)strlen(text)) == 0) {
			nr_accepted++;
			compare(xlu, text);
		}
		xlu_cfg_destroy(xlu);
	}
	fclose(nowhere);
	/* Enough of both kinds. */
	assert_in_range(nr_accepted, NR_TEXTS / 20, NR_TEXTS - NR_TEXTS / 20);
}

static void lines_of_keys(void **test)
{
	static const char text[] = "a=1\n# b=1\nc=[ 'x',\n 'y'\n]; d=2\n\ne='\\\\'\na+='2'\n";
	static const struct config_key expected[] = {
		{"a", 1}, {"c", 3}, {"d", 5}, {"e", 7}, {"a", 8}};
	struct config_key *keys;
	unsigned int nr_keys;

	(void)test;
	assert_int_equal(config_keys_find(text, &keys, &nr_keys), 0);
	assert_int_equal(nr_keys, 5);
	for (unsigned int i = 0; i < nr_keys; i++) {
		assert_string_equal(keys[i].name, expected[i].name);
		assert_int_equal(keys[i].line, expected[i].line);
	}
	free(keys);
}

static void distances(void **test)
{
	(void)test;
	assert_int_equal(config_keys_distance("memory", "memory"), 0);
	assert_int_equal(config_keys_distance("memroy", "memory"), 1);
	assert_int_equal(config_keys_distance("mmory", "memory"), 1);
	assert_int_equal(config_keys_distance("memoryy", "memory"), 1);
	assert_int_equal(config_keys_distance("nemory", "memory"), 1);
	assert_int_equal(config_keys_distance("", "disk"), 4);
	assert_int_equal(config_keys_distance("disk", ""), 4);
	assert_int_equal(config_keys_distance("abcdefghijklmnopqrstuvwxyzabcdefghij",
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnop"), 0);
}

/* ---- values ---- */

static void splits_into(const char *text, const char *joined)
{
	char **words, all[128] = "";
	unsigned int nr;

	assert_int_equal(config_split_words(text, &words, &nr), 0);
	for (unsigned int i = 0; i < nr; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "<%s>", words[i]);
	assert_null(words[nr]);
	assert_string_equal(all, joined);
	config_free_words(words);
}

static void words_of_arguments(void **test)
{
	static const char *const bad[] = {"'", "\"", "a 'b", "a\"b c", "'a\\'b'", "\"\\\""};
	char **words;
	unsigned int nr;

	(void)test;
	splits_into("", "");
	splits_into(" \t\n ", "");
	splits_into("a", "<a>");
	splits_into(" a  b\tc\n", "<a><b><c>");
	splits_into("'a b' \"c d\"", "<a b><c d>");
	splits_into("''", "<>");
	splits_into("a'b'\"c\"d", "<abcd>");
	splits_into("\"it's\" 'say \"x\"'", "<it's><say \"x\">");
	splits_into("a\\ b \\' \"\\\"\" '\\'", "<a b><'><\"><\\>");
	splits_into("a\\", "<a\\>");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(config_split_words(bad[i], &words, &nr), -EINVAL);
}

static void sets_of_cpus(void **test)
{
	static const char *const bad[] = {
		"", ",", "1,", "-1", "1-", "2-1", "1024", "0x1", "all-", "^", "1 2-3"};
	cpu_set_t cpus;

	(void)test;
	assert_int_equal(config_parse_cpus("3", &cpus), 0);
	assert_int_equal(CPU_COUNT(&cpus), 1);
	assert_true(CPU_ISSET(3, &cpus));
	assert_int_equal(config_parse_cpus("0-3,^1-2, 1023", &cpus), 0);
	assert_int_equal(CPU_COUNT(&cpus), 3);
	assert_true(CPU_ISSET(0, &cpus) && CPU_ISSET(3, &cpus) && CPU_ISSET(1023, &cpus));
	assert_int_equal(config_parse_cpus("all,^7", &cpus), 0);
	assert_int_equal(CPU_COUNT(&cpus), CPU_SETSIZE - 1);
	assert_int_equal(config_parse_cpus("^1,1", &cpus), 0);
	assert_int_equal(CPU_COUNT(&cpus), 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(config_parse_cpus(bad[i], &cpus), -EINVAL);
}

static void disks(void **test)
{
	static const char *const bad[] = {"", ",", "vdev=xvda", "backend=d", "weight=3",
		"vdev=xvda,backend=d,target=", "vdev=,backend=d,target=null:1M",
		"vdev=xvda,backend=,target=null:1M",
		"vdev=xvda,backend=d,weight,target=null:1M", "vdev=xvdA,backend=d,target=null:1M",
		"vdev=xvda,vdev=xvdb,backend=d,target=null:1M", "vdev=xvda,backend=d,nonsense=1,target=null:1M"};
	struct disk_config disk;
	char *why;

	(void)test;
	assert_int_equal(config_parse_disk(
		"weight=7,vdev=xvdc,backend=d,target=null:1M,weight=9", &disk, &why), 0);
	assert_int_equal(disk.weight, 7);
	assert_string_equal(disk.target, "null:1M,weight=9");
	assert_string_equal(disk.vdev, "xvdc");
	assert_string_equal(disk.backend, "d");
	assert_true(disk.writable);
	config_free_disk(&disk);
	assert_int_equal(config_parse_disk("null:1M,raw,xvda,r,backend=d,bps=1K", &disk, &why), 0);
	assert_false(disk.writable);
	assert_int_equal(disk.bps, 1024);
	config_free_disk(&disk);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (config_parse_disk(bad[i], &disk, &why) == 0)
			fail_msg("'%s' was accepted", bad[i]);
		assert_non_null(why);
		assert_null(disk.target);
		free(why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_those_that_libxlutil_has),
		cmocka_unit_test(lines_of_keys),
		cmocka_unit_test(distances),
		cmocka_unit_test(words_of_arguments),
		cmocka_unit_test(sets_of_cpus),
		cmocka_unit_test(disks),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("configuration texts", tests, NULL, NULL);
}
