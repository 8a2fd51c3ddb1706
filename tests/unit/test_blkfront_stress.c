/* SPDX-License-Identifier: MIT */
/*
 * Many threads on one ring, with a back end that answers in any order and after random delays. A
 * wake-up that got lost would show as a sleep that only its time limit ended (nr_rescued, checked
 * when a disk is closed).
 */
#include "blkfront_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#ifdef __SANITIZE_THREAD__
#define ROUNDS 40
#else
#define ROUNDS 200
#endif

static struct back back;

struct worker {
	pthread_t thread;
	struct rf_blk *blk;
	unsigned int nr;
	unsigned int rounds;
	bool failed;
};

/* Writes and reads sectors that no other worker touches. */
static void *work_blocking(void *arg)
{
	struct worker *w = arg;
	uint8_t out[4096], in[4096];

	for (unsigned int i = 0; i < w->rounds && !w->failed; i++) {
		uint64_t sector = w->nr * 8;

		pattern(out, sector, 8, i);
		w->failed = rf_blk_write(w->blk, sector, 8, out) != 0 ||
			    rf_blk_read(w->blk, sector, 8, in) != 0 ||
			    memcmp(in, out, sizeof(in)) != 0;
	}
	return NULL;
}

/* Keeps requests in flight; whichever worker takes a finished one counts it. */
static void *work_async(void *arg)
{
	struct worker *w = arg;
	struct rf_blk_io ios[8], *done[8], *offer[8];
	uint8_t buf[8 * 512];

	for (unsigned int i = 0; i < w->rounds && !w->failed; i++) {
		unsigned int sent = 0, back_nr = 0;

		for (unsigned int j = 0; j < 8; j++) {
			ios[j] = (struct rf_blk_io){.op = RF_BLK_READ, .sector = j,
				.nr_sectors = 1, .buf = buf + j * 512};
			offer[j] = &ios[j];
		}
		while (sent < 8 || back_nr < 8) {
			int rc = sent < 8 ? rf_blk_submit(w->blk, offer + sent, 8 - sent) : 0;

			w->failed |= rc < 0;
			sent += (unsigned int)rc;
			/* Alone on the disk: all that come back are ours. */
			rc = rf_blk_wait(w->blk, done, 8, -1);
			if (rc == -ENOENT && sent == back_nr) {
				/* The others have every slot. */
				sched_yield();
				continue;
			}
			w->failed |= rc <= 0;
			back_nr += (unsigned int)rc;
		}
	}
	return NULL;
}

static void run(struct rf_blk *blk, void *(*work)(void *), unsigned int nr_threads,
	unsigned int rounds)
{
	struct worker *workers = calloc(nr_threads, sizeof(*workers));

	for (unsigned int i = 0; i < nr_threads; i++) {
		workers[i].blk = blk;
		workers[i].nr = i;
		workers[i].rounds = rounds;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < nr_threads; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_false(workers[i].failed);
	}
	free(workers);
}

static void stress_queues(unsigned int nr_queues, enum rf_blk_wait_policy policy,
	unsigned int order, unsigned int nr_threads, unsigned int rounds,
	unsigned int max_delay_us)
{
	struct rf_blk *blk;

	fixture_start(&back);
	back.shuffle = true;
	back.max_ring_order = order;
	back.max_delay_us = max_delay_us;
	blk = fixture_open_queues(&back, nr_queues, policy);
	run(blk, work_blocking, nr_threads, rounds);
	fixture_close(&back, blk);
}

/* The same with a back end that goes by status words alone. */
static void stress_status(unsigned int nr_queues, enum rf_blk_wait_policy policy,
	unsigned int nr_threads, unsigned int rounds, unsigned int max_delay_us)
{
	struct rf_blk *blk;

	fixture_start(&back);
	back.shuffle = true;
	back.status = true;
	back.max_delay_us = max_delay_us;
	blk = fixture_open_queues(&back, nr_queues, policy);
	run(blk, work_blocking, nr_threads, rounds);
	run(blk, work_async, 1, rounds / 4);
	fixture_close(&back, blk);
}

static void stress(enum rf_blk_wait_policy policy, unsigned int order, unsigned int nr_threads,
	unsigned int rounds, unsigned int max_delay_us)
{
	stress_queues(1, policy, order, nr_threads, rounds, max_delay_us);
}

static void many_threads_sleep_and_none_oversleeps(void **state)
{
	(void)state;
	stress(RF_BLK_WAIT_EVENT, 2, 1, ROUNDS, 100);
	stress(RF_BLK_WAIT_EVENT, 2, 2, ROUNDS, 100);
	stress(RF_BLK_WAIT_EVENT, 2, 16, ROUNDS, 200);
	stress(RF_BLK_WAIT_EVENT, 2, 16, ROUNDS * 4, 0);
	stress(RF_BLK_WAIT_EVENT, 2, 100, ROUNDS / 4, 100);
}

static void more_threads_than_slots_take_turns(void **state)
{
	(void)state;
	stress(RF_BLK_WAIT_EVENT, 0, 100, ROUNDS / 4, 50);
	stress(RF_BLK_WAIT_ADAPTIVE, 0, 100, ROUNDS / 4, 0);
	stress(RF_BLK_WAIT_SPIN, 0, 60, ROUNDS / 8, 0);
}

