/* SPDX-License-Identifier: MIT */
/* SIEVE cache in shards. Trusts its callers; the data is opaque. */
#include "blkback/cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS_MAX 16u
#define SHARD_BLOCKS_MIN 64u /* fewer blocks than this are not worth a shard of their own */
#define NONE UINT32_MAX
#define LONG_RANGE 4096u /* blocks */
#define NR_GUARDS 1024u /* a write guards hash classes of blocks, not single ones */

/* Links of the queue: `newer` points towards the head, `older` towards the tail. */
struct entry {
	uint64_t block;
	uint32_t newer, older;
	uint32_t next_in_bucket;
	bool visited;
};

/* Keeps fills away from blocks that are being, or were, written. */
struct guard {
	uint32_t nr_writes; /* in progress */
	uint64_t version;   /* changes with every begin and end */
};

struct shard {
	pthread_mutex_t lock;
	uint32_t nr_entries, nr_used;
	uint32_t head, tail, hand, free;
	uint32_t nr_buckets; /* a power of two */
	uint32_t *buckets;
	struct entry *entries;
	char *data;
	struct guard guards[NR_GUARDS];
};

struct cache {
	uint32_t block_size;
	uint32_t nr_shards; /* a power of two */
	struct shard shards[];
};

static uint64_t hash(uint64_t block)
{
	return (block * 0x9e3779b97f4a7c15ull) >> 20;
}

static struct shard *shard_of(struct cache *cache, uint64_t block)
{
	return &cache->shards[hash(block) & (cache->nr_shards - 1)];
}

static uint32_t *bucket_of(struct shard *shard, uint64_t block)
{
	return &shard->buckets[(hash(block) >> 4) & (shard->nr_buckets - 1)];
}

static struct guard *guard_of(struct shard *shard, uint64_t block)
{
	return &shard->guards[(hash(block) >> 4) & (NR_GUARDS - 1)];
}

/* ---- one shard; its lock is held ---- */

static uint32_t find(struct shard *shard, uint64_t block)
{
	uint32_t i = *bucket_of(shard, block);

	while (i != NONE && shard->entries[i].block != block)
		i = shard->entries[i].next_in_bucket;
	return i;
}

static void unhash(struct shard *shard, uint32_t index)
{
	uint32_t *link = bucket_of(shard, shard->entries[index].block);

	while (*link != index)
		link = &shard->entries[*link].next_in_bucket;
	*link = shard->entries[index].next_in_bucket;
}

static void remove_entry(struct shard *shard, uint32_t index)
{
	struct entry *e = &shard->entries[index];

	unhash(shard, index);
	if (shard->hand == index)
		shard->hand = e->newer;
	if (e->newer != NONE)
		shard->entries[e->newer].older = e->older;
	else
		shard->head = e->older;
	if (e->older != NONE)
		shard->entries[e->older].newer = e->newer;
	else
		shard->tail = e->newer;
	e->next_in_bucket = shard->free;
	shard->free = index;
	shard->nr_used--;
}

/* Moves the hand to a block that was not used since it last passed, and evicts that. */
static void evict(struct shard *shard)
{
	uint32_t i = shard->hand != NONE ? shard->hand : shard->tail;

	while (shard->entries[i].visited) {
		shard->entries[i].visited = false;
		i = shard->entries[i].newer != NONE ? shard->entries[i].newer : shard->tail;
	}
	shard->hand = i;
	remove_entry(shard, i);
}

static void insert(struct shard *shard, uint64_t block, const void *data, uint32_t block_size)
{
	uint32_t i, *bucket;
	struct entry *e;

	if (shard->free == NONE)
		evict(shard);
	i = shard->free;
	e = &shard->entries[i];
	shard->free = e->next_in_bucket;
	bucket = bucket_of(shard, block);
	*e = (struct entry){
		.block = block, .newer = NONE, .older = shard->head, .next_in_bucket = *bucket};
	*bucket = i;
	if (shard->head != NONE)
		shard->entries[shard->head].newer = i;
	else
		shard->tail = i;
	shard->head = i;
	shard->nr_used++;
	memcpy(shard->data + (size_t)i * block_size, data, block_size);
}

static int shard_init(struct shard *shard, uint32_t nr_entries, uint32_t block_size)
{
	shard->nr_buckets = 16;
	while (shard->nr_buckets < nr_entries)
		shard->nr_buckets *= 2;
	shard->nr_entries = nr_entries;
	shard->entries = calloc(nr_entries, sizeof(*shard->entries));
	shard->buckets = malloc(shard->nr_buckets * sizeof(*shard->buckets));
	shard->data = malloc((size_t)nr_entries * block_size);
	if (!shard->entries || !shard->buckets || !shard->data)
		return -ENOMEM;
	memset(shard->buckets, 0xff, shard->nr_buckets * sizeof(*shard->buckets));
	shard->head = shard->tail = shard->hand = NONE;
	for (uint32_t i = 0; i < nr_entries; i++)
		shard->entries[i].next_in_bucket = i + 1 < nr_entries ? i + 1 : NONE;
	return 0;
}

/* ---- the cache ---- */

