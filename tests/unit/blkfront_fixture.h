/* SPDX-License-Identifier: MIT */
/* What the front end's test programs share. */
#ifndef RF_TESTS_BLKFRONT_FIXTURE_H
#define RF_TESTS_BLKFRONT_FIXTURE_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include <ringfence/blkfront.h>

#include "blkfront/internal.h"
#include "fake_blkback.h"
#include "fake_xen.h"

static inline void fixture_start(struct back *back)
{
	fake_reset();
	back_init(back);
}

static inline struct rf_blk *fixture_open_with(struct back *back,
	const struct rf_blk_options *options)
{
	struct rf_blk *blk = NULL;

	back_start(back);
	assert_int_equal(rf_blk_open("xvda", options, &blk), 0);
	return blk;
}

static inline struct rf_blk *fixture_open(struct back *back, enum rf_blk_wait_policy policy)
{
	struct rf_blk_options options = {.wait_policy = policy};

	return fixture_open_with(back, &options);
}

/* As many queues as are wanted, which the back end offers. */
static inline struct rf_blk *fixture_open_queues(struct back *back, unsigned int nr,
	enum rf_blk_wait_policy policy)
{
	struct rf_blk_options options = {.wait_policy = policy, .nr_queues = nr};

	back->max_queues = nr;
	return fixture_open_with(back, &options);
}

/* Closes, and checks that nothing is left and that no wake-up was lost on the way. */
static inline void fixture_close(struct back *back, struct rf_blk *blk)
{
	if (blk)
		assert_int_equal(blk->nr_rescued, 0);
	rf_blk_close(blk);
	back_stop(back);
	assert_int_equal(fake_nr_grants(), 0);
	assert_int_equal(fake_nr_ports(), 0);
	assert_int_equal(fake_nr_handles(), 0);
}

/* Contents that tell where they belong. */
static inline void pattern(uint8_t *buf, uint64_t sector, uint64_t nr_sectors, unsigned int salt)
{
	for (uint64_t i = 0; i < nr_sectors; i++) {
		for (unsigned int j = 0; j < 512; j += 8) {
			uint64_t word = (sector + i) * 0x9e3779b97f4a7c15u + j + salt;

			memcpy(buf + i * 512 + j, &word, sizeof(word));
		}
	}
}

#endif