static void many_threads_poll_adaptively(void **state)
{
	(void)state;
	stress(RF_BLK_WAIT_ADAPTIVE, 2, 1, ROUNDS, 50);
	stress(RF_BLK_WAIT_ADAPTIVE, 2, 4, ROUNDS, 1000);
	stress(RF_BLK_WAIT_ADAPTIVE, 2, 64, ROUNDS / 2, 100);
}

static void many_threads_spin(void **state)
{
	(void)state;
	stress(RF_BLK_WAIT_SPIN, 2, 1, ROUNDS, 50);
	stress(RF_BLK_WAIT_SPIN, 2, 8, ROUNDS / 2, 50);
}

static void many_threads_tell_by_status_words(void **state)
{
	(void)state;
	/* Answers within the threshold, around it, and far beyond. */
	stress_status(1, RF_BLK_WAIT_IDDR, 1, ROUNDS * 4, 0);
	stress_status(1, RF_BLK_WAIT_IDDR, 2, ROUNDS, 200);
	stress_status(1, RF_BLK_WAIT_IDDR, 16, ROUNDS, 100);
	stress_status(1, RF_BLK_WAIT_IDDR, 100, ROUNDS / 4, 1000);
	stress_status(3, RF_BLK_WAIT_IDDR, 16, ROUNDS, 100);
}

static void front_ends_without_status_words_meet_one_with_them(void **state)
{
	(void)state;
	stress_status(1, RF_BLK_WAIT_EVENT, 8, ROUNDS, 100);
	stress_status(2, RF_BLK_WAIT_ADAPTIVE, 8, ROUNDS, 100);
	stress_status(1, RF_BLK_WAIT_SPIN, 4, ROUNDS, 50);
}

static void status_words_meet_a_back_end_without_them(void **state)
{
	(void)state;
	stress(RF_BLK_WAIT_IDDR, 2, 1, ROUNDS, 200);
	stress(RF_BLK_WAIT_IDDR, 2, 16, ROUNDS, 100);
	stress_queues(3, RF_BLK_WAIT_IDDR, 1, 32, ROUNDS / 2, 200);
}

static void many_threads_on_several_queues(void **state)
{
	(void)state;
	stress_queues(4, RF_BLK_WAIT_EVENT, 0, 16, ROUNDS, 100);
	stress_queues(4, RF_BLK_WAIT_EVENT, 0, 100, ROUNDS / 4, 0);
	stress_queues(3, RF_BLK_WAIT_ADAPTIVE, 1, 16, ROUNDS, 50);
	stress_queues(2, RF_BLK_WAIT_SPIN, 2, 4, ROUNDS / 2, 0);
	stress_queues(16, RF_BLK_WAIT_EVENT, 0, 32, ROUNDS / 2, 50);
}

/* Each thread its own large requests in granted memory, whose pages of segments come and stay. */
static void *work_large(void *arg)
{
	struct worker *w = arg;
	uint8_t *out = malloc(200 * 512);
	void *buf;

	w->failed = rf_blk_buffer_alloc(w->blk, 200 * 512, &buf) != 0;
	for (unsigned int i = 0; i < w->rounds && !w->failed; i++) {
		uint64_t sector = w->nr * 200;

		pattern(out, sector, 200, i);
		memcpy(buf, out, 200 * 512);
		w->failed = rf_blk_write(w->blk, sector, 200, buf) != 0;
		memset(buf, 0, 200 * 512);
		w->failed |= rf_blk_read(w->blk, sector, 200, buf) != 0 ||
			     memcmp(buf, out, 200 * 512) != 0;
	}
	free(out);
	return NULL;
}

static void large_requests_from_many_threads(void **state)
{
	(void)state;
	for (enum rf_blk_wait_policy policy = 0; policy <= RF_BLK_WAIT_EVENT; policy++) {
		struct rf_blk *blk;

		fixture_start(&back);
		back.shuffle = true;
		back.max_indirect = 25;
		blk = fixture_open_queues(&back, 3, policy);
		run(blk, work_large, 12, ROUNDS / 2);
		assert_int_equal(back.nr_indirect, back.nr_requests);
		fixture_close(&back, blk);
	}
}

/* A blocking thread, a poller and a sleeper at once, on a ring that is often full. */
static void mixed_calls_share_a_ring(void **state)
{
	(void)state;
	for (enum rf_blk_wait_policy policy = 0; policy <= RF_BLK_WAIT_EVENT; policy++) {
		struct worker async = {.rounds = ROUNDS};
		struct rf_blk *blk;

		fixture_start(&back);
		back.shuffle = true;
		back.max_ring_order = 0;
		back.max_delay_us = 50;
		async.blk = blk = fixture_open(&back, policy);
		assert_int_equal(pthread_create(&async.thread, NULL, work_async, &async), 0);
		run(blk, work_blocking, 40, ROUNDS / 8);
		pthread_join(async.thread, NULL);
		assert_false(async.failed);
		fixture_close(&back, blk);
	}
}

