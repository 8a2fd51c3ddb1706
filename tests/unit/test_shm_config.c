/* SPDX-License-Identifier: MIT */
/* Shared memory areas as users write them, and as the control protocol has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "toolstack/shm_config.h"
#include "toolstack/shm_line.h"

static char error[SHM_ERROR_SIZE];

static int add_range(struct shm_config *config, const char *text)
{
	return shm_config_add_range(config, text, error, sizeof(error));
}

static int add(struct shm_config *config, const char *text)
{
	return shm_config_add(config, text, error, sizeof(error));
}

static void assert_says(const char *part)
{
	if (!strstr(error, part))
		fail_msg("'%s' is not in: %s", part, error);
}

/* It is refused, says why, and adds nothing. */
static void refuse_range(struct shm_config *config, const char *text, int rc, const char *part)
{
	unsigned int nr = config->nr_specs;

	assert_int_equal(add_range(config, text), rc);
	assert_says(part);
	assert_int_equal(config->nr_specs, nr);
}

static void refuse(struct shm_config *config, const char *text, int rc, const char *part)
{
	unsigned int nr = config->nr_specs;

	assert_int_equal(add(config, text), rc);
	assert_says(part);
	assert_int_equal(config->nr_specs, nr);
}

static void assert_spec(const struct shm_spec *spec, uint32_t id, uint64_t begin, uint64_t size)
{
	assert_int_equal(spec->id, id);
	assert_int_equal(spec->begin, begin);
	assert_int_equal(spec->size, size);
	assert_int_equal(spec->offset, 0);
	assert_true(spec->writable);
	assert_int_equal(spec->role, SHM_FIRST_OWNS);
}

static void test_ranges(void **state)
{
	struct shm_config config = {0};

	(void)state;
	assert_int_equal(add_range(&config, "0x50000000-0x50001000 = 1"), 0);
	assert_int_equal(add_range(&config, "1610612736-1610620928=4294967295"), 0);
	assert_int_equal(add_range(&config, " \t0X70000000 , 0x2000\t=  0x10 "), 0);
	assert_int_equal(add_range(&config, "0x70002000,4096=0"), 0);
	assert_int_equal(config.nr_specs, 4);
	assert_spec(&config.specs[0], 1, 0x50000000, 0x1000);
	assert_spec(&config.specs[1], UINT32_MAX, 0x60000000, 0x2000);
	assert_spec(&config.specs[2], 16, 0x70000000, 0x2000);
	assert_spec(&config.specs[3], 0, 0x70002000, 0x1000);
}

