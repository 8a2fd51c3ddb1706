/* SPDX-License-Identifier: MIT */
/* Pools of memory, of one worker each. */
#include "blkback/pool.h"

#include <errno.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
/* Freed at once, so that the sanitizer sees who goes on using what was given back. */
#define KEEP(nr) ((void)(nr), 0u)
#else
#define KEEP(nr) (nr)
#endif

void pool_init(struct pool *pool, size_t size_bytes, size_t align_bytes, unsigned int max,
	unsigned int keep)
{
	*pool = (struct pool){.size_bytes = size_bytes, .align_bytes = align_bytes, .max = max,
		.keep = KEEP(keep)};
}

void pool_fini(struct pool *pool)
{
	void *piece;

	while ((piece = pool->unused) != NULL) {
		memcpy(&pool->unused, piece, sizeof(void *));
		free(piece);
	}
	pool->nr_unused = 0;
}

int pool_grow(struct pool *pool, void **out)
{
	if (pool->nr_used < pool->max)
		*out = aligned_alloc(pool->align_bytes, pool->size_bytes);
	else
		return -EAGAIN;
	if (!*out)
		return pool->nr_used ? -EAGAIN : -ENOMEM;
	pool->nr_used++;
	return 0;
}
