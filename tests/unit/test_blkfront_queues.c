/* SPDX-License-Identifier: MIT */
/* A disk with several queues: what is published, who uses which, and who gets what is finished. */
#include "blkfront_fixture.h"

#include <pthread.h>
#include <sched.h>

#define ALL_POLICIES(policy)                                                                       \
	for (enum rf_blk_wait_policy policy = RF_BLK_WAIT_ADAPTIVE; policy <= RF_BLK_WAIT_IDDR;    \
		policy++)

static struct back back;

static void queues_follow_options_and_offer(void **state)
{
	static const struct {
		unsigned int wanted, offered, got;
	} cases[] = {{0, 8, 1}, {1, 8, 1}, {4, 0, 1}, {4, 1, 1}, {4, 3, 3}, {3, 8, 3}, {16, 16, 16},
		{1000, UINT32_MAX, 16}};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rf_blk_options options = {.nr_queues = cases[i].wanted};
		struct rf_blk_info info;
		struct rf_blk *blk;

		fixture_start(&back);
		back.max_queues = cases[i].offered;
		back.early = i % 2;
		blk = fixture_open_with(&back, &options);
		rf_blk_get_info(blk, &info);
		assert_int_equal(info.nr_queues, cases[i].got);
		assert_int_equal(info.ring_slots, 128);
		assert_int_equal(back.nr_queues, cases[i].got);
		assert_int_equal(fake_nr_ports(), cases[i].got);
		fixture_close(&back, blk);
	}
}

static void nonsense_offers_are_refused_or_bounded(void **state)
{
	struct rf_blk_options options = {.nr_queues = 4};
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	back_start(&back);
	while (fake_store_number(BACK_PATH "/state") != 2)
		fake_store_wait(2);
	fake_store_write(BACK_PATH "/multi-queue-max-queues", "many");
	assert_int_equal(rf_blk_open("xvda", &options, &blk), -EPROTO);
	fake_store_write(BACK_PATH "/multi-queue-max-queues", "0");
	assert_int_equal(rf_blk_open("xvda", &options, &blk), 0);
	assert_int_equal(blk->nr_queues, 1);
	fixture_close(&back, blk);
}

static void assert_no_details(void)
{
	char value[64];

	assert_false(fake_store_read(FRONT_PATH "/multi-queue-num-queues", value, sizeof(value)));
	assert_false(fake_store_read(FRONT_PATH "/ring-page-order", value, sizeof(value)));
	assert_int_equal(fake_store_number(FRONT_PATH "/queue-0/event-channel"), -1);
	assert_int_equal(fake_store_number(FRONT_PATH "/queue-1/ring-ref1"), -1);
}

static void each_queue_is_published_in_its_directory(void **state)
{
	struct rf_blk *blk;

	(void)state;
	for (unsigned int order = 0; order <= 1; order++) {
		fixture_start(&back);
		back.max_ring_order = order;
		blk = fixture_open_queues(&back, 2, RF_BLK_WAIT_ADAPTIVE);
		assert_int_equal(fake_store_number(FRONT_PATH "/multi-queue-num-queues"), 2);
		assert_int_equal(fake_store_number(FRONT_PATH "/ring-page-order"), order ? 1 : -1);
		/* xen/io/blkif.h: not at the top when there are several. */
		assert_int_equal(fake_store_number(FRONT_PATH "/event-channel"), -1);
		assert_int_equal(fake_store_number(FRONT_PATH "/ring-ref"), -1);
		assert_int_equal(fake_store_number(FRONT_PATH "/ring-ref0"), -1);
		assert_true(fake_store_number(FRONT_PATH "/queue-0/event-channel") > 0);
		assert_true(fake_store_number(FRONT_PATH "/queue-1/event-channel") > 0);
		assert_true(fake_store_number(order ? FRONT_PATH "/queue-1/ring-ref1"
						    : FRONT_PATH "/queue-1/ring-ref") > 0);
		fixture_close(&back, blk);
		assert_no_details();
	}
}

static void a_lone_queue_is_published_as_ever(void **state)
{
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	back.max_queues = 4;
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	assert_true(fake_store_number(FRONT_PATH "/event-channel") > 0);
	assert_true(fake_store_number(FRONT_PATH "/ring-ref0") > 0);
	assert_int_equal(fake_store_number(FRONT_PATH "/multi-queue-num-queues"), -1);
	fixture_close(&back, blk);
	assert_no_details();
}

/* A connection leaves nothing that the next one, with fewer queues, could be taken for. */
static void a_disk_is_opened_again_with_other_queues(void **state)
{
	uint8_t buf[512];

	(void)state;
	fixture_start(&back);
	back.max_queues = 8;
	back_start(&back);
	for (unsigned int nr = 8; nr; nr--) {
		struct rf_blk_options options = {.nr_queues = nr};
		struct rf_blk *blk;

		assert_int_equal(rf_blk_open("xvda", &options, &blk), 0);
		assert_int_equal(back.nr_queues, nr);
		assert_int_equal(rf_blk_read(blk, 0, 1, buf), 0);
		rf_blk_close(blk);
	}
	fixture_close(&back, NULL);
}

