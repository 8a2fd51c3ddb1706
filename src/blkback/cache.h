/* SPDX-License-Identifier: MIT */
/*
 * A read cache of fixed-size blocks, shared by all guests of an image, bounded by a given number
 * of bytes. Write-through: a write only drops the blocks that it touches. The policy is SIEVE
 * (Zhang et al., NSDI '24): new blocks enter at the head of a queue, a hit only marks a block, and
 * a hand that moves towards the head evicts the first block that has not been marked since it
 * passed; a scan therefore does not drive out what is used.
 *
 * Data enters only from memory that no guest can write (a guest could change it on its way in).
 * Any thread; sharded locks.
 */
#ifndef RF_BLKBACK_CACHE_H
#define RF_BLKBACK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;

/*
 * `size` bytes of data at most, in blocks of block_size (a power of two, 512 to 4096). 0, -EINVAL
 * (not room for one block), -ENOMEM.
 */
int cache_create(uint64_t size, uint32_t block_size, struct cache **out)
	__attribute__((warn_unused_result));

/* NULL is legal. */
void cache_destroy(struct cache *cache);

uint32_t cache_block_size(const struct cache *cache);

/* Bytes of data that it holds at most, and now. */
uint64_t cache_capacity(const struct cache *cache);
uint64_t cache_used(struct cache *cache);

/* Copies `len` bytes at `offset` within the block to `dst`. True on a hit. */
bool cache_read(struct cache *cache, uint64_t block, uint32_t offset, uint32_t len, void *dst);

/* A token to take before reading a block from the disk in order to put it into the cache. */
uint64_t cache_fill_begin(struct cache *cache, uint64_t block);

/* Puts a block in, unless a write touched it since the token was taken. */
void cache_fill_end(struct cache *cache, uint64_t block, uint64_t token, const void *data);

/*
 * A write (or discard) of blocks first..first+nr-1 begins: they leave the cache and cannot enter
 * until it has ended.
 */
void cache_write_begin(struct cache *cache, uint64_t first, uint64_t nr);
void cache_write_end(struct cache *cache, uint64_t first, uint64_t nr);

#endif
