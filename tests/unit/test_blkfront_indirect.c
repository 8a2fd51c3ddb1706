/* SPDX-License-Identifier: MIT */
/* Requests of more than 11 segments: on granted memory, on any other, and with few grants. */
#include "blkfront_fixture.h"

#define MIB_SECTORS 2048u

static struct back back;

static struct rf_blk *open_indirect(unsigned int offer)
{
	fixture_start(&back);
	back.max_indirect = offer;
	return fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
}

static uint8_t *granted(struct rf_blk *blk, size_t len_bytes)
{
	void *buf;

	assert_int_equal(rf_blk_buffer_alloc(blk, len_bytes, &buf), 0);
	return buf;
}

static void round_trip(struct rf_blk *blk, uint8_t *buf, uint64_t sector, uint32_t nr,
	unsigned int salt)
{
	uint8_t *copy = malloc(nr * 512u);

	pattern(buf, sector, nr, salt);
	memcpy(copy, buf, nr * 512u);
	assert_int_equal(rf_blk_write(blk, sector, nr, buf), 0);
	assert_memory_equal(back.disk + sector * 512, copy, nr * 512u);
	memset(buf, 0, nr * 512u);
	assert_int_equal(rf_blk_read(blk, sector, nr, buf), 0);
	assert_memory_equal(buf, copy, nr * 512u);
	free(copy);
}

/* Answered with the inner operation as Linux does, or with the outer as blkif.h says. */
static void a_granted_mebibyte_is_one_request(void **state)
{
	(void)state;
	for (unsigned int outer = 0; outer <= 1; outer++) {
		struct rf_blk *blk = open_indirect(256);
		struct rf_blk_info info;

		back.outer_operation = outer;
		rf_blk_get_info(blk, &info);
		assert_int_equal(info.max_segments, 256);
		assert_int_equal(info.max_request_sectors, MIB_SECTORS);
		assert_int_equal(info.bounce_pages, 11);
		round_trip(blk, granted(blk, 1 << 20), 100, MIB_SECTORS, outer);
		assert_int_equal(back.nr_requests, 2);
		assert_int_equal(back.nr_indirect, 2);
		assert_int_equal(back.nr_segments, 2 * 256);
		fixture_close(&back, blk);
	}
}

static void the_offer_bounds_the_segments(void **state)
{
	static const struct {
		unsigned int offer, segments;
	} cases[] = {{0, 11}, {1, 11}, {11, 11}, {12, 12}, {32, 32}, {256, 256}, {512, 256},
		{UINT32_MAX, 256}};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rf_blk *blk = open_indirect(cases[i].offer);
		unsigned int nr = cases[i].segments, nr_requests = (256 + nr - 1) / nr;
		unsigned int last = 256 - (nr_requests - 1) * nr;
		struct rf_blk_info info;

		rf_blk_get_info(blk, &info);
		assert_int_equal(info.max_segments, nr);
		assert_int_equal(info.max_request_sectors, nr * 8);
		assert_int_equal(rf_blk_read(blk, 0, MIB_SECTORS, granted(blk, 1 << 20)), 0);
		assert_int_equal(back.nr_requests, nr_requests);
		/* The rest may fit into an ordinary request. */
		assert_int_equal(back.nr_indirect,
			nr == 11 ? 0 : nr_requests - (last <= 11 ? 1 : 0));
		fixture_close(&back, blk);
	}
}

static void small_requests_stay_direct(void **state)
{
	struct rf_blk *blk = open_indirect(256);
	uint8_t *buf = granted(blk, 1 << 20);
	unsigned int nr_grants = fake_nr_grants();

	(void)state;
	round_trip(blk, buf, 7, 88, 1);
	round_trip(blk, buf + 512, 7, 87, 2);
	assert_int_equal(back.nr_requests, 4);
	assert_int_equal(back.nr_indirect, 0);
	assert_int_equal(fake_nr_grants(), nr_grants);
	/* One segment more. */
	round_trip(blk, buf + 512, 7, 88, 3);
	assert_int_equal(back.nr_indirect, 2);
	assert_int_equal(fake_nr_grants(), nr_grants + 1);
	fixture_close(&back, blk);
}

static void memory_may_start_inside_a_page(void **state)
{
	struct rf_blk *blk = open_indirect(256);
	uint8_t *buf = granted(blk, (1 << 20) + 4096);

	(void)state;
	for (unsigned int first = 1; first < 8; first++)
		round_trip(blk, buf + first * 512, first * 3, MIB_SECTORS, first);
	/* 257 pages are touched, so each is one indirect request and a short one. */
	assert_int_equal(back.nr_requests, 7 * 4);
	assert_int_equal(back.nr_indirect, 7 * 2);
	fixture_close(&back, blk);
}

