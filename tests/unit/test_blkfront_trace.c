/* SPDX-License-Identifier: MIT */
/* The front end's stamps: what it records of sampled requests, and that it does without. */
#include "blkfront_fixture.h"

#include <stdio.h>

#include "common/stamps.h"

#define NODE "/local/domain/1/data/trace/vbd-51712"
#define MAX_RECORDS 64

static struct back back;
static struct stamps_reader reader;
static struct stamps_record records[MAX_RECORDS];

/* What domain 0 would do. */
static void map_area(void)
{
	long long ref = fake_store_number(NODE);

	assert_true(ref >= 0);
	assert_int_equal(stamps_reader_init(&reader, fake_map((uint32_t)ref), 4096), 0);
	assert_int_equal(reader.side, STAMPS_FRONT);
}

static unsigned int read_records(void)
{
	return stamps_read(&reader, records, MAX_RECORDS);
}

static void assert_whole(const struct stamps_record *record, uint8_t operation, unsigned int queue)
{
	assert_int_equal(record->device, 51712);
	assert_int_equal(record->operation, operation);
	assert_int_equal(record->queue, queue);
	assert_int_equal(record->index % STAMPS_INTERVAL, 0);
	assert_true(stamps_in_order(record->ns, NR_FRONT_STAMPS));
}

static void blocking_requests_leave_one_record_in_64(void **state)
{
	struct rf_blk *blk;
	uint8_t buf[512];

	(void)state;
	fixture_start(&back);
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	map_area();
	for (unsigned int i = 0; i < 641; i++)
		assert_int_equal(i % 2 ? rf_blk_write(blk, i, 1, buf) : rf_blk_read(blk, i, 1, buf), 0);
	assert_int_equal(read_records(), 11);
	for (unsigned int i = 0; i < 11; i++) {
		assert_whole(&records[i], BLKIF_OP_READ, 0);
		assert_int_equal(records[i].index, i * STAMPS_INTERVAL);
	}
	fixture_close(&back, blk);
	assert_int_equal(fake_store_number(NODE), -1);
}

/* Collects so many. */
static void collect(struct rf_blk *blk, unsigned int nr)
{
	struct rf_blk_io *done[128];

	while (nr) {
		int rc = rf_blk_wait(blk, done, 128, -1);

		assert_in_range(rc, 1, nr);
		nr -= (unsigned int)rc;
	}
}

static void asynchronous_requests_are_recorded_when_they_are_collected(void **state)
{
	static struct rf_blk_io ios[100];
	struct rf_blk_io *list[100];
	static uint8_t buf[512];
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	map_area();
	for (unsigned int i = 0; i < 100; i++) {
		ios[i] = (struct rf_blk_io){.op = RF_BLK_READ, .sector = i, .nr_sectors = 1,
			.buf = buf};
		/* Whatever is in there before. */
		memset(&ios[i].priv, 0xff, sizeof(ios[i].priv));
		list[i] = &ios[i];
	}
	assert_int_equal(rf_blk_submit(blk, list, 100), 100);
	assert_int_equal(read_records(), 0);
	collect(blk, 100);
	assert_int_equal(read_records(), 2);
	assert_whole(&records[0], BLKIF_OP_READ, 0);
	assert_whole(&records[1], BLKIF_OP_READ, 0);
	assert_int_equal(records[0].index ^ records[1].index, STAMPS_INTERVAL);
	fixture_close(&back, blk);
}

/* Of its many pieces several are sampled, and one is recorded. */
static void a_request_in_pieces_leaves_one_record(void **state)
{
	static uint8_t buf[2000 * 512];
	struct rf_blk_io io, *list[] = {&io};
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	back.max_indirect = 256;
	/* Pieces of a page each, so that there are enough of them. */
	fake_set_grant_limit(4 + 128 + 2);
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	map_area();
	assert_int_equal(blk->queues[0].pages_per_slot, 1);
	for (unsigned int i = 1; i <= 5; i++) {
		io = (struct rf_blk_io){.op = RF_BLK_READ, .nr_sectors = 900, .buf = buf};
		assert_int_equal(rf_blk_submit(blk, list, 1), 1);
		collect(blk, 1);
		assert_int_equal(read_records(), 1);
		assert_whole(&records[0], BLKIF_OP_READ, 0);
		assert_int_equal(atomic_load(&blk->queues[0].stamps.free), (1u << STAMPS_SETS) - 1);
	}
	fixture_close(&back, blk);
}

