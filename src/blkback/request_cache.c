/* SPDX-License-Identifier: MIT */
/* Requests and the image's cache. Data enter it only from memory that no guest can write. */
#include "blkback/request.h"

/* First block and number of blocks that a request touches. */
static uint64_t block_range(const struct cache *cache, const struct request *req, uint64_t *first)
{
	uint64_t per_block = cache_block_size(cache) / SECTOR_SIZE;

	*first = req->sector / per_block;
	return (req->sector + req->nr_sectors - 1) / per_block - *first + 1;
}

/* Copies `left` bytes of the disk at `at` out of the cache. False if one block is missing. */
static bool read_blocks(struct cache *cache, uint64_t at, char *dst, uint64_t left)
{
	uint32_t block_size = cache_block_size(cache);

	while (left) {
		uint32_t offset = (uint32_t)(at % block_size);
		uint32_t len = block_size - offset < left ? block_size - offset : (uint32_t)left;

		if (!cache_read(cache, at / block_size, offset, len, dst))
			return false;
		dst += len;
		at += len;
		left -= len;
	}
	return true;
}

bool request_cached(struct request *req)
{
	struct cache *cache = req->queue->config.image->cache;
	uint64_t at = req->sector * SECTOR_SIZE;

	if (req->buffer)
		return read_blocks(cache, at, req->buffer, req->nr_sectors * SECTOR_SIZE);
	for (unsigned int i = 0; i < req->nr_segments; i++) {
		uint32_t len;
		char *dst = data_segment(req, i, &len);

		if (!read_blocks(cache, at, dst, len))
			return false;
		at += len;
	}
	return true;
}

/*
 * The block is read into a buffer of ours, from where it goes to the guest and into the cache; not
 * through the guest's page, which the guest could change on the way. If it spans blocks or there is
 * no buffer, the read goes on without.
 */
void request_prepare_fill(struct request *req)
{
	struct cache *cache = req->queue->config.image->cache;
	uint32_t block_size = cache_block_size(cache);
	uint64_t first, size = image_size(req->queue->config.image);

	if (block_range(cache, req, &first) != 1 || (first + 1) * block_size > size)
		return;
	if (!req->buffer && data_get_buffer(req, block_size))
		return;
	req->fills = true;
	req->fill_token = cache_fill_begin(cache, first);
	req->buffer_offset = (uint32_t)(req->sector * SECTOR_SIZE - first * block_size);
	req->buffer_iov.iov_len = block_size;
	req->io.offset = first * block_size;
	req->io.len = block_size;
}

void request_finish_fill(struct request *req)
{
	struct cache *cache = req->queue->config.image->cache;
	uint64_t first;

	block_range(cache, req, &first);
	cache_fill_end(cache, first, req->fill_token, req->buffer);
}

void request_guard(struct request *req)
{
	struct cache *cache = req->queue->config.image->cache;
	uint64_t first, nr;

	if (!cache)
		return;
	nr = block_range(cache, req, &first);
	cache_write_begin(cache, first, nr);
	req->guarded = true;
}

void request_unguard(struct request *req)
{
	struct cache *cache = req->queue->config.image->cache;
	uint64_t first, nr = block_range(cache, req, &first);

	cache_write_end(cache, first, nr);
}
