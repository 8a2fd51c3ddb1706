/* SPDX-License-Identifier: MIT */
/*
 * What the back end's queues stand on, in the test's own process: grants whose maps are counted
 * and made to fail, one event channel, a disk in memory that is slow, busy or particular at will,
 * and a front end for one ring. The worker is the real one.
 */
#ifndef RF_TESTS_BLKBACK_FAKE_H
#define RF_TESTS_BLKBACK_FAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "blkback/queue.h"

#define FAKE_PAGES 4096u
#define FAKE_FIRST_GREF 8u
#define FAKE_DISK_BYTES (4u << 20)

/* Page n of the guest, which its gref FAKE_FIRST_GREF + n grants. */
char *fake_page(unsigned int n);

struct fake {
	/* Set by the test. */
	atomic_uint fail_map_at;     /* the k-th call from now fails; 0: none */
	atomic_uint fail_copy_at;    /* the k-th segment that is copied from now fails; 0: none */
	atomic_int copy_error;	     /* what a call of grant copy fails with altogether; 0: nothing */
	atomic_bool refuses_writable; /* pages cannot be mapped for writing */
	atomic_bool refuses_foreign; /* the driver: EFAULT for memory that is not our own */
	atomic_bool holds;	     /* the driver: completes nothing until fake_release */
	atomic_uint nr_busy;	     /* the driver: BUSY so many times */
	atomic_int io_error;	     /* the driver: every I/O ends with this */
	/* Counted. */
	atomic_uint nr_mapped;	     /* pages now */
	atomic_uint nr_map_calls, nr_copied, nr_ios, nr_foreign_ios, nr_held;
	atomic_uint nr_pinned, nr_pin_calls;
	atomic_uint nr_unmapped_pinned; /* pages that were pinned when they were unmapped */
	atomic_uint nr_wrong_pages;	/* I/Os with a page that is not theirs */
};

extern struct fake fake;

/* A worker, an image (or one without contents) and a queue on a ring of 2^order pages. */
struct fake_guest {
	struct worker *worker;
	struct image *image;
	struct queue *queue;
	blkif_front_ring_t ring;
	atomic_bool detached;
	unsigned int nr_ring_pages;
	uint64_t next_id;
};

void fake_connect(struct fake_guest *guest, const struct queue_config *config, unsigned int order,
	bool contents);

/* Takes all down. Afterwards no page is mapped or pinned, and no memory of the pools in use. */
void fake_disconnect(struct fake_guest *guest);

/* A request of nr pages from `page` on, direct or with its descriptors in page `desc_page`. */
void fake_put(struct fake_guest *guest, uint8_t op, uint64_t sector, unsigned int nr,
	unsigned int page);
void fake_put_indirect(struct fake_guest *guest, uint8_t op, uint64_t sector, unsigned int nr,
	unsigned int page, unsigned int desc_page);
void fake_push(struct fake_guest *guest);

/* Waits for the next answer; fails the test when none comes. Returns its status. */
int fake_take(struct fake_guest *guest);

/* Waits until the figure has the value; fails the test when it does not get it. */
void fake_wait(atomic_uint *figure, unsigned int value);

/* Lets the driver complete what it holds, and hold nothing more. */
void fake_release(void);

/* The disk's contents. */
char *fake_disk(void);

#endif