static void other_memory_is_sent_in_pieces(void **state)
{
	uint8_t *buf = malloc(1 << 20);
	struct rf_blk *blk = open_indirect(256);

	(void)state;
	round_trip(blk, buf, 3, MIB_SECTORS, 5);
	assert_int_equal(back.nr_indirect, 0);
	assert_int_equal(back.nr_requests, 2 * ((MIB_SECTORS + 87) / 88));
	fixture_close(&back, blk);
	free(buf);
}

/* ---- asynchronous ---- */

static struct rf_blk_io request(enum rf_blk_op op, uint64_t sector, uint64_t nr, void *buf)
{
	return (struct rf_blk_io){.op = op, .sector = sector, .nr_sectors = nr, .buf = buf};
}

static void large_asynchronous_requests_come_back_once(void **state)
{
	uint8_t *memory = malloc(1 << 20);

	(void)state;
	for (unsigned int is_granted = 0; is_granted <= 1; is_granted++) {
		struct rf_blk *blk = open_indirect(256);
		uint8_t *buf = is_granted ? granted(blk, 1 << 20) : memory;
		struct rf_blk_io io = request(RF_BLK_READ, 1000, MIB_SECTORS, buf);
		struct rf_blk_io *ios[] = {&io}, *done[2];

		back.shuffle = true;
		pattern(back.disk, 0, back.nr_sectors, 6);
		assert_int_equal(rf_blk_submit(blk, ios, 1), 1);
		assert_int_equal(rf_blk_wait(blk, done, 2, -1), 1);
		assert_int_equal(io.result, 0);
		assert_memory_equal(buf, back.disk + 1000 * 512, 1 << 20);
		assert_int_equal(rf_blk_wait(blk, done, 2, -1), -ENOENT);
		assert_int_equal(back.nr_requests, is_granted ? 1 : 24);
		io.nr_sectors += 8;
		assert_int_equal(rf_blk_submit(blk, ios, 1), -EINVAL);
		fixture_close(&back, blk);
	}
	free(memory);
}

static bool fail_the_third(struct back *b, const blkif_request_t *req, blkif_response_t *rsp)
{
	back_serve(b, req, rsp);
	if (req->sector_number == 2 * 88)
		rsp->status = BLKIF_RSP_ERROR;
	return true;
}

static void one_failed_piece_fails_the_request(void **state)
{
	uint8_t *buf = malloc(1 << 20);
	struct rf_blk *blk = open_indirect(256);
	struct rf_blk_io io = request(RF_BLK_WRITE, 0, MIB_SECTORS, buf);
	struct rf_blk_io *ios[] = {&io}, *done[2];

	(void)state;
	memset(buf, 0x5a, 1 << 20);
	back.hook = fail_the_third;
	assert_int_equal(rf_blk_submit(blk, ios, 1), 1);
	assert_int_equal(rf_blk_wait(blk, done, 2, -1), 1);
	assert_int_equal(io.result, -EIO);
	/* And the next one is not tainted by it. */
	io.sector = 4096;
	assert_int_equal(rf_blk_submit(blk, ios, 1), 1);
	assert_int_equal(rf_blk_wait(blk, done, 2, -1), 1);
	assert_int_equal(io.result, 0);
	fixture_close(&back, blk);
	free(buf);
}

/* 32 slots: one request of 24 pieces has room, the next has not, and keeps nothing of the ring. */
static void a_request_gets_all_its_slots_or_none(void **state)
{
	uint8_t *buf = malloc(2 << 20);
	struct rf_blk_io ios[2], *offer[] = {&ios[0], &ios[1]}, *done[2];
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	back.max_indirect = 256;
	back.max_ring_order = 0;
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	for (unsigned int i = 0; i < 2; i++)
		ios[i] = request(RF_BLK_READ, 0, MIB_SECTORS, buf + (i << 20));
	assert_int_equal(rf_blk_submit(blk, offer, 2), 1);
	assert_int_equal(rf_blk_wait(blk, done, 2, -1), 1);
	assert_ptr_equal(done[0], &ios[0]);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(rf_blk_submit(blk, offer + 1, 1), 1);
		assert_int_equal(rf_blk_submit(blk, offer, 1), 0);
		assert_int_equal(rf_blk_wait(blk, done, 2, -1), 1);
		assert_ptr_equal(done[0], &ios[1]);
	}
	fixture_close(&back, blk);
	free(buf);
}

/* ---- grants ---- */

