/* SPDX-License-Identifier: MIT */
/* The read cache: against a model, under threads, and its policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "blkback/cache.h"

#define BLOCK 512u

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* A block's contents: its number and a version, again and again. */
static void make_block(uint64_t *words, uint64_t block, uint64_t version)
{
	for (unsigned int i = 0; i < BLOCK / 8; i += 2) {
		words[i] = block;
		words[i + 1] = version;
	}
}

static struct cache *make(uint64_t blocks)
{
	struct cache *cache = NULL;

	assert_int_equal(cache_create(blocks * BLOCK, BLOCK, &cache), 0);
	return cache;
}

static void fill(struct cache *cache, uint64_t block, uint64_t version)
{
	uint64_t words[BLOCK / 8];

	make_block(words, block, version);
	cache_fill_end(cache, block, cache_fill_begin(cache, block), words);
}

/* 0: not there, else the version, which must be whole. */
static uint64_t version_of(struct cache *cache, uint64_t block)
{
	uint64_t words[BLOCK / 8], want[BLOCK / 8];

	if (!cache_read(cache, block, 0, BLOCK, words))
		return 0;
	make_block(want, block, words[1]);
	assert_memory_equal(words, want, BLOCK);
	return words[1];
}

static void sizes_that_are_not_possible_are_refused(void **state)
{
	static const struct {
		uint64_t size;
		uint32_t block;
	} bad[] = {{0, 512}, {511, 512}, {4095, 4096}, {1 << 20, 0}, {1 << 20, 256},
		{1 << 20, 8192}, {1 << 20, 768}, {(1ull << 32) * 512, 512}};
	struct cache *cache = NULL;

	(void)state;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (bad[i].block)
			assert_int_equal(cache_create(bad[i].size, bad[i].block, &cache), -EINVAL);
	assert_null(cache);
	cache_destroy(NULL);
}

/* Every size down to one block: never more than asked for, and not much less. */
static void capacity_is_never_exceeded(void **state)
{
	(void)state;
	for (uint64_t blocks = 1; blocks < 5000; blocks = blocks < 140 ? blocks + 1 : blocks * 2) {
		struct cache *cache = make(blocks);

		assert_true(cache_capacity(cache) <= blocks * BLOCK);
		assert_true(cache_capacity(cache) + 16 * BLOCK > blocks * BLOCK);
		for (uint64_t b = 0; b < 3 * blocks; b++) {
			fill(cache, b * 7919, 1);
			assert_true(cache_used(cache) <= cache_capacity(cache));
		}
		/* The last one is there, also in a cache of one block. */
		assert_int_equal(version_of(cache, (3 * blocks - 1) * 7919), 1);
		cache_destroy(cache);
	}
}

static void a_part_of_a_block_is_read(void **state)
{
	struct cache *cache = make(8);
	char data[BLOCK], part[100];

	(void)state;
	for (unsigned int i = 0; i < BLOCK; i++)
		data[i] = (char)i;
	cache_fill_end(cache, 3, cache_fill_begin(cache, 3), data);
	assert_true(cache_read(cache, 3, 412, 100, part));
	assert_memory_equal(part, data + 412, 100);
	assert_false(cache_read(cache, 4, 0, 1, part));
	cache_destroy(cache);
}

static void what_is_used_survives_a_scan(void **state)
{
	struct cache *cache = make(1024);
	unsigned int kept = 0;

	(void)state;
	for (uint64_t b = 0; b < 512; b++)
		fill(cache, b, 1);
	for (unsigned int round = 0; round < 20; round++) {
		for (uint64_t b = 0; b < 512; b++)
			version_of(cache, b);
		/* Twice the cache, each block once. */
		for (uint64_t b = 0; b < 2048; b++)
			fill(cache, 10000 + round * 2048 + b, 1);
	}
	for (uint64_t b = 0; b < 512; b++)
		kept += version_of(cache, b) != 0;
	assert_true(kept > 480);
	cache_destroy(cache);
}

