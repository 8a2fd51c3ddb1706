/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing a disk: resources, the handshake, and giving everything back in whatever
 * state that ended. open and close run in one thread.
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"

#define DEFAULT_TIMEOUT_MS 5000
#define DEFAULT_RING_ORDER 2
#define DISCONNECT_TIMEOUT_MS 2000

#define STATE_BIT(state) (1u << (state))

void blk_log(struct rf_blk *blk, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int len;

	if (!blk->options.log)
		return;
	len = snprintf(text, sizeof(text), "disk %u: ", blk->dev.vdev);
	va_start(ap, fmt);
	vsnprintf(text + len, sizeof(text) - (size_t)len, fmt, ap);
	va_end(ap);
	blk->options.log(blk->options.log_data, text);
}

/* ---- resources ---- */

static int open_ring(struct rf_blk *blk)
{
	unsigned int nr_pages = 1u << blk->ring_order;
	size_t size = (size_t)nr_pages * BLK_PAGE_SIZE;
	blkif_sring_t *sring;

	blk->details.ring_order = blk->ring_order;
	blk->ring_pages = xengntshr_share_pages(blk->gntshr, blk->dev.back_domid, (int)nr_pages,
		blk->details.ring_refs, 1);
	if (!blk->ring_pages)
		return errno == ENOMEM ? -ENOMEM : -ENOSPC;
	/* Nothing of ours that was here before is the back end's business. */
	memset(blk->ring_pages, 0, size);
	sring = blk->ring_pages;
	XEN_FRONT_RING_INIT(&blk->ring, sring, size);
	blk->nr_slots = RING_SIZE(&blk->ring);
	return 0;
}

static int open_slots(struct rf_blk *blk)
{
	blk->slots = aligned_alloc(BLK_CACHE_LINE, blk->nr_slots * sizeof(*blk->slots));
	if (!blk->slots)
		return -ENOMEM;
	memset(blk->slots, 0, blk->nr_slots * sizeof(*blk->slots));
	for (uint32_t i = 0; i < blk->nr_slots; i++)
		atomic_fetch_or(&blk->free_slots[i / 64], 1ull << i % 64);
	return blk_bounce_init(blk);
}

