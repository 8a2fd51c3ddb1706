/* SPDX-License-Identifier: MIT */
/*
 * What the files of the front end share: a disk, its slots and its waiters. docs/design/blkfront.md
 * explains how they play together.
 *
 * Locks: the reaper role may be held while one of ring_lock, done_lock and sleep_lock is taken;
 * those three are never held together, nor any of the four across a wait or a store call.
 * store_lock and region_lock, around calls of Xen's libraries, stand alone.
 */
#ifndef RF_BLKFRONT_INTERNAL_H
#define RF_BLKFRONT_INTERNAL_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#include "common/ringmb.h"
#include <xen/io/blkif.h>

#include <ringfence/blkfront.h>

#include "blkfront/xenbus.h"
#include "common/list.h"

#define BLK_PAGE_SIZE 4096u
#define BLK_SECTORS_PER_PAGE (BLK_PAGE_SIZE / RF_BLK_SECTOR_SIZE)
#define BLK_MAX_SEGMENTS BLKIF_MAX_SEGMENTS_PER_REQUEST
#define BLK_MAX_RING_ORDER 4
#define BLK_MAX_SLOTS 512
#define BLK_SLOT_WORDS (BLK_MAX_SLOTS / 64)
#define BLK_MAX_REGIONS 64
#define BLK_CHUNK_SLOTS 64 /* whose bounce pages are shared by one call */
#define BLK_MAX_CHUNKS (BLK_MAX_SLOTS / BLK_CHUNK_SLOTS)
#define BLK_NO_SLOT UINT32_MAX
#define BLK_CACHE_LINE 64

/* Bits of a waiter's futex word. */
#define WORD_PENDING 1u /* the request is with the back end */
#define WORD_ASLEEP 2u	/* its owner sleeps on the word: whoever answers it wakes it */
#define WORD_WAKE 4u	/* look around: you lead now, or what you wait for may be there */

/* One request that can be outstanding, with its place in the bounce pool. */
struct blk_slot {
	alignas(BLK_CACHE_LINE) _Atomic uint32_t word;
	uint32_t generation;   /* makes the ids of a slot's successive requests differ */
	int result;	       /* of a blocking request; valid when WORD_PENDING is clear */
	bool bounced;	       /* data go through this slot's bounce pages */
	struct rf_blk_io *io;  /* NULL: a blocking call's */
	void *buf;	       /* the caller's memory */
	uint32_t len_bytes;
	blkif_request_t req;   /* our copy: the ring's is the back end's to scribble on */
};

/* Memory granted by rf_blk_buffer_alloc. base is 0 in an unused entry. */
struct blk_region {
	_Atomic uintptr_t base;
	_Atomic size_t len_bytes;
	uint32_t *_Atomic refs;
	bool idle; /* given back, but kept shared: see buffers.c. Under region_lock */
};

enum blk_wait_kind {
	BLK_WAIT_REQUEST, /* for one slot's answer */
	BLK_WAIT_SLOT,	  /* for a free slot */
	BLK_WAIT_DONE,	  /* for a finished asynchronous request, or that none is left */
	BLK_WAIT_KINDS,
};

/* A thread that waits. On its stack; others touch it only under sleep_lock while it is joined. */
struct blk_waiter {
	struct list link;
	bool listed;
	enum blk_wait_kind kind;
	_Atomic uint32_t *word; /* the slot's, or own_word */
	_Atomic uint32_t own_word;
	uint64_t deadline_ns; /* 0: none */
};

struct rf_blk {
	/* Set by open, then constant. */
	struct rf_blk_options options;
	struct xenbus_device dev;
	struct xenbus_disk disk;
	xengntshr_handle *gntshr;
	xenevtchn_handle *evtchn;
	int port; /* -1: none */
	int evtchn_fd;
	int store_fd;
	int kick_fd;
	unsigned int ring_order;
	unsigned int nr_slots;
	unsigned int pages_per_slot;
	struct xenbus_details details;
	void *ring_pages;
	uint8_t *bounce[BLK_MAX_CHUNKS];
	uint32_t *bounce_refs;
	struct blk_slot *slots;

	_Atomic uint64_t nr_sectors;
	_Atomic int broken; /* 0, or the error that every call gets from now on */

	pthread_mutex_t region_lock; /* writers */
	_Atomic uint32_t region_seq; /* odd while a writer is at it */
	_Atomic uint32_t nr_regions; /* entries ever used */
	struct blk_region regions[BLK_MAX_REGIONS];

	pthread_mutex_t store_lock; /* dev, after open */

	/* Producers. */
	alignas(BLK_CACHE_LINE) pthread_mutex_t ring_lock; /* req_prod_pvt, the ring's requests */
	blkif_front_ring_t ring; /* rsp_cons belongs to the reaper */

	/* The reaper: who holds the role consumes responses. */
	alignas(BLK_CACHE_LINE) atomic_bool reaping;

	/* A set bit is a free slot. */
	alignas(BLK_CACHE_LINE) _Atomic uint64_t free_slots[BLK_SLOT_WORDS];

	/* Asynchronous requests. */
	alignas(BLK_CACHE_LINE) pthread_mutex_t done_lock;
	struct rf_blk_io *done_head, **done_tail;
	_Atomic uint32_t nr_done;
	_Atomic uint32_t nr_empty_polls;
	_Atomic uint32_t nr_async; /* taken by submit and not yet returned */

