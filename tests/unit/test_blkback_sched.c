/* SPDX-License-Identifier: MIT */
/*
 * Deficit round robin by weight, and the order among workers, on queues that only have costs: the
 * functions of queue.c that the scheduler calls are replaced when this is linked, and the clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "blkback/image.h"
#include "blkback/sched.h"
#include "blkback/service.h"
#include "common/clock.h"

enum { NR_GUESTS = 3, NR_WORKERS = 2, RUN_NS = 100, TURN = 4 /* units at the default weight */ };

struct guest {
	struct queue queue;
	struct sched_share share;
	bool has_work;
	bool no_memory;	   /* for its requests */
	unsigned int cost; /* of each of its requests, in units of 4 KiB */
	unsigned int outstanding;
	uint64_t taken;	   /* units */
	unsigned int nr_looks; /* at its ring */
};

static struct {
	struct sched sched, other; /* a second worker */
	struct image image;
	_Atomic uint64_t now_ns;
	struct guest guests[NR_GUESTS];
} world;

static struct guest *guest_of(struct queue *queue)
{
	return container_of(queue, struct guest, queue);
}

unsigned int __wrap_queue_take(struct queue *queue);
unsigned int __wrap_queue_take(struct queue *queue)
{
	struct guest *guest = guest_of(queue);

	if (guest->no_memory)
		return 0;
	guest->taken += guest->cost;
	return guest->cost;
}

bool __wrap_queue_has_work(struct queue *queue);
bool __wrap_queue_has_work(struct queue *queue)
{
	guest_of(queue)->nr_looks++;
	return guest_of(queue)->has_work;
}

unsigned int __wrap_queue_outstanding(struct queue *queue);
unsigned int __wrap_queue_outstanding(struct queue *queue)
{
	return guest_of(queue)->outstanding;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	uint64_t now_ns = atomic_load(&world.now_ns);

	(void)clock;
	ts->tv_sec = (time_t)(now_ns / NSEC_PER_SEC);
	ts->tv_nsec = (long)(now_ns % NSEC_PER_SEC);
	return 0;
}

/* A guest whose number is among the bits of `others` is on the other worker; its domain is given. */
static void world_open_on(const uint32_t *weights, const unsigned int *costs, unsigned int others,
	const unsigned int *domids)
{
	struct sched *sched;

	memset(&world, 0, sizeof(world));
	atomic_init(&world.now_ns, 1000 * NSEC_PER_SEC);
	sched_init(&world.sched, SCHED_WINDOW_DEFAULT);
	sched_init(&world.other, SCHED_WINDOW_DEFAULT);
	pthread_mutex_init(&world.image.lock, NULL);
	list_init(&world.image.domains);
	for (unsigned int i = 0; i < NR_GUESTS; i++) {
		struct guest *guest = &world.guests[i];

		guest->cost = costs[i];
		guest->has_work = true;
		guest->outstanding = 64;
		atomic_init(&guest->share.weight, weights[i]);
		sched = others & 1u << i ? &world.other : &world.sched;
		guest->queue.config.domid = domids[i];
		guest->queue.config.image = &world.image;
		guest->queue.config.share = &guest->share;
		guest->queue.polled = true;
		assert_int_equal(sched_add(sched, &guest->queue), 0);
		sched_polled(&guest->queue);
	}
}

static const unsigned int of_their_own[NR_GUESTS] = {1, 2, 3};

static void world_open(const uint32_t *weights, const unsigned int *costs)
{
	world_open_on(weights, costs, 0, of_their_own);
}

static void world_close(void)
{
	for (unsigned int i = 0; i < NR_GUESTS; i++) {
		sched_unpolled(&world.guests[i].queue);
		sched_remove(&world.guests[i].queue);
	}
	pthread_mutex_destroy(&world.image.lock);
}

