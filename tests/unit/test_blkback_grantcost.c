/* SPDX-License-Identifier: MIT */
/* The choice between mapping and copying, by made-up costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "blkback/grantcost.h"

#define LARGE (GRANTCOST_SMALL_PAGES + 1)

/* Lets so many requests choose and pay. Returns how many were copied. */
static unsigned int run(struct grantcost *cost, unsigned int nr, unsigned int nr_pages,
	uint64_t map_ns, uint64_t copy_ns)
{
	unsigned int nr_copied = 0;

	for (unsigned int i = 0; i < nr; i++) {
		enum grant_mode mode = grantcost_choose(cost, nr_pages);

		assert_true(mode == GRANT_MAP || mode == GRANT_COPY);
		nr_copied += mode == GRANT_COPY;
		grantcost_learn(cost, mode, nr_pages, mode == GRANT_COPY ? copy_ns : map_ns);
	}
	return nr_copied;
}

static void both_are_tried_first(void **state)
{
	struct grantcost cost = {0};

	(void)state;
	assert_int_equal(run(&cost, GRANTCOST_TRIALS, 1, 1, 1000), GRANTCOST_TRIALS / 2);
}

static void the_cheaper_is_used(void **state)
{
	struct grantcost copy = {0}, map = {0};

	(void)state;
	run(&copy, GRANTCOST_TRIALS, 1, 2000, 1000);
	assert_int_equal(run(&copy, 1000, 1, 2000, 1000), 1000);
	run(&map, GRANTCOST_TRIALS, 1, 1000, 2000);
	assert_int_equal(run(&map, 1000, 1, 1000, 2000), 0);
}

static void small_and_large_are_judged_apart(void **state)
{
	struct grantcost cost = {0};

	(void)state;
	run(&cost, GRANTCOST_TRIALS, GRANTCOST_SMALL_PAGES, 4000, 2000);
	run(&cost, GRANTCOST_TRIALS, LARGE, 5000, 50000);
	assert_int_equal(run(&cost, 100, GRANTCOST_SMALL_PAGES, 4000, 2000), 100);
	assert_int_equal(run(&cost, 100, 1, 1000, 500), 100);
	assert_int_equal(run(&cost, 100, LARGE, 5000, 50000), 0);
	assert_int_equal(run(&cost, 100, 256, 256000, 25600000), 0);
}

static void a_change_is_noticed(void **state)
{
	struct grantcost cost = {0};

	(void)state;
	run(&cost, GRANTCOST_PERIOD, 1, 1000, 2000);
	assert_int_equal(run(&cost, GRANTCOST_TRIALS, 1, 1000, 100), GRANTCOST_TRIALS / 2);
	assert_int_equal(run(&cost, 1000, 1, 1000, 100), 1000);
}

/* The first of each pays for what is done once; later, somebody took the processor away. */
static void outliers_do_not_decide(void **state)
{
	struct grantcost cost = {0};

	(void)state;
	run(&cost, 2, 1, 100000, 1000000);
	run(&cost, GRANTCOST_TRIALS - 2, 1, 2000, 1000);
	assert_int_equal(run(&cost, 100, 1, 2000, 1000), 100);
	run(&cost, 1, 1, 2000, 10000000);
	run(&cost, 20, 1, 2000, 1000);
	assert_int_equal(run(&cost, 100, 1, 2000, 1000), 100);
}

/* Requests that fail teach nothing: both go on being tried. */
static void without_figures_both_are_tried(void **state)
{
	struct grantcost cost = {0};
	unsigned int nr_copied = 0;

	(void)state;
	for (unsigned int i = 0; i < 1000; i++) {
		bool copied = grantcost_choose(&cost, 1) == GRANT_COPY;

		nr_copied += copied;
		if (copied)
			grantcost_learn(&cost, GRANT_COPY, 1, 1);
	}
	assert_int_equal(nr_copied, 500);
}

static void figures_do_not_overflow(void **state)
{
	struct grantcost cost = {0};

	(void)state;
	for (unsigned int i = 0; i < 100; i++)
		grantcost_learn(&cost, GRANT_MAP, 1, UINT64_MAX / 2);
	grantcost_learn(&cost, GRANT_COPY, 1, 0);
	run(&cost, GRANTCOST_TRIALS, 1, UINT64_MAX / 2, 0);
	assert_int_equal(run(&cost, 100, 1, UINT64_MAX / 2, 0), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_are_tried_first),
		cmocka_unit_test(the_cheaper_is_used),
		cmocka_unit_test(small_and_large_are_judged_apart),
		cmocka_unit_test(a_change_is_noticed),
		cmocka_unit_test(outliers_do_not_decide),
		cmocka_unit_test(without_figures_both_are_tried),
		cmocka_unit_test(figures_do_not_overflow),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