static void what_is_not_used_goes_first(void **state)
{
	struct cache *cache = make(4);

	(void)state;
	for (uint64_t b = 1; b <= 4; b++)
		fill(cache, b, 1);
	version_of(cache, 1);
	version_of(cache, 3);
	fill(cache, 5, 1);
	fill(cache, 6, 1);
	assert_int_equal(version_of(cache, 1), 1);
	assert_int_equal(version_of(cache, 3), 1);
	assert_int_equal(version_of(cache, 2), 0);
	assert_int_equal(version_of(cache, 4), 0);
	cache_destroy(cache);
}

static void a_write_keeps_older_fills_out(void **state)
{
	struct cache *cache = make(64);
	uint64_t words[BLOCK / 8], before, during;

	(void)state;
	make_block(words, 5, 1);
	before = cache_fill_begin(cache, 5);
	cache_write_begin(cache, 4, 3);
	during = cache_fill_begin(cache, 5);
	cache_fill_end(cache, 5, before, words);
	assert_int_equal(version_of(cache, 5), 0);
	cache_fill_end(cache, 5, during, words);
	assert_int_equal(version_of(cache, 5), 0);
	cache_write_end(cache, 4, 3);
	cache_fill_end(cache, 5, before, words);
	cache_fill_end(cache, 5, during, words);
	assert_int_equal(version_of(cache, 5), 0);
	fill(cache, 5, 2);
	assert_int_equal(version_of(cache, 5), 2);
	cache_destroy(cache);
}

/* Of two writes at the same place the last to end counts. */
static void overlapping_writes_keep_fills_out(void **state)
{
	struct cache *cache = make(64);

	(void)state;
	cache_write_begin(cache, 5, 1);
	cache_write_begin(cache, 0, 100000);
	cache_write_end(cache, 5, 1);
	fill(cache, 5, 1);
	assert_int_equal(version_of(cache, 5), 0);
	cache_write_end(cache, 0, 100000);
	fill(cache, 5, 2);
	assert_int_equal(version_of(cache, 5), 2);
	cache_destroy(cache);
}

static void a_long_range_drops_what_is_in_it_and_nothing_else(void **state)
{
	struct cache *cache = make(4096);

	(void)state;
	for (uint64_t b = 0; b < 2000; b++)
		fill(cache, b * 10, 1);
	cache_write_begin(cache, 5000, 10000);
	cache_write_end(cache, 5000, 10000);
	for (uint64_t b = 0; b < 2000; b++)
		assert_int_equal(version_of(cache, b * 10), b * 10 < 5000 || b * 10 >= 15000);
	cache_write_begin(cache, 0, UINT64_MAX / BLOCK);
	cache_write_end(cache, 0, UINT64_MAX / BLOCK);
	assert_int_equal(cache_used(cache), 0);
	cache_destroy(cache);
}

/* Random single-threaded operations: what is there is the model's. */
static void agrees_with_a_model(void **state)
{
	enum { NR = 300 };
	uint64_t rnd = 4711, versions[NR], pending[NR], tokens[NR], pending_version[NR];

	(void)state;
	for (unsigned int size = 1; size <= 256; size = size * 3 + 1) {
		struct cache *cache = make(size);

		memset(pending, 0, sizeof(pending));
		for (unsigned int i = 0; i < NR; i++)
			versions[i] = 1;
		for (unsigned int i = 0; i < 60000; i++) {
			uint64_t r = next_random(&rnd), b = (r >> 8) % NR, words[BLOCK / 8], nr;

			switch (r % 8) {
			case 0:
				nr = 1 + (r >> 32) % (NR - b);
				cache_write_begin(cache, b, nr);
				for (uint64_t k = b; k < b + nr; k++)
					versions[k]++;
				cache_write_end(cache, b, nr);
				break;
			case 1:
			case 2:
				tokens[b] = cache_fill_begin(cache, b);
				pending_version[b] = versions[b];
				pending[b] = 1;
				break;
			case 3:
			case 4:
				if (!pending[b])
					break;
				make_block(words, b, pending_version[b]);
				cache_fill_end(cache, b, tokens[b], words);
				pending[b] = 0;
				break;
			default:
				nr = version_of(cache, b);
				assert_true(nr == 0 || nr == versions[b]);
			}
		}
		assert_true(cache_used(cache) <= cache_capacity(cache));
		cache_destroy(cache);
	}
}

