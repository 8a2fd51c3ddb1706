/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous requests. Any thread. A finished one is on the done list, under done_lock, until
 * exactly one caller takes it from there.
 */
#include "blkfront/internal.h"

#include <errno.h>

#define EMPTY_POLLS_PER_LOOK 1024 /* fruitless polls before a look at who is still there */

/* Checks a request and fills a slot for it: 0, -EAGAIN (no slot), or what is wrong with it. */
static int prepare(struct rf_blk *blk, struct rf_blk_io *io, uint32_t *slot)
{
	bool data = io->op == RF_BLK_READ || io->op == RF_BLK_WRITE;
	const uint32_t *refs = NULL;
	int err = blk_check_request(blk, io->op, io->sector, io->nr_sectors);

	if (err)
		return err;
	if (io->op != RF_BLK_FLUSH && io->nr_sectors == 0)
		return -EINVAL;
	if (data && io->nr_sectors > (uint64_t)blk->pages_per_slot * BLK_SECTORS_PER_PAGE)
		return -EINVAL;
	*slot = blk_slot_alloc(blk);
	if (*slot == BLK_NO_SLOT)
		return -EAGAIN;
	/* Granted memory that starts inside a page may be a segment too many: then it bounces. */
	if (data && blk_fit(blk, io->buf, io->nr_sectors, &refs) < io->nr_sectors)
		refs = NULL;
	blk->slots[*slot].io = io;
	io->priv.slot = *slot;
	blk_fill(blk, *slot, io->op, io->sector, io->nr_sectors, io->buf, refs);
	return 0;
}

/* nr fewer requests are on their way or on the done list. */
static void forget(struct rf_blk *blk, uint32_t nr)
{
	/*
	 * Orders: the count before the look at who waits.
	 * Pairs with: join() in wait.c.
	 * Without it: a thread could go to sleep waiting for requests that others took.
	 */
	if (atomic_fetch_sub_explicit(&blk->nr_async, nr, memory_order_seq_cst) != nr)
		return;
	if (atomic_load_explicit(&blk->nr_joined[BLK_WAIT_DONE], memory_order_seq_cst))
		blk_wake(blk, BLK_WAIT_DONE);
}

int rf_blk_submit(struct rf_blk *blk, struct rf_blk_io *const *ios, unsigned int nr)
{
	uint32_t slots[BLK_MAX_SLOTS];
	unsigned int nr_ready = 0;
	int err = blk_broken(blk), push_err;

	if (nr > BLK_MAX_SLOTS)
		nr = BLK_MAX_SLOTS;
	while (nr_ready < nr && !err) {
		err = prepare(blk, ios[nr_ready], &slots[nr_ready]);
		if (!err)
			nr_ready++;
	}
	if (!nr_ready)
		return err == -EAGAIN ? 0 : err;
	/* Before they can be answered, so that the count never falls below what is there. */
	atomic_fetch_add_explicit(&blk->nr_async, nr_ready, memory_order_relaxed);
	push_err = blk_push(blk, slots, nr_ready);
	if (!push_err)
		return (int)nr_ready;
	for (unsigned int i = 0; i < nr_ready; i++)
		blk_slot_free(blk, slots[i]);
	forget(blk, nr_ready);
	return push_err;
}

static int take_done(struct rf_blk *blk, struct rf_blk_io **done, unsigned int max)
{
	unsigned int nr = 0;

	/* Relaxed: the list itself is read under the lock. */
	if (!max || !atomic_load_explicit(&blk->nr_done, memory_order_relaxed))
		return 0;
	pthread_mutex_lock(&blk->done_lock);
	while (nr < max && blk->done_head) {
		done[nr] = blk->done_head;
		blk->done_head = done[nr++]->priv.next;
	}
	if (!blk->done_head)
		blk->done_tail = &blk->done_head;
	atomic_fetch_sub_explicit(&blk->nr_done, nr, memory_order_relaxed);
	pthread_mutex_unlock(&blk->done_lock);
	if (nr)
		forget(blk, nr);
	return (int)nr;
}

/* Who only ever polls must learn that nobody is left to answer, too. */
static void poll_in_vain(struct rf_blk *blk)
{
	uint32_t nr = atomic_load_explicit(&blk->nr_empty_polls, memory_order_relaxed) + 1;
	struct blk_waiter w;

	/* Relaxed, and not even counted exactly: it only spaces the looks. */
	atomic_store_explicit(&blk->nr_empty_polls, nr, memory_order_relaxed);
	if (nr % EMPTY_POLLS_PER_LOOK)
		return;
	blk_waiter_init(&w, BLK_WAIT_DONE, NULL, -1);
	blk_check_alive(blk, &w);
}

int rf_blk_poll(struct rf_blk *blk, struct rf_blk_io **done, unsigned int max)
{
	int nr;

	/* Whatever goes wrong there ends as results on the done list. */
	if (blk_has_responses(blk))
		(void)blk_reap(blk, false);
	nr = take_done(blk, done, max);
	if (!nr)
		poll_in_vain(blk);
	return nr;
}

int rf_blk_wait(struct rf_blk *blk, struct rf_blk_io **done, unsigned int max, int timeout_ms)
{
	struct blk_waiter w;

	if (!max)
		return 0;
	blk_waiter_init(&w, BLK_WAIT_DONE, NULL, timeout_ms);
	for (;;) {
		int nr = rf_blk_poll(blk, done, max);

		if (nr)
			return nr;
		if (!atomic_load_explicit(&blk->nr_async, memory_order_relaxed))
			return -ENOENT;
		if (blk_wait(blk, &w) < 0)
			return rf_blk_poll(blk, done, max);
	}
}
