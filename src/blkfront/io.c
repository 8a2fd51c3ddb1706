/* SPDX-License-Identifier: MIT */
/*
 * Requests: checking and building them, and the blocking calls, which split what one request
 * cannot carry. Any thread; a slot belongs to one thread until it is pushed.
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <string.h>

#define PUSH_BATCH 16 /* pieces that are pushed at once, so that the first ones are under way */

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

/* ---- building ---- */

uint32_t blk_fit(struct rf_blk *blk, const void *buf, uint64_t nr_sectors, const uint32_t **refs)
{
	uint32_t offset = (uint32_t)((uintptr_t)buf % BLK_PAGE_SIZE);
	uint32_t pool = blk->pages_per_slot * BLK_SECTORS_PER_PAGE;
	uint32_t most = (BLK_MAX_SEGMENTS * BLK_PAGE_SIZE - offset) / RF_BLK_SECTOR_SIZE;

	*refs = NULL;
	/* Segments consist of whole logical sectors. */
	if (offset % blk->disk.sector_size == 0) {
		if (most > nr_sectors)
			most = (uint32_t)nr_sectors;
		*refs = blk_region_lookup(blk, buf, (size_t)most * RF_BLK_SECTOR_SIZE);
		if (*refs)
			return most;
	}
	return nr_sectors < pool ? (uint32_t)nr_sectors : pool;
}

