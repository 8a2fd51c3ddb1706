/* SPDX-License-Identifier: MIT */
/* The kept part of the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/control_server.h"
#include "hypervisor/dmesg.h"

/* main.c's, which the rest of the hypervisor asks for. */
void hypervisor_shutdown(struct hypervisor *hv, const char *reason)
{
	(void)hv;
	(void)reason;
}

static char *text_of(const struct dmesg *dmesg)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	dmesg_print(dmesg, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void expect(const struct dmesg *dmesg, const char *wanted)
{
	char *text = text_of(dmesg);

	assert_string_equal(text, wanted);
	free(text);
}

static void it_keeps_lines_in_order_and_forgets_when_told(void **state)
{
	static struct dmesg dmesg;

	(void)state;
	expect(&dmesg, "");
	dmesg_add(&dmesg, "one\n", 4);
	dmesg_add(&dmesg, "two\n", 4);
	expect(&dmesg, "one\ntwo\n");
	dmesg_clear(&dmesg);
	expect(&dmesg, "");
	dmesg_add(&dmesg, "three\n", 6);
	expect(&dmesg, "three\n");
}

static void it_gives_up_the_oldest_lines_whole(void **state)
{
	static struct dmesg dmesg;
	char line[64], *text, *at;
	unsigned int first, nr = 0;

	(void)state;
	for (unsigned int i = 0; i < 100000; i++) {
		int len = snprintf(line, sizeof(line), "%u %.*s\n", i, (int)(i % 40),
			"----------------------------------------");

		dmesg_add(&dmesg, line, (size_t)len);
		assert_true(dmesg.len <= DMESG_SIZE);
	}
	/* What is there is the last lines, without a gap, and nearly as much as there can be. */
	text = text_of(&dmesg);
	assert_true(strlen(text) == dmesg.len && dmesg.len > DMESG_SIZE - sizeof(line));
	first = (unsigned int)strtoul(text, NULL, 10);
	for (at = text; *at; at = strchr(at, '\n') + 1)
		assert_int_equal(strtoul(at, NULL, 10), first + nr++);
	assert_int_equal(first + nr, 100000);
	free(text);
}

static void a_line_that_is_too_long_changes_nothing(void **state)
{
	static struct dmesg dmesg;
	static char line[DMESG_SIZE + 1];

	(void)state;
	memset(line, 'x', sizeof(line));
	dmesg_add(&dmesg, "one\n", 4);
	dmesg_add(&dmesg, line, sizeof(line));
	expect(&dmesg, "one\n");
	/* One that just fits takes all the room. */
	line[DMESG_SIZE - 1] = '\n';
	dmesg_add(&dmesg, line, DMESG_SIZE);
	assert_int_equal(dmesg.len, DMESG_SIZE);
	dmesg_add(&dmesg, "two\n", 4);
	expect(&dmesg, "two\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_keeps_lines_in_order_and_forgets_when_told),
		cmocka_unit_test(it_gives_up_the_oldest_lines_whole),
		cmocka_unit_test(a_line_that_is_too_long_changes_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
