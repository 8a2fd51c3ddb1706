/* SPDX-License-Identifier: MIT */
/*
 * What the files of the front end share: a disk, its queues with their slots, and the waiters.
 * docs/design/blkfront.md explains how they play together.
 *
 * Locks: a queue's reaper role may be held while one of its ring_lock, done_lock and sleep_lock is
 * taken; those three are never held together, nor any of the four across a wait or a store call,
 * nor any of one queue together with one of another.
 * store_lock and share_lock, around calls of Xen's libraries, stand alone.
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

#include <ringfence/blkfront.h>

#include "blkfront/xenbus.h"
#include "common/list.h"
#include "common/poll_window.h"
#include "common/ring_status.h"
#include "common/stamps.h"

#define BLK_PAGE_SIZE 4096u
#define BLK_SECTORS_PER_PAGE (BLK_PAGE_SIZE / RF_BLK_SECTOR_SIZE)
#define BLK_DIRECT_SEGMENTS BLKIF_MAX_SEGMENTS_PER_REQUEST
#define BLK_MAX_SEGMENTS 256 /* in an indirect request; one page of them holds 512 */
#define BLK_MAX_QUEUES XENBUS_MAX_QUEUES
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
	uint8_t stamps;	       /* handle, of a sampled request until it is answered; else 0 */
	struct rf_blk_io *io;  /* NULL: a blocking call's */
	void *buf;	       /* the caller's memory */
	uint32_t len_bytes;
	uint32_t indirect_ref;
	struct blkif_request_segment *indirect; /* a granted page, once one was needed */
	blkif_request_t req;   /* our copy: the ring's is the back end's to scribble on */
};

/* Memory granted by rf_blk_buffer_alloc. base is 0 in an unused entry. */
struct blk_region {
	_Atomic uintptr_t base;
	_Atomic size_t len_bytes;
	uint32_t *_Atomic refs;
	bool idle; /* given back, but kept shared: see regions.c. Under share_lock */
};

enum blk_wait_kind {
	BLK_WAIT_REQUEST, /* for one slot's answer */
	BLK_WAIT_SLOT,	  /* for a free slot */
	BLK_WAIT_DONE,	  /* for a finished asynchronous request, or that none is left */
	BLK_WAIT_KINDS,
};

struct blk_waiter;

/* A waiter's place among those of one queue. Others touch it under that queue's sleep_lock. */
struct blk_member {
	struct list link;
	bool listed;
	struct blk_queue *queue;
	struct blk_waiter *waiter;
};

/* A thread that waits. On its stack; the members are initialised when it goes to sleep. */
struct blk_waiter {
	struct blk_queue *queue; /* its thread's own */
	enum blk_wait_kind kind;
	bool everywhere; /* BLK_WAIT_DONE, of several queues: what happens on any of them counts */
	_Atomic uint32_t *word; /* the slot's, or own_word */
	_Atomic uint32_t own_word;
	_Atomic int kick_fd;  /* the eventfd that wakes it while it is in poll(2), or -1 */
	uint64_t deadline_ns; /* 0: none */
	bool slept;	      /* as a leader, so that the next gap contains a wake-up */
	unsigned int nr_members;
	struct blk_member members[BLK_MAX_QUEUES]; /* the first is in its own queue */
};

/* A ring, and all that a thread needs to work with it. */
struct blk_queue {
	/* Set by open, then constant. */
	struct rf_blk *blk;
	unsigned int nr;
	unsigned int nr_slots; /* at most the ring's */
	unsigned int pages_per_slot;
	xenevtchn_handle *evtchn;
	int port; /* -1: none */
	int evtchn_fd;
	int kick_fd;
	void *ring_pages;
	uint8_t *bounce[BLK_MAX_CHUNKS];
	uint32_t *bounce_refs;
	struct blk_slot *slots;
	_Atomic bool no_indirect; /* there are no grants left for pages of segments */

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
	_Atomic uint32_t nr_empty_polls, nr_collects;
	_Atomic uint32_t nr_async; /* taken by submit and not yet returned */

	/* Waiting. */
	alignas(BLK_CACHE_LINE) pthread_mutex_t sleep_lock;
	struct list sleepers; /* joined, without the leader */
	struct blk_member *_Atomic leader; /* written under sleep_lock */
	atomic_bool event_due; /* the channel was readable, its event is not taken yet */
	_Atomic uint32_t nr_joined[BLK_WAIT_KINDS];
	_Atomic uint32_t nr_waiting; /* threads in blk_wait */
	_Atomic uint64_t last_answer_ns;
	_Atomic uint32_t nr_quick;   /* waits that ended at once, not noted yet */
	atomic_bool woke; /* the last push had to wake the back end */
	/* Of the time between answers while somebody waits, without and with that. */
	struct poll_window windows[2];
	struct poll_crowd crowd;
	_Atomic uint32_t nr_away;       /* answers that came while others had our processor: place.c */
	_Atomic uint64_t move_after_ns;