	/* Waiting. */
	alignas(BLK_CACHE_LINE) pthread_mutex_t sleep_lock;
	struct list sleepers; /* joined, without the leader */
	struct blk_waiter *_Atomic leader; /* written under sleep_lock */
	_Atomic uint32_t nr_joined[BLK_WAIT_KINDS];
	_Atomic uint32_t nr_waiting; /* threads in blk_wait */
	_Atomic uint32_t nr_rescued; /* sleeps that only their time limit ended: a lost wake-up */
	_Atomic uint64_t gap_ns;     /* average time between answers while somebody waits */
	_Atomic uint64_t last_answer_ns;
	_Atomic uint32_t nr_waits;
	_Atomic uint64_t yield_ns;	   /* average time that a yield takes */
	_Atomic uint64_t crowded_until_ns; /* others need our processors: no polling until then */
};

/* blkfront.c */
void blk_log(struct rf_blk *blk, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- ring.c: slots, push, reap ---- */

/* A free slot, or BLK_NO_SLOT. Lock-free, any thread; the caller owns the slot. */
uint32_t blk_slot_alloc(struct rf_blk *blk);

/* Gives slots back (nr of them) and wakes whoever waits for one. */
void blk_slot_free(struct rf_blk *blk, uint32_t slot);

bool blk_slots_available(struct rf_blk *blk);

/*
 * Puts filled slots on the ring and notifies the back end if it asks for that. From here on a slot
 * belongs to the reaper until WORD_PENDING is clear. 0, or `broken` with nothing pushed.
 */
int blk_push(struct rf_blk *blk, const uint32_t *slots, unsigned int nr)
	__attribute__((warn_unused_result));

/* True if the back end has produced responses that nobody has taken. A hint; any thread. */
bool blk_has_responses(struct rf_blk *blk);

/*
 * Takes what responses there are, if no other thread is doing that. With `arm`, and if there are
 * none, asks for an event at the next one and looks again.
 * Returns how many were taken, or -EBUSY (somebody else is at it), -EAGAIN (armed, but there is
 * something now), or `broken`.
 */
int blk_reap(struct rf_blk *blk, bool arm);

/* The disk is unusable: says why (once), fails what is outstanding, wakes everybody. */
void blk_break(struct rf_blk *blk, int err, const char *reason);

/* ---- wait.c ---- */

/* slot: for BLK_WAIT_REQUEST, else NULL. timeout_ms < 0: none. */
void blk_waiter_init(struct blk_waiter *w, enum blk_wait_kind kind, struct blk_slot *slot,
	int timeout_ms);

/* By the disk's policy. 0 when what w waits for is there, or -ETIMEDOUT. */
int blk_wait(struct rf_blk *blk, struct blk_waiter *w) __attribute__((warn_unused_result));

/* Wakes waiters of a kind that sleep: one for BLK_WAIT_SLOT, else all. */
void blk_wake(struct rf_blk *blk, enum blk_wait_kind kind);
void blk_wake_all(struct rf_blk *blk);

/* A polling thread looks whether anybody is still there to answer. w: initialised, not joined. */
void blk_check_alive(struct rf_blk *blk, struct blk_waiter *w);

void blk_futex_wake(_Atomic uint32_t *word);

/* ---- events.c: what comes from outside ---- */

/* Waits for an event, at most timeout_ms, and handles it. The leader only. 1 if there was one. */
int blk_events_wait(struct rf_blk *blk, int timeout_ms);

/* Handles what the store has to say: a back end that left, a new size. Any thread. */
void blk_store_check(struct rf_blk *blk);

/* ---- io.c ---- */

/* Checks a request against the disk: 0, -ERANGE, -EINVAL, -EROFS, -EOPNOTSUPP. */
int blk_check_request(struct rf_blk *blk, enum rf_blk_op op, uint64_t sector, uint64_t nr_sectors);

/*
 * How many of nr_sectors at buf fit into one request, and whether they are granted memory (*refs
 * points at the reference of buf's page) or go through the bounce pool (*refs is NULL).
 */
uint32_t blk_fit(struct rf_blk *blk, const void *buf, uint64_t nr_sectors, const uint32_t **refs);

/* Fills a slot's request; copies the data of a write that bounces. */
void blk_fill(struct rf_blk *blk, uint32_t slot, enum rf_blk_op op, uint64_t sector,
	uint64_t nr_sectors, void *buf, const uint32_t *refs);

/* ---- buffers.c ---- */

/* Shares the bounce pool, smaller if there are not grants enough. 0, -ENOSPC, -ENOMEM. */
int blk_bounce_init(struct rf_blk *blk) __attribute__((warn_unused_result));

/* Unshares pool and regions. */
void blk_buffers_fini(struct rf_blk *blk);

/*
 * If len_bytes at buf are granted memory: the references from buf's page on, else NULL.
 * Lock-free, any thread.
 */
const uint32_t *blk_region_lookup(struct rf_blk *blk, const void *buf, size_t len_bytes);

/* A slot's part of the bounce pool. */
static inline uint8_t *blk_bounce(const struct rf_blk *blk, uint32_t slot)
{
	size_t page = (size_t)(slot % BLK_CHUNK_SLOTS) * blk->pages_per_slot;

	return blk->bounce[slot / BLK_CHUNK_SLOTS] + page * BLK_PAGE_SIZE;
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static inline int blk_broken(struct rf_blk *blk)
{
	/*
	 * Orders: the reading of `broken` before what its reader then skips.
	 * Pairs with: the store in mark_broken.
	 * Without it: nothing breaks on its own: blk_push looks again under ring_lock.
	 */
	return atomic_load_explicit(&blk->broken, memory_order_acquire);
}

#endif
