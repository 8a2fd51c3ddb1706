/* SPDX-License-Identifier: MIT */
/* When a polling thread changes its processor, and that nothing but this changes. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "blkfront/internal.h"

enum { MANY = 1000 };

struct place {
	struct rf_blk blk;
	struct blk_queue queue;
};

static struct place *place_create(enum rf_blk_wait_policy policy)
{
	struct place *place = aligned_alloc(_Alignof(struct place), sizeof(*place));

	assert_non_null(place);
	memset(place, 0, sizeof(*place));
	place->blk.options.wait_policy = policy;
	place->queue.blk = &place->blk;
	return place;
}

static bool has_moved(const struct place *place)
{
	return atomic_load(&place->queue.move_after_ns) != 0;
}

static void note(struct place *place, bool was_away, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		blk_place_note(&place->queue, was_away);
}

static void moving_leaves_the_allowed_processors(void **state)
{
	cpu_set_t before, after;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (int i = 0; i < 10; i++)
		blk_place_move();
	assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
	assert_true(CPU_EQUAL(&before, &after));
}

static void there_is_no_way_from_the_only_processor(void **state)
{
	cpu_set_t before, one, after;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	CPU_SET((unsigned int)sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	blk_place_move();
	assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
	assert_true(CPU_EQUAL(&one, &after));
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

static void answers_that_need_the_processor_move_the_thread(void **state)
{
	struct place *place = place_create(RF_BLK_WAIT_ADAPTIVE);

	(void)state;
	note(place, true, 16);
	assert_false(has_moved(place));
	note(place, true, MANY);
	assert_true(has_moved(place));
	free(place);
}

/* With some turns of others in between, as everywhere. */
static void answers_found_by_looking_do_not(void **state)
{
	struct place *place = place_create(RF_BLK_WAIT_ADAPTIVE);

	(void)state;
	for (int i = 0; i < MANY; i++) {
		note(place, true, 1);
		note(place, false, 2);
	}
	assert_false(has_moved(place));
	free(place);
}

static void it_is_not_done_again_at_once(void **state)
{
	struct place *place = place_create(RF_BLK_WAIT_ADAPTIVE);
	uint64_t then;

	(void)state;
	note(place, true, MANY);
	/* Far in the future, so that the test may take as long as it likes. */
	then = UINT64_MAX;
	atomic_store(&place->queue.move_after_ns, then);
	note(place, true, MANY);
	assert_true(atomic_load(&place->queue.move_after_ns) == then);
	free(place);
}

static void fixed_policies_stay_where_they_are(void **state)
{
	static const enum rf_blk_wait_policy policies[] = {
		RF_BLK_WAIT_SPIN, RF_BLK_WAIT_EVENT, RF_BLK_WAIT_IDDR};

	(void)state;
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct place *place = place_create(policies[i]);

		note(place, true, MANY);
		assert_false(has_moved(place));
		free(place);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moving_leaves_the_allowed_processors),
		cmocka_unit_test(there_is_no_way_from_the_only_processor),
		cmocka_unit_test(answers_that_need_the_processor_move_the_thread),
		cmocka_unit_test(answers_found_by_looking_do_not),
		cmocka_unit_test(it_is_not_done_again_at_once),
		cmocka_unit_test(fixed_policies_stay_where_they_are),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("blkfront: place", tests, NULL, NULL);
}
