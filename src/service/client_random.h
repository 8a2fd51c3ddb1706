/* SPDX-License-Identifier: MIT */
/*
 * xoshiro256** (Blackman and Vigna, 2018), one generator a thread, and an unbiased mapping of its
 * output to a range (Lemire, "Fast Random Integer Generation in an Interval", 2019).
 */
#ifndef RF_SERVICE_CLIENT_RANDOM_H
#define RF_SERVICE_CLIENT_RANDOM_H

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

struct random_state {
	uint64_t s[4];
};

/* Seeds from the kernel. 0 or -errno. */
static inline int random_seed(struct random_state *r)
{
	ssize_t n;

	do {
		/* All zeroes, the one state that the generator cannot leave, is as likely as a
		 * collision of two threads' seeds: not at all. */
		n = getrandom(r->s, sizeof(r->s), 0);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(r->s) ? 0 : n < 0 ? -errno : -EIO;
}

static inline uint64_t random_rotl(uint64_t x, unsigned int k)
{
	return x << k | x >> (64 - k);
}

static inline uint64_t random_u64(struct random_state *r)
{
	uint64_t result = random_rotl(r->s[1] * 5, 7) * 9;
	uint64_t t = r->s[1] << 17;

	r->s[2] ^= r->s[0];
	r->s[3] ^= r->s[1];
	r->s[1] ^= r->s[2];
	r->s[0] ^= r->s[3];
	r->s[2] ^= t;
	r->s[3] = random_rotl(r->s[3], 45);
	return result;
}

/* Uniform in 0..range-1; range is not 0. */
static inline uint64_t random_below(struct random_state *r, uint64_t range)
{
	unsigned __int128 product = (unsigned __int128)random_u64(r) * range;

	if ((uint64_t)product < range) {
		/* 2^64 is no multiple of range: the products in the first 2^64 % range values of
		 * each interval would be drawn once too often. */
		uint64_t threshold = -range % range;

		while ((uint64_t)product < threshold)
			product = (unsigned __int128)random_u64(r) * range;
	}
	return (uint64_t)(product >> 64);
}

#endif
