/* SPDX-License-Identifier: MIT */
/*
 * The front end against back ends that lie, vanish or scribble. Whatever they do, every request
 * ends, the disk says -EIO from then on, and closing leaves nothing behind.
 */
#include "blkfront_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define NR_THREADS 4

static struct back back;
static _Atomic unsigned int nr_logged;
static char last_log[256];

static void count_log(void *data, const char *message)
{
	(void)data;
	nr_logged++;
	snprintf(last_log, sizeof(last_log), "%s", message);
}

typedef bool hook(struct back *b, const blkif_request_t *req, blkif_response_t *rsp);

static struct rf_blk *open_hostile_queues(hook *h, enum rf_blk_wait_policy policy,
	unsigned int nr_queues)
{
	struct rf_blk_options options = {.wait_policy = policy, .log = count_log,
		.nr_queues = nr_queues};
	struct rf_blk *blk = NULL;

	fixture_start(&back);
	back.hook = h;
	back.max_queues = nr_queues;
	back.max_indirect = 32;
	nr_logged = 0;
	last_log[0] = '\0';
	back_start(&back);
	assert_int_equal(rf_blk_open("xvda", &options, &blk), 0);
	return blk;
}

static struct rf_blk *open_hostile(hook *h, enum rf_blk_wait_policy policy)
{
	return open_hostile_queues(h, policy, 1);
}

static void *read_until_error(void *arg)
{
	struct rf_blk *blk = arg;
	uint8_t buf[4096];
	int err;

	do {
		err = rf_blk_read(blk, 8, 8, buf);
	} while (!err);
	/* Then the disk is broken: it says so again. */
	return (void *)(intptr_t)(rf_blk_read(blk, 8, 8, buf) == err ? err : 0);
}

/* Every thread ends with -EIO, so do asynchronous requests, and it is told once. */
static void expect_broken(hook *h, const char *told)
{
	for (enum rf_blk_wait_policy policy = 0; policy <= RF_BLK_WAIT_SPIN; policy++) {
		struct rf_blk *blk = open_hostile(h, policy);
		struct rf_blk_io io = {.op = RF_BLK_READ, .nr_sectors = 1};
		struct rf_blk_io *ios[] = {&io}, *done[1];
		uint8_t buf[512];
		pthread_t threads[NR_THREADS];
		int rc;

		io.buf = buf;
		for (unsigned int i = 0; i < NR_THREADS; i++)
			assert_int_equal(
				pthread_create(&threads[i], NULL, read_until_error, blk), 0);
		do {
			rc = rf_blk_submit(blk, ios, 1);
			if (rc == 1) {
				assert_int_equal(rf_blk_wait(blk, done, 1, -1), 1);
				rc = io.result;
			}
		} while (rc >= 0);
		assert_int_equal(rc, -EIO);
		for (unsigned int i = 0; i < NR_THREADS; i++) {
			void *err;

			pthread_join(threads[i], &err);
			assert_int_equal((intptr_t)err, -EIO);
		}
		assert_int_equal(rf_blk_flush(blk), -EIO);
		assert_int_equal(rf_blk_wait(blk, done, 1, -1), -ENOENT);
		assert_int_equal(nr_logged, 1);
		assert_non_null(strstr(last_log, told));
		fixture_close(&back, blk);
	}
}

/* The same with threads on several queues, and requests of one indirect page each. */
static void *read_large_until_error(void *arg)
{
	struct rf_blk *blk = arg;
	void *buf;
	int err;

	if (rf_blk_buffer_alloc(blk, 100 * 512, &buf) < 0)
		return NULL;
	do {
		err = rf_blk_read(blk, 8, 100, buf);
	} while (!err);
	return (void *)(intptr_t)err;
}

static void expect_broken_everywhere(hook *h, const char *told)
{
	for (enum rf_blk_wait_policy policy = 0; policy <= RF_BLK_WAIT_SPIN; policy++) {
		struct rf_blk *blk = open_hostile_queues(h, policy, NR_THREADS);
		pthread_t threads[NR_THREADS];

		for (unsigned int i = 0; i < NR_THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL,
						 read_large_until_error, blk),
				0);
		for (unsigned int i = 0; i < NR_THREADS; i++) {
			void *err;

			pthread_join(threads[i], &err);
			assert_int_equal((intptr_t)err, -EIO);
		}
		assert_int_equal(nr_logged, 1);
		assert_non_null(strstr(last_log, told));
		assert_int_equal(rf_blk_flush(blk), -EIO);
		fixture_close(&back, blk);
	}
}

