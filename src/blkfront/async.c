/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous requests. Any thread. They are put on the calling thread's queue; a finished one is
 * on that queue's done list, under its done_lock, until exactly one caller takes it from there.
 * Every thread looks at its own queue first, and at the others when it finds nothing there.
 */
#include "blkfront/internal.h"

#include <errno.h>

#define EMPTY_POLLS_PER_LOOK 1024 /* fruitless polls before a look at who is still there */
/* Until it is the other queues' turn: for a thread that finds nothing on its own, and for any. */
#define EMPTY_POLLS_PER_ROUND 16
#define COLLECTS_PER_ROUND 64

/* ---- submitting ---- */

static void free_slots(struct blk_queue *queue, const uint32_t *slots, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		blk_slot_free(queue, slots[i]);
}

/* Takes slots, `room` at the most, and fills them with a request's pieces. -EAGAIN: too few. */
static int fill_pieces(struct blk_queue *queue, struct rf_blk_io *io, uint32_t *slots,
	unsigned int room)
{
	uint64_t sector = io->sector, nr_left = io->nr_sectors;
	bool data = io->op == RF_BLK_READ || io->op == RF_BLK_WRITE;
	uint8_t *buf = io->buf;
	unsigned int nr = 0;

	do {
		uint64_t len;

		slots[nr] = nr < room ? blk_slot_alloc(queue) : BLK_NO_SLOT;
		if (slots[nr] == BLK_NO_SLOT) {
			free_slots(queue, slots, nr);
			return -EAGAIN;
		}
		queue->slots[slots[nr]].io = io;
		len = blk_fill(queue, slots[nr++], io->op, sector, nr_left, buf);
		sector += len;
		nr_left -= len;
		buf = data ? buf + len * RF_BLK_SECTOR_SIZE : NULL;
	} while (nr_left);
	io->result = 0;
	io->priv.nr_pieces = nr;
	io->priv.stamps = 0;
	return (int)nr;
}

/* Checks a request and fills slots for it. Their number, -EAGAIN (too few), or what is wrong. */
static int prepare(struct blk_queue *queue, struct rf_blk_io *io, uint32_t *slots,
	unsigned int room)
{
	int err = blk_check_request(queue->blk, io->op, io->sector, io->nr_sectors);

	if (err)
		return err;
	if (io->op != RF_BLK_FLUSH && io->nr_sectors == 0)
		return -EINVAL;
	if (io->op != RF_BLK_DISCARD && io->op != RF_BLK_FLUSH &&
		io->nr_sectors > queue->blk->max_request_sectors)
		return -EINVAL;
	return fill_pieces(queue, io, slots, room);
}

/* nr fewer requests are on their way or on the done list. */
static void forget(struct blk_queue *queue, uint32_t nr)
{
	/*
	 * Orders: the count before the look at who waits.
	 * Pairs with: join() in sleep.c.
	 * Without it: a thread could go to sleep waiting for requests that others took.
	 */
	if (atomic_fetch_sub_explicit(&queue->nr_async, nr, memory_order_seq_cst) != nr)
		return;
	if (atomic_load_explicit(&queue->nr_joined[BLK_WAIT_DONE], memory_order_seq_cst))
		blk_wake(queue, BLK_WAIT_DONE);
}

int rf_blk_submit(struct rf_blk *blk, struct rf_blk_io *const *ios, unsigned int nr)
{
	struct blk_queue *queue = blk_own_queue(blk);
	uint32_t slots[BLK_MAX_SLOTS + 1];
	unsigned int nr_ready = 0, nr_slots = 0;
	int err = blk_broken(blk);

	while (nr_ready < nr && !err) {
		int pieces = prepare(queue, ios[nr_ready], slots + nr_slots,
			BLK_MAX_SLOTS - nr_slots);

		if (pieces < 0) {
			err = pieces;
			break;
		}
		nr_slots += (unsigned int)pieces;
		nr_ready++;
	}
	if (!nr_ready)
		return err == -EAGAIN ? 0 : err;
	/* Before they can be answered, so that the count never falls below what is there. */
	atomic_fetch_add_explicit(&queue->nr_async, nr_ready, memory_order_relaxed);
	err = blk_push(queue, slots, nr_slots);
	if (!err)
		return (int)nr_ready;
	free_slots(queue, slots, nr_slots);
	forget(queue, nr_ready);
	return err;
}

/* ---- collecting ---- */

static int take_done(struct blk_queue *queue, struct rf_blk_io **done, unsigned int max)
{
	unsigned int nr = 0;

	/* Relaxed: the list itself is read under the lock. */
	if (!max || !atomic_load_explicit(&queue->nr_done, memory_order_relaxed))
		return 0;
	pthread_mutex_lock(&queue->done_lock);
	while (nr < max && queue->done_head) {
		done[nr] = queue->done_head;
		if (__builtin_expect(done[nr]->priv.stamps != 0, 0))
			blk_trace_io_awake(queue, done[nr]);
		queue->done_head = done[nr++]->priv.next;
	}
	if (!queue->done_head)
		queue->done_tail = &queue->done_head;
	atomic_fetch_sub_explicit(&queue->nr_done, nr, memory_order_relaxed);
	pthread_mutex_unlock(&queue->done_lock);
	if (nr)
		forget(queue, nr);
	return (int)nr;
}

