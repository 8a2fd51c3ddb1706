/* SPDX-License-Identifier: MIT */
/* Rate limits, on a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "blkback/limit.h"
#include "common/clock.h"

#define START (1000 * NSEC_PER_SEC)

/* Takes as much as there is to be had, looking every step_ns; units taken in duration_ns. */
static uint64_t take_all(struct limit *limit, uint64_t start, uint64_t duration_ns,
	uint64_t step_ns, uint64_t units)
{
	uint64_t taken = 0;

	for (uint64_t now = start; now < start + duration_ns; now += step_ns) {
		while (limit_due(limit) <= now) {
			limit_charge(limit, units, now);
			taken += units;
		}
	}
	return taken;
}

static void assert_near(uint64_t value, uint64_t wanted, unsigned int percent)
{
	assert_in_range(value, wanted - wanted * percent / 100, wanted + wanted * percent / 100);
}

static void the_rate_is_kept_whatever_the_size_of_requests(void **state)
{
	static const uint64_t rates[] = {1, 100, 12345, 1000000, 500000000};
	static const uint64_t sizes[] = {1, 512, 4096, 1048576};

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		for (unsigned int k = 0; k < 4; k++) {
			struct limit limit = {0};
			/* Long enough for a thousand requests, and for a million of small ones. */
			uint64_t million = sizes[k] * 1000000 < rates[i] * 10
				? sizes[k] * 1000000 * NSEC_PER_SEC / rates[i] : 10 * NSEC_PER_SEC;
			uint64_t duration = sizes[k] * 1000 / rates[i] * NSEC_PER_SEC + million;
			uint64_t units = rates[i] * duration / NSEC_PER_SEC;

			/* One request never costs more than an hour. */
			if (sizes[k] / rates[i] > 3600)
				continue;
			/* Between two of the 20 000 looks a burst of what comes in that time. */
			limit_set(&limit, rates[i], units / 20000 + 1);
			assert_near(take_all(&limit, START, duration, duration / 20000, sizes[k]),
				units, 2);
		}
	}
}

static void a_late_look_loses_nothing_within_the_burst(void **state)
{
	struct limit limit = {0};

	(void)state;
	limit_set(&limit, 10000, 1000);
	/* 90 ms between two looks are 900 units: within the burst. */
	assert_near(take_all(&limit, START, 100 * NSEC_PER_SEC, 90 * NSEC_PER_MSEC, 1), 1000000, 2);
}

static void an_idle_disk_gathers_one_burst_and_no_more(void **state)
{
	struct limit limit = {0};

	(void)state;
	limit_set(&limit, 1000, 200);
	limit_charge(&limit, 1, START);
	assert_in_range(take_all(&limit, START + 3600 * NSEC_PER_SEC, 1, 1, 1), 200, 201);
}

static void no_limit_means_none(void **state)
{
	struct limit limit = {0};

	(void)state;
	limit_charge(&limit, UINT64_MAX, START);
	assert_true(limit_due(&limit) <= START);
	limit_set(&limit, 5, 0);
	limit_charge(&limit, 1000, START);
	assert_true(limit_due(&limit) > START);
	limit_set(&limit, 0, 0);
	assert_true(limit_due(&limit) <= START);
}

static void extreme_values_do_not_overflow(void **state)
{
	struct limit limit = {0};

	(void)state;
	limit_set(&limit, UINT64_MAX, UINT64_MAX);
	limit_charge(&limit, UINT64_MAX, START);
	assert_true(limit_due(&limit) < START + 7200 * NSEC_PER_SEC);
	limit_set(&limit, 1, UINT64_MAX);
	limit_charge(&limit, UINT64_MAX, START);
	assert_true(limit_due(&limit) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rate_is_kept_whatever_the_size_of_requests),
		cmocka_unit_test(a_late_look_loses_nothing_within_the_burst),
		cmocka_unit_test(an_idle_disk_gathers_one_burst_and_no_more),
		cmocka_unit_test(no_limit_means_none),
		cmocka_unit_test(extreme_values_do_not_overflow),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
