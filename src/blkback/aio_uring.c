/* SPDX-License-Identifier: MIT */
/*
 * io_uring. One ring, used by one thread: with cooperative task running the kernel does not
 * interrupt a worker that polls, and a completion costs no system call unless one is due anyway.
 */
#include "blkback/aio.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/list.h"
#include "common/log.h"

#define RING_ENTRIES 256
#define POOL_THREADS 2
#define SUBMIT_BATCH 4 /* keeps the disk busy while the next requests are still being looked at */

/* A completion is for an I/O (its address) or for a watch (a small odd number). */
#define WATCH_TAG 1u

struct aio_uring {
	struct aio aio;
	struct io_uring ring;
	unsigned int nr_unsubmitted;
	struct driver_io *retries; /* partly done or interrupted: go on with the rest */
	struct aio *pool;	   /* for what the ring cannot do; made when first wanted */
	unsigned int unarmed;	   /* bits of watches that the kernel dropped */
	uint16_t *free_indices;	   /* of the table of pinned pages; made when first wanted */
	unsigned int nr_free_indices;
	bool said_no_more;
};

static struct aio_uring *to_uring(struct aio *aio)
{
	return container_of(aio, struct aio_uring, aio);
}

static void uring_kick(struct aio *aio)
{
	struct aio_uring *u = to_uring(aio);

	/* EBUSY and EAGAIN leave the entries where they are; a later kick takes them. */
	if (u->nr_unsubmitted && io_uring_submit(&u->ring) >= 0)
		u->nr_unsubmitted = io_uring_sq_ready(&u->ring);
}

static struct io_uring_sqe *get_sqe(struct aio_uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe) {
		uring_kick(&u->aio);
		sqe = io_uring_get_sqe(&u->ring);
	}
	return sqe;
}

static bool is_pinned(const struct driver_io *io)
{
	return aio_in_page(io) && io->page->state == AIO_PAGE_PINNED;
}

static void prepare(struct io_uring_sqe *sqe, struct driver_io *io)
{
	uint64_t offset = io->offset + io->moved;

	switch (io->op) {
	case DRIVER_READ:
		if (is_pinned(io))
			io_uring_prep_read_fixed(sqe, io->fd, io->iov[0].iov_base,
				(unsigned int)io->iov[0].iov_len, offset, io->page->index);
		else if (io->nr_iov == 1)
			io_uring_prep_read(sqe, io->fd, io->iov[0].iov_base,
				(unsigned int)io->iov[0].iov_len, offset);
		else
			io_uring_prep_readv(sqe, io->fd, io->iov, io->nr_iov, offset);
		break;
	case DRIVER_WRITE:
		if (is_pinned(io))
			io_uring_prep_write_fixed(sqe, io->fd, io->iov[0].iov_base,
				(unsigned int)io->iov[0].iov_len, offset, io->page->index);
		else if (io->nr_iov == 1)
			io_uring_prep_write(sqe, io->fd, io->iov[0].iov_base,
				(unsigned int)io->iov[0].iov_len, offset);
		else
			io_uring_prep_writev(sqe, io->fd, io->iov, io->nr_iov, offset);
		break;
	case DRIVER_FLUSH:
		io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
		break;
	case DRIVER_DISCARD:
		io_uring_prep_fallocate(sqe, io->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)io->offset, (off_t)io->len);
		break;
	}
	io_uring_sqe_set_data(sqe, io);
}

static void pool_readable(void *data)
{
	struct aio_uring *u = data;

	u->aio.nr_in_flight -= aio_reap(u->pool);
}

/* The kernel's rings can discard parts of files, not of block devices (ioctl BLKDISCARD). */
static enum driver_status pool_submit(struct aio_uring *u, struct driver_io *io)
{
	int rc = 0;

	if (!u->pool) {
		rc = aio_threads_create(POOL_THREADS, &u->pool);
		if (rc == 0)
			rc = aio_watch(&u->aio, aio_threads_fd(u->pool), pool_readable, u);
		if (rc) {
			aio_destroy(u->pool);
			u->pool = NULL;
			io->result = rc;
			return DRIVER_COMPLETED;
		}
	}
	return aio_submit(u->pool, io);
}

