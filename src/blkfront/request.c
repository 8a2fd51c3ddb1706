/* SPDX-License-Identifier: MIT */
/*
 * Requests: checking and building them. Any thread; a slot belongs to one thread until it is
 * pushed. What the back end reads later is built in private memory and, for indirect segments, in
 * a page that is only ever written here.
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <string.h>

static const uint8_t ring_ops[] = {
	[RF_BLK_READ] = BLKIF_OP_READ,
	[RF_BLK_WRITE] = BLKIF_OP_WRITE,
	[RF_BLK_FLUSH] = BLKIF_OP_FLUSH_DISKCACHE,
	[RF_BLK_DISCARD] = BLKIF_OP_DISCARD,
};

static bool in_range(struct rf_blk *blk, uint64_t sector, uint64_t nr_sectors)
{
	uint64_t size = atomic_load_explicit(&blk->nr_sectors, memory_order_relaxed);

	return sector <= size && nr_sectors <= size - sector;
}

int blk_check_request(struct rf_blk *blk, enum rf_blk_op op, uint64_t sector, uint64_t nr_sectors)
{
	uint32_t unit = blk->disk.sector_size / RF_BLK_SECTOR_SIZE;

	if ((unsigned int)op > RF_BLK_DISCARD)
		return -EINVAL;
	if (op == RF_BLK_FLUSH)
		return blk->disk.flush ? 0 : -EOPNOTSUPP;
	if (op == RF_BLK_DISCARD && !blk->disk.discard)
		return -EOPNOTSUPP;
	if (op != RF_BLK_READ && blk->disk.read_only)
		return -EROFS;
	if (sector % unit || nr_sectors % unit)
		return -EINVAL;
	if (in_range(blk, sector, nr_sectors))
		return 0;
	/* The disk may have grown since somebody last looked. */
	blk_store_check(blk);
	return in_range(blk, sector, nr_sectors) ? 0 : -ERANGE;
}

/* ---- segments ---- */

/* How many of nr_sectors that begin at byte `offset` of a page fit into so many segments. */
static uint32_t sectors_in(uint32_t nr_segments, uint32_t offset, uint64_t nr_sectors)
{
	uint32_t most = (nr_segments * BLK_PAGE_SIZE - offset) / RF_BLK_SECTOR_SIZE;

	return nr_sectors < most ? (uint32_t)nr_sectors : most;
}

/* Segments for nr_sectors that begin at byte `offset` of the first page. Returns their number. */
static uint32_t fill_segments(struct blkif_request_segment *seg, const uint32_t *refs,
	uint32_t offset, uint32_t nr_sectors)
{
	uint32_t first = offset / RF_BLK_SECTOR_SIZE;
	uint32_t nr = 0;

	while (nr_sectors) {
		uint32_t here = BLK_SECTORS_PER_PAGE - first;

		if (here > nr_sectors)
			here = nr_sectors;
		seg[nr] = (struct blkif_request_segment){
			.gref = refs[nr],
			.first_sect = (uint8_t)first,
			.last_sect = (uint8_t)(first + here - 1),
		};
		nr++;
		nr_sectors -= here;
		first = 0;
	}
	return nr;
}

/* More segments than a request has room for: they are in a page of their own. */
static void fill_indirect(struct blk_slot *slot, const uint32_t *refs, uint32_t offset,
	uint32_t nr_sectors)
{
	blkif_request_indirect_t indirect = {
		.operation = BLKIF_OP_INDIRECT,
		.indirect_op = slot->req.operation,
		.nr_segments = (uint16_t)fill_segments(slot->indirect, refs, offset, nr_sectors),
		.sector_number = slot->req.sector_number,
		.handle = slot->req.handle,
		.indirect_grefs = {slot->indirect_ref},
	};

	memcpy(&slot->req, &indirect, sizeof(indirect));
}

/* Data in granted memory, as much as one request can carry. 0 if it is not such memory. */
static uint32_t fill_granted(struct blk_queue *queue, struct blk_slot *slot, uint64_t nr_sectors,
	const void *buf)
{
	uint32_t offset = (uint32_t)((uintptr_t)buf % BLK_PAGE_SIZE);
	uint32_t nr = sectors_in(queue->blk->max_segments, offset, nr_sectors);
	const uint32_t *refs;

	/* Segments consist of whole logical sectors. */
	if (offset % queue->blk->disk.sector_size)
		return 0;
	refs = blk_region_lookup(queue->blk, buf, (size_t)nr * RF_BLK_SECTOR_SIZE);
	if (!refs)
		return 0;
	if (offset + nr * RF_BLK_SECTOR_SIZE > BLK_DIRECT_SEGMENTS * BLK_PAGE_SIZE) {
		if (blk_need_indirect(queue, slot)) {
			fill_indirect(slot, refs, offset, nr);
			return nr;
		}
		nr = sectors_in(BLK_DIRECT_SEGMENTS, offset, nr);
	}
	slot->req.nr_segments = (uint8_t)fill_segments(slot->req.seg, refs, offset, nr);
	return nr;
}

static uint32_t fill_bounced(struct blk_queue *queue, uint32_t nr, uint64_t nr_sectors,
	const void *buf)
{
	const uint32_t *refs = queue->bounce_refs + (size_t)nr * queue->pages_per_slot;
	uint32_t here = sectors_in(queue->pages_per_slot, 0, nr_sectors);
	struct blk_slot *slot = &queue->slots[nr];

	slot->bounced = true;
	slot->len_bytes = here * RF_BLK_SECTOR_SIZE;
	slot->req.nr_segments = (uint8_t)fill_segments(slot->req.seg, refs, 0, here);
	if (slot->req.operation == BLKIF_OP_WRITE)
		memcpy(blk_bounce(queue, nr), buf, slot->len_bytes);
	return here;
}

static void fill_discard(struct blk_slot *slot, uint64_t sector, uint64_t nr_sectors)
{
	blkif_request_discard_t discard = {
		.operation = BLKIF_OP_DISCARD,
		.handle = slot->req.handle,
		.sector_number = sector,
		.nr_sectors = nr_sectors,
	};

	memcpy(&slot->req, &discard, sizeof(discard));
}

uint64_t blk_fill(struct blk_queue *queue, uint32_t nr, enum rf_blk_op op, uint64_t sector,
	uint64_t nr_sectors, void *buf)
{
	struct blk_slot *slot = &queue->slots[nr];
	uint32_t here;

	slot->bounced = false;
	slot->buf = buf;
	slot->req.operation = ring_ops[op];
	slot->req.handle = (blkif_vdev_t)queue->blk->dev.vdev;
	slot->req.sector_number = sector;
	slot->req.nr_segments = 0;
	if (op == RF_BLK_FLUSH) {
		slot->req.sector_number = 0;
		return nr_sectors;
	}
	if (op == RF_BLK_DISCARD) {
		fill_discard(slot, sector, nr_sectors);
		return nr_sectors;
	}
	here = fill_granted(queue, slot, nr_sectors, buf);
	return here ? here : fill_bounced(queue, nr, nr_sectors, buf);
}
