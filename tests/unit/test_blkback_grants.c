/* SPDX-License-Identifier: MIT */
/*
 * How requests reach their data: what happens when a map or a copy fails (XSA-365, XSA-371), when
 * the driver cannot use foreign pages, when there is no memory, and what stays mapped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "blkback/aio.h"
#include "blkback_fake.h"

#define PAGE GRANT_PAGE_SIZE
#define DESCS 3000u /* a page for descriptors */
#define MANY 40u

static const struct queue_config modes[] = {
	{.grant_mode = GRANT_AUTO, .front_persistent = true, .max_indirect_segments = 256},
	{.grant_mode = GRANT_MAP, .max_indirect_segments = 256},
	{.grant_mode = GRANT_COPY, .max_indirect_segments = 256},
	{.grant_mode = GRANT_AUTO, .max_indirect_segments = 256},
};
#define NR_MODES (sizeof(modes) / sizeof(modes[0]))
enum { PERSISTENT, MAP, COPY, AUTO };

static struct fake_guest guest;

/* One request of nr pages, with indirect segments if it needs them. Returns its status. */
static int call(uint8_t op, uint64_t sector, unsigned int nr, unsigned int page)
{
	if (nr > BLKIF_MAX_SEGMENTS_PER_REQUEST)
		fake_put_indirect(&guest, op, sector, nr, page, DESCS);
	else
		fake_put(&guest, op, sector, nr, page);
	fake_push(&guest);
	return fake_take(&guest);
}

static void fill(char *at, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		at[i] = (char)(i / 512 + seed);
}

/* Writes pages of one seed and reads them back to others. */
static void check_data(unsigned int nr, unsigned int seed)
{
	size_t len = (size_t)nr * PAGE;

	fill(fake_page(0), len, seed);
	assert_int_equal(call(BLKIF_OP_WRITE, 16, nr, 0), BLKIF_RSP_OKAY);
	assert_memory_equal(fake_disk() + 16 * 512, fake_page(0), len);
	memset(fake_page(500), 0, len);
	assert_int_equal(call(BLKIF_OP_READ, 16, nr, 500), BLKIF_RSP_OKAY);
	assert_memory_equal(fake_page(500), fake_page(0), len);
}

/* ---- failures ---- */

/* Fails the k-th map or copy of a request for every k; of new pages each time. */
static void fail_each(const struct queue_config *config, atomic_uint *fail_at, uint8_t op,
	unsigned int nr)
{
	unsigned int page = 0, k;

	fake_connect(&guest, config, 0, true);
	for (k = 1;; k++, page = (page + nr) % 2500) {
		bool fired;
		int status;

		atomic_store(fail_at, k);
		status = call(op, 0, nr, page);
		fired = atomic_exchange(fail_at, 0) == 0;
		assert_int_equal(status, fired ? BLKIF_RSP_ERROR : BLKIF_RSP_OKAY);
		if (config->grant_mode == GRANT_MAP || config->grant_mode == GRANT_COPY)
			assert_int_equal(atomic_load(&fake.nr_mapped), 0);
		if (!fired)
			break;
		assert_int_equal(call(BLKIF_OP_READ, 0, 2, 2900), BLKIF_RSP_OKAY);
	}
	assert_true(k > 1);
	fake_disconnect(&guest);
}

static void kth_map_fails(void **state)
{
	static const uint8_t ops[] = {BLKIF_OP_READ, BLKIF_OP_WRITE};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		for (unsigned int mode = PERSISTENT; mode <= MAP; mode++) {
			fail_each(&modes[mode], &fake.fail_map_at, ops[i], 11);
			fail_each(&modes[mode], &fake.fail_map_at, ops[i], MANY);
		}
	}
}

static void kth_copy_fails(void **state)
{
	(void)state;
	fail_each(&modes[COPY], &fake.fail_copy_at, BLKIF_OP_READ, 11);
	fail_each(&modes[COPY], &fake.fail_copy_at, BLKIF_OP_READ, MANY);
	fail_each(&modes[COPY], &fake.fail_copy_at, BLKIF_OP_WRITE, 11);
	fail_each(&modes[COPY], &fake.fail_copy_at, BLKIF_OP_WRITE, MANY);
}

