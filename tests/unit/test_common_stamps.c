/* SPDX-License-Identifier: MIT */
/* Stamps of sampled requests: the area, its writer and readers; torn and hostile areas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/stamps.h"

#define PAGE 4096u
#define NR_RECORDS (PAGE / 64 - 1)

struct fixture {
	_Alignas(64) uint8_t page[PAGE];
	struct stamps_area area;
	struct stamps_sets sets;
	struct stamps_reader reader;
	struct stamps_record records[2 * NR_RECORDS];
};

static int set_up(void **state)
{
	struct fixture *f = aligned_alloc(64, sizeof(*f));

	if (!f)
		return -1;
	memset(f, 0, sizeof(*f));
	stamps_area_init(&f->area, f->page, sizeof(f->page), STAMPS_BACK);
	stamps_sets_init(&f->sets, &f->area);
	*state = f;
	return stamps_reader_init(&f->reader, f->page, sizeof(f->page));
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static struct stamps_header *header(struct fixture *f)
{
	return (struct stamps_header *)(void *)f->page;
}

static struct stamps_slot *slot(struct fixture *f, unsigned int nr)
{
	return (struct stamps_slot *)(void *)(f->page + 64 + nr * 64);
}

/* A record all of whose parts tell which one it is. */
static struct stamps_record numbered(uint32_t nr)
{
	return (struct stamps_record){.index = nr, .device = nr + 1, .domid = (uint16_t)nr,
		.queue = (uint8_t)nr, .operation = (uint8_t)(nr + 1), .flags = ~nr,
		.ns = {nr, nr + 1, nr + 2, nr + 3, nr + 4}};
}

static void put_many(struct fixture *f, uint32_t first, unsigned int nr)
{
	for (uint32_t i = first; i < first + nr; i++) {
		struct stamps_record record = numbered(i);

		stamps_put(&f->area, &record);
	}
}

static void assert_numbered(const struct stamps_record *record, uint32_t nr)
{
	struct stamps_record wanted = numbered(nr);

	assert_memory_equal(record, &wanted, sizeof(wanted));
}

static unsigned int read_all(struct fixture *f)
{
	return stamps_read(&f->reader, f->records, 2 * NR_RECORDS);
}

/* ---- what is written is read ---- */

static void records_are_read_once_and_in_order(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(read_all(f), 0);
	put_many(f, 7, 5);
	assert_int_equal(stamps_read(&f->reader, f->records, 2), 2);
	assert_numbered(&f->records[0], 7);
	assert_numbered(&f->records[1], 8);
	assert_int_equal(read_all(f), 3);
	assert_numbered(&f->records[2], 11);
	assert_int_equal(read_all(f), 0);
}

static void a_late_reader_gets_the_latest(void **state)
{
	struct fixture *f = *state;

	put_many(f, 0, 3 * NR_RECORDS + 5);
	assert_int_equal(read_all(f), NR_RECORDS);
	for (unsigned int i = 0; i < NR_RECORDS; i++)
		assert_numbered(&f->records[i], 2 * NR_RECORDS + 5 + i);
}

static void a_new_reader_begins_now(void **state)
{
	struct fixture *f = *state;

	put_many(f, 0, 10);
	assert_int_equal(stamps_reader_init(&f->reader, f->page, PAGE), 0);
	assert_int_equal(read_all(f), 0);
	put_many(f, 10, 1);
	assert_int_equal(read_all(f), 1);
	assert_numbered(&f->records[0], 10);
}

static void readers_of_one_kernel_see_one_host(void **state)
{
	static const uint8_t nobody[STAMPS_HOST_BYTES];
	struct fixture *f = *state;
	uint8_t host[STAMPS_HOST_BYTES];

	stamps_host(host);
	assert_memory_equal(f->reader.host, host, sizeof(host));
	assert_memory_not_equal(host, nobody, sizeof(host));
}

/* ---- sets ---- */

static void one_index_in_64_is_sampled(void **state)
{
	unsigned int nr = 0;

	(void)state;
	for (uint32_t i = UINT32_MAX - 999; i != 1000; i++)
		nr += stamps_is_sampled(i);
	assert_in_range(nr, 2000 / 64, 2000 / 64 + 1);
	assert_true(stamps_is_sampled(0));
	assert_false(stamps_is_sampled(63));
}

