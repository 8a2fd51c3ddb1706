/* SPDX-License-Identifier: MIT */
/*
 * The data of reads and writes. The driver moves them straight to and from the guest's pages where
 * these are mapped; else to and from a buffer of ours, which the platform copies, or we do.
 */
#include "blkback/request.h"

#include <errno.h>
#include <string.h>

#include "blkback/worker.h"
#include "common/clock.h"

_Static_assert(SEGMENTS_MAX <= GRANTMAP_MAX, "all pages of a request are mapped at once");
_Static_assert(SEGMENTS_MAX * sizeof(struct blkif_request_segment) <= GRANT_PAGE_SIZE,
	"one page holds the segments of an indirect request");

static struct buffers *buffers_of(const struct request *req)
{
	return worker_buffers(req->queue->worker);
}

/* True if what grants cost is of interest. */
static bool is_timed(const struct request *req)
{
	return req->queue->grant_mode == GRANT_AUTO;
}

void data_choose(struct request *req)
{
	struct queue *queue = req->queue;
	enum grant_mode mode = queue->grant_mode;

	if (mode == GRANT_AUTO && !queue->no_direct && !queue->no_copy)
		mode = grantcost_choose(&queue->grant_cost, req->nr_segments);
	/* A mapping that only we can use saves no copy. */
	if (queue->no_direct && mode != GRANT_PERSISTENT)
		mode = GRANT_COPY;
	if (queue->no_copy)
		mode = GRANT_MAP;
	req->grant_mode = (uint8_t)mode;
}

/* ---- mapping ---- */

/* What a map or copy failed with, as an error of this request: it must not look like a wait. */
static int grant_error(int rc)
{
	return rc == -EAGAIN ? -EIO : rc;
}

static int map_pages(struct request *req)
{
	uint64_t start = is_timed(req) ? clock_ns() : 0;
	int rc = grantmap_get(&req->queue->grants, req->desc, req->nr_segments,
		req->io.op == DRIVER_READ, req->segments->refs);

	if (is_timed(req))
		req->grant_ns += clock_ns() - start;
	req->mapped = rc == 0;
	return grant_error(rc);
}

static void unmap_pages(struct request *req)
{
	uint64_t start = is_timed(req) ? clock_ns() : 0;

	grantmap_put(&req->queue->grants, req->segments->refs, req->nr_segments);
	if (is_timed(req))
		req->grant_ns += clock_ns() - start;
}

static void copy_mapped(const struct request *req, bool to_guest)
{
	char *ours = (char *)req->buffer + req->buffer_offset;

	for (unsigned int i = 0; i < req->nr_segments; i++) {
		uint32_t len;
		char *guests = data_segment(req, i, &len);

		memcpy(to_guest ? guests : ours, to_guest ? ours : guests, len);
		ours += len;
	}
}

/* ---- copying by the platform ---- */

/* Before Linux 4.9 there is no grant copy for programs; from then on this queue maps. */
static void copy_unsupported(struct request *req)
{
	struct queue *queue = req->queue;

	if (!queue->no_copy)
		log_warn("domain %u device %u: grants cannot be copied here (%s), so they are mapped",
			queue->config.domid, queue->config.device, strerror(errno));
	queue->no_copy = true;
	req->grant_mode = GRANT_MAP;
}

/* Carries out the first `nr` of the worker's copies. -ENOSYS: there is no such thing here. */
static int copy_grants(struct request *req, unsigned int nr)
{
	xengnttab_grant_copy_segment_t *copies = buffers_of(req)->copies;

	if (xengnttab_grant_copy(req->queue->grants.xgt, nr, copies)) {
		bool unsupported = errno == ENOSYS || errno == ENOTTY || errno == EOPNOTSUPP;

		if (!unsupported)
			return grant_error(-errno);
		copy_unsupported(req);
		return -ENOSYS;
	}
	for (unsigned int i = 0; i < nr; i++) {
		if (copies[i].status != GNTST_okay)
			return -EIO;
	}
	return 0;
}

static int copy_granted(struct request *req, bool to_guest)
{
	xengnttab_grant_copy_segment_t *copy = buffers_of(req)->copies;
	char *ours = (char *)req->buffer + req->buffer_offset;
	uint64_t start = is_timed(req) ? clock_ns() : 0;
	int rc;

	for (unsigned int i = 0; i < req->nr_segments; i++, copy++) {
		const struct blkif_request_segment *desc = &req->desc[i];
		union xengnttab_copy_ptr guests = {.foreign = {.ref = desc->gref,
			.offset = (uint16_t)(desc->first_sect * SECTOR_SIZE),
			.domid = (uint16_t)req->queue->config.domid}};
		union xengnttab_copy_ptr local = {.virt = ours};

		copy->len = (uint16_t)((desc->last_sect - desc->first_sect + 1u) * SECTOR_SIZE);
		copy->flags = to_guest ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
		copy->source = to_guest ? local : guests;
		copy->dest = to_guest ? guests : local;
		copy->status = GNTST_general_error;
		ours += copy->len;
	}
	rc = copy_grants(req, req->nr_segments);
	if (is_timed(req))
		req->grant_ns += clock_ns() - start;
	return rc;
}