static void copy_call_fails(void **state)
{
	(void)state;
	fake_connect(&guest, &modes[COPY], 0, true);
	/* EAGAIN must not be taken for a reason to wait. */
	for (unsigned int i = 0; i < 2; i++) {
		atomic_store(&fake.copy_error, i ? EAGAIN : EFAULT);
		assert_int_equal(call(BLKIF_OP_READ, 0, 3, 0), BLKIF_RSP_ERROR);
		assert_int_equal(call(BLKIF_OP_WRITE, 0, 3, 0), BLKIF_RSP_ERROR);
		assert_int_equal(call(BLKIF_OP_WRITE, 0, MANY, 0), BLKIF_RSP_ERROR);
	}
	atomic_store(&fake.copy_error, 0);
	check_data(11, 1);
	fake_disconnect(&guest);
}

static void io_fails(void **state)
{
	(void)state;
	for (unsigned int mode = 0; mode < NR_MODES; mode++) {
		fake_connect(&guest, &modes[mode], 0, true);
		for (unsigned int nr = 1; nr <= MANY; nr += 13) {
			atomic_store(&fake.io_error, -EIO);
			assert_int_equal(call(BLKIF_OP_READ, 0, nr, 0), BLKIF_RSP_ERROR);
			assert_int_equal(call(BLKIF_OP_WRITE, 0, nr, 0), BLKIF_RSP_ERROR);
			atomic_store(&fake.io_error, 0);
			check_data(nr, nr);
		}
		fake_disconnect(&guest);
	}
}

/* ---- what the platform cannot ---- */

static void driver_refuses_foreign_pages(void **state)
{
	(void)state;
	for (unsigned int mode = 0; mode < NR_MODES; mode++) {
		fake_connect(&guest, &modes[mode], 0, true);
		atomic_store(&fake.refuses_foreign, true);
		for (unsigned int i = 0; i < 40; i++) {
			check_data(1 + i % 11, i);
			check_data(MANY, i + 100);
		}
		/* It was tried once, if at all. */
		assert_int_equal(atomic_load(&fake.nr_foreign_ios), mode == COPY ? 0 : 1);
		fake_disconnect(&guest);
	}
}

/* Several of them fail together: each is tried once more. */
static void many_refused_together(void **state)
{
	(void)state;
	for (unsigned int mode = 0; mode < NR_MODES; mode++) {
		fake_connect(&guest, &modes[mode], 0, true);
		atomic_store(&fake.refuses_foreign, true);
		atomic_store(&fake.holds, true);
		fill(fake_page(0), 32 * PAGE, mode);
		for (unsigned int i = 0; i < 32; i++)
			fake_put(&guest, BLKIF_OP_WRITE, i * 8, 1, i);
		fake_push(&guest);
		fake_wait(&fake.nr_held, 32);
		fake_release();
		for (unsigned int i = 0; i < 32; i++)
			assert_int_equal(fake_take(&guest), BLKIF_RSP_OKAY);
		assert_memory_equal(fake_disk(), fake_page(0), 32 * PAGE);
		fake_disconnect(&guest);
	}
}

static void own_fault_is_an_error(void **state)
{
	(void)state;
	fake_connect(&guest, &modes[MAP], 0, true);
	atomic_store(&fake.io_error, -EFAULT);
	assert_int_equal(call(BLKIF_OP_READ, 0, 1, 0), BLKIF_RSP_ERROR);
	assert_int_equal(atomic_load(&fake.nr_ios), 2);
	fake_disconnect(&guest);
}

