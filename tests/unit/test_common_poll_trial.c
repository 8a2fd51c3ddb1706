/* SPDX-License-Identifier: MIT */
/*
 * Trials of polling against sleeping, on simulated waits in worlds where the answers come sooner or
 * later for whoever polls. No clock is read, so the results are the same everywhere.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/poll_window.h"

#define WAITS 40000

static const struct poll_wake wake = {30000, 5000};

/* How long a wait takes, and with how many requests under way. */
struct world {
	uint64_t polled_ns, slept_ns; /* plus or minus 30 % */
	unsigned int nr_outstanding;
	unsigned int outlier_every; /* so often one takes outlier_ns; 0: never */
	uint64_t outlier_ns;
};

/* Where nobody's processor is taken away, and sleeping only costs. */
static const struct world quiet = {20000, 55000, 1, 0, 0};
/* Where a poller keeps the disk from answering. */
static const struct world starved = {15000, 12000, 16, 0, 0};

struct player {
	struct poll_window window;
	uint64_t rng;
	unsigned int nr_slept;
	double cost_ns;
};

static void player_init(struct player *player)
{
	*player = (struct player){.rng = 1};
	poll_window_init_within(&player->window, wake);
}

static uint64_t jitter(struct player *player, uint64_t mean_ns)
{
	player->rng = player->rng * 6364136223846793005ull + 1442695040888963407ull;
	return mean_ns * (70 + (player->rng >> 33) % 61) / 100;
}

static void play(struct player *player, const struct world *world, unsigned int nr_waits)
{
	player->nr_slept = 0;
	player->cost_ns = 0;
	for (unsigned int i = 0; i < nr_waits; i++) {
		uint64_t window = poll_window_ns(&player->window);
		uint64_t gap = jitter(player, world->polled_ns);
		bool slept = gap > window;

		if (slept)
			gap = jitter(player, world->slept_ns) + window;
		if (world->outlier_every && i % world->outlier_every == 0)
			gap += world->outlier_ns;
		player->nr_slept += slept;
		player->cost_ns += (double)gap * (world->nr_outstanding + 1) +
			(double)(slept ? wake.cpu_ns + window : gap);
		poll_window_note(&player->window,
			&(struct poll_wait){.gap_ns = gap, .nr_answers = 1,
				.nr_outstanding = world->nr_outstanding, .slept = slept});
	}
}

/* The cost of a wait on average if all are polled, or all slept. */
static double cost_polled(const struct world *world)
{
	return (double)world->polled_ns * (world->nr_outstanding + 2);
}

static double cost_slept(const struct world *world)
{
	return (double)world->slept_ns * (world->nr_outstanding + 1) + wake.cpu_ns;
}

static void polling_that_delays_answers_is_given_up(void **state)
{
	struct player player;

	(void)state;
	player_init(&player);
	play(&player, &starved, WAITS);
	assert_true(player.cost_ns < 1.05 * WAITS * cost_slept(&starved));
	play(&player, &starved, WAITS);
	assert_true(player.nr_slept > WAITS * 95 / 100);
}

static void polling_that_pays_is_kept(void **state)
{
	struct player player;

	(void)state;
	player_init(&player);
	play(&player, &quiet, WAITS);
	assert_true(player.cost_ns < 1.05 * WAITS * cost_polled(&quiet));
	play(&player, &quiet, WAITS);
	assert_true(player.nr_slept < WAITS * 5 / 100);
}

/* It is still tried, or nobody would know. */
static void trials_go_on(void **state)
{
	struct player player;

	(void)state;
	player_init(&player);
	play(&player, &quiet, WAITS);
	play(&player, &quiet, WAITS * 10);
	assert_in_range(player.nr_slept, 32, WAITS);
}

static void a_verdict_ends_with_its_load(void **state)
{
	struct player player;

	(void)state;
	player_init(&player);
	for (int i = 0; i < 4; i++) {
		play(&player, i % 2 ? &quiet : &starved, WAITS / 2);
		play(&player, i % 2 ? &quiet : &starved, WAITS / 2);
		if (i % 2)
			assert_true(player.nr_slept < WAITS / 2 * 10 / 100);
		else
			assert_true(player.nr_slept > WAITS / 2 * 90 / 100);
	}
}

/* A disk that stops for a moment now and then is no argument for either. */
static void outliers_do_not_sway_it(void **state)
{
	struct world world = quiet;
	struct player player;

	(void)state;
	world.outlier_every = 41;
	world.outlier_ns = 10000000;
	player_init(&player);
	play(&player, &world, WAITS);
	play(&player, &world, WAITS);
	assert_true(player.nr_slept < WAITS * 10 / 100);
}

/* Sleeping through waits that end at once would cost a wake-up each, so it is not even tried. */
static void quick_answers_are_always_polled_for(void **state)
{
	static const struct world quick = {1500, 30000, 1, 0, 0};
	struct player player;

	(void)state;
	player_init(&player);
	play(&player, &quick, WAITS * 10);
	assert_int_equal(player.nr_slept, 0);
}

static void *note_forever(void *data)
{
	struct player player = {.rng = 1};

	for (int i = 0; i < WAITS; i++) {
		uint64_t gap = jitter(&player, 20000);

		poll_window_note(data,
			&(struct poll_wait){.gap_ns = gap, .nr_answers = 1, .nr_outstanding = 4,
				.slept = poll_window_ns(data) == 0});
	}
	return NULL;
}

static void several_threads_note_at_once(void **state)
{
	struct poll_window window;
	pthread_t threads[4];

	(void)state;
	poll_window_init_within(&window, wake);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, note_forever, &window), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(window.trial.phase <= 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(polling_that_delays_answers_is_given_up),
		cmocka_unit_test(polling_that_pays_is_kept),
		cmocka_unit_test(trials_go_on),
		cmocka_unit_test(a_verdict_ends_with_its_load),
		cmocka_unit_test(outliers_do_not_sway_it),
		cmocka_unit_test(quick_answers_are_always_polled_for),
		cmocka_unit_test(several_threads_note_at_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("common: poll trial", tests, NULL, NULL);
}
