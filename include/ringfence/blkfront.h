/* SPDX-License-Identifier: MIT */
/*
 * libringfence: the block front end (blkfront) as a library.
 *
 * A disk (vbd) that the toolstack attached to this domain is opened by its name; requests travel
 * to the back end over a blkif ring in shared memory (xen/io/blkif.h, xen/io/ring.h), after the
 * XenbusState handshake through xenstore. The library talks to the platform only through Xen's
 * libraries (libxengnttab, libxenevtchn, libxenstore), so a program runs unchanged on Ringfence
 * and in a domain of a real Xen host.
 *
 * Two ways to use it, which may be mixed on one disk and from any number of threads:
 *   - blocking calls (rf_blk_read, ...): the caller sleeps or spins until its request is answered;
 *   - asynchronous calls (rf_blk_submit, rf_blk_poll, rf_blk_wait).
 *
 * A disk has one ring, or several (rf_blk_options.nr_queues). Then each thread has one of them for
 * good, in turn: threads on different queues do not slow each other down.
 *
 * The back end is not trusted: whatever it writes is checked before it is used. When it breaks the
 * protocol or goes away, every outstanding request ends with -EIO, and later calls return -EIO at
 * once; only closing and opening the disk again leaves that state.
 *
 * Sectors are always 512 bytes here, whatever the disk's logical sector size (blkif.h). Every
 * function returns 0 (or a count) or a negative errno value.
 */
#ifndef RINGFENCE_BLKFRONT_H
#define RINGFENCE_BLKFRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* These are the library's interface; all else in it is built hidden. */
#pragma GCC visibility push(default)

#define RF_BLK_SECTOR_SIZE 512

struct rf_blk;

enum rf_blk_op {
	RF_BLK_READ,
	RF_BLK_WRITE,
	RF_BLK_FLUSH,   /* what was written and answered before is on stable storage; no buffer */
	RF_BLK_DISCARD, /* the sectors' contents are no longer needed; no buffer */
};

/* How a caller waits for an answer. */
enum rf_blk_wait_policy {
	/* Poll for a short, learned time, then sleep. A thread that polls beside the back end on one
	 * processor is moved to another of those that it may use; which these are does not change. */
	RF_BLK_WAIT_ADAPTIVE,
	RF_BLK_WAIT_EVENT,    /* sleep at once */
	RF_BLK_WAIT_SPIN,     /* poll until the answer comes; needs a core of its own */
	RF_BLK_WAIT_IDDR,     /* poll for 50 us, then sleep, and say so in the ring */
};

/* Zero means the default for every field. */
struct rf_blk_options {
	enum rf_blk_wait_policy wait_policy;
	unsigned int ring_page_order;  /* ring of 1 << order pages (32 << order requests), 0..4; the
					  back end's offer bounds it */
	bool ring_page_order_set;      /* false: the largest that the back end offers, at most 2 */
	unsigned int nr_queues;	       /* rings, each with its own event channel; the back end's
					  offer, 16, and the platform's supply of grants and ports
					  bound them. 0: one */
	unsigned int connect_timeout_ms; /* for the handshake; default 5000 */
	/* Called with one line of text for each problem worth telling; may be NULL. Any thread. */
	void (*log)(void *log_data, const char *message);
	void *log_data;
};

struct rf_blk_info {
	uint64_t nr_sectors;	      /* of 512 bytes: the last one is nr_sectors - 1 */
	uint32_t sector_size;	      /* logical, in bytes: requests must be multiples of it */
	uint32_t physical_sector_size;
	bool read_only;
	bool can_flush;
	bool can_discard;
	bool persistent_grants;	      /* negotiated */
	uint32_t nr_queues;
	uint32_t ring_slots;	      /* requests that can be outstanding, on each queue */
	uint32_t max_segments;	      /* pages of granted memory in one ring request; above 11 by
					 indirect segments */
	uint32_t max_request_sectors; /* the most that one asynchronous request may carry */
	uint32_t bounce_pages;	      /* pages of other memory in one ring request */
	uint32_t backend_domid;
};

/*
 * Opens a disk of this domain. `vdev` is its name as the toolstack gave it ("xvda", or a decimal
 * virtual-device number such as "51712"); NULL opens the only or lowest-numbered disk.
 * Blocks until both ends are Connected, at most connect_timeout_ms.
 *
 * Errors: -ENODEV no such disk, -ETIMEDOUT the back end did not answer, -EIO it refused or closed,
 * -EBUSY this disk is already open, -EPROTO it published nonsense, -ENOENT no hypervisor (not a
 * domain), -ENOSPC not grants or ports enough, -EINVAL an option out of range, -ENOMEM.
 * On error *out is untouched and nothing is left behind.
 */
int rf_blk_open(const char *vdev, const struct rf_blk_options *options, struct rf_blk **out)
	__attribute__((warn_unused_result));

/*
 * Disconnects: outstanding requests are failed with -ESHUTDOWN after the back end has let go of
 * their buffers (bounded wait), the device returns to a state in which it can be opened again.
 * No other call on this disk may be running or made afterwards. NULL is legal.
 */