static int collect_here(struct blk_queue *queue, struct rf_blk_io **done, unsigned int max)
{
	/* Whatever goes wrong there ends as results on the done list. */
	if (blk_has_responses(queue))
		(void)blk_reap(queue, false);
	return take_done(queue, done, max);
}

/* From the other queues, beginning behind this one, so that none is always the last. */
static int collect_elsewhere(struct blk_queue *own, struct rf_blk_io **done, unsigned int max)
{
	struct rf_blk *blk = own->blk;
	int nr = 0;

	for (unsigned int i = 1; i < blk->nr_queues && !nr; i++) {
		struct blk_queue *queue = &blk->queues[(own->nr + i) % blk->nr_queues];

		/* Relaxed: whoever may expect to find a request here knows that it was submitted. */
		if (atomic_load_explicit(&queue->nr_async, memory_order_relaxed))
			nr = collect_here(queue, done, max);
	}
	return nr;
}

/*
 * The own queue first; now and then the others, or their requests would stay there for ever if
 * only a thread collects whose own queue always has something.
 */
static int collect(struct blk_queue *own, struct rf_blk_io **done, unsigned int max)
{
	uint32_t nr_collects;
	int nr = 0;

	if (own->blk->nr_queues > 1) {
		/* Relaxed, and not counted exactly: it only spaces the looks. */
		nr_collects = atomic_load_explicit(&own->nr_collects, memory_order_relaxed) + 1;
		atomic_store_explicit(&own->nr_collects, nr_collects, memory_order_relaxed);
		if (nr_collects % COLLECTS_PER_ROUND == 0)
			nr = collect_elsewhere(own, done, max);
	}
	return nr ? nr : collect_here(own, done, max);
}

static bool any_outstanding(struct blk_queue *own)
{
	struct rf_blk *blk = own->blk;

	if (atomic_load_explicit(&own->nr_async, memory_order_relaxed))
		return true;
	for (unsigned int i = 0; i < blk->nr_queues; i++) {
		if (atomic_load_explicit(&blk->queues[i].nr_async, memory_order_relaxed))
			return true;
	}
	return false;
}

/*
 * Counts fruitless polls. Every so many of them it is time to look whether anybody is left to
 * answer: who only ever polls must learn that, too. True when it is the other queues' turn: not
 * every time, since looking there slows down those who work there.
 */
static bool poll_in_vain(struct blk_queue *queue)
{
	uint32_t nr = atomic_load_explicit(&queue->nr_empty_polls, memory_order_relaxed) + 1;
	struct blk_waiter w;

	/* Relaxed, and not even counted exactly: it only spaces the looks. */
	atomic_store_explicit(&queue->nr_empty_polls, nr, memory_order_relaxed);
	if (nr % EMPTY_POLLS_PER_LOOK == 0) {
		blk_waiter_init(&w, queue, BLK_WAIT_DONE, false, NULL, -1);
		blk_check_alive(&w);
	}
	return nr % EMPTY_POLLS_PER_ROUND == 0 ||
	       !atomic_load_explicit(&queue->nr_async, memory_order_relaxed);
}

int rf_blk_poll(struct rf_blk *blk, struct rf_blk_io **done, unsigned int max)
{
	struct blk_queue *own = blk_own_queue(blk);
	int nr = collect(own, done, max);

	if (!nr && poll_in_vain(own))
		nr = collect_elsewhere(own, done, max);
	return nr;
}

int rf_blk_wait_ns(struct rf_blk *blk, struct rf_blk_io **done, unsigned int max,
	int64_t timeout_ns)
{
	struct blk_queue *own = blk_own_queue(blk);
	struct blk_waiter w;
	int nr, err;

	if (!max)
		return 0;
	nr = collect(own, done, max);
	if (nr)
		return nr;
	blk_waiter_init(&w, own, BLK_WAIT_DONE, blk->nr_queues > 1, NULL, timeout_ns);
	do {
		if (!any_outstanding(own))
			return -ENOENT;
		err = blk_wait(&w);
		nr = collect_here(own, done, max);
		if (!nr)
			nr = collect_elsewhere(own, done, max);
	} while (!nr && !err);
	if (!nr)
		(void)poll_in_vain(own);
	return nr;
}

int rf_blk_wait(struct rf_blk *blk, struct rf_blk_io **done, unsigned int max, int timeout_ms)
{
	int64_t timeout_ns = timeout_ms < 0 ? -1 : timeout_ms * (int64_t)NSEC_PER_MSEC;

	return rf_blk_wait_ns(blk, done, max, timeout_ns);
}
