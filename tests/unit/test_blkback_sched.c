/* SPDX-License-Identifier: MIT */
/*
 * Deficit round robin by weight, on queues that only have costs: the functions of queue.c that the
 * scheduler calls are replaced when this is linked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "blkback/image.h"
#include "blkback/sched.h"

enum { NR_GUESTS = 3 };

struct guest {
	struct queue queue;
	struct sched_share share;
	bool has_work;
	unsigned int cost; /* of each of its requests, in units of 4 KiB */
	uint64_t taken;	   /* units */
	unsigned int nr_looks; /* at its ring */
};

static struct {
	struct sched sched;
	struct image image;
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
	(void)queue;
	return 64;
}

static void world_open(const uint32_t *weights, const unsigned int *costs)
{
	memset(&world, 0, sizeof(world));
	sched_init(&world.sched, SCHED_WINDOW_DEFAULT);
	pthread_mutex_init(&world.image.lock, NULL);
	list_init(&world.image.domains);
	for (unsigned int i = 0; i < NR_GUESTS; i++) {
		struct guest *guest = &world.guests[i];

		guest->cost = costs[i];
		guest->has_work = true;
		atomic_init(&guest->share.weight, weights[i]);
		guest->queue.config.domid = i + 1;
		guest->queue.config.image = &world.image;
		guest->queue.config.share = &guest->share;
		guest->queue.polled = true;
		assert_int_equal(sched_add(&world.sched, &guest->queue), 0);
		sched_polled(&guest->queue);
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_as_the_weights),
		cmocka_unit_test(whoever_has_work_is_served_at_once),
		cmocka_unit_test(a_weight_that_changes_counts_at_once),
		cmocka_unit_test(idle_guests_take_no_turns),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("blkback: scheduler", tests, NULL, NULL);
}
