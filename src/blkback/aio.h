/* SPDX-License-Identifier: MIT */
/*
 * A worker's asynchronous I/O on descriptors, and the one place where the worker sleeps: it waits
 * for I/O and for a few watched descriptors together. By io_uring, or where that is not permitted
 * by a pool of threads. Everything is called by the worker's own thread, unless it says otherwise.
 */
#ifndef RF_BLKBACK_AIO_H
#define RF_BLKBACK_AIO_H

#include <stdint.h>

#include "blkback/driver.h"

#define AIO_MAX_WATCHES 4
#define AIO_DEPTH 512 /* I/Os in flight at a time; more are BUSY */
#define AIO_PAGE_SIZE 4096u
#define AIO_MAX_PINNED 16384u /* pages at a time: as many as Linux has for a ring */
#define AIO_PIN_AFTER 16u     /* I/Os: what these would have saved, pinning and unpinning cost */

enum aio_kind { AIO_AUTO, AIO_URING, AIO_THREADS };

enum aio_page_state {
	AIO_PAGE_PASSING, /* never to be pinned: gone soon, or not mapped for writing */
	AIO_PAGE_LASTING, /* may be pinned */
	AIO_PAGE_PINNED,
};

/*
 * A page that I/O goes to again and again. While it is pinned, the kernel need not look its address
 * up for each I/O. It is its owner's, who sets it up and unpins it before the memory goes, and of
 * one worker. All zero: a page that is never pinned.
 */
struct aio_page {
	void *addr;	/* of AIO_PAGE_SIZE bytes */
	uint16_t index; /* aio's, while it is pinned */
	uint8_t state;	/* an enum aio_page_state */
	uint8_t nr_ios; /* aio's: before it was pinned */
};

struct aio;

struct aio_ops {
	const char *name;
	enum driver_status (*submit)(struct aio *aio, struct driver_io *io);
	void (*kick)(struct aio *aio);
	unsigned int (*reap)(struct aio *aio);
	void (*wait)(struct aio *aio, int64_t timeout_ns);
	int (*watch)(struct aio *aio, unsigned int index);
	void (*pin)(struct aio *aio, struct aio_page *page); /* NULL: nothing is ever pinned */
	void (*unpin)(struct aio *aio, struct aio_page *page);
	int (*start)(struct aio *aio);
	void (*destroy)(struct aio *aio);
};

struct aio {
	const struct aio_ops *ops;
	unsigned int nr_in_flight;
	unsigned int nr_pinned, max_pinned; /* pages; max_pinned 0: none are to be */
	unsigned int nr_watches;
	struct aio_watch {
		int fd;
		void (*readable)(void *data); /* from aio_reap */
		void *data;
	} watches[AIO_MAX_WATCHES];
};

/*
 * Creates one; any thread. AIO_AUTO takes io_uring if the kernel lets us. 0 or -errno.
 */
int aio_create(enum aio_kind kind, struct aio **out) __attribute__((warn_unused_result));

/* From now on pages may be pinned, where that is possible. Before aio_start; any thread. */
void aio_allow_pins(struct aio *aio);

/* To be called first by the thread that will use it. 0 or -errno. */
int aio_start(struct aio *aio) __attribute__((warn_unused_result));

/* No I/O may be in flight. NULL is legal. */
void aio_destroy(struct aio *aio);

/* Also wakes for `fd` being readable, and calls `readable` from aio_reap. After aio_start. */
int aio_watch(struct aio *aio, int fd, void (*readable)(void *data), void *data)
	__attribute__((warn_unused_result));

/* Starts io->op on io->fd; it may wait for aio_kick. Never blocks. */
static inline enum driver_status aio_submit(struct aio *aio, struct driver_io *io)
{
	enum driver_status status;

	if (aio->nr_in_flight >= AIO_DEPTH)
		return DRIVER_BUSY;
	status = aio->ops->submit(aio, io);
	if (status == DRIVER_QUEUED)
		aio->nr_in_flight++;
	return status;
}

/* True if all the data are one piece inside io->page. */
static inline bool aio_in_page(const struct driver_io *io)
{
	return io->page && io->nr_iov == 1 &&
		(uintptr_t)io->iov->iov_base - (uintptr_t)io->page->addr + io->iov->iov_len <=
			AIO_PAGE_SIZE;
}

/*
 * An I/O inside this page is about to begin: pins it, if it is a lasting one and this is its I/O
 * number AIO_PIN_AFTER. Where that is not possible (no io_uring, no room in its table,
 * RLIMIT_MEMLOCK, memory that cannot be pinned) the page stays as it is, to be used all the same,
 * and no other is tried before one is unpinned: so there is no error, and no call that fails for
 * each I/O.
 */
static inline void aio_pin(struct aio *aio, struct aio_page *page)
{
	if (page->state == AIO_PAGE_LASTING && aio->nr_pinned < aio->max_pinned &&
		++page->nr_ios >= AIO_PIN_AFTER)
		aio->ops->pin(aio, page);
}

/*
 * Lets the kernel have no hold on the page any more; no I/O of it may be in flight. It is a lasting
 * page again. One that is not pinned stays as it is.
 */
static inline void aio_unpin(struct aio *aio, struct aio_page *page)
{
	if (page->state == AIO_PAGE_PINNED)
		aio->ops->unpin(aio, page);
}

/* Hands over everything that was submitted so far. */
static inline void aio_kick(struct aio *aio)
{
	aio->ops->kick(aio);
}

/* Completes what has finished, without waiting. Returns how many I/Os and watches there were. */
static inline unsigned int aio_reap(struct aio *aio)
{
	return aio->ops->reap(aio);
}

/* Sleeps until there is something to reap, at most timeout_ns (negative: no limit). */
static inline void aio_wait(struct aio *aio, int64_t timeout_ns)
{
	aio->ops->wait(aio, timeout_ns);
}

/* For the implementations: takes `bytes` that were moved off the front of the vector. */
void aio_advance(struct driver_io *io, size_t bytes);

/* For the implementations: accounts a finished I/O and calls its done. */
void aio_complete(struct aio *aio, struct driver_io *io, int result);

int aio_uring_create(struct aio **out) __attribute__((warn_unused_result));

/* With up to 16 threads. The descriptor is readable when there is something to reap. */
int aio_threads_create(unsigned int nr_threads, struct aio **out)
	__attribute__((warn_unused_result));
int aio_threads_fd(const struct aio *aio);

#endif