static bool now_and_then(struct back *b)
{
	return back_random(b) % 50 == 0;
}

static bool answer_unknown_slot(struct back *b, const blkif_request_t *req, blkif_response_t *rsp)
{
	back_serve(b, req, rsp);
	if (now_and_then(b))
		rsp->id = 0xffffffff00000000u | (back_random(b) % 2 ? 128 : UINT32_MAX);
	return true;
}

static bool answer_stale_id(struct back *b, const blkif_request_t *req, blkif_response_t *rsp)
{
	back_serve(b, req, rsp);
	if (now_and_then(b))
		rsp->id -= 1ull << 32;
	return true;
}

static bool answer_idle_slot(struct back *b, const blkif_request_t *req, blkif_response_t *rsp)
{
	back_serve(b, req, rsp);
	if (now_and_then(b))
		rsp->id = 127;
	return true;
}

/* The second one comes while, or after, the owner of the first goes on. */
static bool answer_twice(struct back *b, const blkif_request_t *req, blkif_response_t *rsp)
{
	back_serve(b, req, rsp);
	if (now_and_then(b)) {
		back_put(b, rsp);
		if (back_random(b) % 2)
			back_push(b);
	}
	return true;
}

static bool answer_other_operation(struct back *b, const blkif_request_t *req,
	blkif_response_t *rsp)
{
	back_serve(b, req, rsp);
	if (now_and_then(b))
		rsp->operation ^= (uint8_t)(1 + back_random(b) % 255);
	return true;
}

static bool overflow_producer(struct back *b, const blkif_request_t *req, blkif_response_t *rsp)
{
	back_serve(b, req, rsp);
	if (now_and_then(b)) {
		b->q->ring.rsp_prod_pvt += 200 + back_random(b);
		back_push(b);
		fake_notify(b->q->port);
	}
	return true;
}

/* Of one queue: what the others are owed does not come either, and they must end all the same. */
static bool answer_id_of_another_queue(struct back *b, const blkif_request_t *req,
	blkif_response_t *rsp)
{
	back_serve(b, req, rsp);
	if (b->q->nr != 1)
		return back_random(b) % 8 != 0 || b->queues[1].nr_requests < 50;
	if (b->queues[1].nr_requests >= 50)
		rsp->id ^= 3u << 16;
	return true;
}

static bool answer_other_inner_operation(struct back *b, const blkif_request_t *req,
	blkif_response_t *rsp)
{
	static const uint8_t others[] = {BLKIF_OP_WRITE, BLKIF_OP_FLUSH_DISKCACHE, 255};

	back_serve(b, req, rsp);
	if (now_and_then(b))
		rsp->operation = others[back_random(b) % 3];
	return true;
}

/* What is in a page of segments while the back end has it is its own business. */
static bool scribble_on_segments(struct back *b, const blkif_request_t *req, blkif_response_t *rsp)
{
	const blkif_request_indirect_t *indirect = (const void *)req;
	uint8_t *page = fake_map(indirect->indirect_grefs[0]);

	back_serve(b, req, rsp);
	if (req->operation == BLKIF_OP_INDIRECT)
		memset(page, 0xff, 4096);
	return true;
}

static void segments_are_never_read_back(void **state)
{
	uint8_t *copy = malloc(1 << 20);
	struct rf_blk *blk;
	void *buf;

	(void)state;
	fixture_start(&back);
	back.max_indirect = 256;
	back.hook = scribble_on_segments;
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	assert_int_equal(rf_blk_buffer_alloc(blk, 1 << 20, &buf), 0);
	for (unsigned int i = 0; i < 20; i++) {
		pattern(buf, i, 2048, i);
		memcpy(copy, buf, 1 << 20);
		assert_int_equal(rf_blk_write(blk, i, 2048, buf), 0);
		memset(buf, 0, 1 << 20);
		assert_int_equal(rf_blk_read(blk, i, 2048, buf), 0);
		assert_memory_equal(buf, copy, 1 << 20);
	}
	fixture_close(&back, blk);
	free(copy);
}

static void an_id_of_another_queue_breaks_the_disk(void **state)
{
	(void)state;
	expect_broken_everywhere(answer_id_of_another_queue, "cannot exist");
}

static void another_inner_operation_breaks_the_disk(void **state)
{
	(void)state;
	expect_broken_everywhere(answer_other_inner_operation, "another operation");
}