static int open_events(struct rf_blk *blk)
{
	int flags;

	blk->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (blk->kick_fd < 0)
		return -errno;
	blk->evtchn = xenevtchn_open(NULL, 0);
	if (!blk->evtchn)
		return errno == ENOMEM ? -ENOMEM : -ENOENT;
	blk->evtchn_fd = xenevtchn_fd(blk->evtchn);
	flags = fcntl(blk->evtchn_fd, F_GETFL);
	if (flags < 0 || fcntl(blk->evtchn_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -EIO;
	blk->port = xenevtchn_bind_unbound_port(blk->evtchn, blk->dev.back_domid);
	if (blk->port < 0)
		return errno == ENOMEM ? -ENOMEM : -ENOSPC;
	blk->details.port = (uint32_t)blk->port;
	return 0;
}

static struct rf_blk *blk_create(const struct rf_blk_options *options)
{
	struct rf_blk *blk = aligned_alloc(BLK_CACHE_LINE, sizeof(*blk));

	if (!blk)
		return NULL;
	memset(blk, 0, sizeof(*blk));
	if (options)
		blk->options = *options;
	if (!blk->options.connect_timeout_ms)
		blk->options.connect_timeout_ms = DEFAULT_TIMEOUT_MS;
	blk->port = -1;
	blk->kick_fd = -1;
	blk->done_tail = &blk->done_head;
	list_init(&blk->sleepers);
	pthread_mutex_init(&blk->region_lock, NULL);
	pthread_mutex_init(&blk->store_lock, NULL);
	pthread_mutex_init(&blk->ring_lock, NULL);
	pthread_mutex_init(&blk->done_lock, NULL);
	pthread_mutex_init(&blk->sleep_lock, NULL);
	return blk;
}

/* Legal in every stage of opening. The back end must have let go, or be out of reach. */
static void blk_destroy(struct rf_blk *blk)
{
	if (blk->gntshr) {
		blk_buffers_fini(blk);
		if (blk->ring_pages)
			xengntshr_unshare(blk->gntshr, blk->ring_pages, 1u << blk->ring_order);
		xengntshr_close(blk->gntshr);
	}
	if (blk->evtchn) {
		if (blk->port >= 0)
			xenevtchn_unbind(blk->evtchn, (evtchn_port_t)blk->port);
		xenevtchn_close(blk->evtchn);
	}
	if (blk->kick_fd >= 0)
		close(blk->kick_fd);
	xenbus_fini(&blk->dev);
	pthread_mutex_destroy(&blk->region_lock);
	pthread_mutex_destroy(&blk->store_lock);
	pthread_mutex_destroy(&blk->ring_lock);
	pthread_mutex_destroy(&blk->done_lock);
	pthread_mutex_destroy(&blk->sleep_lock);
	free(blk->slots);
	free(blk);
}

/* ---- the handshake ---- */

/* Until the back end is ready for a connection. */
static int await_back_end(struct rf_blk *blk, uint64_t deadline_ns)
{
	int state = xenbus_front_state(&blk->dev);
	int err = 0;

	if (state < 0)
		return state == -ENOENT ? -ENODEV : state;
	if (state == XenbusStateClosing || state == XenbusStateClosed)
		err = xenbus_unpublish(&blk->dev); /* somebody left without cleaning up */
	else if (state != XenbusStateInitialising)
		err = -EBUSY;
	if (err)
		return err;
	/* Closed may be what an earlier connection left, and about to change. */
	return xenbus_wait_back(&blk->dev,
		STATE_BIT(XenbusStateInitWait) | STATE_BIT(XenbusStateInitialised), 0,
		deadline_ns);
}

static int choose_ring_order(struct rf_blk *blk)
{
	unsigned int most, wanted = DEFAULT_RING_ORDER;
	int err = xenbus_read_max_ring_order(&blk->dev, &most);

	if (blk->options.ring_page_order_set)
		wanted = blk->options.ring_page_order;
	blk->ring_order = wanted < most ? wanted : most;
	return err;
}

/* Everything that a connection consists of. */
static int open_connection(struct rf_blk *blk)
{
	int err;

	blk->gntshr = xengntshr_open(NULL, 0);
	if (!blk->gntshr)
		return errno == ENOMEM ? -ENOMEM : -ENOENT;
	err = open_ring(blk);
	if (!err)
		err = open_slots(blk);
	if (!err)
		err = open_events(blk);
	return err;
}

/* After publishing: on error the device must be disconnected. */
static int connect_back_end(struct rf_blk *blk, uint64_t deadline_ns)
{
	unsigned int gone = STATE_BIT(XenbusStateClosing) | STATE_BIT(XenbusStateClosed);
	int err = xenbus_wait_back(&blk->dev, STATE_BIT(XenbusStateConnected), gone, deadline_ns);

	if (!err)
		err = xenbus_read_disk(&blk->dev, &blk->disk);
	if (!err)
		err = xenbus_set_state(&blk->dev, XenbusStateConnected);
	atomic_init(&blk->nr_sectors, blk->disk.nr_sectors);
	return err;
}

static int blk_connect(struct rf_blk *blk)
{
	uint64_t deadline_ns = clock_ns() + blk->options.connect_timeout_ms * NSEC_PER_MSEC;
	int err = await_back_end(blk, deadline_ns);

	if (!err)
		err = choose_ring_order(blk);
	if (!err)
		err = open_connection(blk);
	if (!err)
		err = xenbus_publish(&blk->dev, &blk->details);
	if (err)
		return err;
	err = connect_back_end(blk, deadline_ns);
	if (err)
		xenbus_disconnect(&blk->dev, DISCONNECT_TIMEOUT_MS);
	return err;
}

int rf_blk_open(const char *vdev, const struct rf_blk_options *options, struct rf_blk **out)
{
	struct rf_blk *blk;
	int err;

	if (options && options->ring_page_order_set &&
		options->ring_page_order > BLK_MAX_RING_ORDER)
		return -EINVAL;
	blk = blk_create(options);
	if (!blk)
		return -ENOMEM;
	err = xenbus_init(&blk->dev, vdev);
	if (!err) {
		blk->store_fd = xs_fileno(blk->dev.xs);
		err = blk_connect(blk);
	}
	if (err) {
		blk_destroy(blk);
		return err;
	}
	*out = blk;
	return 0;
}

void rf_blk_close(struct rf_blk *blk)
{
	if (!blk)
		return;
	/* What is answered by the end of the disconnecting counts as answered. */
	xenbus_disconnect(&blk->dev, DISCONNECT_TIMEOUT_MS);
	(void)blk_reap(blk, false);
	blk_break(blk, -ESHUTDOWN, NULL);
	blk_destroy(blk);
}

void rf_blk_get_info(struct rf_blk *blk, struct rf_blk_info *info)
{
	blk_store_check(blk);
	*info = (struct rf_blk_info){
		.nr_sectors = atomic_load_explicit(&blk->nr_sectors, memory_order_relaxed),
		.sector_size = blk->disk.sector_size,
		.physical_sector_size = blk->disk.physical_sector_size,
		.read_only = blk->disk.read_only,
		.can_flush = blk->disk.flush,
		.can_discard = blk->disk.discard,
		.persistent_grants = blk->disk.persistent,
		.ring_slots = blk->nr_slots,
		.max_request_sectors = blk->pages_per_slot * BLK_SECTORS_PER_PAGE,
		.backend_domid = blk->dev.back_domid,
	};
}
