/* SPDX-License-Identifier: MIT */
/*
 * Who is served next: deficit round robin among the domains that have requests for an image, so
 * that a domain's share does not depend on how many requests it keeps outstanding. One worker's
 * thread; only the image's counters are shared among workers.
 *
 * While several workers serve domains that compete, one that is ahead of the least served one on
 * whatever worker is passed over (service.h). So shares are as the weights wherever queues are.
 *
 * While several domains compete for an image, a window bounds what is in flight at the device:
 * fairness needs the backlog in the rings, where it can be ordered, and not in the device. A domain
 * alone has no window.
 *
 * A *sparse* domain keeps so few requests outstanding that its rate is given by their latency, and
 * that by what else is at the device. With nothing in flight it goes first and past the window, and
 * while it competes the window of all is a narrower one.
 */
#ifndef RF_BLKBACK_SCHED_H
#define RF_BLKBACK_SCHED_H

#include <stdint.h>

#include "blkback/limit.h"
#include "blkback/queue.h"

#define SCHED_WINDOW_DEFAULT 8u
#define SCHED_SPARSE_MAX 2u    /* outstanding requests of a sparse domain */
#define SCHED_SPARSE_EIGHTHS 3u /* so much of the window is left while one competes */
#define SCHED_WEIGHT_DEFAULT 256u
#define SCHED_WEIGHT_MAX 65535u

/*
 * What a disk may take, shared by its queues on all workers. The main thread may change it at any
 * time. All zero: the default weight, no limits.
 */
struct sched_share {
	_Atomic uint32_t weight; /* of its domain, in turns; 0: SCHED_WEIGHT_DEFAULT */
	struct limit operations, bytes;
};

/* One image as this worker sees it. */
struct sched_image {
	struct list link;
	struct image *image;
	struct service_worker *place; /* what this worker tells the others */
	bool shared;		      /* domains compete, and this worker does not serve all of them */
	uint64_t floor;		      /* while shared: service of the least served domain of all */
	struct list active; /* clients with polled queues; the head's turn is on */
	struct list clients;
	unsigned int nr_active, nr_clients;
	unsigned int nr_in_flight; /* this worker's share of what is at the device */
};

/* One domain's use of one image on this worker. */
struct sched_client {
	struct list link, active_link; /* active_link is empty while no queue is polled */
	struct sched_image *image;
	struct image_domain *domain; /* what other workers share of it */
	unsigned int domid;
	int deficit; /* 256ths of 4 KiB that it may still take in its turn; below 0: a debt */
	uint64_t price; /* of a unit, in service: what the domain's weight makes of it */
	bool stuck;	/* it has requests, but none could be taken: there was no memory, or no driver */
	unsigned int nr_in_flight;
	/* The most that it had outstanding, in this epoch of its requests and the one before. */
	unsigned int peak, last_peak, nr_in_epoch;
	bool sparse; /* and counted as such in the image while active */
	unsigned int nr_queues, nr_polled;
	struct list queues;
};

struct sched {
	struct list images;
	unsigned int window;
	uint64_t due_ns; /* when the first of the disks that have used up their limit may go on; 0: none */
};

void sched_init(struct sched *sched, unsigned int window);

/* Adds or removes a queue of the worker. 0 or -ENOMEM. */
int sched_add(struct sched *sched, struct queue *queue) __attribute__((warn_unused_result));
void sched_remove(struct queue *queue);

/* The queue begins or ends to be polled. */
void sched_polled(struct queue *queue);
void sched_unpolled(struct queue *queue);

/* An I/O of the queue goes to the driver, or came back. */
void sched_io_begins(struct queue *queue);
void sched_io_ended(struct queue *queue);

/* Takes a bounded batch of requests off the polled rings. Returns how many. */
unsigned int sched_run(struct sched *sched);

#endif