/* Segments for nr_sectors that begin at byte `offset` of the first page. */
static void fill_segments(blkif_request_t *req, const uint32_t *refs, uint32_t offset,
	uint32_t nr_sectors)
{
	uint32_t first = offset / RF_BLK_SECTOR_SIZE;
	uint8_t nr = 0;

	while (nr_sectors) {
		uint32_t here = BLK_SECTORS_PER_PAGE - first;

		if (here > nr_sectors)
			here = nr_sectors;
		req->seg[nr] = (struct blkif_request_segment){
			.gref = refs[nr],
			.first_sect = (uint8_t)first,
			.last_sect = (uint8_t)(first + here - 1),
		};
		nr++;
		nr_sectors -= here;
		first = 0;
	}
	req->nr_segments = nr;
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

void blk_fill(struct rf_blk *blk, uint32_t nr, enum rf_blk_op op, uint64_t sector,
	uint64_t nr_sectors, void *buf, const uint32_t *refs)
{
	struct blk_slot *slot = &blk->slots[nr];

	slot->bounced = false;
	slot->buf = buf;
	slot->len_bytes = 0;
	slot->req.operation = ring_ops[op];
	slot->req.handle = (blkif_vdev_t)blk->dev.vdev;
	slot->req.sector_number = sector;
	slot->req.nr_segments = 0;
	if (op == RF_BLK_DISCARD) {
		fill_discard(slot, sector, nr_sectors);
	} else if (op == RF_BLK_FLUSH) {
		slot->req.sector_number = 0;
	} else if (refs) {
		fill_segments(&slot->req, refs, (uint32_t)((uintptr_t)buf % BLK_PAGE_SIZE),
			(uint32_t)nr_sectors);
	} else {
		slot->bounced = true;
		slot->len_bytes = (uint32_t)nr_sectors * RF_BLK_SECTOR_SIZE;
		fill_segments(&slot->req, blk->bounce_refs + (size_t)nr * blk->pages_per_slot, 0,
			(uint32_t)nr_sectors);
		if (op == RF_BLK_WRITE)
			memcpy(blk_bounce(blk, nr), buf, slot->len_bytes);
	}
}

/* ---- blocking calls ---- */

/* A range on its way: what is not pushed yet, and the slots of what is, oldest first. */
struct transfer {
	struct rf_blk *blk;
	enum rf_blk_op op;
	uint64_t sector;
	uint64_t nr_left; /* sectors */
	uint8_t *buf;
	int err;
	uint32_t oldest, newest; /* free-running positions in slots[] */
	uint16_t slots[BLK_MAX_SLOTS];
};

/* The oldest piece: waits for its answer and takes its data. */
static void transfer_finish_one(struct transfer *t)
{
	struct rf_blk *blk = t->blk;
	uint32_t nr = t->slots[t->oldest++ % BLK_MAX_SLOTS];
	struct blk_slot *slot = &blk->slots[nr];
	struct blk_waiter w;
	int err;

	blk_waiter_init(&w, BLK_WAIT_REQUEST, slot, -1);
	err = blk_wait(blk, &w);
	if (!err)
		err = slot->result;
	if (!err && slot->bounced && t->op == RF_BLK_READ)
		memcpy(slot->buf, blk_bounce(blk, nr), slot->len_bytes);
	if (err && !t->err)
		t->err = err;
	blk_slot_free(blk, nr);
}

/* Pushes as many pieces as there are slots for, some at a time. True if there was any. */
static bool transfer_push_some(struct transfer *t)
{
	struct rf_blk *blk = t->blk;
	uint32_t batch[PUSH_BATCH];
	unsigned int nr;
	int err;

	for (nr = 0; nr < PUSH_BATCH && t->nr_left; nr++) {
		uint64_t len = t->nr_left;
		const uint32_t *refs = NULL;

		batch[nr] = blk_slot_alloc(blk);
		if (batch[nr] == BLK_NO_SLOT)
			break;
		if (t->buf)
			len = blk_fit(blk, t->buf, t->nr_left, &refs);
		blk->slots[batch[nr]].io = NULL;
		blk_fill(blk, batch[nr], t->op, t->sector, len, t->buf, refs);
		t->sector += len;
		t->nr_left -= len;
		t->buf = t->buf ? t->buf + len * RF_BLK_SECTOR_SIZE : NULL;
	}
	if (nr == 0)
		return false;
	err = blk_push(blk, batch, nr);
	for (unsigned int i = 0; i < nr; i++) {
		if (err)
			blk_slot_free(blk, batch[i]);
		else
			t->slots[t->newest++ % BLK_MAX_SLOTS] = (uint16_t)batch[i];
	}
	if (err && !t->err)
		t->err = err;
	return true;
}

/*
 * No slot is held while waiting for one: either there is a piece of ours to finish, whose answer
 * depends on nobody else, or we hold nothing. So threads cannot wait for each other's slots.
 */
static int transfer_run(struct transfer *t)
{
	for (;;) {
		bool more = t->nr_left && !t->err;
		struct blk_waiter w;
		int err;

		if (more && transfer_push_some(t))
			continue;
		if (t->oldest != t->newest) {
			transfer_finish_one(t);
			continue;
		}
		if (!more)
			return t->err;
		blk_waiter_init(&w, BLK_WAIT_SLOT, NULL, -1);
		err = blk_wait(t->blk, &w);
		if (!err)
			err = blk_broken(t->blk);
		if (err)
			return err;
	}
}

static int transfer(struct rf_blk *blk, enum rf_blk_op op, uint64_t sector, uint64_t nr_sectors,
	void *buf)
{
	struct transfer t;
	int err = blk_broken(blk);

	if (!err)
		err = blk_check_request(blk, op, sector, nr_sectors);
	if (err || (op != RF_BLK_FLUSH && nr_sectors == 0))
		return err;
	t.blk = blk;
	t.op = op;
	t.sector = sector;
	t.nr_left = op == RF_BLK_FLUSH ? 1 : nr_sectors;
	t.buf = buf;
	t.err = 0;
	t.oldest = t.newest = 0;
	return transfer_run(&t);
}

int rf_blk_read(struct rf_blk *blk, uint64_t sector, uint32_t nr_sectors, void *buf)
{
	return transfer(blk, RF_BLK_READ, sector, nr_sectors, buf);
}

int rf_blk_write(struct rf_blk *blk, uint64_t sector, uint32_t nr_sectors, const void *buf)
{
	/* Only read from: the cast spares a second set of functions. */
	return transfer(blk, RF_BLK_WRITE, sector, nr_sectors, (void *)(uintptr_t)buf);
}

int rf_blk_flush(struct rf_blk *blk)
{
	return transfer(blk, RF_BLK_FLUSH, 0, 0, NULL);
}

int rf_blk_discard(struct rf_blk *blk, uint64_t sector, uint64_t nr_sectors)
{
	return transfer(blk, RF_BLK_DISCARD, sector, nr_sectors, NULL);
}
