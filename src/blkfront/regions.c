/* SPDX-License-Identifier: MIT */
/*
 * Memory that users allocate and that the back end can reach. It is looked up on every request,
 * without a lock; it changes rarely, under share_lock.
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Under share_lock. A reader that looked meanwhile sees another region_seq and looks again. */
static void region_set(struct rf_blk *blk, struct blk_region *region, void *base,
	size_t len_bytes, uint32_t *refs)
{
	uint32_t seq = atomic_load_explicit(&blk->region_seq, memory_order_relaxed);

	atomic_store_explicit(&blk->region_seq, seq + 1, memory_order_relaxed);
	/*
	 * Orders: each store after the odd region_seq before it.
	 * Pairs with: the acquire loads of region_find.
	 * Without it: a reader could take one region's base with another one's length.
	 */
	atomic_store_explicit(&region->base, (uintptr_t)base, memory_order_release);
	atomic_store_explicit(&region->len_bytes, len_bytes, memory_order_release);
	atomic_store_explicit(&region->refs, refs, memory_order_release);
	/*
	 * Orders: the stores before the even region_seq.
	 * Pairs with: the acquire load of region_seq in region_find.
	 * Without it: a reader could trust an entry that is only half written.
	 */
	atomic_store_explicit(&blk->region_seq, seq + 2, memory_order_release);
}

static void region_unshare(struct rf_blk *blk, struct blk_region *region)
{
	void *base = (void *)atomic_load_explicit(&region->base, memory_order_relaxed);
	size_t len_bytes = atomic_load_explicit(&region->len_bytes, memory_order_relaxed);
	uint32_t *refs = atomic_load_explicit(&region->refs, memory_order_relaxed);

	region_set(blk, region, NULL, 0, NULL);
	region->idle = false;
	xengntshr_unshare(blk->gntshr, base, (uint32_t)(len_bytes / BLK_PAGE_SIZE));
	free(refs);
}

/* One look. The references, or NULL; *seq is what the look was based on. */
static const uint32_t *region_find(struct rf_blk *blk, uintptr_t at, size_t len_bytes,
	uint32_t *seq)
{
	/*
	 * Orders: region_seq before the entries; their loads, before the second one of region_seq.
	 * Pairs with: region_set.
	 * Without it: a torn entry could look settled.
	 */
	*seq = atomic_load_explicit(&blk->region_seq, memory_order_acquire);
	uint32_t nr = atomic_load_explicit(&blk->nr_regions, memory_order_relaxed);

	for (uint32_t i = 0; i < nr; i++) {
		struct blk_region *region = &blk->regions[i];
		uintptr_t base = atomic_load_explicit(&region->base, memory_order_acquire);
		size_t len = atomic_load_explicit(&region->len_bytes, memory_order_acquire);
		uint32_t *refs = atomic_load_explicit(&region->refs, memory_order_acquire);

		if (base && at >= base && at - base <= len && len_bytes <= len - (at - base))
			return refs + (at - base) / BLK_PAGE_SIZE;
	}
	return NULL;
}

const uint32_t *blk_region_lookup(struct rf_blk *blk, const void *buf, size_t len_bytes)
{
	const uint32_t *refs;
	uint32_t seq;

	do {
		refs = region_find(blk, (uintptr_t)buf, len_bytes, &seq);
		/* Relaxed: the acquire loads before it keep it behind them. */
	} while ((seq & 1) ||
		 atomic_load_explicit(&blk->region_seq, memory_order_relaxed) != seq);
	return refs;
}

/* Under share_lock: an idle region of this very size, to be used again. */
static struct blk_region *find_idle(struct rf_blk *blk, size_t len_bytes)
{
	uint32_t nr = atomic_load_explicit(&blk->nr_regions, memory_order_relaxed);

	for (uint32_t i = 0; i < nr; i++) {
		struct blk_region *region = &blk->regions[i];

		if (region->idle && atomic_load_explicit(&region->len_bytes,
					    memory_order_relaxed) == len_bytes)
			return region;
	}
	return NULL;
}

/* Under share_lock: an unused entry, at the cost of an idle region if need be. */
static struct blk_region *find_entry(struct rf_blk *blk)
{
	uint32_t nr = atomic_load_explicit(&blk->nr_regions, memory_order_relaxed);

	for (uint32_t i = 0; i < nr; i++) {
		if (!atomic_load_explicit(&blk->regions[i].base, memory_order_relaxed))
			return &blk->regions[i];
	}
	if (nr < BLK_MAX_REGIONS) {
		/* Relaxed: a new entry matches nothing until region_set has filled it. */
		atomic_store_explicit(&blk->nr_regions, nr + 1, memory_order_relaxed);
		return &blk->regions[nr];
	}
	for (uint32_t i = 0; i < nr; i++) {
		if (blk->regions[i].idle) {
			region_unshare(blk, &blk->regions[i]);
			return &blk->regions[i];
		}
	}
	return NULL;
}

static int region_share(struct rf_blk *blk, size_t nr_pages, void **buf)
{
	struct blk_region *region = find_entry(blk);
	uint32_t *refs = region ? calloc(nr_pages, sizeof(*refs)) : NULL;

	if (!refs)
		return region ? -ENOMEM : -ENOSPC;
	*buf = xengntshr_share_pages(blk->gntshr, blk->dev.back_domid, (int)nr_pages, refs, 1);
	if (!*buf) {
		int err = blk_share_error();

		free(refs);
		return err;
	}
	region_set(blk, region, *buf, nr_pages * BLK_PAGE_SIZE, refs);
	return 0;
}

int rf_blk_buffer_alloc(struct rf_blk *blk, size_t len_bytes, void **buf)
{
	size_t nr_pages = len_bytes / BLK_PAGE_SIZE + (len_bytes % BLK_PAGE_SIZE != 0);
	struct blk_region *region;
	int err = 0;

	*buf = NULL;
	if (nr_pages == 0 || nr_pages > INT_MAX)
		return nr_pages ? -ENOSPC : -EINVAL;
	pthread_mutex_lock(&blk->share_lock);
	region = find_idle(blk, nr_pages * BLK_PAGE_SIZE);
	if (region) {
		region->idle = false;
		*buf = (void *)atomic_load_explicit(&region->base, memory_order_relaxed);
		memset(*buf, 0, nr_pages * BLK_PAGE_SIZE);
	} else {
		err = region_share(blk, nr_pages, buf);
	}
	pthread_mutex_unlock(&blk->share_lock);
	return err;
}

void rf_blk_buffer_free(struct rf_blk *blk, void *buf)
{
	uint32_t nr;

	if (!buf)
		return;
	pthread_mutex_lock(&blk->share_lock);
	nr = atomic_load_explicit(&blk->nr_regions, memory_order_relaxed);
	for (uint32_t i = 0; i < nr; i++) {
		struct blk_region *region = &blk->regions[i];

		if (atomic_load_explicit(&region->base, memory_order_relaxed) != (uintptr_t)buf)
			continue;
		/*
		 * A back end with persistent grants keeps its mapping, filed under the reference:
		 * were that reused for other memory, it would go on using the old. So it stays.
		 */
		if (blk->disk.persistent)
			region->idle = true;
		else
			region_unshare(blk, region);
		break;
	}
	pthread_mutex_unlock(&blk->share_lock);
}

void blk_regions_fini(struct rf_blk *blk)
{
	for (uint32_t i = 0; i < BLK_MAX_REGIONS; i++) {
		if (atomic_load_explicit(&blk->regions[i].base, memory_order_relaxed))
			region_unshare(blk, &blk->regions[i]);
	}
}
