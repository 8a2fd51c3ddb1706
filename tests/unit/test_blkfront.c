/* SPDX-License-Identifier: MIT */
/* The front end against an honest back end. */
#include "blkfront_fixture.h"

#include <pthread.h>
#include <unistd.h>

#include "common/vdev.h"

#define ALL_POLICIES(policy)                                                                       \
	for (enum rf_blk_wait_policy policy = RF_BLK_WAIT_ADAPTIVE; policy <= RF_BLK_WAIT_IDDR;    \
		policy++)

static struct back back;

static void handshake_publishes_the_connection(void **state)
{
	struct rf_blk_info info;
	struct rf_blk *blk;
	char value[64];

	(void)state;
	fixture_start(&back);
	fake_store_conflict(3);
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	assert_int_equal(fake_store_number(FRONT_PATH "/state"), 4);
	assert_int_equal(fake_store_number(FRONT_PATH "/ring-page-order"), 2);
	assert_int_equal(fake_store_number(FRONT_PATH "/feature-persistent"), 1);
	assert_true(fake_store_read(FRONT_PATH "/protocol", value, sizeof(value)));
	assert_string_equal(value, "x86_64-abi");
	rf_blk_get_info(blk, &info);
	assert_int_equal(info.nr_sectors, 8192);
	assert_int_equal(info.ring_slots, 128);
	assert_int_equal(info.max_request_sectors, 88);
	assert_true(info.can_flush && info.can_discard && !info.read_only);
	fixture_close(&back, blk);
	assert_int_equal(fake_store_number(FRONT_PATH "/state"), 1);
	assert_int_equal(fake_store_number(FRONT_PATH "/event-channel"), -1);
}

static void data_survive_a_round_trip(void **state)
{
	uint8_t out[16 * 512], in[16 * 512];

	(void)state;
	ALL_POLICIES(policy)
	{
		struct rf_blk *blk;

		fixture_start(&back);
		blk = fixture_open(&back, policy);
		for (unsigned int i = 0; i < 100; i++) {
			unsigned int nr = 1 + i % 16;

			pattern(out, i * 7, nr, policy);
			assert_int_equal(rf_blk_write(blk, i * 7, nr, out), 0);
			assert_memory_equal(back.disk + i * 7 * 512, out, nr * 512);
			assert_int_equal(rf_blk_read(blk, i * 7, nr, in), 0);
			assert_memory_equal(in, out, nr * 512);
		}
		assert_int_equal(rf_blk_flush(blk), 0);
		assert_int_equal(rf_blk_discard(blk, 7, 5), 0);
		assert_int_equal(rf_blk_read(blk, 7, 1, in), 0);
		for (unsigned int i = 0; i < 512; i++)
			assert_int_equal(in[i], 0);
		fixture_close(&back, blk);
	}
}

static void bad_requests_are_refused(void **state)
{
	struct rf_blk_io io = {.op = RF_BLK_READ, .sector = 8190, .nr_sectors = 4};
	struct rf_blk_io *ios[] = {&io};
	uint8_t buf[4096];
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	back.sector_size = 4096;
	back.discard = back.flush = false;
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	assert_int_equal(rf_blk_read(blk, 8192, 8, buf), -ERANGE);
	assert_int_equal(rf_blk_read(blk, UINT64_MAX - 7, 8, buf), -ERANGE);
	assert_int_equal(rf_blk_read(blk, 8184, 16, buf), -ERANGE);
	assert_int_equal(rf_blk_read(blk, 8184, 8, buf), 0);
	assert_int_equal(rf_blk_read(blk, 8192, 0, buf), 0);
	assert_int_equal(rf_blk_read(blk, 1, 8, buf), -EINVAL);
	assert_int_equal(rf_blk_read(blk, 0, 1, buf), -EINVAL);
	assert_int_equal(rf_blk_flush(blk), -EOPNOTSUPP);
	assert_int_equal(rf_blk_discard(blk, 0, 8), -EOPNOTSUPP);
	io.sector = 8184, io.nr_sectors = 16;
	assert_int_equal(rf_blk_submit(blk, ios, 1), -ERANGE);
	io.sector = 0, io.nr_sectors = 96;
	assert_int_equal(rf_blk_submit(blk, ios, 1), -EINVAL);
	io.nr_sectors = 0;
	assert_int_equal(rf_blk_submit(blk, ios, 1), -EINVAL);
	assert_int_equal(rf_blk_wait(blk, ios, 1, -1), -ENOENT);
	fixture_close(&back, blk);
}