#define READS 20

static void *read_some(void *arg)
{
	uint8_t buf[4096];
	intptr_t failed = 0;

	for (unsigned int i = 0; i < READS; i++)
		failed |= rf_blk_read(arg, i * 8, 8, buf) != 0;
	return (void *)failed;
}

static void threads_are_spread_and_keep_their_queue(void **state)
{
	enum { NR = 4 };
	pthread_t threads[NR];

	(void)state;
	ALL_POLICIES(policy)
	{
		struct rf_blk *blk;

		fixture_start(&back);
		blk = fixture_open_queues(&back, NR, policy);
		for (unsigned int i = 0; i < NR; i++)
			back.queues[i].nr_requests = 0;
		for (unsigned int i = 0; i < NR; i++) {
			assert_int_equal(pthread_create(&threads[i], NULL, read_some, blk), 0);
		}
		for (unsigned int i = 0; i < NR; i++) {
			void *failed;

			pthread_join(threads[i], &failed);
			assert_null(failed);
		}
		for (unsigned int i = 0; i < NR; i++)
			assert_int_equal(back.queues[i].nr_requests, READS);
		fixture_close(&back, blk);
	}
}

/* ---- whose thread submitted does not matter ---- */

struct submission {
	struct rf_blk *blk;
	struct rf_blk_io ios[8], *offer[8];
	uint8_t buf[8 * 512];
	struct blk_queue *avoid;
};

static void *submit_all(void *arg)
{
	struct submission *s = arg;

	if (blk_own_queue(s->blk) == s->avoid)
		return NULL;
	for (unsigned int i = 0; i < 8; i++) {
		s->ios[i] = (struct rf_blk_io){.op = RF_BLK_READ, .sector = i, .nr_sectors = 1,
			.buf = s->buf + i * 512};
		s->offer[i] = &s->ios[i];
	}
	return (void *)(intptr_t)rf_blk_submit(s->blk, s->offer, 8);
}

/* From a thread whose queue is not ours: one of the next two. */
static void submit_elsewhere(struct submission *s, struct rf_blk *blk)
{
	void *nr;

	s->blk = blk;
	s->avoid = blk_own_queue(blk);
	do {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, submit_all, s), 0);
		pthread_join(thread, &nr);
	} while (!nr);
	assert_int_equal((intptr_t)nr, 8);
}

static void any_thread_collects_by_waiting(void **state)
{
	static struct submission s;
	struct rf_blk_io *done[8];

	(void)state;
	ALL_POLICIES(policy)
	{
		struct rf_blk *blk;

		fixture_start(&back);
		back.max_delay_us = 300;
		blk = fixture_open_queues(&back, 3, policy);
		submit_elsewhere(&s, blk);
		for (int left = 8; left;) {
			int nr = rf_blk_wait(blk, done, 8, -1);

			assert_true(nr > 0);
			left -= nr;
		}
		assert_memory_equal(s.buf, back.disk, sizeof(s.buf));
		assert_int_equal(rf_blk_wait(blk, done, 8, -1), -ENOENT);
		fixture_close(&back, blk);
	}
}

static void any_thread_collects_by_polling(void **state)
{
	static struct submission s;
	struct rf_blk_io *done[8];
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	blk = fixture_open_queues(&back, 3, RF_BLK_WAIT_ADAPTIVE);
	submit_elsewhere(&s, blk);
	for (int left = 8; left;)
		left -= rf_blk_poll(blk, done, 8);
	fixture_close(&back, blk);
}

/* Answers nothing on the queue that hook_data names. */
static bool be_silent_on_one(struct back *b, const blkif_request_t *req, blkif_response_t *rsp)
{
	if (b->q->nr == *(unsigned int *)b->hook_data)
		return false;
	back_serve(b, req, rsp);
	return true;
}

/* Our own queue has a request that is never answered: what others submitted comes all the same. */
static void a_silent_queue_does_not_hide_the_others(void **state)
{
	static struct submission s;
	struct rf_blk_io io = {.op = RF_BLK_FLUSH}, *ios[] = {&io}, *done[8];
	unsigned int silent;

	(void)state;
	ALL_POLICIES(policy)
	{
		struct rf_blk *blk;

		fixture_start(&back);
		blk = fixture_open_queues(&back, 2, policy);
		silent = blk_own_queue(blk)->nr;
		back.hook_data = &silent;
		back.hook = be_silent_on_one;
		assert_int_equal(rf_blk_submit(blk, ios, 1), 1);
		assert_int_equal(rf_blk_wait(blk, done, 8, 20), 0);
		submit_elsewhere(&s, blk);
		for (int left = 8; left;) {
			int nr = left % 2 ? rf_blk_poll(blk, done, 1)
					  : rf_blk_wait(blk, done, 1, -1);

			assert_true(nr >= 0);
			left -= nr;
		}
		/* Something is outstanding still. */
		assert_int_equal(rf_blk_wait(blk, done, 8, 20), 0);
		assert_int_equal(blk->nr_rescued, 0);
		rf_blk_close(blk);
		assert_int_equal(io.result, -ESHUTDOWN);
		back_stop(&back);
	}
}

