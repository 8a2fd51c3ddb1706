/* SPDX-License-Identifier: MIT */
/*
 * A worker: the thread that serves a set of queues. It polls rings and completions while there is
 * work, then for a moment more, then arms every ring and sleeps (docs/design/blkback.md).
 */
#ifndef RF_BLKBACK_WORKER_H
#define RF_BLKBACK_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include <xenevtchn.h>
#include <xengnttab.h>

#include "blkback/aio.h"

struct buffers;
struct queue;
struct worker;

enum worker_policy {
	WORKER_ADAPTIVE, /* poll as long as experience says that it pays, then sleep */
	WORKER_EVENT,	 /* sleep as soon as there is nothing to do */
	WORKER_SPIN,	 /* never sleep */
	WORKER_IDDR,	 /* poll for a fixed time, then sleep (common/ring_status.h) */
};

struct worker_config {
	enum worker_policy policy;
	enum aio_kind aio_kind;
	bool registered_buffers; /* pages of guests that stay mapped may be pinned */
	unsigned int window; /* I/Os at a device while domains compete for it */
	/* Called on the worker when the hypervisor is gone. */
	void (*lost)(void);
};

/* Starts a worker. 0 or -errno. Main thread, as are the next three. */
int worker_create(const struct worker_config *config, struct worker **out)
	__attribute__((warn_unused_result));

/* Ends its thread; it must have no queue. NULL is legal. */
void worker_destroy(struct worker *worker);

/* The queue is served from now on; queue->detached will be called once for it. */
void worker_attach(struct worker *worker, struct queue *queue);

/*
 * Takes nothing more from the queue and calls queue->detached when nothing of it is in flight any
 * more. Once for a queue.
 */
void worker_detach(struct worker *worker, struct queue *queue);

/* Its handles, for binding ports and mapping pages; any thread. */
xenevtchn_handle *worker_evtchn(struct worker *worker);
xengnttab_handle *worker_gnttab(struct worker *worker);

/*
 * A number that changes after answers: as long as it stays the same, so do the figures of the
 * worker's queues. Any thread.
 */
unsigned long worker_activity(const struct worker *worker);

/* ---- for the queues, on the worker's thread ---- */

struct aio *worker_aio(struct worker *worker);

/* The queue has an answer to publish. */
void worker_answered(struct worker *worker, struct queue *queue);
void worker_notify(struct worker *worker, evtchn_port_t port);
void worker_io_begins(struct worker *worker, struct queue *queue);
void worker_io_ended(struct worker *worker, struct queue *queue);

/* The queue has a request that waits for its turn again. */
void worker_poll(struct worker *worker, struct queue *queue);

/* The memory that its requests share. */
struct buffers *worker_buffers(struct worker *worker);

#endif