static void a_read_only_disk_is_not_written(void **state)
{
	uint8_t buf[512] = {0};
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	back.read_only = true;
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	assert_int_equal(rf_blk_write(blk, 0, 1, buf), -EROFS);
	assert_int_equal(rf_blk_discard(blk, 0, 1), -EROFS);
	assert_int_equal(rf_blk_read(blk, 0, 1, buf), 0);
	assert_int_equal(rf_blk_flush(blk), 0);
	fixture_close(&back, blk);
}

/* On a one-page ring too, where the pieces are more than the slots. */
static void long_ranges_are_split_and_travel_together(void **state)
{
	const uint32_t nr = 8000;
	uint8_t *out = malloc(nr * 512u), *in = malloc(nr * 512u);

	(void)state;
	for (unsigned int order = 0; order <= 4; order++) {
		struct rf_blk *blk;

		fixture_start(&back);
		back.max_ring_order = order;
		blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
		pattern(out, 100, nr, order);
		assert_int_equal(rf_blk_write(blk, 100, nr, out), 0);
		assert_memory_equal(back.disk + 100 * 512, out, nr * 512);
		assert_int_equal(rf_blk_read(blk, 100, nr, in), 0);
		assert_memory_equal(in, out, nr * 512);
		assert_int_equal(back.nr_requests, 2 * ((nr + 87) / 88));
		assert_true(back.max_batch > 1);
		fixture_close(&back, blk);
	}
	free(out);
	free(in);
}

static void ring_order_follows_options_and_offer(void **state)
{
	struct rf_blk_options options = {.ring_page_order_set = true};
	struct rf_blk_info info;
	struct rf_blk *blk;

	(void)state;
	for (unsigned int order = 0; order <= 4; order++) {
		fixture_start(&back);
		back.max_ring_order = 3;
		back_start(&back);
		options.ring_page_order = order;
		assert_int_equal(rf_blk_open(NULL, &options, &blk), 0);
		rf_blk_get_info(blk, &info);
		assert_int_equal(info.ring_slots, 32u << (order < 3 ? order : 3));
		fixture_close(&back, blk);
	}
	options.ring_page_order = 5;
	assert_int_equal(rf_blk_open(NULL, &options, &blk), -EINVAL);
}

static void few_grants_make_a_smaller_pool(void **state)
{
	uint8_t out[88 * 512], in[88 * 512];
	struct rf_blk_info info;
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	fake_set_grant_limit(1024);
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	rf_blk_get_info(blk, &info);
	assert_int_equal(info.max_request_sectors, 4 * 8);
	pattern(out, 5, 88, 1);
	assert_int_equal(rf_blk_write(blk, 5, 88, out), 0);
	assert_int_equal(rf_blk_read(blk, 5, 88, in), 0);
	assert_memory_equal(in, out, sizeof(in));
	fixture_close(&back, blk);
}

static void granted_buffers_are_not_copied(void **state)
{
	struct rf_blk *blk;
	uint8_t *buf;
	void *mem;

	(void)state;
	fixture_start(&back);
	back.persistent = false;
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	assert_int_equal(rf_blk_buffer_alloc(blk, 300 * 512, &mem), 0);
	buf = mem;
	/* In the middle of a page, and longer than one request. */
	pattern(buf + 3 * 512, 50, 200, 9);
	memset(blk->queues[0].bounce[0], 0xee, 4096);
	assert_int_equal(rf_blk_write(blk, 50, 200, buf + 3 * 512), 0);
	assert_memory_equal(back.disk + 50 * 512, buf + 3 * 512, 200 * 512);
	memset(buf, 0, 300 * 512);
	assert_int_equal(rf_blk_read(blk, 50, 200, buf + 512), 0);
	assert_memory_equal(back.disk + 50 * 512, buf + 512, 200 * 512);
	assert_int_equal(blk->queues[0].bounce[0][0], 0xee);
	/* Across its end it is not granted memory as a whole: this must bounce, not fail. */
	rf_blk_buffer_free(blk, mem);
	assert_int_equal(fake_nr_grants(), 4 + 128 * 11 + 1);
	assert_int_equal(rf_blk_buffer_alloc(blk, 0, &mem), -EINVAL);
	fake_set_grant_limit(1500);
	assert_int_equal(rf_blk_buffer_alloc(blk, 1000 * 4096, &mem), -ENOSPC);
	assert_null(mem);
	fixture_close(&back, blk);
}