int cache_create(uint64_t size, uint32_t block_size, struct cache **out)
{
	uint64_t nr_blocks = size / block_size;
	uint32_t nr_shards = 1;
	struct cache *cache;
	int rc = 0;

	if (block_size < 512 || block_size > 4096 || (block_size & (block_size - 1)) ||
		nr_blocks == 0 || nr_blocks >= NONE)
		return -EINVAL;
	while (nr_shards < SHARDS_MAX && nr_blocks / (nr_shards * 2) >= SHARD_BLOCKS_MIN)
		nr_shards *= 2;
	cache = calloc(1, sizeof(*cache) + nr_shards * sizeof(cache->shards[0]));
	if (!cache)
		return -ENOMEM;
	cache->block_size = block_size;
	cache->nr_shards = nr_shards;
	for (uint32_t i = 0; i < nr_shards; i++)
		pthread_mutex_init(&cache->shards[i].lock, NULL);
	for (uint32_t i = 0; rc == 0 && i < nr_shards; i++)
		rc = shard_init(&cache->shards[i], (uint32_t)(nr_blocks / nr_shards), block_size);
	if (rc) {
		cache_destroy(cache);
		return rc;
	}
	*out = cache;
	return 0;
}

void cache_destroy(struct cache *cache)
{
	if (!cache)
		return;
	for (uint32_t i = 0; i < cache->nr_shards; i++) {
		free(cache->shards[i].entries);
		free(cache->shards[i].buckets);
		free(cache->shards[i].data);
		pthread_mutex_destroy(&cache->shards[i].lock);
	}
	free(cache);
}

uint32_t cache_block_size(const struct cache *cache)
{
	return cache->block_size;
}

uint64_t cache_capacity(const struct cache *cache)
{
	return (uint64_t)cache->nr_shards * cache->shards[0].nr_entries * cache->block_size;
}

uint64_t cache_used(struct cache *cache)
{
	uint64_t nr = 0;

	for (uint32_t i = 0; i < cache->nr_shards; i++) {
		pthread_mutex_lock(&cache->shards[i].lock);
		nr += cache->shards[i].nr_used;
		pthread_mutex_unlock(&cache->shards[i].lock);
	}
	return nr * cache->block_size;
}

bool cache_read(struct cache *cache, uint64_t block, uint32_t offset, uint32_t len, void *dst)
{
	struct shard *shard = shard_of(cache, block);
	uint32_t i;

	pthread_mutex_lock(&shard->lock);
	i = find(shard, block);
	if (i != NONE) {
		shard->entries[i].visited = true;
		memcpy(dst, shard->data + (size_t)i * cache->block_size + offset, len);
	}
	pthread_mutex_unlock(&shard->lock);
	return i != NONE;
}

uint64_t cache_fill_begin(struct cache *cache, uint64_t block)
{
	struct shard *shard = shard_of(cache, block);
	uint64_t token;

	pthread_mutex_lock(&shard->lock);
	token = guard_of(shard, block)->version;
	pthread_mutex_unlock(&shard->lock);
	return token;
}

void cache_fill_end(struct cache *cache, uint64_t block, uint64_t token, const void *data)
{
	struct shard *shard = shard_of(cache, block);
	const struct guard *guard;

	pthread_mutex_lock(&shard->lock);
	guard = guard_of(shard, block);
	if (guard->nr_writes == 0 && guard->version == token && find(shard, block) == NONE)
		insert(shard, block, data, cache->block_size);
	pthread_mutex_unlock(&shard->lock);
}

/* The guard's count goes up when a write begins and down when it ends. Lock held. */
static void move_guard(struct guard *guard, bool begins)
{
	guard->nr_writes += begins ? 1u : -1u;
	guard->version++;
}

static void drop_block(struct cache *cache, uint64_t block, bool begins)
{
	struct shard *shard = shard_of(cache, block);
	uint32_t i;

	pthread_mutex_lock(&shard->lock);
	move_guard(guard_of(shard, block), begins);
	i = find(shard, block);
	if (i != NONE)
		remove_entry(shard, i);
	pthread_mutex_unlock(&shard->lock);
}

/* For a range so long that it is cheaper to look at every entry than at every block. */
static void drop_in_shard(struct shard *shard, uint64_t first, uint64_t nr, bool begins)
{
	uint32_t i, older;

	pthread_mutex_lock(&shard->lock);
	for (uint32_t g = 0; g < NR_GUARDS; g++)
		move_guard(&shard->guards[g], begins);
	for (i = shard->head; i != NONE; i = older) {
		older = shard->entries[i].older;
		if (shard->entries[i].block - first < nr)
			remove_entry(shard, i);
	}
	pthread_mutex_unlock(&shard->lock);
}

static void drop(struct cache *cache, uint64_t first, uint64_t nr, bool begins)
{
	if (nr <= LONG_RANGE) {
		for (uint64_t block = first; block < first + nr; block++)
			drop_block(cache, block, begins);
		return;
	}
	for (uint32_t i = 0; i < cache->nr_shards; i++)
		drop_in_shard(&cache->shards[i], first, nr, begins);
}

void cache_write_begin(struct cache *cache, uint64_t first, uint64_t nr)
{
	drop(cache, first, nr, true);
}

void cache_write_end(struct cache *cache, uint64_t first, uint64_t nr)
{
	drop(cache, first, nr, false);
}