/* Moves the data between buffer and guest. */
static int copy_data(struct request *req, bool to_guest)
{
	int rc;

	if (!req->mapped) {
		rc = copy_granted(req, to_guest);
		if (rc != -ENOSYS)
			return rc;
		rc = map_pages(req);
		if (rc)
			return rc;
	}
	copy_mapped(req, to_guest);
	return 0;
}

/* ---- indirect segments ---- */

static int copy_descriptors(
	struct request *req, uint32_t gref, struct blkif_request_segment *desc)
{
	xengnttab_grant_copy_segment_t *copy = buffers_of(req)->copies;

	*copy = (xengnttab_grant_copy_segment_t){
		.source = {.foreign = {.ref = gref, .domid = (uint16_t)req->queue->config.domid}},
		.dest = {.virt = desc},
		.len = (uint16_t)(req->nr_segments * sizeof(*desc)),
		.flags = GNTCOPY_source_gref,
		.status = GNTST_general_error,
	};
	return copy_grants(req, 1);
}

int data_fetch_indirect(struct request *req, uint32_t gref)
{
	struct grantmap *grants = &req->queue->grants;
	const struct blkif_request_segment page = {.gref = gref};
	struct segments_many *many = container_of(req->segments, struct segments_many, head);
	struct grantref ref;
	int rc;

	req->desc = many->desc;
	if (req->grant_mode == GRANT_COPY) {
		rc = copy_descriptors(req, gref, many->desc);
		if (rc != -ENOSYS)
			return rc;
	}
	rc = grantmap_get(grants, &page, 1, false, &ref);
	if (rc)
		return rc;
	/* The guest may write the page meanwhile: each word is read once, and never again. */
	ring_copy_from(many->desc, ref.addr, req->nr_segments * sizeof(many->desc[0]));
	grantmap_put(grants, &ref, 1);
	return 0;
}

/* ---- the request's data ---- */

int data_get_buffer(struct request *req, size_t len)
{
	void *buffer;
	int rc = buffers_get_data(buffers_of(req), len, &req->buffer_class, &buffer);

	if (rc)
		return rc;
	req->buffer = buffer;
	req->buffer_offset = 0;
	req->buffer_iov = (struct iovec){buffer, len};
	/* Else the guest would get what the buffer held before, perhaps another's data. */
	if (req->queue->config.image->disk->driver->no_contents)
		memset(buffer, 0, len);
	return 0;
}

int data_open(struct request *req)
{
	int rc = 0;

	if (!req->buffer && (req->grant_mode == GRANT_COPY || req->queue->no_direct))
		rc = data_get_buffer(req, req->nr_sectors * SECTOR_SIZE);
	if (rc == 0 && req->grant_mode != GRANT_COPY && !req->mapped)
		rc = map_pages(req);
	if (rc == 0 && req->buffer && req->io.op == DRIVER_WRITE)
		rc = copy_data(req, false);
	return rc;
}

void data_to_io(struct request *req)
{
	struct iovec *iov;
	uint32_t len;

	if (req->buffer) {
		req->io.iov = &req->buffer_iov;
		req->io.nr_iov = 1;
		req->io.page = NULL;
		return;
	}
	req->io.page = req->segments->refs[0].page;
	iov = req->io.iov = req->segments->iov;
	iov->iov_base = data_segment(req, 0, &len);
	iov->iov_len = len;
	for (unsigned int i = 1; i < req->nr_segments; i++) {
		char *at = data_segment(req, i, &len);

		if (at == (char *)iov->iov_base + iov->iov_len)
			iov->iov_len += len;
		else
			*++iov = (struct iovec){at, len};
	}
	req->io.nr_iov = (unsigned int)(iov - req->io.iov) + 1;
}

int data_deliver(struct request *req)
{
	return copy_data(req, true);
}

void data_close(struct request *req, bool learn)
{
	struct buffers *buffers = buffers_of(req);

	if (req->mapped)
		unmap_pages(req);
	if (learn && is_timed(req))
		grantcost_learn(
			&req->queue->grant_cost, req->grant_mode, req->nr_segments, req->grant_ns);
	if (req->buffer)
		buffers_put_data(buffers, req->buffer_class, req->buffer);
	buffers_put_segments(buffers, req->segments);
}