static void a_persistently_granted_buffer_is_used_again(void **state)
{
	struct rf_blk *blk;
	void *first, *second;

	(void)state;
	fixture_start(&back);
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	assert_int_equal(rf_blk_buffer_alloc(blk, 8192, &first), 0);
	memset(first, 1, 8192);
	rf_blk_buffer_free(blk, first);
	assert_int_equal(rf_blk_buffer_alloc(blk, 8000, &second), 0);
	assert_ptr_equal(first, second);
	assert_int_equal(*(char *)second, 0);
	for (unsigned int i = 1; i <= 2 * BLK_MAX_REGIONS; i++) {
		assert_int_equal(rf_blk_buffer_alloc(blk, i * 4096, &first), 0);
		rf_blk_buffer_free(blk, first);
	}
	rf_blk_buffer_free(blk, NULL);
	fixture_close(&back, blk);
}

static void async_requests_come_back_exactly_once(void **state)
{
	enum { NR = 1000 };
	struct rf_blk_io *ios = calloc(NR, sizeof(*ios)), *done[64], *offer[NR];
	uint8_t *buf = malloc(NR * 512);

	(void)state;
	ALL_POLICIES(policy)
	{
		unsigned int nr_sent = 0, nr_back = 0;
		struct rf_blk *blk;

		fixture_start(&back);
		back.shuffle = true;
		blk = fixture_open(&back, policy);
		pattern(back.disk, 0, NR, 3);
		for (unsigned int i = 0; i < NR; i++) {
			ios[i] = (struct rf_blk_io){.op = RF_BLK_READ, .sector = i,
				.nr_sectors = 1, .buf = buf + i * 512, .cookie = NULL};
			offer[i] = &ios[i];
		}
		while (nr_back < NR) {
			int rc = 0;

			if (nr_sent < NR)
				rc = rf_blk_submit(blk, offer + nr_sent, NR - nr_sent);
			assert_true(rc >= 0);
			nr_sent += (unsigned int)rc;
			rc = rf_blk_wait(blk, done, 64, -1);
			assert_true(rc > 0);
			for (int i = 0; i < rc; i++) {
				assert_null(done[i]->cookie);
				assert_int_equal(done[i]->result, 0);
				done[i]->cookie = done[i];
			}
			nr_back += (unsigned int)rc;
		}
		assert_int_equal(nr_sent, NR);
		assert_memory_equal(buf, back.disk, NR * 512);
		assert_int_equal(rf_blk_poll(blk, done, 64), 0);
		assert_int_equal(rf_blk_wait(blk, done, 64, -1), -ENOENT);
		fixture_close(&back, blk);
	}
	free(ios);
	free(buf);
}

static void a_full_ring_takes_no_more(void **state)
{
	struct rf_blk_io ios[40], *offer[40], *done[40];
	uint8_t buf[512];
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	back.max_ring_order = 0;
	back.mute = true;
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	for (unsigned int i = 0; i < 40; i++) {
		ios[i] = (struct rf_blk_io){.op = RF_BLK_READ, .nr_sectors = 1, .buf = buf};
		offer[i] = &ios[i];
	}
	assert_int_equal(rf_blk_submit(blk, offer, 40), 32);
	assert_int_equal(rf_blk_submit(blk, offer + 32, 8), 0);
	assert_int_equal(rf_blk_wait(blk, done, 40, 20), 0);
	assert_int_equal(rf_blk_wait_ns(blk, done, 40, 70000), 0);
	assert_int_equal(rf_blk_wait_ns(blk, done, 40, 0), 0);
	/* Closing ends them; they do not come back, as nobody may ask any more. */
	assert_int_equal(blk->nr_rescued, 0);
	rf_blk_close(blk);
	for (unsigned int i = 0; i < 32; i++)
		assert_int_equal(ios[i].result, -ESHUTDOWN);
	back_stop(&back);
	assert_int_equal(fake_nr_grants() + fake_nr_ports() + fake_nr_handles(), 0);
}