static void overflow_of_one_queue_breaks_the_disk(void **state)
{
	(void)state;
	expect_broken_everywhere(overflow_producer, "more responses");
}

static void an_unknown_id_breaks_the_disk(void **state)
{
	(void)state;
	expect_broken(answer_unknown_slot, "cannot exist");
}

static void a_former_id_of_the_slot_breaks_the_disk(void **state)
{
	(void)state;
	expect_broken(answer_stale_id, "not outstanding");
}

static void an_idle_slots_id_breaks_the_disk(void **state)
{
	(void)state;
	expect_broken(answer_idle_slot, "not outstanding");
}

static void a_second_answer_breaks_the_disk(void **state)
{
	(void)state;
	expect_broken(answer_twice, "broke the protocol");
}

static void another_operation_breaks_the_disk(void **state)
{
	(void)state;
	expect_broken(answer_other_operation, "another operation");
}

static void a_producer_overflow_breaks_the_disk(void **state)
{
	(void)state;
	expect_broken(overflow_producer, "more responses");
}

static bool fail_some(struct back *b, const blkif_request_t *req, blkif_response_t *rsp)
{
	static const int16_t statuses[] = {BLKIF_RSP_ERROR, BLKIF_RSP_EOPNOTSUPP, 5, INT16_MIN};

	back_serve(b, req, rsp);
	rsp->status = statuses[req->sector_number % 4];
	return true;
}

static void a_failed_request_is_only_that(void **state)
{
	struct rf_blk *blk = open_hostile(fail_some, RF_BLK_WAIT_ADAPTIVE);
	uint8_t buf[512];

	(void)state;
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(rf_blk_read(blk, i, 1, buf), i % 4 == 1 ? -EOPNOTSUPP : -EIO);
	assert_int_equal(nr_logged, 0);
	fixture_close(&back, blk);
}

/* ---- vanishing ---- */

static bool never_answer(struct back *b, const blkif_request_t *req, blkif_response_t *rsp)
{
	(void)b, (void)req, (void)rsp;
	return false;
}

static void remove_back_end(void)
{
	fake_store_remove("/local/domain/0/backend/vbd/1");
}

static void close_back_end(void)
{
	fake_store_write(BACK_PATH "/state", "5");
}

/* All threads wait, asleep or not, when it happens. */
static void expect_end_on(unsigned int nr_queues, void (*happening)(void), const char *told)
{
	for (enum rf_blk_wait_policy policy = 0; policy <= RF_BLK_WAIT_SPIN; policy++) {
		struct rf_blk *blk = open_hostile_queues(never_answer, policy, nr_queues);
		struct rf_blk_io io = {.op = RF_BLK_FLUSH}, *ios[] = {&io}, *done[1];
		pthread_t threads[NR_THREADS];

		assert_int_equal(rf_blk_submit(blk, ios, 1), 1);
		for (unsigned int i = 0; i < NR_THREADS; i++)
			assert_int_equal(
				pthread_create(&threads[i], NULL, read_until_error, blk), 0);
		while (back.nr_requests < NR_THREADS + 1)
			usleep(1000);
		happening();
		for (unsigned int i = 0; i < NR_THREADS; i++) {
			void *err;

			pthread_join(threads[i], &err);
			assert_int_equal((intptr_t)err, -EIO);
		}
		/* One that only polls finds out, too. */
		while (rf_blk_poll(blk, done, 1) == 0)
			;
		assert_int_equal(io.result, -EIO);
		assert_int_equal(nr_logged, 1);
		assert_non_null(strstr(last_log, told));
		/* The 500 ms look is how a lost store connection is found: not a rescue. */
		fixture_close(&back, blk);
	}
}

static void expect_end_of_waiting(void (*happening)(void), const char *told)
{
	expect_end_on(1, happening, told);
	expect_end_on(3, happening, told);
}

static void waiters_end_when_the_back_end_vanishes(void **state)
{
	(void)state;
	expect_end_of_waiting(remove_back_end, "gone");
}

static void waiters_end_when_the_back_end_closes(void **state)
{
	(void)state;
	expect_end_of_waiting(close_back_end, "closed");
}

static void waiters_end_when_the_hypervisor_dies(void **state)
{
	(void)state;
	expect_end_of_waiting(fake_kill_evtchn, "event channel");
}

