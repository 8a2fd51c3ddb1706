/* SPDX-License-Identifier: MIT */
/*
 * The learned polling window against the two fixed policies, on simulated waits: no clock is read,
 * so the results are the same everywhere.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/poll_window.h"

#define WAKE_NS 50000u /* what a sleep costs in the middle of a request */
#define WAITS 20000

static const struct poll_wake wake = {30000, 5000};

struct rng {
	uint64_t state;
};

static double uniform(struct rng *rng)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

/* A gap of the given mean: fixed, or random with the distribution of a Poisson process. */
static uint64_t gap(struct rng *rng, double mean_ns, int random)
{
	return (uint64_t)(random ? -log(1 - uniform(rng)) * mean_ns : mean_ns);
}

static void note(struct poll_window *w, uint64_t gap_ns, unsigned int nr_answers, int slept)
{
	poll_window_note(w, &(struct poll_wait){.gap_ns = gap_ns, .nr_answers = nr_answers,
				   .nr_outstanding = 1, .slept = slept});
}

static uint64_t cost_of(uint64_t window, uint64_t g)
{
	return g <= window ? g : window + WAKE_NS;
}

/* Plays waits against the window; what it cost over what the better fixed policy would have. */
static double ratio(struct poll_window *w, struct rng *rng, double mean_ns, int random)
{
	double learned = 0, spin = 0, event = 0;

	for (int i = 0; i < WAITS; i++) {
		uint64_t g = gap(rng, mean_ns, random), window = poll_window_ns(w);

		learned += (double)cost_of(window, g);
		spin += (double)g;
		event += WAKE_NS;
		note(w, g <= window ? g : g + wake.trip_ns / 2, 1, g > window);
	}
	return learned / (spin < event ? spin : event);
}

static void close_to_the_better_policy_at_every_gap(void **state)
{
	struct poll_window w;
	struct rng rng = {1};
	double product = 1;
	int nr = 0;

	(void)state;
	for (double mean = 200; mean < 2e7; mean *= 1.5) {
		for (int random = 0; random < 2; random++) {
			double r;

			poll_window_init_within(&w, wake);
			r = ratio(&w, &rng, mean, random);
			product *= r;
			nr++;
			if (r > 1.25)
				fail_msg("mean gap %.0f ns, random %d: %.3f times the better one",
					mean, random, r);
		}
	}
	product = pow(product, 1.0 / nr);
	if (product > 1.05)
		fail_msg("geometric mean %.3f", product);
}

static void one_load_after_another_with_what_was_learned_before(void **state)
{
	static const double means[] = {300, 5e6, 20000, 1e7, 300, 2e5, 45000, 60000, 1e6, 1000};
	struct poll_window w;
	struct rng rng = {2};

	(void)state;
	poll_window_init_within(&w, wake);
	for (unsigned int i = 0; i < sizeof(means) / sizeof(means[0]); i++) {
		double r = ratio(&w, &rng, means[i], 1);

		if (r > 1.25)
			fail_msg("mean gap %.0f ns: %.3f times the better one", means[i], r);
	}
}

/* Bursts of quick answers with long pauses between: better than either fixed policy. */
static void bursts_are_polled_and_pauses_slept(void **state)
{
	struct poll_window w;
	double learned = 0, spin = 0, event = 0;

	(void)state;
	poll_window_init_within(&w, wake);
	for (int i = 0; i < WAITS; i++) {
		uint64_t g = i % 16 ? 2000 : 3000000, window = poll_window_ns(&w);

		learned += (double)cost_of(window, g);
		spin += (double)g;
		event += WAKE_NS;
		note(&w, g <= window ? g : g + wake.trip_ns / 2, 1, g > window);
	}
	assert_true(learned < 0.2 * event);
	assert_true(learned < 0.1 * spin);
}

static void long_gaps_are_never_polled(void **state)
{
	struct poll_window w;

	(void)state;
	poll_window_init_within(&w, wake);
	for (int i = 0; i < 64; i++)
		note(&w, 1000000, 1, true);
	assert_int_equal(poll_window_ns(&w), 0);
}

static void short_gaps_get_a_short_window(void **state)
{
	struct poll_window w;

	(void)state;
	poll_window_init_within(&w, wake);
	for (int i = 0; i < 64; i++)
		note(&w, 3000, 1, false);
	assert_in_range(poll_window_ns(&w), 3000, WAKE_NS);
}

/* Gaps that were only long because both ends slept are found out by polling a few. */
static void sleeping_because_of_sleeping_ends(void **state)
{
	struct poll_window w;
	int i;

	(void)state;
	poll_window_init_within(&w, wake);
	for (i = 0; i < 32; i++)
		note(&w, 80000, 1, true);
	assert_int_equal(poll_window_ns(&w), 0);
	for (i = 0; i < WAITS && poll_window_ns(&w) < 80000; i++)
		note(&w, 80000, 1, true);
	assert_true(i < WAITS);
	for (i = 0; i < 64; i++)
		note(&w, 20000, 1, false);
	assert_in_range(poll_window_ns(&w), 20000, 3 * WAKE_NS);
}

/* A probe in vain is repeated ever more seldom: what they cost altogether is little. */
static void probing_in_vain_costs_little(void **state)
{
	double learned = 0, event = 0;
	struct poll_window w;

	(void)state;
	poll_window_init_within(&w, wake);
	for (int i = 0; i < WAITS; i++) {
		uint64_t g = 80000, window = poll_window_ns(&w);

		learned += (double)cost_of(window, g);
		event += WAKE_NS;
		note(&w, g <= window ? g : g + wake.trip_ns / 2, 1, g > window);
	}
	assert_true(learned < 1.05 * event);
}

/* With many answers at a time a sleep costs each of them. */
static void many_answers_make_polling_pay(void **state)
{
	struct poll_window one, many;

	(void)state;
	poll_window_init_within(&one, wake);
	poll_window_init_within(&many, wake);
	for (int i = 0; i < 32; i++) {
		note(&one, 100000, 1, true);
		note(&many, 100000, 8, true);
	}
	assert_int_equal(poll_window_ns(&one), 0);
	assert_true(poll_window_ns(&many) >= 100000);
}

static void extreme_gaps_do_no_harm(void **state)
{
	struct poll_window w;

	(void)state;
	poll_window_init_within(&w, wake);
	for (int i = 0; i < 1000; i++) {
		note(&w, i % 2 ? UINT64_MAX : 0, UINT32_MAX, false);
		note(&w, i % 3 ? UINT64_MAX : 0, 0, true);
	}
	assert_true(poll_window_ns(&w) <= 3 * 64 * WAKE_NS);
}

static void a_wake_up_has_a_cost(void **state)
{
	struct poll_wake measured = poll_wake_measure();

	(void)state;
	assert_in_range(measured.trip_ns, 4000, 120000);
	assert_in_range(measured.cpu_ns, 0, measured.trip_ns);
	assert_int_equal(poll_wake_measure().trip_ns, measured.trip_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(close_to_the_better_policy_at_every_gap),
		cmocka_unit_test(one_load_after_another_with_what_was_learned_before),
		cmocka_unit_test(bursts_are_polled_and_pauses_slept),
		cmocka_unit_test(long_gaps_are_never_polled),
		cmocka_unit_test(short_gaps_get_a_short_window),
		cmocka_unit_test(sleeping_because_of_sleeping_ends),
		cmocka_unit_test(probing_in_vain_costs_little),
		cmocka_unit_test(many_answers_make_polling_pay),
		cmocka_unit_test(extreme_gaps_do_no_harm),
		cmocka_unit_test(a_wake_up_has_a_cost),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