/* A blocking call gets its slot although asynchronous requests, unpolled, had them all. */
static void blocking_and_async_share_a_ring(void **state)
{
	struct rf_blk_io ios[32], *offer[32], *done[32];
	uint8_t buf[33 * 512];

	(void)state;
	ALL_POLICIES(policy)
	{
		struct rf_blk *blk;

		fixture_start(&back);
		back.max_ring_order = 0;
		blk = fixture_open(&back, policy);
		for (unsigned int i = 0; i < 32; i++) {
			ios[i] = (struct rf_blk_io){.op = RF_BLK_READ, .nr_sectors = 1,
				.buf = buf + i * 512};
			offer[i] = &ios[i];
		}
		assert_int_equal(rf_blk_submit(blk, offer, 32), 32);
		assert_int_equal(rf_blk_read(blk, 1, 1, buf + 32 * 512), 0);
		for (int nr = 0; nr < 32;) {
			int rc = rf_blk_wait_ns(blk, done, 32, 20000000000);

			assert_true(rc > 0);
			nr += rc;
		}
		fixture_close(&back, blk);
	}
}

static void a_disk_can_be_opened_again(void **state)
{
	struct rf_blk *blk, *second;
	uint8_t buf[512];

	(void)state;
	fixture_start(&back);
	blk = fixture_open(&back, RF_BLK_WAIT_EVENT);
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(rf_blk_open("51712", NULL, &second), -EBUSY);
		assert_int_equal(rf_blk_read(blk, 0, 1, buf), 0);
		rf_blk_close(blk);
		assert_int_equal(rf_blk_open("xvda", NULL, &blk), 0);
	}
	assert_int_equal(back.nr_connections, 21);
	fixture_close(&back, blk);
}

/* As a process that ended before it was through with closing: it reached the given state. */
static void die_in_state(struct rf_blk *blk, const char *front_state)
{
	fake_kill_store();
	rf_blk_close(blk);
	fake_revive_store();
	assert_int_equal(fake_store_number(FRONT_PATH "/state"), 4);
	fake_store_write(FRONT_PATH "/state", "%s", front_state);
}

static void a_disk_that_was_left_half_closed_can_be_opened(void **state)
{
	static const char *const states[] = {"5", "6"};
	struct rf_blk_options options = {.nr_queues = 2};

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct rf_blk *blk;
		uint8_t buf[512];

		fixture_start(&back);
		back.early = i / 2;
		blk = fixture_open_queues(&back, 3, RF_BLK_WAIT_ADAPTIVE);
		die_in_state(blk, states[i % 2]);
		assert_int_equal(rf_blk_open("xvda", &options, &blk), 0);
		assert_int_equal(back.nr_queues, 2);
		assert_int_equal(fake_store_number(FRONT_PATH "/queue-2/event-channel"), -1);
		assert_int_equal(rf_blk_read(blk, 0, 1, buf), 0);
		fixture_close(&back, blk);
	}
}

/* The back end connected when the front end had just given up, and keeps what it mapped. */
static void a_disk_whose_back_end_connected_too_late_can_be_opened(void **state)
{
	struct rf_blk *blk;
	uint8_t buf[512];

	(void)state;
	fixture_start(&back);
	blk = fixture_open(&back, RF_BLK_WAIT_EVENT);
	die_in_state(blk, "1");
	assert_int_equal(fake_store_number(BACK_PATH "/state"), 4);
	assert_int_equal(rf_blk_open("xvda", NULL, &blk), 0);
	assert_int_equal(back.nr_connections, 2);
	assert_int_equal(rf_blk_read(blk, 0, 1, buf), 0);
	fixture_close(&back, blk);
}

static void opening_what_is_not_there_fails(void **state)
{
	struct rf_blk_options options = {.connect_timeout_ms = 30};
	struct rf_blk *blk;

	(void)state;
	fixture_start(&back);
	assert_int_equal(rf_blk_open(NULL, NULL, &blk), -ENODEV);
	back.stop_before_connected = true;
	back_start(&back);
	assert_int_equal(rf_blk_open("xvdb", NULL, &blk), -ENODEV);
	assert_int_equal(rf_blk_open("nonsense", NULL, &blk), -ENODEV);
	assert_int_equal(rf_blk_open("xvda", &options, &blk), -ETIMEDOUT);
	back_stop(&back);

	fixture_start(&back);
	back.refuse = true;
	back_start(&back);
	assert_int_equal(rf_blk_open("xvda", NULL, &blk), -EIO);
	fixture_close(&back, NULL);
}

