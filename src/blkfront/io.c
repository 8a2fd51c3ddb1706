/* SPDX-License-Identifier: MIT */
/*
 * The blocking calls. A range that one request cannot carry is split, and the pieces travel
 * together, on the calling thread's queue. Any thread.
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <string.h>

#define PUSH_BATCH 16 /* pieces that are pushed at once, so that the first ones are under way */

/* A range on its way: what is not pushed yet, and the slots of what is, oldest first. */
struct transfer {
	struct blk_queue *queue;
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
	struct blk_queue *queue = t->queue;
	uint32_t nr = t->slots[t->oldest++ % BLK_MAX_SLOTS];
	struct blk_slot *slot = &queue->slots[nr];
	struct blk_waiter w;
	int err;

	blk_waiter_init(&w, queue, BLK_WAIT_REQUEST, false, slot, -1);
	/* Without a deadline it ends with an answer, from the back end or from blk_break. */
	err = blk_wait(&w);
	if (!err)
		err = slot->result;
	if (__builtin_expect(slot->stamps != 0, 0))
		blk_trace_slot_awake(queue, slot, err);
	if (!err && slot->bounced && t->op == RF_BLK_READ)
		memcpy(slot->buf, blk_bounce(queue, nr), slot->len_bytes);
	if (err && !t->err)
		t->err = err;
	blk_slot_free(queue, nr);
}

/* Pushes as many pieces as there are slots for, some at a time. True if there was any. */
static bool transfer_push_some(struct transfer *t)
{
	struct blk_queue *queue = t->queue;
	uint32_t batch[PUSH_BATCH];
	unsigned int nr;
	int err;

	for (nr = 0; nr < PUSH_BATCH && t->nr_left; nr++) {
		uint64_t len;

		batch[nr] = blk_slot_alloc(queue);
		if (batch[nr] == BLK_NO_SLOT)
			break;
		queue->slots[batch[nr]].io = NULL;
		len = blk_fill(queue, batch[nr], t->op, t->sector, t->nr_left, t->buf);
		t->sector += len;
		t->nr_left -= len;
		t->buf = t->buf ? t->buf + len * RF_BLK_SECTOR_SIZE : NULL;
	}
	if (nr == 0)
		return false;
	err = blk_push(queue, batch, nr);
	for (unsigned int i = 0; i < nr; i++) {
		if (err)
			blk_slot_free(queue, batch[i]);
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
		blk_waiter_init(&w, t->queue, BLK_WAIT_SLOT, false, NULL, -1);
		err = blk_wait(&w);
		if (!err)
			err = blk_broken(t->queue->blk);
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
	t.queue = blk_own_queue(blk);
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
