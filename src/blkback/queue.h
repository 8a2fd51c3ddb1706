/* SPDX-License-Identifier: MIT */
/*
 * One blkif ring as the back end sees it: takes requests off it, checks a private copy of each,
 * carries it out, answers. A queue belongs to one worker, which alone calls all of this. The front
 * end on the other side is hostile until proven otherwise.
 *
 * Source: xen/io/blkif.h, xen/io/ring.h; what Linux's xen-blkback rejects is rejected.
 */
#ifndef RF_BLKBACK_QUEUE_H
#define RF_BLKBACK_QUEUE_H

#include <stdatomic.h>

#include <xenevtchn.h>

#include "blkback/buffers.h"
#include "blkback/grantcost.h"
#include "blkback/grantmap.h"
#include "blkback/image.h"
#include "blkback/slot.h"
#include "common/list.h"
#include "common/log.h"
#include "common/stamps.h"

struct worker;
struct queue;
struct request;
struct sched_share;

/* Counted by the worker, read by the main thread: relaxed atomics, each counter by itself. */
struct queue_stats {
	atomic_ulong reads, writes, flushes, discards, errors;
	atomic_ulong read_sectors, written_sectors;
	atomic_ulong cache_hits, cache_misses;
};

/*
 * Persistent grants that a queue keeps at most: for a ring of one page as many as Linux's
 * xen-blkback by default, for larger ones more, up to a bound on what a process may have mapped.
 */
static inline uint32_t queue_max_persistent(unsigned int nr_slots)
{
	return nr_slots < 128 ? 33 * nr_slots : 33 * 128;
}

/* The most indirect segments that may be offered. */
#define QUEUE_MAX_INDIRECT_SEGMENTS SEGMENTS_MAX

struct queue_config {
	unsigned int domid;
	unsigned int device;
	unsigned int nr; /* among the device's queues */
	blkif_sring_t *sring; /* mapped, nr_ring_pages pages */
	unsigned int nr_ring_pages;
	evtchn_port_t port;
	enum queue_abi abi;
	enum grant_mode grant_mode; /* GRANT_PERSISTENT counts only if the front end offers it */
	bool front_persistent;	    /* the front end offers persistent grants */
	bool own_status;	    /* we offered to keep req_status (common/ring_status.h) */
	bool front_status;	    /* the front end keeps rsp_status: notified by that */
	/* That were offered to the front end, QUEUE_MAX_INDIRECT_SEGMENTS at most; 0: none. */
	unsigned int max_indirect_segments;
	bool read_only;
	bool can_discard; /* discards were offered to the front end */
	struct image *image;
	struct sched_share *share; /* weight and limits (sched.h), outlives the queue; or NULL */
	struct stamps_area *trace; /* for the stamps of sampled requests; or NULL */
};

struct queue {
	struct worker *worker;
	struct queue_config config;
	blkif_back_ring_t ring;
	struct grantmap grants;
	enum grant_mode grant_mode;   /* in use; GRANT_AUTO: of map and copy what costs less */
	struct grantcost grant_cost;  /* for GRANT_AUTO */
	bool no_direct;		      /* the driver cannot move data to and from foreign pages */
	bool no_copy;		      /* the platform cannot copy grants */
	struct request *requests;     /* as many as the ring has slots */
	unsigned int nr_requests;     /* of them that were ever used: the rest is untouched memory */
	struct request *free_requests;
	struct request *waiting, **waiting_tail; /* checked, but the driver was busy */
	unsigned int nr_in_flight;		 /* taken and not answered */
	bool polled;	      /* looked at without a notification; else req_event is armed */
	bool unpushed;	      /* answers that are not published yet */
	bool broken;	      /* the front end broke the ring: nothing more is taken from it */
	bool detaching;	      /* no more requests; gone when nothing is in flight */
	bool served;	      /* had requests or answers since the worker last looked */
	uint64_t idle_since_ns;
	struct list polled_link, unpushed_link; /* the worker's lists */
	struct sched_client *client;
	struct list client_link;
	struct ratelimit log_limit;
	struct queue_stats stats;
	uint32_t answered_stamps; /* handles, as bits, of sampled requests that await queue_push */
	struct stamps_sets stamps;
	/* Called on the worker when a detach is complete, or (once) when the ring is broken. */
	void (*detached)(struct queue *queue);
	void (*broke)(struct queue *queue);
	const char *why_broken; /* set before broke is called, for the log; or NULL */
	void *owner;
};

/*
 * Makes a queue on a mapped ring. The indices continue where the front end says that answers
 * stand, as Linux's xen-blkback. 0, -ENOMEM, -EPROTO (indices make no sense).
 */
int queue_create(const struct queue_config *config, struct worker *worker, struct queue **out)
	__attribute__((warn_unused_result));

/* Nothing may be in flight. Unmaps persistent grants; the ring page and port are the caller's. */
void queue_destroy(struct queue *queue);

/*
 * What was negotiated, for people: "32 slots, x86_64-abi, persistent grants, 256 indirect
 * segments". Returns `text`. Any thread.
 */
const char *queue_describe(const struct queue *queue, char *text, size_t size);

/*
 * Takes at most one request off the ring and starts it. Returns its cost in units of 4 KiB (at
 * least 1; a bad request costs 1), or 0 if there was none, or none that can go on before others
 * have ended.
 */
unsigned int queue_take(struct queue *queue);

/* True if the ring has a request that can be taken, or one waits for the driver. */
bool queue_has_work(struct queue *queue);

/* Requests that are taken and not answered, or wait in the ring. */
unsigned int queue_outstanding(struct queue *queue);

/* Publishes the answers, and notifies the front end if it asked for that. */
void queue_push(struct queue *queue);

/*
 * Asks for a notification at the next request, and looks once more: returns true if one has come
 * meanwhile (then poll on).
 */
bool queue_arm(struct queue *queue);

/* The queue is looked at from now on: no notification is needed. */
void queue_disarm(struct queue *queue);

#endif