static void platform_cannot_copy(void **state)
{
	(void)state;
	for (unsigned int mode = COPY; mode <= AUTO; mode++) {
		for (unsigned int kind = 0; kind < 3; kind++) {
			fake_connect(&guest, &modes[mode], 0, true);
			atomic_store(&fake.copy_error, kind ? ENOTTY : ENOSYS);
			atomic_store(&fake.refuses_foreign, kind == 2);
			assert_int_equal(call(BLKIF_OP_READ, 0, 2, 0), BLKIF_RSP_OKAY);
			for (unsigned int i = 0; i < 10; i++) {
				check_data(11, i);
				check_data(MANY, i + 7);
			}
			fake_disconnect(&guest);
		}
	}
}

/* ---- memory ---- */

/* What another guest's data were in does not reach a guest through a disk without contents. */
static void buffers_leak_nothing(void **state)
{
	char zeroes[2 * PAGE] = {0};

	(void)state;
	fake_connect(&guest, &modes[COPY], 0, false);
	memset(fake_page(0), 0x5e, 2 * PAGE);
	assert_int_equal(call(BLKIF_OP_WRITE, 0, 2, 0), BLKIF_RSP_OKAY);
	memset(fake_page(10), 0xff, 2 * PAGE);
	assert_int_equal(call(BLKIF_OP_READ, 0, 2, 10), BLKIF_RSP_OKAY);
	assert_memory_equal(fake_page(10), zeroes, 2 * PAGE);
	fake_disconnect(&guest);
}

/* Only so many of the largest buffers exist; the other requests wait and are served. */
static void requests_wait_for_buffers(void **state)
{
	(void)state;
	fake_connect(&guest, &modes[COPY], 0, true);
	atomic_store(&fake.holds, true);
	fill(fake_disk(), FAKE_DISK_BYTES, 3);
	for (unsigned int i = 0; i < 32; i++)
		fake_put_indirect(&guest, BLKIF_OP_READ, i * 8, 256, 0, DESCS + i);
	fake_push(&guest);
	fake_wait(&fake.nr_held, 16);
	fake_release();
	for (unsigned int i = 0; i < 32; i++)
		assert_int_equal(fake_take(&guest), BLKIF_RSP_OKAY);
	assert_int_equal(atomic_load(&fake.nr_ios), 32);
	fake_disconnect(&guest);
}

/* And so many of the largest sets of segments; then requests stay in the ring. */
static void requests_wait_for_segments(void **state)
{
	unsigned int nr = 256;

	(void)state;
	fake_connect(&guest, &modes[PERSISTENT], 4, true);
	atomic_store(&fake.holds, true);
	for (unsigned int i = 0; i < nr; i++)
		fake_put_indirect(&guest, BLKIF_OP_READ, i, 12, 0, DESCS);
	fake_push(&guest);
	fake_wait(&fake.nr_held, 128);
	fake_release();
	for (unsigned int i = 0; i < nr; i++)
		assert_int_equal(fake_take(&guest), BLKIF_RSP_OKAY);
	fake_disconnect(&guest);
}

static void driver_is_busy(void **state)
{
	(void)state;
	for (unsigned int mode = 0; mode < NR_MODES; mode++) {
		fake_connect(&guest, &modes[mode], 0, true);
		for (unsigned int nr_busy = 1; nr_busy < 5; nr_busy++) {
			atomic_store(&fake.nr_busy, nr_busy);
			check_data(3, nr_busy);
			atomic_store(&fake.nr_busy, nr_busy);
			check_data(MANY, nr_busy);
		}
		fake_disconnect(&guest);
	}
}

/* ---- what stays mapped ---- */

static unsigned int maps_of_read(unsigned int page)
{
	unsigned int before = atomic_load(&fake.nr_map_calls);

	assert_int_equal(call(BLKIF_OP_READ, 0, 1, page), BLKIF_RSP_OKAY);
	return atomic_load(&fake.nr_map_calls) - before;
}