/* ---- threads: a "disk" of version stamps ---- */

#define NR_BLOCKS 256u
#define NR_THREADS 4u

static struct cache *shared;
static atomic_ulong disk[NR_BLOCKS];	/* what a read of the disk would give */
static atomic_ulong settled[NR_BLOCKS]; /* the version of the last write that was answered */
static atomic_uint nr_stale;

static void writer(uint64_t r, uint64_t version)
{
	uint64_t b = r % NR_BLOCKS, nr = 1 + (r >> 16) % 8;

	if (b + nr > NR_BLOCKS)
		nr = NR_BLOCKS - b;
	cache_write_begin(shared, b, nr);
	for (uint64_t k = b; k < b + nr; k++) {
		unsigned long old = atomic_load(&disk[k]);

		while (old < version && !atomic_compare_exchange_weak(&disk[k], &old, version))
			;
	}
	cache_write_end(shared, b, nr);
	for (uint64_t k = b; k < b + nr; k++) {
		unsigned long old = atomic_load(&settled[k]);

		while (old < version && !atomic_compare_exchange_weak(&settled[k], &old, version))
			;
	}
}

static void reader(uint64_t r)
{
	uint64_t words[BLOCK / 8], token, b = r % NR_BLOCKS;
	unsigned long at_least = atomic_load(&settled[b]);

	if (cache_read(shared, b, 0, BLOCK, words)) {
		if (words[0] != b || words[1] < at_least || words[BLOCK / 8 - 1] != words[1])
			atomic_fetch_add(&nr_stale, 1);
		return;
	}
	token = cache_fill_begin(shared, b);
	make_block(words, b, atomic_load(&disk[b]));
	cache_fill_end(shared, b, token, words);
}

static void *hammer(void *data)
{
	uint64_t rnd = 99 + (uintptr_t)data;

	for (uint64_t i = 1; i <= 60000; i++) {
		uint64_t r = next_random(&rnd);

		if (r % 16 == 0)
			writer(r >> 8, i * NR_THREADS + (uintptr_t)data);
		else
			reader(r >> 8);
	}
	return NULL;
}

static void threads_never_see_stale_data(void **state)
{
	pthread_t threads[NR_THREADS];

	(void)state;
	for (unsigned int size = 1; size <= 512; size = size * 8) {
		shared = make(size);
		for (unsigned int i = 0; i < NR_BLOCKS; i++) {
			atomic_store(&disk[i], 1);
			atomic_store(&settled[i], 1);
		}
		for (uintptr_t i = 0; i < NR_THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)i), 0);
		for (unsigned int i = 0; i < NR_THREADS; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(nr_stale, 0);
		assert_true(cache_used(shared) <= cache_capacity(shared));
		cache_destroy(shared);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_that_are_not_possible_are_refused),
		cmocka_unit_test(capacity_is_never_exceeded),
		cmocka_unit_test(a_part_of_a_block_is_read),
		cmocka_unit_test(what_is_used_survives_a_scan),
		cmocka_unit_test(what_is_not_used_goes_first),
		cmocka_unit_test(a_write_keeps_older_fills_out),
		cmocka_unit_test(overlapping_writes_keep_fills_out),
		cmocka_unit_test(a_long_range_drops_what_is_in_it_and_nothing_else),
		cmocka_unit_test(agrees_with_a_model),
		cmocka_unit_test(threads_never_see_stale_data),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
