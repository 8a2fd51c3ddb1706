/* SPDX-License-Identifier: MIT */
/*
 * A queue's beginning and end: its ring and its event channel. What goes with its slots is in
 * pool.c. open and close run in one thread.
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Threads are numbered by their first use of a disk with several queues; 0: not yet. */
static _Atomic unsigned int nr_threads;
static _Thread_local unsigned int thread_number;

struct blk_queue *blk_own_queue(struct rf_blk *blk)
{
	if (blk->nr_queues == 1)
		return blk->queues;
	/* Relaxed: the numbers only have to differ. */
	if (!thread_number)
		thread_number = atomic_fetch_add_explicit(&nr_threads, 1, memory_order_relaxed) + 1;
	return &blk->queues[thread_number % blk->nr_queues];
}

static void queue_init(struct blk_queue *queue, struct rf_blk *blk, unsigned int nr)
{
	struct poll_wake wake = {0};

	queue->blk = blk;
	queue->nr = nr;
	queue->port = -1;
	queue->kick_fd = -1;
	queue->done_tail = &queue->done_head;
	list_init(&queue->sleepers);
	/* The other policies ask nobody how long. */
	if (blk->options.wait_policy == RF_BLK_WAIT_ADAPTIVE)
		wake = poll_wake_measure();
	poll_window_init_within(&queue->windows[0], wake);
	poll_window_init_woken(&queue->windows[1], wake);
	pthread_mutex_init(&queue->ring_lock, NULL);
	pthread_mutex_init(&queue->done_lock, NULL);
	pthread_mutex_init(&queue->sleep_lock, NULL);
}

static int open_ring(struct blk_queue *queue, unsigned int ring_order, uint32_t *refs)
{
	struct rf_blk *blk = queue->blk;
	size_t size = (size_t)BLK_PAGE_SIZE << ring_order;
	blkif_sring_t *sring;

	queue->ring_pages = xengntshr_share_pages(blk->gntshr, blk->dev.back_domid,
		1 << ring_order, refs, 1);
	if (!queue->ring_pages)
		return blk_share_error();
	/* Nothing of ours that was here before is the back end's business. */
	memset(queue->ring_pages, 0, size);
	sring = queue->ring_pages;
	XEN_FRONT_RING_INIT(&queue->ring, sring, size);
	/* Nobody waits yet, and who will, will say so. */
	if (blk->options.wait_policy == RF_BLK_WAIT_IDDR)
		ring_status_set(sring, RING_RSP_STATUS_OFFSET, RING_RUNNING);
	return 0;
}

static int open_events(struct blk_queue *queue, uint32_t *port)
{
	struct rf_blk *blk = queue->blk;
	int flags;

	queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->kick_fd < 0)
		return errno == ENOMEM ? -ENOMEM : -ENOSPC;
	queue->evtchn = xenevtchn_open(blk_quiet_logger(), 0);
	if (!queue->evtchn) {
		int err = errno == ENOMEM ? -ENOMEM : -ENOENT;

		blk_log_no_device(blk, "event channels", "evtchn");
		return err;
	}
	queue->evtchn_fd = xenevtchn_fd(queue->evtchn);
	flags = fcntl(queue->evtchn_fd, F_GETFL);
	if (flags < 0 || fcntl(queue->evtchn_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -EIO;
	queue->port = xenevtchn_bind_unbound_port(queue->evtchn, blk->dev.back_domid);
	if (queue->port < 0)
		return errno == ENOMEM ? -ENOMEM : -ENOSPC;
	*port = (uint32_t)queue->port;
	return 0;
}

int blk_queue_open(struct rf_blk *blk, unsigned int nr, unsigned int ring_order)
{
	struct xenbus_queue *details = &blk->details.queues[nr];
	struct blk_queue *queue = &blk->queues[nr];
	int err;

	queue_init(queue, blk, nr);
	err = open_ring(queue, ring_order, details->ring_refs);
	if (!err)
		err = open_events(queue, &details->port);
	return err;
}

void blk_queue_close(struct blk_queue *queue, unsigned int ring_order)
{
	blk_pool_fini(queue);
	if (queue->ring_pages)
		xengntshr_unshare(queue->blk->gntshr, queue->ring_pages, 1u << ring_order);
	if (queue->evtchn) {
		if (queue->port >= 0)
			xenevtchn_unbind(queue->evtchn, (evtchn_port_t)queue->port);
		xenevtchn_close(queue->evtchn);
	}
	if (queue->kick_fd >= 0)
		close(queue->kick_fd);
	pthread_mutex_destroy(&queue->ring_lock);
	pthread_mutex_destroy(&queue->done_lock);
	pthread_mutex_destroy(&queue->sleep_lock);
}