/* Also weights that are no multiples of anything, and requests of any size. */
static void shares_are_as_the_weights(void **state)
{
	static const uint32_t weights[][NR_GUESTS] = {{1, 2, 4}, {100, 200, 400}, {256, 512, 1024},
		{255, 256, 257}, {3, 70, 1000}, {1, 1, 65535}, {0, 256, 128}};
	static const unsigned int costs[][NR_GUESTS] = {{1, 1, 1}, {1, 16, 256}, {256, 16, 1}};

	(void)state;
	for (size_t w = 0; w < sizeof(weights) / sizeof(weights[0]); w++) {
		for (size_t c = 0; c < sizeof(costs) / sizeof(costs[0]); c++) {
			double sum = 0, all = 0;

			world_open(weights[w], costs[c]);
			for (unsigned int i = 0; i < 400000; i++)
				assert_true(sched_run(&world.sched) > 0);
			for (unsigned int i = 0; i < NR_GUESTS; i++) {
				sum += weights[w][i] ? weights[w][i] : SCHED_WEIGHT_DEFAULT;
				all += (double)world.guests[i].taken;
			}
			for (unsigned int i = 0; i < NR_GUESTS; i++) {
				uint32_t weight = weights[w][i] ? weights[w][i] : SCHED_WEIGHT_DEFAULT;
				double wanted = all * weight / sum;

				/* A turn and a request more or less at the end. */
				assert_float_equal((double)world.guests[i].taken, wanted,
					wanted * 0.001 + 2.0 * costs[c][i] + weight / 64.0 + 1024);
			}
			world_close();
		}
	}
}

/* A round in which nobody gets anything would be taken for idleness. */
static void whoever_has_work_is_served_at_once(void **state)
{
	static const uint32_t weights[NR_GUESTS] = {1, 1, 65535};
	static const unsigned int costs[NR_GUESTS] = {256, 256, 1};

	(void)state;
	world_open(weights, costs);
	world.guests[2].has_work = false;
	for (unsigned int i = 0; i < 1000; i++) {
		world.guests[0].has_work = i % 3 != 0;
		world.guests[1].has_work = i % 3 != 1;
		assert_true(sched_run(&world.sched) > 0);
	}
	assert_true(world.guests[0].taken > 0 && world.guests[1].taken > 0);
	world.guests[0].has_work = world.guests[1].has_work = false;
	assert_int_equal(sched_run(&world.sched), 0);
	world_close();
}

static void a_weight_that_changes_counts_at_once(void **state)
{
	static const uint32_t weights[NR_GUESTS] = {1, 1, 1};
	static const unsigned int costs[NR_GUESTS] = {1, 1, 1};
	uint64_t before[NR_GUESTS];

	(void)state;
	world_open(weights, costs);
	for (unsigned int i = 0; i < 1000; i++)
		sched_run(&world.sched);
	for (unsigned int i = 0; i < NR_GUESTS; i++)
		before[i] = world.guests[i].taken;
	atomic_store(&world.guests[0].share.weight, 3);
	for (unsigned int i = 0; i < 10000; i++)
		sched_run(&world.sched);
	for (unsigned int i = 0; i < NR_GUESTS; i++)
		before[i] = world.guests[i].taken - before[i];
	assert_in_range(before[0], 3 * before[1] * 99 / 100, 3 * before[1] * 101 / 100);
	assert_in_range(before[1], before[2] * 99 / 100, before[2] * 101 / 100);
	world_close();
}

/* Guests whose rings are not polled cost nothing, however many they are. */
static void idle_guests_take_no_turns(void **state)
{
	static const uint32_t weights[NR_GUESTS] = {1, 1, 1};
	static const unsigned int costs[NR_GUESTS] = {1, 1, 1};

	(void)state;
	world_open(weights, costs);
	for (unsigned int i = 1; i < NR_GUESTS; i++) {
		world.guests[i].queue.polled = false;
		sched_unpolled(&world.guests[i].queue);
	}
	world.guests[0].has_work = false;
	assert_int_equal(sched_run(&world.sched), 0);
	assert_int_equal(world.guests[0].nr_looks, 1);
	for (unsigned int i = 1; i < NR_GUESTS; i++) {
		assert_int_equal(world.guests[i].nr_looks, 0);
		sched_polled(&world.guests[i].queue);
	}
	world_close();
}

/* ---- several workers ---- */

static const uint32_t same_weight[NR_GUESTS] = {256, 256, 256};
static const unsigned int same_cost[NR_GUESTS] = {1, 1, 1};

static unsigned int run_worker(struct sched *sched)
{
	atomic_fetch_add(&world.now_ns, RUN_NS);
	return sched_run(sched);
}

/* Each worker so often in turn; several times. Returns how often neither served anybody. */
static unsigned int run_both(unsigned int nr, unsigned int nr_first, unsigned int nr_other)
{
	unsigned int nr_idle = 0;

	while (nr--) {
		unsigned int nr_taken = 0;

		for (unsigned int i = 0; i < nr_first; i++)
			nr_taken += run_worker(&world.sched);
		for (unsigned int i = 0; i < nr_other; i++)
			nr_taken += run_worker(&world.other);
		nr_idle += nr_taken == 0;
	}
	return nr_idle;
}

