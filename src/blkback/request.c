/* SPDX-License-Identifier: MIT */
/*
 * The way of a request. It holds its slot's memory, pieces of the worker's pools, and the guest's
 * pages; whatever becomes of it, answer() gives all of that back.
 */
#include "blkback/request.h"

#include <errno.h>
#include <string.h>

#include "blkback/worker.h"

static void count(atomic_ulong *counter, unsigned long n)
{
	atomic_store_explicit(counter,
		atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static void answer(struct request *req, int16_t status)
{
	if (req->segments)
		data_close(req, status == BLKIF_RSP_OKAY);
	queue_answer(req->queue, req, status);
}

static void fail(struct request *req, int16_t status, const char *why)
{
	struct queue *queue = req->queue;

	count(&queue->stats.errors, 1);
	if (ratelimit_pass(&queue->log_limit, 5, 10000000000ull))
		log_warn("domain %u device %u: request %llu (operation %u, sector %llu): %s",
			queue->config.domid, queue->config.device, (unsigned long long)req->copy.id,
			req->operation, (unsigned long long)req->sector, why);
	answer(req, status);
}

/* ---- completion ---- */

/*
 * The driver cannot reach the guest's pages: the kernel gives no direct I/O on foreign memory here.
 * The request goes again, with memory of ours, and so do all that follow.
 */
static void bounce(struct request *req)
{
	struct queue *queue = req->queue;

	if (!queue->no_direct)
		log_warn("domain %u device %u: no direct I/O into granted pages here, data are copied",
			queue->config.domid, queue->config.device);
	queue->no_direct = true;
	req->stage = REQUEST_BOUNCE;
	queue_wait(queue, req);
	worker_poll(queue->worker, queue);
}

static void finish(struct request *req)
{
	int rc = req->io.result;

	if (rc == -EFAULT && req->mapped && !req->buffer) {
		bounce(req);
		return;
	}
	if (rc == 0 && req->fills)
		request_finish_fill(req);
	if (req->guarded)
		request_unguard(req);
	if (rc == 0 && req->buffer && req->io.op == DRIVER_READ)
		rc = data_deliver(req);
	if (rc == 0)
		answer(req, BLKIF_RSP_OKAY);
	else
		fail(req, rc == -EOPNOTSUPP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR, strerror(-rc));
}

static void io_done(struct driver_io *io)
{
	struct request *req = container_of(io, struct request, io);

	request_stamp(req, BACK_DRIVER_COMPLETED);
	worker_io_ended(req->queue->worker, req->queue);
	finish(req);
}

/* ---- on to the driver ---- */

static bool offer(struct request *req)
{
	struct queue *queue = req->queue;
	struct driver_disk *disk = queue->config.image->disk;

	worker_io_begins(queue->worker, queue);
	request_stamp(req, BACK_DRIVER_SUBMITTED);
	switch (disk->driver->submit(disk, worker_aio(queue->worker), &req->io)) {
	case DRIVER_QUEUED:
		return true;
	case DRIVER_COMPLETED:
		request_stamp(req, BACK_DRIVER_COMPLETED);
		worker_io_ended(queue->worker, queue);
		finish(req);
		return true;
	default:
		worker_io_ended(queue->worker, queue);
		return false;
	}
}

/* The data are at hand. False if the cache had them, and the request is answered. */
static bool begin_read(struct request *req)
{
	struct queue_stats *stats = &req->queue->stats;

	count(&stats->reads, 1);
	count(&stats->read_sectors, req->nr_sectors);
	if (!req->queue->config.image->cache)
		return true;
	if (request_cached(req)) {
		count(&stats->cache_hits, 1);
		req->io.result = 0;
		finish(req);
		return false;
	}
	count(&stats->cache_misses, 1);
	request_prepare_fill(req);
	return true;
}

static void begin_write(struct request *req)
{
	count(&req->queue->stats.writes, 1);
	count(&req->queue->stats.written_sectors, req->nr_sectors);
	request_guard(req);
}

/* True if the driver's turn is next; false if the request is answered. */
static bool begin(struct request *req)
{
	if (req->io.op == DRIVER_READ)
		return begin_read(req);
	begin_write(req);
	return true;
}

/* Gets at the data. False if the request must wait; else it may be answered (*answered). */
static bool prepare(struct request *req, bool *answered)
{
	int rc = data_open(req);

	if (rc == -EAGAIN)
		return false;
	if (rc) {
		if (req->guarded)
			request_unguard(req);
		fail(req, BLKIF_RSP_ERROR,
			rc == -ENOMEM ? "out of memory" : "cannot use its grant references");
		*answered = true;
		return true;
	}
	if (req->stage == REQUEST_DATA && !begin(req)) {
		*answered = true;
		return true;
	}
	data_to_io(req);
	req->stage = REQUEST_IO;
	return true;
}

bool request_advance(struct request *req)
{
	bool answered = false;

	if (req->stage != REQUEST_IO && !prepare(req, &answered))
		return false;
	return answered || offer(req);
}

/* ---- starting ---- */

static inline void go(struct request *req, enum driver_op op, enum request_stage stage)
{
	request_stamp(req, BACK_VALIDATED);
	req->io.op = op;
	req->io.offset = req->sector * SECTOR_SIZE;
	req->io.len = req->nr_sectors * SECTOR_SIZE;
	req->io.done = io_done;
	req->stage = (uint8_t)stage;
	if (stage == REQUEST_IO)
		req->io.page = NULL; /* there are no data, and what is there is another request's */
	if (!request_advance(req))
		queue_wait(req->queue, req);
}

/* The descriptors are in req->segments. */
static void start_rw(struct request *req)
{
	bool write = req->operation == BLKIF_OP_WRITE;
	const char *why = write && req->queue->config.read_only ? "the disk is read-only"
								: request_check_segments(req);

	if (why)
		fail(req, BLKIF_RSP_ERROR, why);
	else
		go(req, write ? DRIVER_WRITE : DRIVER_READ, REQUEST_DATA);
}

/*
 * NULL, or what is wrong about a READ, WRITE or INDIRECT apart from its segments. Then it is known
 * how the grants of this one are reached.
 */
static const char *begin_rw(struct request *req)
{
	if (req->operation != BLKIF_OP_READ && req->operation != BLKIF_OP_WRITE)
		return "neither reads nor writes";
	if (!req->nr_segments)
		return "bad number of segments";
	if (!req->segments)
		return "out of memory";
	req->grant_mode = GRANT_PERSISTENT;
	if (req->queue->grant_mode != GRANT_PERSISTENT)
		data_choose(req);
	return NULL;
}

static void start_direct(struct request *req)
{
	const char *why = begin_rw(req);

	if (why) {
		fail(req, BLKIF_RSP_ERROR, why);
		return;
	}
	req->desc = req->copy.seg;
	start_rw(req);
}

static void start_indirect(struct request *req)
{
	blkif_request_indirect_t indirect;
	const char *why;

	if (!req->queue->config.max_indirect_segments) {
		fail(req, BLKIF_RSP_EOPNOTSUPP, "indirect segments are not offered");
		return;
	}
	memcpy(&indirect, &req->copy, sizeof(indirect));
	/* Linux's front end wants the inner operation back. */
	req->operation = indirect.indirect_op;
	why = begin_rw(req);
	if (!why && data_fetch_indirect(req, indirect.indirect_grefs[0]))
		why = "cannot read its indirect segments";
	if (why)
		fail(req, BLKIF_RSP_ERROR, why);
	else
		start_rw(req);
}

static void start_flush(struct request *req)
{
	count(&req->queue->stats.flushes, 1);
	req->sector = 0;
	if (req->queue->config.read_only) {
		/* Nothing can have been written. */
		answer(req, BLKIF_RSP_OKAY);
		return;
	}
	go(req, DRIVER_FLUSH, REQUEST_IO);
}

static void start_discard(struct request *req)
{
	blkif_request_discard_t discard;

	memcpy(&discard, &req->copy, sizeof(discard));
	req->nr_sectors = discard.nr_sectors;
	if (req->queue->config.read_only || !request_in_bounds(req)) {
		fail(req, BLKIF_RSP_ERROR, "bad discard");
		return;
	}
	if (!req->queue->config.can_discard) {
		fail(req, BLKIF_RSP_EOPNOTSUPP, "discards are not offered");
		return;
	}
	count(&req->queue->stats.discards, 1);
	request_guard(req);
	go(req, DRIVER_DISCARD, REQUEST_IO);
}

/* Room for an indirect request's segments, if they are as many as were offered at most. */
static bool reserve_indirect(struct request *req)
{
	blkif_request_indirect_t indirect;

	memcpy(&indirect, &req->copy, sizeof(indirect));
	if (!indirect.nr_segments ||
		indirect.nr_segments > req->queue->config.max_indirect_segments)
		return true;
	req->nr_segments = indirect.nr_segments;
	return buffers_get_many(worker_buffers(req->queue->worker), &req->segments) != -EAGAIN;
}

bool request_reserve(struct request *req)
{
	req->segments = NULL;
	req->nr_segments = 0;
	switch (req->copy.operation) {
	case BLKIF_OP_READ:
	case BLKIF_OP_WRITE:
		if (!req->copy.nr_segments ||
			req->copy.nr_segments > BLKIF_MAX_SEGMENTS_PER_REQUEST)
			return true;
		req->nr_segments = req->copy.nr_segments;
		return buffers_get_few(worker_buffers(req->queue->worker), &req->segments) != -EAGAIN;
	case BLKIF_OP_INDIRECT:
		return reserve_indirect(req);
	default:
		return true;
	}
}

/* What a request moves, in units of 4 KiB. */
static unsigned int cost_of(const struct request *req)
{
	return req->nr_sectors <= SECTORS_PER_PAGE
		       ? 1
		       : (unsigned int)((req->nr_sectors + SECTORS_PER_PAGE - 1) / SECTORS_PER_PAGE);
}

unsigned int request_start(struct request *req)
{
	req->buffer = NULL;
	req->sector = req->copy.sector_number;
	req->nr_sectors = 0;
	req->grant_ns = 0;
	req->operation = req->copy.operation;
	req->mapped = req->fills = req->guarded = false;
	switch (req->operation) {
	/* These may be answered when they come back, but what they were is not overwritten. */
	case BLKIF_OP_READ:
	case BLKIF_OP_WRITE:
		start_direct(req);
		return cost_of(req);
	case BLKIF_OP_INDIRECT:
		start_indirect(req);
		return cost_of(req);
	case BLKIF_OP_FLUSH_DISKCACHE:
		start_flush(req);
		return 1;
	case BLKIF_OP_DISCARD:
		start_discard(req);
		return 1;
	default:
		fail(req, BLKIF_RSP_EOPNOTSUPP, "such an operation is not offered");
		return 1;
	}
}