	/* Sampled requests. */
	alignas(BLK_CACHE_LINE) struct stamps_sets stamps;
};

/* A disk: what its queues share. Nothing here is written on the way of a request. */
struct rf_blk {
	/* Set by open, then constant. */
	struct rf_blk_options options;
	struct xenbus_device dev;
	struct xenbus_disk disk;
	xengntshr_handle *gntshr;
	int store_fd;
	unsigned int nr_queues;
	struct blk_queue *queues;
	unsigned int max_segments;	  /* of one request; above 11 it is an indirect one */
	unsigned int max_request_sectors; /* of one asynchronous request */
	struct xenbus_details details;
	struct stamps_area trace;

	_Atomic uint64_t nr_sectors;
	_Atomic int broken; /* 0, or the error that every call gets from now on */

	_Atomic uint32_t region_seq; /* odd while a writer is at it */
	_Atomic uint32_t nr_regions; /* entries ever used */
	struct blk_region regions[BLK_MAX_REGIONS];

	/* What changes now and then. */
	alignas(BLK_CACHE_LINE) pthread_mutex_t share_lock; /* writers of regions; sharing pages */
	pthread_mutex_t store_lock; /* dev, after open */
	_Atomic uint32_t nr_rescued; /* sleeps that only their time limit ended: a lost wake-up */
};

/* ---- platform.c ---- */

/* For Xen's libraries, which would write to standard error else. */
struct xentoollog_logger *blk_quiet_logger(void);