static enum driver_status uring_submit(struct aio *aio, struct driver_io *io)
{
	struct aio_uring *u = to_uring(aio);
	struct io_uring_sqe *sqe;

	if (io->op == DRIVER_DISCARD && io->is_block_device)
		return pool_submit(u, io);
	sqe = get_sqe(u);
	if (!sqe)
		return DRIVER_BUSY;
	prepare(sqe, io);
	if (++u->nr_unsubmitted >= SUBMIT_BATCH)
		uring_kick(aio);
	return DRIVER_QUEUED;
}

static void complete(struct aio_uring *u, struct driver_io *io, int res)
{
	bool moves = io->op == DRIVER_READ || io->op == DRIVER_WRITE;

	if (res >= 0 && moves && io->moved + (uint64_t)res < io->len) {
		if (res == 0) {
			aio_complete(&u->aio, io, -EIO); /* the file became shorter */
			return;
		}
		aio_advance(io, (size_t)res);
		res = -EAGAIN;
	}
	if (res == -EAGAIN || res == -EINTR) {
		io->next = u->retries;
		u->retries = io;
		return;
	}
	aio_complete(&u->aio, io, res < 0 ? res : 0);
}

static int arm_watch(struct aio_uring *u, unsigned int index)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (!sqe)
		return -EBUSY;
	io_uring_prep_poll_multishot(sqe, u->aio.watches[index].fd, POLLIN);
	io_uring_sqe_set_data64(sqe, (uint64_t)index << 1 | WATCH_TAG);
	u->nr_unsubmitted++;
	return 0;
}

/* Arms the watches that the kernel has dropped; what there is no room for stays for the next time. */
static void arm_watches(struct aio_uring *u)
{
	for (unsigned int i = 0; i < u->aio.nr_watches; i++) {
		if ((u->unarmed & 1u << i) && arm_watch(u, i) == 0)
			u->unarmed &= ~(1u << i);
	}
	uring_kick(&u->aio);
}

static void watch_fired(struct aio_uring *u, unsigned int index, unsigned int flags)
{
	struct aio_watch *watch = &u->aio.watches[index];

	/* Without F_MORE the kernel has dropped the poll. Armed again before the callback looks, so
	 * that nothing falls between. */
	if (!(flags & IORING_CQE_F_MORE)) {
		u->unarmed |= 1u << index;
		arm_watches(u);
	}
	watch->readable(watch->data);
}

static void resubmit(struct aio_uring *u)
{
	while (u->retries) {
		struct io_uring_sqe *sqe = get_sqe(u);
		struct driver_io *io = u->retries;

		if (!sqe)
			return;
		u->retries = io->next;
		prepare(sqe, io);
		u->nr_unsubmitted++;
	}
	uring_kick(&u->aio);
}

static unsigned int uring_reap(struct aio *aio)
{
	struct aio_uring *u = to_uring(aio);
	struct io_uring_cqe *cqes[64];
	unsigned int nr;

	nr = io_uring_peek_batch_cqe(&u->ring, cqes, 64);
	for (unsigned int i = 0; i < nr; i++) {
		uint64_t data = cqes[i]->user_data;

		if (data & WATCH_TAG)
			watch_fired(u, (unsigned int)(data >> 1), cqes[i]->flags);
		else
			complete(u, (struct driver_io *)(uintptr_t)data, cqes[i]->res);
	}
	io_uring_cq_advance(&u->ring, nr);
	if (u->retries)
		resubmit(u);
	if (u->unarmed)
		arm_watches(u);
	return nr;
}

static void uring_wait(struct aio *aio, int64_t timeout_ns)
{
	struct aio_uring *u = to_uring(aio);
	struct __kernel_timespec ts = {.tv_sec = timeout_ns / (int64_t)NSEC_PER_SEC,
		.tv_nsec = timeout_ns % (int64_t)NSEC_PER_SEC};
	struct io_uring_cqe *cqe;

	/* A time-out or a signal is a reason to return like any other. */
	io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, timeout_ns < 0 ? NULL : &ts, NULL);
	u->nr_unsubmitted = io_uring_sq_ready(&u->ring);
}

static int uring_watch(struct aio *aio, unsigned int index)
{
	int rc = arm_watch(to_uring(aio), index);

	if (rc == 0)
		uring_kick(aio);
	return rc;
}

