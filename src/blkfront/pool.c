/* SPDX-License-Identifier: MIT */
/*
 * The slots of the queues, and the pages that go with them for good: a part of the bounce pool for
 * each, and a page for indirect segments for those that ever needed one. The platform may have few
 * grants, so there are attempts of decreasing size.
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Of all queues together: 64 MiB. Large requests on granted memory need none of it, and others are
 * sent in pieces.
 */
#define POOL_MAX_PAGES 16384u
#define POOL_MIN_SLOTS 8u

int blk_share_error(void)
{
	return errno == ENOMEM ? -ENOMEM : -ENOSPC;
}

static void *share_pages(struct blk_queue *queue, uint32_t nr_pages, uint32_t *refs)
{
	return xengntshr_share_pages(queue->blk->gntshr, queue->blk->dev.back_domid, (int)nr_pages,
		refs, 1);
}

/* ---- bounce pages ---- */

static uint32_t chunk_pages(const struct blk_queue *queue, unsigned int chunk)
{
	uint32_t nr_slots = queue->nr_slots - chunk * BLK_CHUNK_SLOTS;

	if (nr_slots > BLK_CHUNK_SLOTS)
		nr_slots = BLK_CHUNK_SLOTS;
	return nr_slots * queue->pages_per_slot;
}

static void unshare_bounce(struct blk_queue *queue)
{
	for (unsigned int i = 0; i < BLK_MAX_CHUNKS && queue->bounce[i]; i++) {
		xengntshr_unshare(queue->blk->gntshr, queue->bounce[i], chunk_pages(queue, i));
		queue->bounce[i] = NULL;
	}
	free(queue->bounce_refs);
	queue->bounce_refs = NULL;
}

/* In calls of a bounded size: the platform may have a limit on one. */
static int share_bounce(struct blk_queue *queue, unsigned int nr_slots, unsigned int pages_per_slot)
{
	uint32_t first = 0;

	queue->nr_slots = nr_slots;
	queue->pages_per_slot = pages_per_slot;
	queue->bounce_refs = calloc((size_t)nr_slots * pages_per_slot, sizeof(uint32_t));
	if (!queue->bounce_refs)
		return -ENOMEM;
	for (unsigned int i = 0; i * BLK_CHUNK_SLOTS < nr_slots; i++) {
		uint32_t nr_pages = chunk_pages(queue, i);

		queue->bounce[i] = share_pages(queue, nr_pages, queue->bounce_refs + first);
		if (!queue->bounce[i]) {
			int err = blk_share_error();

			unshare_bounce(queue);
			return err;
		}
		first += nr_pages;
	}
	return 0;
}

/* The same for all queues, or nothing. */
static int share_pool(struct rf_blk *blk, unsigned int nr_slots, unsigned int pages_per_slot)
{
	int err = 0;

	if (blk->nr_queues * nr_slots * pages_per_slot > POOL_MAX_PAGES)
		return -ENOSPC;
	for (unsigned int i = 0; i < blk->nr_queues && !err; i++)
		err = share_bounce(&blk->queues[i], nr_slots, pages_per_slot);
	for (unsigned int i = 0; i < blk->nr_queues && err; i++)
		unshare_bounce(&blk->queues[i]);
	return err;
}

/* ---- slots ---- */

static int make_slots(struct blk_queue *queue)
{
	size_t size = queue->nr_slots * sizeof(*queue->slots);

	queue->slots = aligned_alloc(BLK_CACHE_LINE, size);
	if (!queue->slots)
		return -ENOMEM;
	memset(queue->slots, 0, size);
	for (uint32_t i = 0; i < queue->nr_slots; i++)
		atomic_fetch_or(&queue->free_slots[i / 64], 1ull << i % 64);
	return 0;
}

int blk_pool_init(struct rf_blk *blk)
{
	/* A Linux domain has 1024 grants for all its processes, unless told otherwise. */
	static const unsigned int sizes[] = {BLK_DIRECT_SEGMENTS, 8, 4, 2, 1};
	unsigned int nr_slots = RING_SIZE(&blk->queues[0].ring);
	int err = -ENOSPC;

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && err == -ENOSPC; i++)
		err = share_pool(blk, nr_slots, sizes[i]);
	/* A part of the rings stays unused then. */
	while (err == -ENOSPC && nr_slots > POOL_MIN_SLOTS) {
		nr_slots /= 2;
		err = share_pool(blk, nr_slots, 1);
	}
	for (unsigned int i = 0; i < blk->nr_queues && !err; i++)
		err = make_slots(&blk->queues[i]);
	return err;
}

void blk_pool_fini(struct blk_queue *queue)
{
	for (uint32_t i = 0; queue->slots && i < queue->nr_slots; i++) {
		if (queue->slots[i].indirect)
			xengntshr_unshare(queue->blk->gntshr, queue->slots[i].indirect, 1);
	}
	free(queue->slots);
	queue->slots = NULL;
	unshare_bounce(queue);
}

/* ---- indirect segments ---- */

bool blk_need_indirect(struct blk_queue *queue, struct blk_slot *slot)
{
	/* Relaxed: at worst somebody else asks once more in vain. */
	if (slot->indirect)
		return true;
	if (atomic_load_explicit(&queue->no_indirect, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&queue->blk->share_lock);
	slot->indirect = share_pages(queue, 1, &slot->indirect_ref);
	pthread_mutex_unlock(&queue->blk->share_lock);
	if (!slot->indirect)
		atomic_store_explicit(&queue->no_indirect, true, memory_order_relaxed);
	return slot->indirect != NULL;
}
