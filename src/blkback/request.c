/* SPDX-License-Identifier: MIT */
/*
 * Requests. Only the private copy is looked at; what it claims is checked against the ring's, the
 * segment's and the disk's bounds before anything is mapped or read.
 */
#include "blkback/request.h"

#include <errno.h>
#include <string.h>

#include "blkback/worker.h"

#define SECTOR_SIZE 512u
#define SECTORS_PER_PAGE (GRANT_PAGE_SIZE / SECTOR_SIZE)

static void count(atomic_ulong *counter, unsigned long n)
{
	atomic_store_explicit(counter,
		atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static void fail(struct request *req, int16_t status, const char *why)
{
	struct queue *queue = req->queue;

	count(&queue->stats.errors, 1);
	if (ratelimit_pass(&queue->log_limit, 5, 10000000000ull))
		log_warn("domain %u device %u: request %llu (operation %u, sector %llu): %s",
			queue->config.domid, queue->config.device, (unsigned long long)req->id,
			req->operation, (unsigned long long)req->sector, why);
	queue_answer(queue, req, status);
}

/* ---- completion ---- */

/* Copies a stretch of the request's data from `src`; the segments are in order. */
static void copy_to_guest(const struct request *req, const char *src)
{
	for (unsigned int i = 0; i < req->nr_segments; i++) {
		memcpy(req->iov[i].iov_base, src, req->iov[i].iov_len);
		src += req->iov[i].iov_len;
	}
}

static void finish_fill(struct request *req)
{
	struct cache *cache = req->queue->config.image->cache;
	uint64_t start = req->fill_block * cache_block_size(cache);

	if (req->io.result == 0) {
		copy_to_guest(req, (char *)req->fill + (req->sector * SECTOR_SIZE - start));
		cache_fill_end(cache, req->fill_block, req->fill_token, req->fill);
	}
	worker_free_fill(req->queue->worker, req->fill);
	req->fill = NULL;
}

/* First block and number of blocks that a range of sectors touches. */
static uint64_t block_range(const struct cache *cache, const struct request *req, uint64_t *first)
{
	uint64_t per_block = cache_block_size(cache) / SECTOR_SIZE;

	*first = req->sector / per_block;
	return (req->sector + req->nr_sectors - 1) / per_block - *first + 1;
}

static void end_write(struct request *req)
{
	struct cache *cache = req->queue->config.image->cache;
	uint64_t first, nr;

	if (!cache || (req->io.op != DRIVER_WRITE && req->io.op != DRIVER_DISCARD))
		return;
	nr = block_range(cache, req, &first);
	cache_write_end(cache, first, nr);
}

static void finish(struct request *req)
{
	struct queue *queue = req->queue;

	if (req->fill)
		finish_fill(req);
	end_write(req);
	grantmap_put(&queue->grants, req->refs, req->nr_segments);
	if (req->io.result == 0)
		queue_answer(queue, req, BLKIF_RSP_OKAY);
	else
		fail(req, req->io.result == -EOPNOTSUPP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR,
			strerror(-req->io.result));
}

static void io_done(struct driver_io *io)
{
	struct request *req = container_of(io, struct request, io);

	worker_io_ended(req->queue->worker, req->queue);
	finish(req);
}

/* ---- starting ---- */

static bool offer(struct request *req)
{
	struct queue *queue = req->queue;
	struct driver_disk *disk = queue->config.image->disk;

	worker_io_begins(queue->worker, queue);
	switch (disk->driver->submit(disk, worker_aio(queue->worker), &req->io)) {
	case DRIVER_QUEUED:
		return true;
	case DRIVER_COMPLETED:
		worker_io_ended(queue->worker, queue);
		finish(req);
		return true;
	default:
		worker_io_ended(queue->worker, queue);
		return false;
	}
}

bool request_retry(struct request *req)
{
	return offer(req);
}

static void submit(struct request *req, enum driver_op op)
{
	req->io.op = op;
	req->io.offset = req->sector * SECTOR_SIZE;
	req->io.len = req->nr_sectors * SECTOR_SIZE;
	req->io.done = io_done;
	if (!offer(req))
		queue_wait(req->queue, req);
}

/* Joins segments that follow each other in our address space into one piece for the driver. */
static unsigned int join_segments(struct request *req)
{
	unsigned int n = 0;

	for (unsigned int i = 1; i < req->nr_segments; i++) {
		char *end = (char *)req->iov[n].iov_base + req->iov[n].iov_len;

		if (req->iov[i].iov_base == end)
			req->iov[n].iov_len += req->iov[i].iov_len;
		else
			req->iov[++n] = req->iov[i];
	}
	return n + 1;
}

/* Answers a read from the cache, if all of it is there. */
static bool read_cached(struct request *req, struct cache *cache)
{
	uint32_t block_size = cache_block_size(cache);
	uint64_t at = req->sector * SECTOR_SIZE;

	for (unsigned int i = 0; i < req->nr_segments; i++) {
		char *dst = req->iov[i].iov_base;
		size_t left = req->iov[i].iov_len;

		while (left) {
			uint32_t offset = (uint32_t)(at % block_size);
			uint32_t len = block_size - offset < left ? block_size - offset : (uint32_t)left;

			if (!cache_read(cache, at / block_size, offset, len, dst))
				return false;
			dst += len;
			at += len;
			left -= len;
		}
	}
	return true;
}

/*
 * Reads the whole block into a buffer of ours, from where it goes to the guest and into the cache;
 * not through the guest's page, which the guest could change on the way. False if it spans blocks
 * or there is no buffer: then the read goes straight to the guest.
 */
static bool read_and_fill(struct request *req, struct cache *cache)
{
	uint32_t block_size = cache_block_size(cache);
	uint64_t first, size = req->queue->config.image->disk->geometry.size;

	if (block_range(cache, req, &first) != 1 || (first + 1) * block_size > size)
		return false;
	req->fill = worker_alloc_fill(req->queue->worker);
	if (!req->fill)
		return false;
	req->fill_block = first;
	req->fill_token = cache_fill_begin(cache, first);
	req->fill_iov = (struct iovec){req->fill, block_size};
	req->io.iov = &req->fill_iov;
	req->io.nr_iov = 1;
	req->io.op = DRIVER_READ;
	req->io.offset = first * block_size;
	req->io.len = block_size;
	req->io.done = io_done;
	if (!offer(req))
		queue_wait(req->queue, req);
	return true;
}

static void start_read(struct request *req)
{
	struct cache *cache = req->queue->config.image->cache;
	struct queue_stats *stats = &req->queue->stats;

	count(&stats->reads, 1);
	count(&stats->read_sectors, req->nr_sectors);
	if (cache) {
		if (read_cached(req, cache)) {
			count(&stats->cache_hits, 1);
			req->io.result = 0;
			req->io.op = DRIVER_READ;
			finish(req);
			return;
		}
		count(&stats->cache_misses, 1);
		if (read_and_fill(req, cache))
			return;
	}
	req->io.iov = req->iov;
	req->io.nr_iov = join_segments(req);
	submit(req, DRIVER_READ);
}

static void begin_write(struct request *req)
{
	struct cache *cache = req->queue->config.image->cache;
	uint64_t first, nr;

	if (cache) {
		nr = block_range(cache, req, &first);
		cache_write_begin(cache, first, nr);
	}
}

static void start_write(struct request *req)
{
	count(&req->queue->stats.writes, 1);
	count(&req->queue->stats.written_sectors, req->nr_sectors);
	begin_write(req);
	req->io.iov = req->iov;
	req->io.nr_iov = join_segments(req);
	submit(req, DRIVER_WRITE);
}

/* True if the range lies on the disk and on its logical sectors. */
static bool in_bounds(const struct request *req)
{
	const struct driver_geometry *geo = &req->queue->config.image->disk->geometry;
	uint64_t nr = geo->size / SECTOR_SIZE, unit = geo->sector_size / SECTOR_SIZE;

	return req->nr_sectors > 0 && req->sector <= nr && req->nr_sectors <= nr - req->sector &&
		req->sector % unit == 0 && req->nr_sectors % unit == 0;
}

static const char *check_segments(struct request *req, const blkif_request_t *copy)
{
	uint32_t unit = req->queue->config.image->disk->geometry.sector_size / SECTOR_SIZE;

	if (copy->nr_segments == 0 || copy->nr_segments > BLKIF_MAX_SEGMENTS_PER_REQUEST)
		return "bad number of segments";
	for (unsigned int i = 0; i < copy->nr_segments; i++) {
		const struct blkif_request_segment *seg = &copy->seg[i];

		if (seg->last_sect >= SECTORS_PER_PAGE || seg->first_sect > seg->last_sect)
			return "bad segment";
		if (seg->first_sect % unit || (seg->last_sect + 1u) % unit)
			return "segment is not aligned to the logical sector";
		req->nr_sectors += seg->last_sect - seg->first_sect + 1u;
	}
	return in_bounds(req) ? NULL : "beyond the end of the disk, or unaligned";
}

static void start_rw(struct request *req, const blkif_request_t *copy)
{
	bool write = copy->operation == BLKIF_OP_WRITE;
	uint32_t grefs[BLKIF_MAX_SEGMENTS_PER_REQUEST];
	const char *why;

	why = write && req->queue->config.read_only ? "the disk is read-only"
						    : check_segments(req, copy);
	if (why) {
		fail(req, BLKIF_RSP_ERROR, why);
		return;
	}
	for (unsigned int i = 0; i < copy->nr_segments; i++)
		grefs[i] = copy->seg[i].gref;
	if (grantmap_get(&req->queue->grants, grefs, copy->nr_segments, !write, req->refs)) {
		fail(req, BLKIF_RSP_ERROR, "cannot map its grant references");
		return;
	}
	req->nr_segments = copy->nr_segments;
	for (unsigned int i = 0; i < req->nr_segments; i++) {
		const struct blkif_request_segment *seg = &copy->seg[i];

		req->iov[i].iov_base = (char *)req->refs[i].addr + seg->first_sect * SECTOR_SIZE;
		req->iov[i].iov_len = (seg->last_sect - seg->first_sect + 1u) * SECTOR_SIZE;
	}
	if (write)
		start_write(req);
	else
		start_read(req);
}

static void start_flush(struct request *req)
{
	count(&req->queue->stats.flushes, 1);
	req->sector = req->nr_sectors = 0;
	if (req->queue->config.read_only) {
		/* Nothing can have been written. */
		queue_answer(req->queue, req, BLKIF_RSP_OKAY);
		return;
	}
	submit(req, DRIVER_FLUSH);
}

static void start_discard(struct request *req, const blkif_request_t *copy)
{
	blkif_request_discard_t discard;

	memcpy(&discard, copy, sizeof(discard));
	req->nr_sectors = discard.nr_sectors;
	if (req->queue->config.read_only || !in_bounds(req)) {
		fail(req, BLKIF_RSP_ERROR, "bad discard");
		return;
	}
	if (!req->queue->config.image->disk->geometry.can_discard) {
		fail(req, BLKIF_RSP_EOPNOTSUPP, "discards are not offered");
		return;
	}
	count(&req->queue->stats.discards, 1);
	begin_write(req);
	submit(req, DRIVER_DISCARD);
}

unsigned int request_start(struct request *req, const blkif_request_t *copy)
{
	req->id = copy->id;
	req->operation = copy->operation;
	req->sector = copy->sector_number;
	req->nr_sectors = 0;
	req->nr_segments = 0;
	req->fill = NULL;
	switch (copy->operation) {
	case BLKIF_OP_READ:
	case BLKIF_OP_WRITE:
		start_rw(req, copy);
		/* What it moves; the request may be answered by now, but its copy is not reused. */
		return req->nr_sectors <= SECTORS_PER_PAGE
			       ? 1
			       : (unsigned int)((req->nr_sectors + SECTORS_PER_PAGE - 1) / SECTORS_PER_PAGE);
	case BLKIF_OP_FLUSH_DISKCACHE:
		start_flush(req);
		return 1;
	case BLKIF_OP_DISCARD:
		start_discard(req, copy);
		return 1;
	default:
		fail(req, BLKIF_RSP_EOPNOTSUPP, "such an operation is not offered");
		return 1;
	}
}