static void assert_shares(const uint32_t *weights, const unsigned int *costs)
{
	double sum = 0, all = 0, wanted;

	for (unsigned int i = 0; i < NR_GUESTS; i++) {
		sum += weights[i];
		all += (double)world.guests[i].taken;
	}
	for (unsigned int i = 0; i < NR_GUESTS; i++) {
		wanted = all * weights[i] / sum;
		/* So far a guest may be ahead, and a request more. */
		assert_float_equal((double)world.guests[i].taken, wanted,
			wanted * 0.01 + 2 * (SERVICE_AHEAD + costs[i]));
	}
}

/* Also when one of them looks ten times as often as the other. */
static void shares_are_as_the_weights_on_two_workers(void **state)
{
	static const uint32_t weights[][NR_GUESTS] = {{1, 2, 4}, {400, 200, 100}, {255, 256, 257},
		{1000, 70, 3}, {65535, 1, 65535}};
	static const unsigned int costs[][NR_GUESTS] = {{1, 1, 1}, {1, 16, 256}, {256, 16, 1}};
	static const unsigned int often[][NR_WORKERS] = {{1, 1}, {10, 1}, {1, 10}};

	(void)state;
	for (size_t w = 0; w < sizeof(weights) / sizeof(weights[0]); w++) {
		for (size_t c = 0; c < sizeof(costs) / sizeof(costs[0]); c++) {
			for (size_t o = 0; o < sizeof(often) / sizeof(often[0]); o++) {
				world_open_on(weights[w], costs[c], 1u << 2, of_their_own);
				assert_int_equal(run_both(20000, often[o][0], often[o][1]), 0);
				assert_shares(weights[w], costs[c]);
				world_close();
			}
		}
	}
}

/* Guests 0 and 2 are two queues of the same domain, on both workers. */
static void a_domain_on_two_workers_counts_once(void **state)
{
	static const unsigned int domids[NR_GUESTS] = {1, 2, 1};
	static const unsigned int costs[NR_GUESTS] = {3, 5, 7};
	const struct guest *guests = world.guests;

	(void)state;
	for (unsigned int nr = 1; nr <= 10; nr += 9) {
		world_open_on(same_weight, costs, 1u << 2, domids);
		run_both(10000, nr, 1);
		assert_true(guests[0].taken > 0 && guests[2].taken > 0);
		assert_float_equal((double)(guests[0].taken + guests[2].taken),
			(double)guests[1].taken, (double)guests[1].taken * 0.01);
		world_close();
	}
}

/* It goes first, but not for nothing. */
static void a_sparse_domain_pays(void **state)
{
	(void)state;
	world_open_on(same_weight, same_cost, 1u << 2, of_their_own);
	world.guests[2].outstanding = SCHED_SPARSE_MAX;
	run_both(10000, 1, 1);
	assert_shares(same_weight, same_cost);
	world_close();
}

/* Polled, but without requests, over its limit, or without memory for them: then others go on. */
static void who_cannot_go_on_holds_nobody_back(void **state)
{
	struct guest *guest = &world.guests[2];

	(void)state;
	for (unsigned int reason = 0; reason < 3; reason++) {
		world_open_on(same_weight, same_cost, 1u << 2, of_their_own);
		run_both(10, 1, 1);
		if (reason == 0)
			guest->has_work = false;
		if (reason == 1) {
			limit_set(&guest->share.operations, 1, 1);
			limit_charge(&guest->share.operations, 1000, atomic_load(&world.now_ns));
		}
		guest->no_memory = reason == 2;
		run_worker(&world.other); /* finds that out */
		for (unsigned int i = 0; i < 1000; i++) {
			assert_int_equal(run_worker(&world.other), 0);
			assert_true(run_worker(&world.sched) > 0);
		}
		world_close();
	}
}

/* One that is not polled any more, while others compete on both workers. */
static void idleness_gives_no_credit(void **state)
{
	struct guest *guest = &world.guests[2];
	uint64_t ahead;

	(void)state;
	world_open_on(same_weight, same_cost, 1u << 1 | 1u << 2, of_their_own);
	run_both(100, 1, 1);
	guest->queue.polled = false;
	sched_unpolled(&guest->queue);
	run_both(1000, 1, 1);
	ahead = world.guests[0].taken - guest->taken;
	assert_true(ahead > 2 * SERVICE_BEHIND);
	guest->queue.polled = true;
	sched_polled(&guest->queue);
	run_both(1000, 1, 1);
	assert_in_range(world.guests[0].taken - guest->taken, ahead - 2 * SERVICE_AHEAD,
		ahead + 2 * SERVICE_AHEAD);
	world_close();
}