static void nonsense_from_the_back_end_is_refused(void **state)
{
	static const char *const texts[] = {"", "-1", "12x", "99999999999999999999",
		"18446744073709551615"};
	struct rf_blk *blk;

	(void)state;
	for (unsigned int i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		fixture_start(&back);
		back.sectors_text = texts[i];
		back_start(&back);
		assert_int_equal(rf_blk_open("xvda", NULL, &blk), -EPROTO);
		fixture_close(&back, NULL);
	}
	for (unsigned int size = 0; size < 20000; size = size ? size * 3 : 1) {
		fixture_start(&back);
		back.sector_size = size;
		back_start(&back);
		assert_int_equal(rf_blk_open("xvda", NULL, &blk), -EPROTO);
		fixture_close(&back, NULL);
	}
}

static void a_grown_disk_can_be_used_to_its_end(void **state)
{
	struct rf_blk_info info;
	struct rf_blk *blk;
	uint8_t buf[512];

	(void)state;
	fixture_start(&back);
	blk = fixture_open(&back, RF_BLK_WAIT_ADAPTIVE);
	fake_store_write(BACK_PATH "/sectors", "4096");
	rf_blk_get_info(blk, &info);
	assert_int_equal(info.nr_sectors, 4096);
	assert_int_equal(rf_blk_read(blk, 8191, 1, buf), -ERANGE);
	fake_store_write(BACK_PATH "/sectors", "8192");
	assert_int_equal(rf_blk_read(blk, 8191, 1, buf), 0);
	fake_store_write(BACK_PATH "/sectors", "-5");
	assert_int_equal(rf_blk_read(blk, 8191, 1, buf), 0);
	fixture_close(&back, blk);
}

static void names_give_device_numbers(void **state)
{
	static const struct {
		const char *name;
		uint32_t vdev;
	} good[] = {
		{"xvda", 51712}, {"xvda1", 51713}, {"xvdb", 51728}, {"xvdp15", 51967},
		{"xvdq", 1u << 28 | 16 << 8}, {"xvdaa", 1u << 28 | 26 << 8},
		{"xvda16", 1u << 28 | 16}, {"hda", 768}, {"hdb1", 833}, {"hdc", 5632},
		{"sda", 2048}, {"sdb2", 2066}, {"51712", 51712}, {"0", 0},
	};
	static const char *const bad[] = {"", "xvd", "xvdA", "xvda0", "xvda1x", "sd1", "-1",
		"4294967296", "xvdzzzzzzzzzzzz", "xvda256"};
	uint32_t vdev;

	(void)state;
	for (unsigned int i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(vdev_parse(good[i].name, &vdev), 0);
		assert_int_equal(vdev, good[i].vdev);
	}
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vdev_parse(bad[i], &vdev), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake_publishes_the_connection),
		cmocka_unit_test(data_survive_a_round_trip),
		cmocka_unit_test(bad_requests_are_refused),
		cmocka_unit_test(a_read_only_disk_is_not_written),
		cmocka_unit_test(long_ranges_are_split_and_travel_together),
		cmocka_unit_test(ring_order_follows_options_and_offer),
		cmocka_unit_test(few_grants_make_a_smaller_pool),
		cmocka_unit_test(granted_buffers_are_not_copied),
		cmocka_unit_test(a_persistently_granted_buffer_is_used_again),
		cmocka_unit_test(async_requests_come_back_exactly_once),
		cmocka_unit_test(a_full_ring_takes_no_more),
		cmocka_unit_test(blocking_and_async_share_a_ring),
		cmocka_unit_test(a_disk_can_be_opened_again),
		cmocka_unit_test(a_disk_that_was_left_half_closed_can_be_opened),
		cmocka_unit_test(a_disk_whose_back_end_connected_too_late_can_be_opened),
		cmocka_unit_test(opening_what_is_not_there_fails),
		cmocka_unit_test(nonsense_from_the_back_end_is_refused),
		cmocka_unit_test(a_grown_disk_can_be_used_to_its_end),
		cmocka_unit_test(names_give_device_numbers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("blkfront", tests, NULL, NULL);
}