/* ---- pinned pages: registered buffers of the ring, a page each ---- */

static int make_table(struct aio_uring *u)
{
	int rc = io_uring_register_buffers_sparse(&u->ring, AIO_MAX_PINNED);

	if (rc < 0)
		return rc;
	u->free_indices = malloc(AIO_MAX_PINNED * sizeof(*u->free_indices));
	if (!u->free_indices)
		return -ENOMEM;
	/* The lowest is taken first. */
	for (u->nr_free_indices = 0; u->nr_free_indices < AIO_MAX_PINNED; u->nr_free_indices++)
		u->free_indices[u->nr_free_indices] =
			(uint16_t)(AIO_MAX_PINNED - 1 - u->nr_free_indices);
	return 0;
}

/* Puts memory into the table, or nothing (NULL). 0 or -errno. */
static int update_table(struct aio_uring *u, uint16_t index, void *addr)
{
	const struct iovec iov = {addr, addr ? AIO_PAGE_SIZE : 0};
	int rc = io_uring_register_buffers_update_tag(&u->ring, index, &iov, NULL, 1);

	return rc < 0 ? rc : 0;
}

/* It need not be for ever: an unpinned page makes room for another try. */
static void pin_no_more(struct aio_uring *u, int error)
{
	u->aio.max_pinned = u->aio.nr_pinned;
	if (!u->said_no_more)
		log_info("%u registered buffers, and no more (%s): I/O goes on without",
			u->aio.nr_pinned, strerror(-error));
	u->said_no_more = true;
}

static void uring_pin(struct aio *aio, struct aio_page *page)
{
	struct aio_uring *u = to_uring(aio);
	uint16_t index;
	int rc = u->free_indices ? 0 : make_table(u);

	if (rc == 0) {
		index = u->free_indices[u->nr_free_indices - 1];
		rc = update_table(u, index, page->addr);
	}
	if (rc) {
		page->nr_ios = 0;
		pin_no_more(u, rc);
		return;
	}
	u->nr_free_indices--;
	page->index = index;
	page->state = AIO_PAGE_PINNED;
	aio->nr_pinned++;
}

static void uring_unpin(struct aio *aio, struct aio_page *page)
{
	struct aio_uring *u = to_uring(aio);

	page->state = AIO_PAGE_LASTING;
	page->nr_ios = 0;
	/* Without memory for that the place is lost, until the ring goes. */
	if (update_table(u, page->index, NULL))
		return;
	u->free_indices[u->nr_free_indices++] = page->index;
	aio->nr_pinned--;
}

static int uring_start(struct aio *aio)
{
	struct io_uring *ring = &to_uring(aio)->ring;
	int rc;

	/* What io_uring_enable_rings does, which liburing 2.3 declares but does not export. */
	rc = io_uring_register((unsigned int)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	if (rc == 0)
		ring->flags &= ~IORING_SETUP_R_DISABLED;
	return rc < 0 ? rc : 0;
}

static void uring_destroy(struct aio *aio)
{
	struct aio_uring *u = to_uring(aio);

	io_uring_queue_exit(&u->ring);
	aio_destroy(u->pool);
	free(u->free_indices);
	free(u);
}

static const struct aio_ops uring_ops = {.name = "io_uring", .submit = uring_submit,
	.kick = uring_kick, .reap = uring_reap, .wait = uring_wait, .watch = uring_watch,
	.pin = uring_pin, .unpin = uring_unpin, .start = uring_start, .destroy = uring_destroy};

int aio_uring_create(struct aio **out)
{
	/* Disabled until its own thread enables it: that one becomes the single issuer. */
	struct io_uring_params params = {
		.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
			IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE,
		.cq_entries = 2 * AIO_DEPTH,
	};
	struct aio_uring *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return -ENOMEM;
	u->aio.ops = &uring_ops;
	rc = io_uring_queue_init_params(RING_ENTRIES, &u->ring, &params);
	if (rc == -EINVAL) { /* before Linux 6.0 */
		params = (struct io_uring_params){
			.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
			.cq_entries = 2 * AIO_DEPTH};
		rc = io_uring_queue_init_params(RING_ENTRIES, &u->ring, &params);
	}
	if (rc) {
		free(u);
		return rc;
	}
	*out = &u->aio;
	return 0;
}
