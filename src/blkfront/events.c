/* SPDX-License-Identifier: MIT */
/*
 * What reaches a disk from outside the ring: its event channel, and changes of the back end's
 * nodes in xenstore (it leaves, or the disk has a new size).
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

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
static void take_event(struct rf_blk *blk, short revents)
{
	int port = xenevtchn_pending(blk->evtchn);

	if (port >= 0) {
		if (xenevtchn_unmask(blk->evtchn, (evtchn_port_t)port) < 0)
			blk_break(blk, -EIO, "the event channel cannot be unmasked");
		return;
	}
	if ((errno != EAGAIN && errno != EINTR) || (revents & (POLLERR | POLLHUP | POLLNVAL)))
		blk_break(blk, -EIO, "the event channel is lost");
}

int blk_events_wait(struct rf_blk *blk, int timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = blk->evtchn_fd, .events = POLLIN},
		{.fd = blk->store_fd, .events = POLLIN},
		{.fd = blk->kick_fd, .events = POLLIN},
	};
	int nr = poll(fds, 3, timeout_ms);
	uint64_t count;

	if (nr < 0) {
		if (errno != EINTR)
			blk_break(blk, -EIO, "poll failed");
		return 1;
	}
	if (fds[0].revents)
		take_event(blk, fds[0].revents);
	/* Also now and then unasked: a lost connection does not make the descriptor readable. */
	if (fds[1].revents || nr == 0)
		blk_store_check(blk);
	if (fds[2].revents && read(blk->kick_fd, &count, sizeof(count)) < 0)
		return 1;
	return nr > 0;
}