static void a_requests_stamps_become_a_record(void **state)
{
	struct fixture *f = *state;
	uint64_t before = clock_ns();
	unsigned int handle = stamps_begin(&f->sets, 128);

	assert_int_not_equal(handle, 0);
	for (unsigned int i = BACK_VALIDATED; i < NR_BACK_STAMPS; i++)
		stamps_mark(&f->sets, handle, i);
	assert_int_equal(read_all(f), 0);
	stamps_end(&f->sets, handle);
	assert_int_equal(read_all(f), 1);
	assert_int_equal(f->records[0].index, 128);
	assert_true(f->records[0].ns[0] >= before);
	assert_true(stamps_in_order(f->records[0].ns, NR_BACK_STAMPS));
	assert_true(f->records[0].ns[NR_BACK_STAMPS - 1] <= clock_ns());
}

static void no_more_are_under_way_than_there_are_sets(void **state)
{
	unsigned int handles[STAMPS_SETS], seen = 0;
	struct fixture *f = *state;

	for (unsigned int i = 0; i < STAMPS_SETS; i++) {
		handles[i] = stamps_begin(&f->sets, i * STAMPS_INTERVAL);
		assert_in_range(handles[i], 1, STAMPS_SETS);
		seen |= 1u << handles[i];
	}
	assert_int_equal(seen, ((1u << STAMPS_SETS) - 1) << 1);
	assert_int_equal(stamps_begin(&f->sets, 9999), 0);
	stamps_drop(&f->sets, handles[3]);
	assert_int_equal(read_all(f), 0);
	assert_int_equal(stamps_begin(&f->sets, 9999), handles[3]);
	stamps_end(&f->sets, handles[5]);
	assert_int_equal(read_all(f), 1);
	assert_int_equal(f->records[0].index, 5 * STAMPS_INTERVAL);
	assert_int_equal(stamps_begin(&f->sets, 1), handles[5]);
}

static void without_an_area_nothing_is_sampled(void **state)
{
	struct stamps_area off = {0};
	struct stamps_sets sets;

	(void)state;
	stamps_sets_init(&sets, NULL);
	assert_int_equal(stamps_begin(&sets, 0), 0);
	stamps_sets_init(&sets, &off);
	assert_int_equal(stamps_begin(&sets, 0), 0);
}

static void stamps_are_in_order_if_they_are(void **state)
{
	static const uint64_t good[] = {1, 1, 5, UINT64_MAX}, back[] = {1, 5, 4},
			      missing[] = {0, 5, 6}, late[] = {5, 0};

	(void)state;
	assert_true(stamps_in_order(good, 4));
	assert_false(stamps_in_order(back, 3));
	assert_true(stamps_in_order(back, 2));
	assert_false(stamps_in_order(missing, 3));
	assert_false(stamps_in_order(late, 2));
}

/* ---- hostile areas ---- */

static void a_header_that_makes_no_sense_is_refused(void **state)
{
	struct fixture *f = *state;
	struct stamps_header good = *header(f);
	const struct {
		size_t offset;
		uint32_t value;
	} wrong[] = {{offsetof(struct stamps_header, magic), 0},
		{offsetof(struct stamps_header, version), STAMPS_VERSION + 1},
		{offsetof(struct stamps_header, side), 0}, {offsetof(struct stamps_header, side), 3},
		{offsetof(struct stamps_header, nr_records), 0},
		{offsetof(struct stamps_header, nr_records), NR_RECORDS + 1},
		{offsetof(struct stamps_header, nr_records), UINT32_MAX}};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memcpy(f->page + wrong[i].offset, &wrong[i].value, sizeof(wrong[i].value));
		assert_int_equal(stamps_reader_init(&f->reader, f->page, PAGE), -EPROTO);
		memcpy(f->page, &good, offsetof(struct stamps_header, nr_written));
	}
	for (size_t size = 0; size < 128; size += 32)
		assert_int_equal(stamps_reader_init(&f->reader, f->page, size), -EPROTO);
	assert_int_equal(stamps_reader_init(&f->reader, f->page, PAGE), 0);
}