struct pool {
	struct rf_blk *blk;
	struct rf_blk_io *ios;
	_Atomic unsigned int nr_sent, nr_back, nr_twice;
};

#define POOL_IOS 4000u

static void *work_pool(void *arg)
{
	struct pool *p = arg;
	struct rf_blk_io *done[4];

	while (p->nr_back < POOL_IOS) {
		unsigned int mine = p->nr_sent < POOL_IOS ? p->nr_sent++ : POOL_IOS;
		int rc;

		if (mine < POOL_IOS) {
			struct rf_blk_io *io = &p->ios[mine];

			while (rf_blk_submit(p->blk, &io, 1) == 0)
				sched_yield();
		}
		rc = rf_blk_wait(p->blk, done, 4, -1);
		for (int i = 0; i < rc; i++) {
			p->nr_twice += done[i]->cookie != NULL;
			done[i]->cookie = p;
		}
		if (rc > 0)
			p->nr_back += (unsigned int)rc;
	}
	return NULL;
}

/* Any thread may get any request, each exactly once; the last ones out are not left asleep. */
static void share_requests(unsigned int nr_queues)
{
	for (enum rf_blk_wait_policy policy = 0; policy <= RF_BLK_WAIT_SPIN; policy++) {
		struct pool p = {.ios = calloc(POOL_IOS, sizeof(struct rf_blk_io))};
		uint8_t *buf = malloc(POOL_IOS * 512);
		pthread_t threads[8];

		fixture_start(&back);
		back.shuffle = true;
		back.max_delay_us = 20;
		p.blk = fixture_open_queues(&back, nr_queues, policy);
		for (unsigned int i = 0; i < POOL_IOS; i++)
			p.ios[i] = (struct rf_blk_io){.op = RF_BLK_READ, .sector = i,
				.nr_sectors = 1, .buf = buf + i * 512};
		for (unsigned int i = 0; i < 8; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, work_pool, &p), 0);
		for (unsigned int i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(p.nr_back, POOL_IOS);
		assert_int_equal(p.nr_twice, 0);
		fixture_close(&back, p.blk);
		free(p.ios);
		free(buf);
	}
}

static void threads_share_asynchronous_requests(void **state)
{
	(void)state;
	share_requests(1);
}

static void threads_share_requests_of_several_queues(void **state)
{
	(void)state;
	share_requests(2);
	share_requests(5);
	share_requests(16);
}

static void *churn_buffers(void *arg)
{
	struct worker *w = arg;
	void *bufs[4];

	for (unsigned int i = 0; i < w->rounds && !w->failed; i++) {
		for (unsigned int j = 0; j < 4; j++)
			w->failed |= rf_blk_buffer_alloc(w->blk, (j + 1) * 4096, &bufs[j]) != 0;
		w->failed |= rf_blk_write(w->blk, 8000, 16, bufs[3]) != 0;
		for (unsigned int j = 0; j < 4; j++)
			rf_blk_buffer_free(w->blk, bufs[j]);
	}
	return NULL;
}

static void buffers_come_and_go_beside_requests(void **state)
{
	(void)state;
	for (unsigned int persistent = 0; persistent < 2; persistent++) {
		struct worker churn = {.rounds = ROUNDS / 4};
		struct rf_blk *blk;

		fixture_start(&back);
		back.persistent = persistent;
		churn.blk = blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
		assert_int_equal(pthread_create(&churn.thread, NULL, churn_buffers, &churn), 0);
		run(blk, work_blocking, 4, ROUNDS / 2);
		pthread_join(churn.thread, NULL);
		assert_false(churn.failed);
		fixture_close(&back, blk);
	}
}

static void attaching_and_detaching_under_load(void **state)
{
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	back.shuffle = true;
	blk = fixture_open(&back, RF_BLK_WAIT_EVENT);
	for (unsigned int i = 0; i < ROUNDS / 8; i++) {
		run(blk, work_blocking, 4, 4);
		rf_blk_close(blk);
		assert_int_equal(rf_blk_open("xvda", NULL, &blk), 0);
	}
	fixture_close(&back, blk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_threads_sleep_and_none_oversleeps),
		cmocka_unit_test(more_threads_than_slots_take_turns),
		cmocka_unit_test(many_threads_poll_adaptively),
		cmocka_unit_test(many_threads_tell_by_status_words),
		cmocka_unit_test(front_ends_without_status_words_meet_one_with_them),
		cmocka_unit_test(status_words_meet_a_back_end_without_them),
		cmocka_unit_test(many_threads_spin),
		cmocka_unit_test(many_threads_on_several_queues),
		cmocka_unit_test(large_requests_from_many_threads),
		cmocka_unit_test(mixed_calls_share_a_ring),
		cmocka_unit_test(threads_share_asynchronous_requests),
		cmocka_unit_test(threads_share_requests_of_several_queues),
		cmocka_unit_test(buffers_come_and_go_beside_requests),
		cmocka_unit_test(attaching_and_detaching_under_load),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("blkfront_stress", tests, NULL, NULL);
}