static void test_ranges_with_bad_syntax(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {{"", "there is no '= ID'"}, {"0x1000-0x2000", "there is no '= ID'"},
		{"0x10000-0x20000=", "the id '' is not a number"},
		{"0x10000-0x20000=ID1", "the id 'ID1' is not a number"},
		{"0x10000-0x20000=-1", "the id '-1' is not a number"},
		{"0x10000-0x20000=1 2", "the id '1 2' is not a number"},
		{"0x10000-0x20000=1=2", "the id '1=2' is not a number"},
		{"0x10000-0x20000=4294967296", "the id '4294967296' is too large"},
		{"0x10000 = 1", "'0x10000' is no range"}, {"= 1", "'' is no range"},
		{"-0x20000 = 1", "the beginning '' is not a number"},
		{"0x10000- = 1", "the end '' is not a number"},
		{"0x10000, = 1", "the size '' is not a number"},
		{"0x10000-0x20000-0x30000 = 1", "the end '0x20000-0x30000' is not a number"},
		{"10000h-20000h = 1", "the beginning '10000h' is not a number"},
		{"0x-0x20000 = 1", "the beginning '0x' is not a number"},
		{"0x10000-0x2000g = 1", "the end '0x2000g' is not a number"},
		{"0x+1000-0x20000 = 1", "the beginning '0x+1000' is not a number"},
		{"0x10000000000000000-0x20000 = 1", "the beginning '0x10000000000000000' is too large"},
		{"0x10000,18446744073709551616 = 1", "is too large"}};
	struct shm_config config = {0};
	char text[400];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuse_range(&config, bad[i].text, -EINVAL, bad[i].says);
	memset(text, ' ', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	refuse_range(&config, text, -EINVAL, "too long");
}

static void test_ranges_that_no_program_can_have(void **state)
{
	struct shm_config config = {0};

	(void)state;
	refuse_range(&config, "0x50000800-0x50002000 = 1", -EINVAL, "begin 0x50000800 is not a multiple");
	refuse_range(&config, "0x50000000-0x50000800 = 1", -EINVAL, "the end is not a multiple");
	refuse_range(&config, "0x50000000,1 = 1", -EINVAL, "size 0x1 is not a multiple");
	refuse_range(&config, "0x50000000-0x50000000 = 1", -EINVAL, "the range is empty");
	refuse_range(&config, "0x50000000,0 = 1", -EINVAL, "the range is empty");
	refuse_range(&config, "0x50001000-0x50000000 = 1", -EINVAL, "the range is reversed");
	refuse_range(&config, "0-0x1000 = 1", -ERANGE, "not within the addresses");
	refuse_range(&config, "0xf000-0x11000 = 1", -ERANGE, "not within the addresses");
	refuse_range(&config, "0x7fffffffe000-0x800000000000 = 1", -ERANGE, "not within");
	refuse_range(&config, "0xfffffffffffff000,0x1000 = 1", -ERANGE, "not within");
	refuse_range(&config, "0x50000000,0xfffffffffffff000 = 1", -ERANGE, "not within");
	assert_int_equal(add_range(&config, "0x10000-0x11000 = 1"), 0);
	assert_int_equal(add_range(&config, "0x7fffffffe000-0x7ffffffff000 = 2"), 0);
}

static void test_areas_of_one_domain_that_exclude_each_other(void **state)
{
	struct shm_config config = {0};

	(void)state;
	assert_int_equal(add_range(&config, "0x50002000-0x50004000 = 1"), 0);
	refuse_range(&config, "0x60000000-0x60001000 = 1", -EEXIST, "area 1 is named twice");
	refuse_range(&config, "0x50003000-0x50005000 = 2", -EEXIST, "overlaps area 1");
	refuse_range(&config, "0x50001000-0x50003000 = 2", -EEXIST, "overlaps area 1");
	refuse_range(&config, "0x50001000-0x50009000 = 2", -EEXIST, "overlaps area 1");
	refuse_range(&config, "0x50002000-0x50003000 = 2", -EEXIST,
		"area 2 (0x50002000-0x50003000) overlaps area 1 (0x50002000-0x50004000)");
	refuse(&config, "id=2, begin=0x50003000, size=0x1000, role=owner", -EEXIST, "overlaps area 1");
	/* Neighbours are no overlap. */
	assert_int_equal(add_range(&config, "0x50001000-0x50002000 = 2"), 0);
	assert_int_equal(add_range(&config, "0x50004000-0x50005000 = 3"), 0);
}

static void test_too_many_areas(void **state)
{
	struct shm_config config = {0};
	char text[80];

	(void)state;
	for (unsigned int i = 0; i < SHM_PER_DOMAIN_MAX; i++) {
		snprintf(text, sizeof(text), "0x%x,0x1000 = %u", 0x50000000 + i * 0x1000, i);
		assert_int_equal(add_range(&config, text), 0);
	}
	refuse_range(&config, "0x60000000,0x1000 = 1000", -E2BIG, "at most 64 shared areas");
}

static void test_explicit_form(void **state)
{
	struct shm_config config = {0};
	const struct shm_spec *spec = config.specs;

	(void)state;
	assert_int_equal(add(&config, "id=1, begin=0x50000000, size=0x4000, role=owner"), 0);
	assert_int_equal(add(&config, "id=2,begin=0x60000000,size=8192,role=owner,prot=ro"), 0);
	assert_int_equal(add(&config, "prot=ro , offset = 0x1000, role=borrower, size=0x1000,"
				      "begin=0x70000000 ,id=0x3"), 0);
	assert_int_equal(config.nr_specs, 3);
	assert_true(spec[0].role == SHM_OWNER && spec[0].writable && spec[0].size == 0x4000);
	assert_true(spec[1].role == SHM_OWNER && !spec[1].writable && spec[1].size == 8192);
	assert_true(spec[2].role == SHM_BORROWER && !spec[2].writable && spec[2].offset == 0x1000);
	assert_true(spec[2].id == 3 && spec[2].begin == 0x70000000 && spec[2].size == 0x1000);
}

static void test_explicit_form_with_errors(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {{"", "'' is not KEY=VALUE"}, {"id", "'id' is not KEY=VALUE"},
		{"id=1, begin=0x50000000, size=0x1000", "role= is missing"},
		{"id=1, begin=0x50000000, role=owner", "size= is missing"},
		{"id=1, size=0x1000, role=owner", "begin= is missing"},
		{"begin=0x50000000, size=0x1000, role=owner", "id= is missing"},
		{"id=1, begin=0x50000000, size=0x1000, role=master", "not 'master'"},
		{"id=1, begin=0x50000000, size=0x1000, role=owner, prot=rwx", "not 'rwx'"},
		{"id=1, begin=0x50000000, size=0x1000, role=owner, id=1", "id is there twice"},
		{"id=1, begin=0x50000000, size=0x1000, role=owner, sise=1", "there is no key 'sise'"},
		{"id=1, begin=0x50000000, size=0x1000, role=owner,", "'' is not KEY=VALUE"},
		{"id=x, begin=0x50000000, size=0x1000, role=owner", "id 'x' is not a number"},
		{"id=1, begin=0x50000000, size=0x1000, role=owner, offset=0x1000",
			"only a borrower has an offset"},
		{"id=1, begin=0x50000000, size=0x1000, role=borrower, offset=0x10",
			"offset 0x10 is not a multiple"}};
	struct shm_config config = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuse(&config, bad[i].text, -EINVAL, bad[i].says);
}

static void test_words_of_the_protocol(void **state)
{
	static const char *const bad[] = {"", "1", "1,owner,rw,65536,4096", "1,owner,rw,65536,4096,0,0",
		"1,owner,rx,65536,4096,0", "1,both,rw,65536,4096,0", "-1,owner,rw,65536,4096,0",
		"1,owner,rw,0x10000,4096,0", "4294967296,owner,rw,65536,4096,0", ",,,,,"};
	const struct shm_spec largest = {UINT32_MAX, SHM_BORROWER, true, UINT64_MAX, UINT64_MAX,
		UINT64_MAX};
	char text[SHM_WORD_SIZE];
	struct shm_spec spec;

	(void)state;
	shm_spec_print(&largest, text, sizeof(text));
	memset(&spec, 0, sizeof(spec));
	assert_int_equal(shm_spec_parse(text, &spec), 0);
	assert_true(spec.id == UINT32_MAX && spec.role == SHM_BORROWER && spec.writable);
	assert_true(spec.begin == UINT64_MAX && spec.size == UINT64_MAX && spec.offset == UINT64_MAX);
	assert_int_equal(shm_spec_parse("7,any,ro,65536,4096,8192", &spec), 0);
	assert_true(spec.id == 7 && spec.role == SHM_FIRST_OWNS && !spec.writable);
	assert_true(spec.begin == 65536 && spec.size == 4096 && spec.offset == 8192);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(shm_spec_parse(bad[i], &spec), -EINVAL);
}

static void test_lines_of_the_list(void **state)
{
	struct shm_line line;

	(void)state;
	assert_true(shm_line_parse("id=7 size=8192 owner=1 domid=2 name=vm2 begin=65536 length=4096 "
				   "offset=4096 role=borrower prot=ro", &line));
	assert_true(line.id == 7 && line.size == 8192 && line.owner == 1 && line.domid == 2);
	assert_true(line.begin == 65536 && line.length == 4096 && line.offset == 4096);
	assert_string_equal(line.name, "vm2");
	assert_string_equal(line.role, "borrower");
	assert_string_equal(line.prot, "ro");
	assert_false(shm_line_parse("id=7 size=8192 owner=1 domid=2", &line));
	assert_false(shm_line_parse("", &line));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_ranges_with_bad_syntax),
		cmocka_unit_test(test_ranges_that_no_program_can_have),
		cmocka_unit_test(test_areas_of_one_domain_that_exclude_each_other),
		cmocka_unit_test(test_too_many_areas),
		cmocka_unit_test(test_explicit_form),
		cmocka_unit_test(test_explicit_form_with_errors),
		cmocka_unit_test(test_words_of_the_protocol),
		cmocka_unit_test(test_lines_of_the_list),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("shared areas as users write them", tests, NULL, NULL);
}