static void waiters_end_when_the_store_dies(void **state)
{
	(void)state;
	expect_end_of_waiting(fake_kill_store, "xenstore");
}

static void a_poller_finds_out_alone(void **state)
{
	struct rf_blk *blk = open_hostile(never_answer, RF_BLK_WAIT_ADAPTIVE);
	struct rf_blk_io io = {.op = RF_BLK_FLUSH}, *ios[] = {&io}, *done[1];

	(void)state;
	assert_int_equal(rf_blk_submit(blk, ios, 1), 1);
	remove_back_end();
	while (rf_blk_poll(blk, done, 1) == 0)
		;
	assert_int_equal(io.result, -EIO);
	fixture_close(&back, blk);
}

/* ---- scribbling ---- */

struct scribbler {
	pthread_t thread;
	_Atomic bool stop;
	size_t from, len; /* words of the ring's pages */
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	uint64_t seed = 1;

	while (!s->stop) {
		uint64_t *ring = back.queues[0].ring_page;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		if (ring)
			__atomic_store_n(ring + s->from + (seed >> 33) % s->len,
				seed >> 20 & (seed & 64 ? UINT64_MAX : 0x7f), __ATOMIC_RELAXED);
		if (seed >> 60 == 0)
			usleep(10);
	}
	return NULL;
}

/* The data of a request that was scribbled on would be written anywhere. */
static bool answer_without_data(struct back *b, const blkif_request_t *req, blkif_response_t *rsp)
{
	(void)b;
	rsp->id = req->id;
	rsp->operation = req->operation;
	rsp->status = BLKIF_RSP_OKAY;
	return true;
}

/*
 * A mutator writes all over the ring while requests run: the slots only, then the indices too.
 * There is no telling how each ends, but it must end, without touching memory that is not ours.
 */
static void a_scribbled_ring_harms_nobody_else(void **state)
{
	static const struct {
		size_t from, len;
	} areas[] = {{8, 4 * 512 - 8}, {0, 4 * 512}, {0, 2}};

	static const enum rf_blk_wait_policy policies[] = {
		RF_BLK_WAIT_ADAPTIVE, RF_BLK_WAIT_EVENT, RF_BLK_WAIT_IDDR, RF_BLK_WAIT_EVENT};

	(void)state;
	for (unsigned int round = 0; round < 30; round++) {
		struct scribbler s = {.from = areas[round % 3].from, .len = areas[round % 3].len};
		struct rf_blk *blk = open_hostile(answer_without_data,
			policies[round % 4]);
		pthread_t threads[NR_THREADS];

		assert_int_equal(pthread_create(&s.thread, NULL, scribble, &s), 0);
		for (unsigned int i = 0; i < NR_THREADS; i++)
			assert_int_equal(
				pthread_create(&threads[i], NULL, read_until_error, blk), 0);
		usleep(5000);
		/* An answer may be lost for good, so somebody has to end it. */
		remove_back_end();
		for (unsigned int i = 0; i < NR_THREADS; i++)
			pthread_join(threads[i], NULL);
		s.stop = true;
		pthread_join(s.thread, NULL);
		blk->nr_rescued = 0; /* events got lost, of course */
		fixture_close(&back, blk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unknown_id_breaks_the_disk),
		cmocka_unit_test(a_former_id_of_the_slot_breaks_the_disk),
		cmocka_unit_test(an_idle_slots_id_breaks_the_disk),
		cmocka_unit_test(a_second_answer_breaks_the_disk),
		cmocka_unit_test(another_operation_breaks_the_disk),
		cmocka_unit_test(a_producer_overflow_breaks_the_disk),
		cmocka_unit_test(an_id_of_another_queue_breaks_the_disk),
		cmocka_unit_test(another_inner_operation_breaks_the_disk),
		cmocka_unit_test(overflow_of_one_queue_breaks_the_disk),
		cmocka_unit_test(segments_are_never_read_back),
		cmocka_unit_test(a_failed_request_is_only_that),
		cmocka_unit_test(waiters_end_when_the_back_end_vanishes),
		cmocka_unit_test(waiters_end_when_the_back_end_closes),
		cmocka_unit_test(waiters_end_when_the_hypervisor_dies),
		cmocka_unit_test(waiters_end_when_the_store_dies),
		cmocka_unit_test(a_poller_finds_out_alone),
		cmocka_unit_test(a_scribbled_ring_harms_nobody_else),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("blkfront_hostile", tests, NULL, NULL);
}