static void longest_unused_goes_first(void **state)
{
	const unsigned int max = queue_max_persistent(32);

	(void)state;
	fake_connect(&guest, &modes[PERSISTENT], 0, true);
	for (unsigned int page = 0; page < max; page++)
		assert_int_equal(maps_of_read(page), 1);
	assert_int_equal(atomic_load(&fake.nr_mapped), max);
	assert_int_equal(maps_of_read(0), 0);
	assert_int_equal(maps_of_read(2), 0);
	/* One more: page 1 has been unused for longest, then 3. */
	assert_int_equal(maps_of_read(max), 1);
	assert_int_equal(maps_of_read(max + 1), 1);
	assert_int_equal(atomic_load(&fake.nr_mapped), max);
	assert_int_equal(maps_of_read(0), 0);
	assert_int_equal(maps_of_read(2), 0);
	assert_int_equal(maps_of_read(4), 0);
	assert_int_equal(maps_of_read(1), 1);
	assert_int_equal(maps_of_read(3), 1);
	fake_disconnect(&guest);
}

static void more_in_use_than_are_kept(void **state)
{
	(void)state;
	fake_connect(&guest, &modes[PERSISTENT], 0, true);
	atomic_store(&fake.holds, true);
	for (unsigned int i = 0; i < 6; i++)
		fake_put_indirect(&guest, BLKIF_OP_READ, 0, 256, i * 256, DESCS + i);
	fake_push(&guest);
	fake_wait(&fake.nr_held, 6);
	assert_true(atomic_load(&fake.nr_mapped) >= 6 * 256);
	fake_release();
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(fake_take(&guest), BLKIF_RSP_OKAY);
	assert_true(atomic_load(&fake.nr_mapped) <= queue_max_persistent(32));
	fake_disconnect(&guest);
}

/* Reads a page until it is worth pinning. */
static void use_often(unsigned int page)
{
	for (unsigned int i = 0; i < AIO_PIN_AFTER; i++)
		assert_int_equal(call(BLKIF_OP_READ, 0, 1, page), BLKIF_RSP_OKAY);
}

/* fake_disconnect sees to the detach. */
static void a_page_is_unpinned_before_it_is_unmapped(void **state)
{
	const unsigned int max = queue_max_persistent(32);

	(void)state;
	fake_connect(&guest, &modes[PERSISTENT], 0, true);
	for (unsigned int page = 0; page < max; page++) {
		use_often(page);
		assert_int_equal(atomic_load(&fake.nr_pinned), page + 1);
	}
	/* Each takes the place of one. */
	for (unsigned int page = max; page < max + 10; page++) {
		assert_int_equal(call(BLKIF_OP_READ, 0, 1, page), BLKIF_RSP_OKAY);
		assert_int_equal(atomic_load(&fake.nr_pinned), max - 1);
		use_often(page);
		assert_int_equal(atomic_load(&fake.nr_pinned), max);
		assert_int_equal(atomic_load(&fake.nr_mapped), max);
	}
	assert_int_equal(atomic_load(&fake.nr_unmapped_pinned), 0);
	fake_disconnect(&guest);
}

static void what_is_mapped_read_only_is_not_pinned(void **state)
{
	(void)state;
	fake_connect(&guest, &modes[PERSISTENT], 0, true);
	atomic_store(&fake.refuses_writable, true);
	for (unsigned int i = 0; i < 3 * AIO_PIN_AFTER; i++)
		assert_int_equal(call(BLKIF_OP_WRITE, 0, 1, 0), BLKIF_RSP_OKAY);
	assert_int_equal(atomic_load(&fake.nr_mapped), 1);
	assert_int_equal(atomic_load(&fake.nr_pin_calls), 0);
	fake_disconnect(&guest);
}

/* Nor is what is mapped for one request, or is used by requests of several pages only. */
static void what_pinning_does_not_help_is_not_pinned(void **state)
{
	(void)state;
	for (unsigned int mode = 0; mode < NR_MODES; mode++) {
		fake_connect(&guest, &modes[mode], 0, true);
		for (unsigned int i = 0; i < 3 * AIO_PIN_AFTER; i++) {
			check_data(mode == PERSISTENT ? 2 : 1, i);
			check_data(MANY, i);
		}
		assert_int_equal(atomic_load(&fake.nr_pin_calls), 0);
		fake_disconnect(&guest);
	}
}

