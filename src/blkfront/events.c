/* SPDX-License-Identifier: MIT */
/*
 * What reaches a disk from outside the ring: its event channel, and changes of the back end's
 * nodes in xenstore (it leaves, or the disk has a new size).
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "common/clock.h"

/* Reads what a watch reported. Under store_lock. Returns why the disk is finished, or NULL. */
static const char *reread(struct rf_blk *blk)
{
	int state = xenbus_back_state(&blk->dev);
	uint64_t nr_sectors;

	if (state == -ENOENT)
		return "the back end is gone";
	if (state < 0)
		return "xenstore is gone";
	if (state == XenbusStateClosing || state == XenbusStateClosed)
		return "the back end closed the disk";
	/* Rather the old size than a wrong one: the back end checks the range, too. */
	if (xenbus_read_sectors(&blk->dev, blk->disk.sector_size, &nr_sectors) == 0)
		atomic_store_explicit(&blk->nr_sectors, nr_sectors, memory_order_relaxed);
	return NULL;
}

void blk_store_check(struct rf_blk *blk)
{
	const char *reason = NULL;
	int nr;

	if (blk_broken(blk) || pthread_mutex_trylock(&blk->store_lock) != 0)
		return;
	nr = xenbus_take_events(&blk->dev);
	if (nr < 0)
		reason = "the connection to xenstore is lost";
	else if (nr > 0)
		reason = reread(blk);
	pthread_mutex_unlock(&blk->store_lock);
	if (reason)
		blk_break(blk, -EIO, reason);
}

/* Takes one event; poll(2) said that there is one, or that the channel is broken. */
static void take_event(struct blk_queue *queue, short revents)
{
	int port = xenevtchn_pending(queue->evtchn);

	atomic_store_explicit(&queue->event_due, false, memory_order_relaxed);

	if (port >= 0) {
		if (xenevtchn_unmask(queue->evtchn, (evtchn_port_t)port) < 0)
			blk_break(queue->blk, -EIO, "the event channel cannot be unmasked");
		return;
	}
	if ((errno != EAGAIN && errno != EINTR) || (revents & (POLLERR | POLLHUP | POLLNVAL)))
		blk_break(queue->blk, -EIO, "the event channel is lost");
}

/*
 * The channel's descriptor is readable. What the event is about is in the ring, and the thread that
 * waits for it comes first; the event itself is taken before the next sleep, when the back end has
 * something to do. Relaxed: only who leads the queue looks, and a mark too many costs a call.
 */
static void note_event(struct blk_queue *queue, short revents)
{
	if (revents & (POLLERR | POLLHUP | POLLNVAL))
		take_event(queue, revents);
	else
		atomic_store_explicit(&queue->event_due, true, memory_order_relaxed);
}

void blk_events_settle(struct blk_queue *queue)
{
	if (atomic_load_explicit(&queue->event_due, memory_order_relaxed))
		take_event(queue, 0);
}

/* ppoll(2), in which w can be woken by the given eventfd. Interrupted if it has been already. */
static int poll_kickable(struct blk_waiter *w, int kick_fd, struct pollfd *fds, unsigned int nr,
	uint64_t timeout_ns)
{
	const struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(timeout_ns % NSEC_PER_SEC)};
	int rc;

	/*
	 * Orders: the descriptor before the look at the word.
	 * Pairs with: wake_waiter in sleep.c, which marks the word and then looks for a descriptor.
	 * Without it: it could find none, and we no mark, and sleep on.
	 */
	atomic_store_explicit(&w->kick_fd, kick_fd, memory_order_seq_cst);
	if (atomic_load_explicit(w->word, memory_order_seq_cst) & WORD_WAKE) {
		errno = EINTR;
		rc = -1;
	} else {
		rc = ppoll(fds, nr, &timeout, NULL);
	}
	/* Relaxed: whoever still writes to it wakes the next one in vain, at most. */
	atomic_store_explicit(&w->kick_fd, -1, memory_order_relaxed);
	return rc;
}

int blk_events_wait(struct blk_waiter *w, struct blk_queue *const *queues, unsigned int nr,
	uint64_t timeout_ns)
{
	struct rf_blk *blk = queues[0]->blk;
	struct pollfd fds[BLK_MAX_QUEUES + 2];
	struct pollfd *store = &fds[nr], *kick = &fds[nr + 1];
	uint64_t count;
	int rc;

	for (unsigned int i = 0; i < nr; i++)
		fds[i] = (struct pollfd){.fd = queues[i]->evtchn_fd, .events = POLLIN};
	*store = (struct pollfd){.fd = blk->store_fd, .events = POLLIN};
	*kick = (struct pollfd){.fd = queues[0]->kick_fd, .events = POLLIN};
	rc = poll_kickable(w, kick->fd, fds, nr + 2, timeout_ns);
	if (rc < 0) {
		if (errno != EINTR)
			blk_break(blk, -EIO, "poll failed");
		return 1;
	}
	for (unsigned int i = 0; i < nr; i++) {
		if (fds[i].revents)
			note_event(queues[i], fds[i].revents);
	}
	/* Also now and then unasked: a lost connection does not make the descriptor readable. */
	if (store->revents || rc == 0)
		blk_store_check(blk);
	if (kick->revents && read(kick->fd, &count, sizeof(count)) < 0)
		return 1;
	return rc > 0;
}