void rf_blk_close(struct rf_blk *blk);

/* Copies what was negotiated; nr_sectors follows a resize. Any thread. */
void rf_blk_get_info(struct rf_blk *blk, struct rf_blk_info *info);

/* ---- blocking calls: any thread, any number of threads at once ---- */

/*
 * Read or write nr_sectors from `sector` on; `buf` holds nr_sectors * 512 bytes of any memory.
 * Larger ranges than one request can carry are split, and the pieces travel together. Returns 0;
 * -ERANGE outside the disk, -EINVAL not a multiple of the logical sector size, -EROFS, -EIO the
 * back end failed the request or is gone. After an error of a read the buffer's contents are
 * undefined; after an error of a write any part of it may be on the disk.
 */
int rf_blk_read(struct rf_blk *blk, uint64_t sector, uint32_t nr_sectors, void *buf)
	__attribute__((warn_unused_result));
int rf_blk_write(struct rf_blk *blk, uint64_t sector, uint32_t nr_sectors, const void *buf)
	__attribute__((warn_unused_result));

/* Returns when everything answered before the call is on stable storage. 0, -EOPNOTSUPP or -EIO. */
int rf_blk_flush(struct rf_blk *blk) __attribute__((warn_unused_result));

/* 0, -EOPNOTSUPP, -ERANGE, -EROFS or -EIO. */
int rf_blk_discard(struct rf_blk *blk, uint64_t sector, uint64_t nr_sectors)
	__attribute__((warn_unused_result));

/* ---- asynchronous calls ---- */

/*
 * One request. The caller owns the memory and must keep it and `buf` until the request comes back
 * from rf_blk_poll or rf_blk_wait; the library writes `result` and fields below `priv`.
 */
struct rf_blk_io {
	enum rf_blk_op op;
	uint64_t sector;
	uint64_t nr_sectors; /* at most max_request_sectors, but for a discard */
	void *buf;	     /* any memory (copied through a bounce buffer), or memory from
				rf_blk_buffer_alloc (no copy) */
	void *cookie;	     /* the caller's */
	int result;	     /* 0, or as for the blocking calls */
	struct {
		struct rf_blk_io *next;
		unsigned int nr_pieces;
		unsigned int stamps;
	} priv;
};

/*
 * Puts up to `nr` requests on the ring of the calling thread's queue, 512 slots at the most, and
 * notifies the back end at most once. A request takes a slot for each max_segments pages of granted
 * memory that it touches (more when there are no grants left for indirect segments), and for each
 * bounce_pages of other memory; it gets all that it needs, or is not taken.
 * Returns how many were taken, in order: fewer than `nr` when the ring is full (reap, then offer
 * the rest; blocking calls use slots, too) or when the next one is invalid; if the first one is
 * refused, its error (-ERANGE, -EINVAL, -EROFS, -EOPNOTSUPP, -EIO) or 0 for a full ring. A request
 * that was not taken does not come back.
 */
int rf_blk_submit(struct rf_blk *blk, struct rf_blk_io *const *ios, unsigned int nr)
	__attribute__((warn_unused_result));

/*
 * Takes up to `max` finished asynchronous requests, without waiting. Returns their number. A
 * request is returned exactly once, to one caller, whichever thread submitted it.
 *
 * With several queues the calling thread's own is looked at first, and the others if it has no
 * requests outstanding; if it has some, the others' turn comes with every 16th call that finds
 * nothing, and every 64th in any case.
 */
int rf_blk_poll(struct rf_blk *blk, struct rf_blk_io **done, unsigned int max);

/*
 * As rf_blk_poll, but waits until at least one request is there, on whichever queue, by the disk's
 * wait policy, at most timeout_ms (negative: no limit). Returns 0 on timeout, and -ENOENT when
 * nothing is outstanding on any queue.
 */
int rf_blk_wait(struct rf_blk *blk, struct rf_blk_io **done, unsigned int max, int timeout_ms);

/* The same with a timeout in nanoseconds, for programs with other things to do in between. */
int rf_blk_wait_ns(struct rf_blk *blk, struct rf_blk_io **done, unsigned int max,
	int64_t timeout_ns);

/*
 * Memory that is granted to the back end for the life of the disk, so that requests on it are not
 * copied. Page-aligned, zeroed; *buf is NULL on error. The back end can read and write it at any
 * time. Copying is spared where a request starts on a logical sector's boundary in it. 0, -ENOMEM,
 * -EINVAL (no length) or -ENOSPC (too many grants, or 64 such buffers). rf_blk_close frees it.
 */
int rf_blk_buffer_alloc(struct rf_blk *blk, size_t len_bytes, void **buf)
	__attribute__((warn_unused_result));

/*
 * Gives it back; no request on it may be outstanding. NULL is legal. A back end with persistent
 * grants may keep it mapped, so then it stays shared, for the next buffer of the same length.
 */
void rf_blk_buffer_free(struct rf_blk *blk, void *buf);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
