/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing a disk: the handshake, and giving everything back in whatever state that
 * ended. open and close run in one thread.
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define DEFAULT_TIMEOUT_MS 5000
#define DEFAULT_RING_ORDER 2
#define DISCONNECT_TIMEOUT_MS 2000

#define STATE_BIT(state) (1u << (state))

/* ---- resources ---- */

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
	pthread_mutex_init(&blk->share_lock, NULL);
	pthread_mutex_init(&blk->store_lock, NULL);
	return blk;
}

static void close_queues(struct rf_blk *blk, unsigned int nr_left)
{
	while (blk->nr_queues > nr_left)
		blk_queue_close(&blk->queues[--blk->nr_queues], blk->details.ring_order);
}

/* Legal in every stage of opening. The back end must have let go, or be out of reach. */
static void blk_destroy(struct rf_blk *blk)
{
	if (blk->gntshr)
		blk_regions_fini(blk);
	close_queues(blk, 0);
	blk_trace_close(blk);
	if (blk->gntshr)
		xengntshr_close(blk->gntshr);
	xenbus_fini(&blk->dev);
	pthread_mutex_destroy(&blk->share_lock);
	pthread_mutex_destroy(&blk->store_lock);
	free(blk->queues);
	free(blk);
}

/*
 * As many queues as are wanted. Where the platform has not grants or ports enough for so many,
 * half of what it had must do: the rest is for the pages of data.
 */
static int open_queues(struct rf_blk *blk, unsigned int nr_wanted)
{
	blk->queues = aligned_alloc(BLK_CACHE_LINE, nr_wanted * sizeof(*blk->queues));
	if (!blk->queues)
		return -ENOMEM;
	memset(blk->queues, 0, nr_wanted * sizeof(*blk->queues));
	while (blk->nr_queues < nr_wanted) {
		unsigned int nr = blk->nr_queues++;
		int err = blk_queue_open(blk, nr, blk->details.ring_order);

		if (err && (err != -ENOSPC || nr == 0))
			return err;
		if (err) {
			close_queues(blk, (nr + 1) / 2);
			break;
		}
	}
	return 0;
}

/* Everything that a connection consists of. */
static int open_connection(struct rf_blk *blk, unsigned int nr_queues)
{
	int err;

	blk->gntshr = xengntshr_open(blk_quiet_logger(), 0);
	if (!blk->gntshr) {
		err = errno == ENOMEM ? -ENOMEM : -ENOENT;
		blk_log_no_device(blk, "grants", "gntalloc");
		return err;
	}
	err = open_queues(blk, nr_queues);
	if (!err)
		err = blk_pool_init(blk);
	while (err == -ENOSPC && blk->nr_queues > 1) {
		close_queues(blk, blk->nr_queues / 2);
		err = blk_pool_init(blk);
	}
	blk->details.nr_queues = blk->nr_queues;
	blk->details.status = blk->options.wait_policy == RF_BLK_WAIT_IDDR;
	return err;
}

/* ---- the handshake ---- */

/* Until the back end is ready for a connection. */
static int await_back_end(struct rf_blk *blk, uint64_t deadline_ns)
{
	/* The back end's first: it is Connected while we are Initialising only if it was too late. */
	int back = xenbus_back_state(&blk->dev), state = xenbus_front_state(&blk->dev);
	int err = 0;

	if (state < 0)
		return state == -ENOENT ? -ENODEV : state;
	if (state == XenbusStateClosing || state == XenbusStateClosed ||
		(state == XenbusStateInitialising && back == XenbusStateConnected))
		/* Somebody left without cleaning up, or before the back end had heard of it. */
		err = xenbus_start_over(&blk->dev, deadline_ns);
	else if (state != XenbusStateInitialising)
		err = -EBUSY;
	if (err)
		return err;
	/* Closed may be what an earlier connection left, and about to change. */
	return xenbus_wait_back(&blk->dev,
		STATE_BIT(XenbusStateInitWait) | STATE_BIT(XenbusStateInitialised), 0,
		deadline_ns);
}