/* Guest 2 has requests when its worker stalls, for so many runs of the other; then it is back. */
static void stall(unsigned int nr_runs)
{
	const struct guest *guests = world.guests;
	unsigned int nr = 0;

	run_both(100, 1, 1);
	while (nr <= 2 * SERVICE_AHEAD && run_worker(&world.sched))
		nr++;
	assert_in_range(nr, 1, 2 * SERVICE_AHEAD);
	assert_in_range(guests[0].taken, guests[2].taken,
		guests[2].taken + SERVICE_AHEAD + guests[0].cost);
	atomic_fetch_add(&world.now_ns, SERVICE_FRESH_NS);
	while (nr_runs--)
		assert_true(run_worker(&world.sched) > 0);
	run_both(1000, 1, 1);
}

static void a_worker_that_stalls_holds_others_back_for_a_moment(void **state)
{
	static const uint32_t largest[NR_GUESTS] = {65535, 65535, 65535};
	static const unsigned int cost[NR_GUESTS] = {16, 16, 16};
	const struct guest *guests = world.guests;

	(void)state;
	/* What it missed is made up. */
	world_open_on(same_weight, same_cost, 1u << 2, of_their_own);
	stall(SERVICE_BEHIND / 2 / TURN);
	assert_in_range(guests[2].taken + SERVICE_AHEAD, guests[0].taken,
		guests[0].taken + 2 * SERVICE_AHEAD);
	world_close();
	/* But not all that it missed, as others would pay for it with a long time without anything. */
	world_open_on(same_weight, same_cost, 1u << 2, of_their_own);
	stall(1000);
	assert_in_range(guests[0].taken - guests[2].taken,
		1000 * TURN - SERVICE_BEHIND - 2 * SERVICE_AHEAD,
		1000 * TURN - SERVICE_BEHIND + 2 * SERVICE_AHEAD);
	world_close();
	/* Meanwhile a long turn makes nobody get further ahead. */
	world_open_on(largest, cost, 1u << 2, of_their_own);
	stall(1);
	world_close();
}

/* It has nobody to tell. */
static void a_worker_alone_keeps_no_accounts_for_others(void **state)
{
	struct image_domain *domain;

	(void)state;
	world_open(same_weight, same_cost);
	for (unsigned int i = 0; i < 100; i++)
		sched_run(&world.sched);
	list_for_each(domain, &world.image.domains, link)
		assert_int_equal(atomic_load(&domain->service), 0);
	world_close();
}

enum { THREADS_UNITS = 300000 };

static void *run_thread(void *sched)
{
	static atomic_uint nr_taken;

	while (atomic_fetch_add(&nr_taken, sched_run(sched)) < THREADS_UNITS)
		sched_yield();
	return NULL;
}

/* Whoever runs and when. The time stands still, so that a thread without a processor counts. */
static void shares_are_as_the_weights_on_two_threads(void **state)
{
	static const uint32_t weights[NR_GUESTS] = {100, 200, 400};
	pthread_t thread;

	(void)state;
	world_open_on(weights, same_cost, 1u << 2, of_their_own);
	run_both(1, 1, 1); /* before that a worker counts for nothing */
	assert_int_equal(pthread_create(&thread, NULL, run_thread, &world.other), 0);
	run_thread(&world.sched);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_shares(weights, same_cost);
	world_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_as_the_weights),
		cmocka_unit_test(whoever_has_work_is_served_at_once),
		cmocka_unit_test(a_weight_that_changes_counts_at_once),
		cmocka_unit_test(idle_guests_take_no_turns),
		cmocka_unit_test(shares_are_as_the_weights_on_two_workers),
		cmocka_unit_test(a_domain_on_two_workers_counts_once),
		cmocka_unit_test(a_sparse_domain_pays),
		cmocka_unit_test(who_cannot_go_on_holds_nobody_back),
		cmocka_unit_test(idleness_gives_no_credit),
		cmocka_unit_test(a_worker_that_stalls_holds_others_back_for_a_moment),
		cmocka_unit_test(a_worker_alone_keeps_no_accounts_for_others),
		cmocka_unit_test(shares_are_as_the_weights_on_two_threads),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("blkback: scheduler", tests, NULL, NULL);
}
