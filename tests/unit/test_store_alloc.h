/* SPDX-License-Identifier: MIT */
/* Replaces the store's allocator: any allocation can be made to fail. Include in one file. */
#ifndef RF_TEST_STORE_ALLOC_H
#define RF_TEST_STORE_ALLOC_H

#include <stdbool.h>
#include <stdlib.h>

#include "xenstore/mem.h"

static long alloc_good = -1;   /* so many succeed; negative: all */
static long alloc_bad;	       /* then so many fail */
static bool alloc_failed;      /* one did */
static long alloc_outstanding; /* not freed */
static size_t alloc_bytes;     /* of these, without the heap's own overhead */

/* The next `good` allocations succeed and the `bad` ones behind them fail. */
static inline void alloc_fail_after(long good, long bad)
{
	alloc_good = good;
	alloc_bad = bad;
	alloc_failed = false;
}

static bool alloc_must_fail(void)
{
	if (alloc_good < 0)
		return false;
	if (alloc_good > 0) {
		alloc_good--;
		return false;
	}
	if (alloc_bad == 0)
		return false;
	alloc_bad--;
	alloc_failed = true;
	return true;
}

void *store_alloc(size_t size)
{
	size_t *block = alloc_must_fail() ? NULL : calloc(1, size + 16);

	if (!block)
		return NULL;
	*block = size;
	alloc_outstanding++;
	alloc_bytes += size;
	return (char *)block + 16;
}

void store_free(void *ptr)
{
	size_t *block;

	if (!ptr)
		return;
	block = (size_t *)((char *)ptr - 16);
	alloc_outstanding--;
	alloc_bytes -= *block;
	free(block);
}

#endif