/* A slot's request that has no data does not keep the page of one that had. */
static void requests_without_data_have_no_page(void **state)
{
	(void)state;
	fake_connect(&guest, &modes[PERSISTENT], 0, true);
	for (unsigned int i = 0; i < 2 * AIO_PIN_AFTER; i++) {
		assert_int_equal(call(BLKIF_OP_WRITE, 0, 1, 0), BLKIF_RSP_OKAY);
		assert_int_equal(call(BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0), BLKIF_RSP_OKAY);
	}
	assert_int_equal(atomic_load(&fake.nr_wrong_pages), 0);
	assert_int_equal(atomic_load(&fake.nr_pinned), 1);
	fake_disconnect(&guest);
}

/* Memory of ours takes the place of the guest's: then it is not the guest's page, either. */
static void a_bounced_request_has_no_page(void **state)
{
	(void)state;
	fake_connect(&guest, &modes[PERSISTENT], 0, true);
	use_often(0);
	assert_int_equal(atomic_load(&fake.nr_pinned), 1);
	atomic_store(&fake.refuses_foreign, true);
	for (unsigned int i = 0; i < 4; i++)
		check_data(1, i);
	assert_int_equal(atomic_load(&fake.nr_wrong_pages), 0);
	fake_disconnect(&guest);
}

static void nothing_stays_mapped_otherwise(void **state)
{
	(void)state;
	for (unsigned int mode = MAP; mode <= AUTO; mode++) {
		fake_connect(&guest, &modes[mode], 0, true);
		for (unsigned int i = 0; i < 200; i++) {
			check_data(1 + i % MANY, i);
			assert_int_equal(atomic_load(&fake.nr_mapped), 0);
		}
		if (mode == MAP)
			assert_int_equal(atomic_load(&fake.nr_copied), 0);
		if (mode == COPY)
			assert_int_equal(atomic_load(&fake.nr_map_calls), 0);
		if (mode == AUTO) {
			assert_true(atomic_load(&fake.nr_copied) > 0);
			assert_true(atomic_load(&fake.nr_map_calls) > 0);
		}
		fake_disconnect(&guest);
	}
}

/* What it does not offer, it does not get, whatever was asked for. */
static void persistent_only_by_offer(void **state)
{
	struct queue_config config = {.grant_mode = GRANT_PERSISTENT};

	(void)state;
	fake_connect(&guest, &config, 0, true);
	assert_int_equal(maps_of_read(0) + atomic_load(&fake.nr_copied), 1);
	assert_int_equal(atomic_load(&fake.nr_mapped), 0);
	fake_disconnect(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kth_map_fails),
		cmocka_unit_test(kth_copy_fails),
		cmocka_unit_test(copy_call_fails),
		cmocka_unit_test(io_fails),
		cmocka_unit_test(driver_refuses_foreign_pages),
		cmocka_unit_test(many_refused_together),
		cmocka_unit_test(own_fault_is_an_error),
		cmocka_unit_test(platform_cannot_copy),
		cmocka_unit_test(buffers_leak_nothing),
		cmocka_unit_test(requests_wait_for_buffers),
		cmocka_unit_test(requests_wait_for_segments),
		cmocka_unit_test(driver_is_busy),
		cmocka_unit_test(longest_unused_goes_first),
		cmocka_unit_test(more_in_use_than_are_kept),
		cmocka_unit_test(a_page_is_unpinned_before_it_is_unmapped),
		cmocka_unit_test(what_is_mapped_read_only_is_not_pinned),
		cmocka_unit_test(what_pinning_does_not_help_is_not_pinned),
		cmocka_unit_test(requests_without_data_have_no_page),
		cmocka_unit_test(a_bounced_request_has_no_page),
		cmocka_unit_test(nothing_stays_mapped_otherwise),
		cmocka_unit_test(persistent_only_by_offer),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
