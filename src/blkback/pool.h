/* SPDX-License-Identifier: MIT */
/*
 * A bounded pool of equal pieces of memory, made when they are first wanted. What comes back is
 * handed out next, while it is still in the processor's cache. Contents are not cleared: a piece
 * may hold another guest's data. One thread.
 */
#ifndef RF_BLKBACK_POOL_H
#define RF_BLKBACK_POOL_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct pool {
	size_t size_bytes, align_bytes;
	unsigned int max;  /* pieces in use at a time */
	unsigned int keep; /* unused pieces that are kept; more are freed */
	unsigned int nr_used, nr_unused;
	void *unused; /* linked through their first word */
};

/* size_bytes is a multiple of align_bytes, which is a power of two. */
void pool_init(struct pool *pool, size_t size_bytes, size_t align_bytes, unsigned int max,
	unsigned int keep);

/* Frees everything; no piece may be in use. */
void pool_fini(struct pool *pool);

/* The slow half of pool_get: no unused piece is there. */
int pool_grow(struct pool *pool, void **out) __attribute__((warn_unused_result));

/*
 * A piece, aligned. 0, -EAGAIN (others are in use: try again when one came back), or -ENOMEM (there
 * is no memory, and none is in use that could come back).
 */
static inline int __attribute__((warn_unused_result)) pool_get(struct pool *pool, void **out)
{
	void *piece = pool->unused;

	if (!piece)
		return pool_grow(pool, out);
	memcpy(&pool->unused, piece, sizeof(void *));
	pool->nr_unused--;
	pool->nr_used++;
	*out = piece;
	return 0;
}

/* Gives it back. NULL is not legal. */
static inline void pool_put(struct pool *pool, void *piece)
{
	pool->nr_used--;
	if (pool->nr_unused >= pool->keep) {
		free(piece);
		return;
	}
	memcpy(piece, &pool->unused, sizeof(void *));
	pool->unused = piece;
	pool->nr_unused++;
}

#endif