static bool refuse(struct back *b, const blkif_request_t *req, blkif_response_t *rsp)
{
	(void)b;
	*rsp = (blkif_response_t){
		.id = req->id, .operation = req->operation, .status = BLKIF_RSP_ERROR};
	return true;
}

static void failed_requests_leave_no_record(void **state)
{
	struct rf_blk_io io, *list[] = {&io}, *done[1];
	struct rf_blk *blk;
	uint8_t buf[512];

	(void)state;
	fixture_start(&back);
	back.hook = refuse;
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	map_area();
	for (unsigned int i = 0; i < 1300; i++) {
		if (i % 128) {
			assert_int_equal(rf_blk_read(blk, i, 1, buf), -EIO);
			continue;
		}
		io = (struct rf_blk_io){.op = RF_BLK_READ, .nr_sectors = 1, .buf = buf};
		assert_int_equal(rf_blk_submit(blk, list, 1), 1);
		assert_int_equal(rf_blk_wait(blk, done, 1, -1), 1);
		assert_int_equal(io.result, -EIO);
	}
	assert_int_equal(read_records(), 0);
	assert_int_equal(atomic_load(&blk->queues[0].stamps.free), (1u << STAMPS_SETS) - 1);
	fixture_close(&back, blk);
}

struct reader_thread {
	struct rf_blk *blk;
	pthread_t thread;
};

static void *read_much(void *data)
{
	struct reader_thread *t = data;
	uint8_t buf[512];

	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(rf_blk_read(t->blk, i, 1, buf), 0);
	return NULL;
}

static void each_queue_counts_for_itself(void **state)
{
	struct reader_thread threads[4];
	unsigned int nr, seen = 0;
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	blk = fixture_open_queues(&back, 2, RF_BLK_WAIT_ADAPTIVE);
	map_area();
	for (unsigned int i = 0; i < 4; i++) {
		threads[i].blk = blk;
		assert_int_equal(
			pthread_create(&threads[i].thread, NULL, read_much, &threads[i]), 0);
	}
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(threads[i].thread, NULL);
	nr = read_records();
	/* Two threads that end theirs at one moment lose one of the two. */
	assert_in_range(nr, 32, 63);
	for (unsigned int i = 0; i < nr; i++) {
		assert_in_range(records[i].queue, 0, 1);
		assert_whole(&records[i], BLKIF_OP_READ, records[i].queue);
		seen |= 1u << records[i].queue;
	}
	assert_int_equal(seen, 3);
	fixture_close(&back, blk);
}

static void without_a_grant_nothing_is_traced(void **state)
{
	struct rf_blk *blk;
	uint8_t buf[512];

	(void)state;
	fixture_start(&back);
	fake_set_grant_limit(4 + 128 * 11);
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	assert_int_equal(fake_nr_grants(), 4 + 128 * 11);
	assert_int_equal(fake_store_number(NODE), -1);
	for (unsigned int i = 0; i < 200; i++)
		assert_int_equal(rf_blk_read(blk, i, 1, buf), 0);
	fixture_close(&back, blk);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocking_requests_leave_one_record_in_64),
		cmocka_unit_test(asynchronous_requests_are_recorded_when_they_are_collected),
		cmocka_unit_test(a_request_in_pieces_leaves_one_record),
		cmocka_unit_test(failed_requests_leave_no_record),
		cmocka_unit_test(each_queue_counts_for_itself),
		cmocka_unit_test(without_a_grant_nothing_is_traced),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("blkfront: trace", tests, NULL, NULL);
}