/* One line to the caller's callback. */
void blk_log(struct rf_blk *blk, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* That /dev/xen/<device> could not be opened (errno), and what to do. */
void blk_log_no_device(struct rf_blk *blk, const char *what, const char *device);

/* Why opening failed, where more can be said than the error says. The device: as far as it got. */
void blk_log_open_error(struct rf_blk *blk, int err);

/* ---- queue.c: what a queue consists of ---- */

/* Shares a ring and binds a port, and notes both in the details to be published. 0 or -errno. */
int blk_queue_open(struct rf_blk *blk, unsigned int nr, unsigned int ring_order)
	__attribute__((warn_unused_result));

/* Legal in every stage of opening. The back end must have let go, or be out of reach. */
void blk_queue_close(struct blk_queue *queue, unsigned int ring_order);

/* The calling thread's queue: always the same one. */
struct blk_queue *blk_own_queue(struct rf_blk *blk);

/* ---- ring.c: slots, push, reap ---- */

/* A free slot, or BLK_NO_SLOT. Lock-free, any thread; the caller owns the slot. */
uint32_t blk_slot_alloc(struct blk_queue *queue);

/* Gives a slot back and wakes whoever waits for one. */
void blk_slot_free(struct blk_queue *queue, uint32_t slot);

bool blk_slots_available(struct blk_queue *queue);

/*
 * Puts filled slots on the ring and notifies the back end if it asks for that. From here on a slot
 * belongs to the reaper until WORD_PENDING is clear. 0, or `broken` with nothing pushed.
 */
int blk_push(struct blk_queue *queue, const uint32_t *slots, unsigned int nr)
	__attribute__((warn_unused_result));

/* True if the back end has produced responses that nobody has taken. A hint; any thread. */
bool blk_has_responses(struct blk_queue *queue);

/*
 * Takes what responses there are, if no other thread is doing that. With `arm`, and if there are
 * none, asks for an event at the next one and looks again.
 * Returns how many were taken, or -EBUSY (somebody else is at it), -EAGAIN (armed, but there is
 * something now), or `broken`.
 */
int blk_reap(struct blk_queue *queue, bool arm);

/*
 * Nobody sleeps on the ring's event any more. The queue's leader only: who else would say so might
 * stop polling while the leader relies on being notified.
 */
void blk_disarm(struct blk_queue *queue);

/* The disk is unusable: says why (once), fails what is outstanding, wakes everybody. */
void blk_break(struct rf_blk *blk, int err, const char *reason);

/* ---- wait.c: by polling, then asleep; sleep.c: the sleepers ---- */

/*
 * slot: for BLK_WAIT_REQUEST, else NULL. everywhere: for BLK_WAIT_DONE, what happens on the other
 * queues counts, too. timeout_ns < 0: none.
 */
void blk_waiter_init(struct blk_waiter *w, struct blk_queue *queue, enum blk_wait_kind kind,
	bool everywhere, struct blk_slot *slot, int64_t timeout_ns);

/* By the disk's policy. 0 when what w waits for is there, or -ETIMEDOUT. */
int blk_wait(struct blk_waiter *w) __attribute__((warn_unused_result));

/* Is what w waits for there: as far as its own queue tells; as far as any does. */
bool blk_ready_here(const struct blk_waiter *w);
bool blk_ready(const struct blk_waiter *w);

/* nr_answers were taken while somebody waited, or slept, since since_ns: learns from that. */
void blk_note_gap(struct blk_queue *queue, uint64_t since_ns, unsigned int nr_answers, bool slept);

/* Sleeps until w is ready: 0, or -ETIMEDOUT. since_ns: when the waiting began. */
int blk_wait_asleep(struct blk_waiter *w, uint64_t since_ns);

/* Wakes waiters of a kind that sleep: one for BLK_WAIT_SLOT, else all. */
void blk_wake(struct blk_queue *queue, enum blk_wait_kind kind);
void blk_wake_all(struct blk_queue *queue);

/* A polling thread looks whether anybody is still there to answer. w: initialised, not joined. */
void blk_check_alive(struct blk_waiter *w);

void blk_futex_wake(_Atomic uint32_t *word);

/* ---- place.c: on which processor a thread polls ---- */

/*
 * A lone thread that polls has found answers: by looking, or (was_away) after a yield in which
 * others had its processor. When the latter is the rule it moves.
 */
void blk_place_note(struct blk_queue *queue, bool was_away);

/*
 * Moves the calling thread to another processor of those that it may use, if there is one. Which
 * these are is as before when it returns.
 */
void blk_place_move(void);

/* ---- events.c: what comes from outside ---- */

/*
 * Waits for an event of the given queues, at most timeout_ns. w leads them all. 1 if there was one:
 * it is handled, except that one of the ring's event channel waits for blk_events_settle.
 */
int blk_events_wait(struct blk_waiter *w, struct blk_queue *const *queues, unsigned int nr,
	uint64_t timeout_ns);

/* Takes the ring's event if one is due: before the next blk_events_wait. By who leads the queue. */
void blk_events_settle(struct blk_queue *queue);

/* Handles what the store has to say: a back end that left, a new size. Any thread. */
void blk_store_check(struct rf_blk *blk);

/* ---- request.c ---- */

/* Checks a request against the disk: 0, -ERANGE, -EINVAL, -EROFS, -EOPNOTSUPP. */
int blk_check_request(struct rf_blk *blk, enum rf_blk_op op, uint64_t sector, uint64_t nr_sectors);

/*
 * Fills a slot's request with as much of nr_sectors at buf as it can carry, without a copy if that
 * is granted memory; else the data of a write are copied. Returns how many sectors that is.
 */
uint64_t blk_fill(struct blk_queue *queue, uint32_t slot, enum rf_blk_op op, uint64_t sector,
	uint64_t nr_sectors, void *buf);

/* ---- pool.c ---- */

/*
 * Makes the queues' slots and shares their bounce pages, less of both if there are not grants
 * enough. 0, -ENOSPC, -ENOMEM. Undone by blk_queue_close.
 */
int blk_pool_init(struct rf_blk *blk) __attribute__((warn_unused_result));

/* Unshares a queue's pages and frees its slots. */
void blk_pool_fini(struct blk_queue *queue);

/* Makes sure that a slot has a page for indirect segments. The slot's owner. */
bool blk_need_indirect(struct blk_queue *queue, struct blk_slot *slot);

/* What a failed xengntshr_share_pages means: -ENOMEM or -ENOSPC. */
int blk_share_error(void);

/* ---- regions.c ---- */

/* Unshares what rf_blk_buffer_alloc has shared. */
void blk_regions_fini(struct rf_blk *blk);

/*
 * If len_bytes at buf are granted memory: the references from buf's page on, else NULL.
 * Lock-free, any thread.
 */
const uint32_t *blk_region_lookup(struct rf_blk *blk, const void *buf, size_t len_bytes);

/* A slot's part of the bounce pool. */
static inline uint8_t *blk_bounce(const struct blk_queue *queue, uint32_t slot)
{
	size_t page = (size_t)(slot % BLK_CHUNK_SLOTS) * queue->pages_per_slot;

	return queue->bounce[slot / BLK_CHUNK_SLOTS] + page * BLK_PAGE_SIZE;
}

/* ---- trace.c: stamps of sampled requests; any thread ---- */

/*
 * Shares a page with domain 0 and says so in the store. Where that cannot be done, nothing is
 * traced. Close is legal in every stage of opening, and before gntshr and dev are closed.
 */
void blk_trace_open(struct rf_blk *blk);
void blk_trace_close(struct rf_blk *blk);

/* A request goes to this index of the ring, which is one to be sampled. */
void blk_trace_submitted(struct blk_queue *queue, struct blk_slot *slot, uint32_t index)
	STAMPS_SELDOM;

/* A piece of an asynchronous request was answered: its stamps go on with the request. */
void blk_trace_piece(struct blk_queue *queue, struct blk_slot *slot) STAMPS_SELDOM;

/* The caller has the result (0 or an error): of a slot's request, of an asynchronous one. */
void blk_trace_slot_awake(struct blk_queue *queue, struct blk_slot *slot, int result) STAMPS_SELDOM;
void blk_trace_io_awake(struct blk_queue *queue, struct rf_blk_io *io) STAMPS_SELDOM;

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