/* Our own queue always has something: the others' turn comes nevertheless. */
static void a_busy_queue_does_not_hide_the_others(void **state)
{
	static struct submission s;
	struct rf_blk_io ios[4], *offer[4], *done[2];
	unsigned int nr_others = 0, rounds = 0;
	uint8_t buf[512];
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	blk = fixture_open_queues(&back, 2, RF_BLK_WAIT_ADAPTIVE);
	for (unsigned int i = 0; i < 4; i++) {
		ios[i] = (struct rf_blk_io){.op = RF_BLK_READ, .nr_sectors = 1, .buf = buf};
		ios[i].cookie = &ios[i];
		offer[i] = &ios[i];
	}
	submit_elsewhere(&s, blk);
	assert_int_equal(rf_blk_submit(blk, offer, 4), 4);
	for (; nr_others < 8 && rounds < 100000; rounds++) {
		int nr = rf_blk_wait(blk, done, 2, -1);

		assert_true(nr > 0);
		for (int i = 0; i < nr; i++) {
			nr_others += !done[i]->cookie;
			if (done[i]->cookie)
				assert_int_equal(rf_blk_submit(blk, &done[i], 1), 1);
		}
	}
	assert_int_equal(nr_others, 8);
	for (int left = 4; left;)
		left -= rf_blk_wait(blk, done, 2, -1);
	fixture_close(&back, blk);
}

/* ---- a poor platform ---- */

static void few_ports_make_fewer_queues(void **state)
{
	uint8_t buf[512];
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	fake_set_port_limit(5);
	blk = fixture_open_queues(&back, 8, RF_BLK_WAIT_ADAPTIVE);
	/* Half of what could be had. */
	assert_int_equal(blk->nr_queues, 3);
	assert_int_equal(back.nr_queues, 3);
	assert_int_equal(rf_blk_read(blk, 0, 1, buf), 0);
	fixture_close(&back, blk);
	fixture_start(&back);
	fake_set_port_limit(0);
	back_start(&back);
	assert_int_equal(rf_blk_open("xvda", NULL, &blk), -ENOSPC);
	fixture_close(&back, NULL);
}

/* 1024 grants are what Linux gives: rings, pool and something to spare. */
static void few_grants_make_smaller_pools(void **state)
{
	static const struct {
		unsigned int wanted, limit, queues, slots, pages;
	} cases[] = {{2, 1024, 2, 128, 2}, {4, 1024, 4, 128, 1}, {8, 1024, 8, 64, 1},
		{16, 1024, 16, 32, 1}, {16, 100, 8, 8, 1}, {16, 65000, 16, 128, 8}};
	uint8_t out[100 * 512], in[100 * 512];

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rf_blk_info info;
		struct rf_blk *blk;

		fixture_start(&back);
		fake_set_grant_limit(cases[i].limit);
		blk = fixture_open_queues(&back, cases[i].wanted, RF_BLK_WAIT_ADAPTIVE);
		rf_blk_get_info(blk, &info);
		assert_int_equal(info.nr_queues, cases[i].queues);
		assert_int_equal(info.ring_slots, cases[i].slots);
		assert_int_equal(info.bounce_pages, cases[i].pages);
		pattern(out, 5, 100, i);
		assert_int_equal(rf_blk_write(blk, 5, 100, out), 0);
		assert_int_equal(rf_blk_read(blk, 5, 100, in), 0);
		assert_memory_equal(in, out, sizeof(in));
		fixture_close(&back, blk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queues_follow_options_and_offer),
		cmocka_unit_test(nonsense_offers_are_refused_or_bounded),
		cmocka_unit_test(each_queue_is_published_in_its_directory),
		cmocka_unit_test(a_lone_queue_is_published_as_ever),
		cmocka_unit_test(a_disk_is_opened_again_with_other_queues),
		cmocka_unit_test(threads_are_spread_and_keep_their_queue),
		cmocka_unit_test(any_thread_collects_by_waiting),
		cmocka_unit_test(any_thread_collects_by_polling),
		cmocka_unit_test(a_silent_queue_does_not_hide_the_others),
		cmocka_unit_test(a_busy_queue_does_not_hide_the_others),
		cmocka_unit_test(few_ports_make_fewer_queues),
		cmocka_unit_test(few_grants_make_smaller_pools),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("blkfront_queues", tests, NULL, NULL);
}