static void a_counter_that_lies_costs_one_look_at_the_area(void **state)
{
	static const uint64_t lies[] = {UINT64_MAX, 1ull << 63, 1, 0, NR_RECORDS, UINT64_MAX - 3};
	struct fixture *f = *state;

	put_many(f, 0, 2 * NR_RECORDS);
	assert_int_equal(read_all(f), NR_RECORDS);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		atomic_store(&header(f)->nr_written, lies[i]);
		assert_in_range(read_all(f), 0, NR_RECORDS);
		assert_int_equal(read_all(f), 0);
		assert_true(f->reader.next == lies[i]);
	}
	/* The number of records is believed once. */
	header(f)->nr_records = UINT32_MAX;
	atomic_store(&header(f)->nr_written, 1ull << 40);
	assert_int_equal(read_all(f), 0);
}

static void records_that_are_not_whole_are_passed_over(void **state)
{
	struct fixture *f = *state;

	put_many(f, 0, 4);
	atomic_store(&slot(f, 1)->seq, 0);
	atomic_store(&slot(f, 2)->seq, 77);
	assert_int_equal(read_all(f), 2);
	assert_numbered(&f->records[0], 0);
	assert_numbered(&f->records[1], 3);
}

/* ---- at the same time ---- */

#define RACE_RECORDS 200000u

struct race {
	struct fixture *f;
	uint32_t first;
	_Atomic bool *done;
};

static void *writer(void *data)
{
	struct race *race = data;

	put_many(race->f, race->first, RACE_RECORDS);
	atomic_store(race->done, true);
	return NULL;
}

static void no_reader_ever_sees_a_torn_record(void **state)
{
	struct fixture *f = *state;
	_Atomic bool done[2] = {false, false};
	struct race races[2] = {{f, 0, &done[0]}, {f, 1u << 30, &done[1]}};
	pthread_t threads[2];
	unsigned long nr_read = 0;
	bool last;

	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, writer, &races[i]), 0);
	do {
		last = atomic_load(&done[0]) && atomic_load(&done[1]);
		unsigned int nr = read_all(f);

		for (unsigned int i = 0; i < nr; i++)
			assert_numbered(&f->records[i], f->records[i].index);
		nr_read += nr;
	} while (!last);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	/* The last ones at least: by then nobody writes. */
	assert_true(nr_read >= NR_RECORDS);
	assert_in_range(f->area.nr_written, NR_RECORDS, 2 * RACE_RECORDS);
}

static void *scribbler(void *data)
{
	struct race *race = data;
	uint64_t *words = (uint64_t *)(void *)race->f->page;
	uint64_t value = 88172645463325252ull;

	for (unsigned int i = 0; i < 20 * RACE_RECORDS; i++) {
		value ^= value << 13;
		value ^= value >> 7;
		value ^= value << 17;
		__atomic_store_n(&words[value % (PAGE / 8)], value >> (value & 63), __ATOMIC_RELAXED);
	}
	atomic_store(race->done, true);
	return NULL;
}

static void an_area_that_is_scribbled_over_does_no_harm(void **state)
{
	struct fixture *f = *state;
	_Atomic bool done = false;
	struct race race = {f, 0, &done};
	pthread_t thread;

	put_many(f, 0, NR_RECORDS);
	assert_int_equal(pthread_create(&thread, NULL, scribbler, &race), 0);
	while (!atomic_load(&done)) {
		struct stamps_reader other;

		assert_in_range(read_all(f), 0, NR_RECORDS);
		if (stamps_reader_init(&other, f->page, PAGE) == 0)
			assert_in_range(other.nr_records, 1, NR_RECORDS);
	}
	pthread_join(thread, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(records_are_read_once_and_in_order),
		TEST(a_late_reader_gets_the_latest),
		TEST(a_new_reader_begins_now),
		TEST(readers_of_one_kernel_see_one_host),
		TEST(one_index_in_64_is_sampled),
		TEST(a_requests_stamps_become_a_record),
		TEST(no_more_are_under_way_than_there_are_sets),
		TEST(without_an_area_nothing_is_sampled),
		TEST(stamps_are_in_order_if_they_are),
		TEST(a_header_that_makes_no_sense_is_refused),
		TEST(a_counter_that_lies_costs_one_look_at_the_area),
		TEST(records_that_are_not_whole_are_passed_over),
		TEST(no_reader_ever_sees_a_torn_record),
		TEST(an_area_that_is_scribbled_over_does_no_harm),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("common: stamps", tests, NULL, NULL);
}