static void pages_of_segments_are_made_as_they_are_needed(void **state)
{
	struct rf_blk *blk = open_indirect(256);
	struct rf_blk_io ios[16], *offer[16], *done[16];
	uint8_t *buf = granted(blk, 1 << 20);
	unsigned int nr_grants = fake_nr_grants();

	(void)state;
	for (unsigned int i = 0; i < 50; i++)
		assert_int_equal(rf_blk_read(blk, i, 100, buf), 0);
	assert_int_equal(fake_nr_grants(), nr_grants + 1);
	for (unsigned int i = 0; i < 16; i++) {
		ios[i] = request(RF_BLK_READ, i, 100, buf);
		offer[i] = &ios[i];
	}
	for (unsigned int round = 0; round < 10; round++) {
		assert_int_equal(rf_blk_submit(blk, offer, 16), 16);
		for (int left = 16; left;)
			left -= rf_blk_wait(blk, done, 16, -1);
		assert_int_equal(fake_nr_grants(), nr_grants + 16);
	}
	fixture_close(&back, blk);
}

static void without_a_page_for_segments_they_go_directly(void **state)
{
	struct rf_blk *blk = open_indirect(256);
	struct rf_blk_io io, *ios[] = {&io}, *done[1];
	uint8_t *buf = granted(blk, 1 << 20);

	(void)state;
	memset(blk->queues[0].bounce[0], 0xee, 4096);
	fake_set_grant_limit(fake_nr_grants());
	round_trip(blk, buf, 9, MIB_SECTORS, 8);
	assert_int_equal(back.nr_indirect, 0);
	assert_int_equal(back.nr_requests, 2 * 24);
	assert_int_equal(blk->queues[0].bounce[0][0], 0xee);
	io = request(RF_BLK_READ, 9, MIB_SECTORS - 1, buf + 512);
	assert_int_equal(rf_blk_submit(blk, ios, 1), 1);
	assert_int_equal(rf_blk_wait(blk, done, 1, -1), 1);
	assert_int_equal(io.result, 0);
	assert_memory_equal(buf + 512, back.disk + 9 * 512, (1 << 20) - 512);
	fixture_close(&back, blk);
}

/* With a pool of one page a slot, a request in any memory must still find slots enough. */
static void few_grants_make_smaller_requests(void **state)
{
	static const unsigned int limits[] = {1024, 300, 150, 40, 20};

	(void)state;
	for (unsigned int i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		uint8_t *buf = malloc(1 << 20);
		struct rf_blk_io io, *ios[] = {&io}, *done[1];
		struct rf_blk_info info;
		struct rf_blk *blk;

		fixture_start(&back);
		back.max_indirect = 256;
		fake_set_grant_limit(limits[i]);
		blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
		rf_blk_get_info(blk, &info);
		assert_true(info.max_request_sectors >= 7 * 8);
		io = request(RF_BLK_READ, 0, info.max_request_sectors, buf);
		for (unsigned int round = 0; round < 10; round++) {
			assert_int_equal(rf_blk_submit(blk, ios, 1), 1);
			assert_int_equal(rf_blk_wait(blk, done, 1, -1), 1);
			assert_int_equal(io.result, 0);
		}
		fixture_close(&back, blk);
		free(buf);
	}
}

/* From ours it comes before InitWait. */
static void the_offer_may_come_with_connected(void **state)
{
	struct rf_blk_info info;
	struct rf_blk *blk;

	(void)state;
	for (unsigned int early = 0; early <= 1; early++) {
		fixture_start(&back);
		back.early = early;
		back.max_indirect = 64;
		blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
		rf_blk_get_info(blk, &info);
		assert_int_equal(info.max_segments, 64);
		assert_int_equal(info.nr_sectors, 8192);
		fixture_close(&back, blk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_granted_mebibyte_is_one_request),
		cmocka_unit_test(the_offer_bounds_the_segments),
		cmocka_unit_test(small_requests_stay_direct),
		cmocka_unit_test(memory_may_start_inside_a_page),
		cmocka_unit_test(other_memory_is_sent_in_pieces),
		cmocka_unit_test(large_asynchronous_requests_come_back_once),
		cmocka_unit_test(one_failed_piece_fails_the_request),
		cmocka_unit_test(a_request_gets_all_its_slots_or_none),
		cmocka_unit_test(pages_of_segments_are_made_as_they_are_needed),
		cmocka_unit_test(without_a_page_for_segments_they_go_directly),
		cmocka_unit_test(few_grants_make_smaller_requests),
		cmocka_unit_test(the_offer_may_come_with_connected),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("blkfront_indirect", tests, NULL, NULL);
}