static unsigned int at_most(unsigned int value, unsigned int most)
{
	return value < most ? value : most;
}

/* Ring order and queues, from what was asked for and what the back end offers. */
static int choose_rings(struct rf_blk *blk, unsigned int *nr_queues)
{
	unsigned int order = DEFAULT_RING_ORDER, queues = blk->options.nr_queues;
	struct xenbus_offer offer;
	int err = xenbus_read_offer(&blk->dev, &offer);

	if (err)
		return err;
	if (blk->options.ring_page_order_set)
		order = blk->options.ring_page_order;
	blk->details.ring_order = at_most(order, offer.max_ring_order);
	*nr_queues = at_most(queues ? queues : 1, offer.max_queues);
	return 0;
}

/* How large requests may be, once it is known what the back end takes. */
static void choose_request_size(struct rf_blk *blk)
{
	const struct blk_queue *queue = &blk->queues[0];

	blk->max_segments = BLK_DIRECT_SEGMENTS;
	blk->max_request_sectors = queue->pages_per_slot * BLK_SECTORS_PER_PAGE;
	if (blk->disk.max_indirect_segments > BLK_DIRECT_SEGMENTS) {
		/*
		 * In any memory: if it is not granted, the request is sent in pieces, which must
		 * all have slots. One slot more, as the memory may start inside a page.
		 */
		unsigned int pool = (queue->nr_slots - 1) * blk->max_request_sectors;

		blk->max_segments = at_most(blk->disk.max_indirect_segments, BLK_MAX_SEGMENTS);
		blk->max_request_sectors =
			at_most(blk->max_segments * BLK_SECTORS_PER_PAGE, pool);
	}
}

/* After publishing: on error the device must be disconnected. */
static int connect_back_end(struct rf_blk *blk, uint64_t deadline_ns)
{
	unsigned int gone = STATE_BIT(XenbusStateClosing) | STATE_BIT(XenbusStateClosed);
	int err = xenbus_wait_back(&blk->dev, STATE_BIT(XenbusStateConnected), gone, deadline_ns);

	/* Not earlier: Linux's back end publishes it with Connected. */
	if (!err)
		err = xenbus_read_disk(&blk->dev, &blk->disk);
	if (!err)
		err = xenbus_set_state(&blk->dev, XenbusStateConnected);
	if (err)
		return err;
	choose_request_size(blk);
	atomic_init(&blk->nr_sectors, blk->disk.nr_sectors);
	return 0;
}

static int blk_connect(struct rf_blk *blk)
{
	uint64_t deadline_ns = clock_ns() + blk->options.connect_timeout_ms * NSEC_PER_MSEC;
	unsigned int nr_queues;
	int err = await_back_end(blk, deadline_ns);

	if (!err)
		err = choose_rings(blk, &nr_queues);
	if (!err)
		err = open_connection(blk, nr_queues);
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
		blk_log_open_error(blk, err);
		blk_destroy(blk);
		return err;
	}
	blk_trace_open(blk);
	*out = blk;
	return 0;
}

void rf_blk_close(struct rf_blk *blk)
{
	if (!blk)
		return;
	/* What is answered by the end of the disconnecting counts as answered. */
	xenbus_disconnect(&blk->dev, DISCONNECT_TIMEOUT_MS);
	for (unsigned int i = 0; i < blk->nr_queues; i++)
		(void)blk_reap(&blk->queues[i], false);
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
		.nr_queues = blk->nr_queues,
		.ring_slots = blk->queues[0].nr_slots,
		.max_segments = blk->max_segments,
		.max_request_sectors = blk->max_request_sectors,
		.bounce_pages = blk->queues[0].pages_per_slot,
		.backend_domid = blk->dev.back_domid,
	};
}
