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

#include "common/ringmb.h"

#include <xenevtchn.h>
#include <xen/grant_table.h>
#include <xen/event_channel.h>
#include <xen/io/ring.h>
#include <xen/io/blkif.h>

#include "blkback/driver.h"
#include "blkback/grantmap.h"
#include "blkback/image.h"
#include "common/list.h"
#include "common/log.h"

struct worker;
struct queue;

/* Counted by the worker, read by the main thread: relaxed atomics, each counter by itself. */
struct queue_stats {
	atomic_ulong reads, writes, flushes, discards, errors;
	atomic_ulong read_sectors, written_sectors;
	atomic_ulong cache_hits, cache_misses;
};

/* A request's private copy, from the ring to its answer. */
struct request {
	struct driver_io io;
	struct queue *queue;
	struct request *next; /* free list, or the queue's list of waiting requests */
	uint64_t id;	      /* the guest's, echoed */
	uint8_t operation;    /* as in the ring, echoed */
	uint8_t nr_segments;
	uint64_t sector, nr_sectors; /* of 512 bytes */
	struct grantref refs[BLKIF_MAX_SEGMENTS_PER_REQUEST];
	struct iovec iov[BLKIF_MAX_SEGMENTS_PER_REQUEST];
	/* A read that fills a cache block: the buffer it is read to, and where. */
	void *fill;
	struct iovec fill_iov;
	uint64_t fill_block, fill_token;
};

struct queue_config {
	unsigned int domid;
	unsigned int device;
	blkif_sring_t *sring; /* mapped, nr_ring_pages pages */
	unsigned int nr_ring_pages;
	evtchn_port_t port;
	bool persistent;
	bool read_only;
	struct image *image;
};

struct queue {
	struct worker *worker;
	struct queue_config config;
	blkif_back_ring_t ring;
	struct grantmap grants;
	struct request *requests; /* as many as the ring has slots */
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
 * Takes at most one request off the ring and starts it. Returns its cost in units of 4 KiB (at
 * least 1; a bad request costs 1), or 0 if there was none.
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

#endif
