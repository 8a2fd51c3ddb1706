/* SPDX-License-Identifier: MIT */
/*
 * The ring: free slots, putting requests on, taking responses off. Any thread may push; responses
 * are taken by whichever thread holds the reaper role. The back end is hostile: an index of its is
 * read once and bounded, a response is copied and then checked against what is outstanding.
 */
#include "blkfront/internal.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <string.h>

static_assert(sizeof(blkif_response_t) == 16, "copied as two words");
static_assert(offsetof(blkif_request_t, id) == offsetof(blkif_request_discard_t, id),
	"a discard's id is read through the common request");

/* What one turn of the reaper finished, published at its end. */
struct reap_batch {
	struct rf_blk_io *head, **tail;
	uint32_t nr_done;
};

/* ---- free slots ---- */

uint32_t blk_slot_alloc(struct rf_blk *blk)
{
	for (unsigned int i = 0; i < BLK_SLOT_WORDS; i++) {
		_Atomic uint64_t *word = &blk->free_slots[i];
		uint64_t free_mask = atomic_load_explicit(word, memory_order_relaxed);

		while (free_mask) {
			uint64_t bit = free_mask & -free_mask;
			/*
			 * Orders: the former owner's use of the slot before ours.
			 * Pairs with: blk_slot_free.
			 * Without it: we could fill bounce pages that it still copies from.
			 */
			free_mask = atomic_fetch_and_explicit(word, ~bit, memory_order_acquire);
			if (free_mask & bit)
				return i * 64 + (uint32_t)__builtin_ctzll(bit);
		}
	}
	return BLK_NO_SLOT;
}

bool blk_slots_available(struct rf_blk *blk)
{
	for (unsigned int i = 0; i < BLK_SLOT_WORDS; i++) {
		if (atomic_load_explicit(&blk->free_slots[i], memory_order_relaxed))
			return true;
	}
	return false;
}

void blk_slot_free(struct rf_blk *blk, uint32_t slot)
{
	/*
	 * Orders: the slot's bit before the look at who waits (and our use of the slot before it).
	 * Pairs with: join() in wait.c, which counts itself and then looks at the bits.
	 * Without it: a thread could go to sleep beside a free slot.
	 */
	atomic_fetch_or_explicit(&blk->free_slots[slot / 64], 1ull << slot % 64,
		memory_order_seq_cst);
	if (atomic_load_explicit(&blk->nr_joined[BLK_WAIT_SLOT], memory_order_seq_cst))
		blk_wake(blk, BLK_WAIT_SLOT);
}

/* ---- requests ---- */

/* Only the segments in use: what lies behind them in the ring is nobody's business. */
static size_t request_size(const blkif_request_t *req)
{
	if (req->operation == BLKIF_OP_DISCARD)
		return sizeof(blkif_request_discard_t);
	return offsetof(blkif_request_t, seg) +
	       req->nr_segments * sizeof(struct blkif_request_segment);
}

/* Under ring_lock. */
static void place_request(struct rf_blk *blk, uint32_t nr)
{
	struct blk_slot *slot = &blk->slots[nr];
	RING_IDX prod = blk->ring.req_prod_pvt;

	slot->req.id = (uint64_t)++slot->generation << 32 | nr;
	ring_copy_to(RING_GET_REQUEST(&blk->ring, prod), &slot->req, request_size(&slot->req));
	/*
	 * Orders: the slot's fields before the mark that lets the reaper look at them.
	 * Pairs with: take_response, which believes nothing of an unmarked slot.
	 * Without it: a back end that answers what it was not asked yet would get us to use them.
	 */
	atomic_store_explicit(&slot->word, WORD_PENDING, memory_order_release);
	/* Relaxed: the reaper only bounds with it, after reading what the back end made of it. */
	__atomic_store_n(&blk->ring.req_prod_pvt, prod + 1, __ATOMIC_RELAXED);
}

int blk_push(struct rf_blk *blk, const uint32_t *slots, unsigned int nr)
{
	blkif_sring_t *sring = blk->ring.sring;
	RING_IDX old, new;
	int err;

	pthread_mutex_lock(&blk->ring_lock);
	err = blk_broken(blk);
	if (err) {
		pthread_mutex_unlock(&blk->ring_lock);
		return err;
	}
	old = blk->ring.req_prod_pvt;
	for (unsigned int i = 0; i < nr; i++)
		place_request(blk, slots[i]);
	new = blk->ring.req_prod_pvt;
	ring_store_prod(&sring->req_prod, new);
	/*
	 * Orders: our producer index before the look at the event index.
	 * Pairs with: the back end's final check, which writes req_event and then reads req_prod.
	 * Without it: it would sleep on a request that nobody tells it about.
	 */
	xen_mb();
	bool notify = new - ring_load_event(&sring->req_event) < new - old;

	pthread_mutex_unlock(&blk->ring_lock);
	/* A full channel has an event pending already. */
	if (notify && xenevtchn_notify(blk->evtchn, (evtchn_port_t)blk->port) < 0 &&
		errno != EAGAIN && errno != EINTR)
		blk_break(blk, -EIO, "the back end cannot be notified");
	return 0;
}

/* ---- responses ---- */

static int status_error(int16_t status)
{
	if (status == BLKIF_RSP_OKAY)
		return 0;
	return status == BLKIF_RSP_EOPNOTSUPP ? -EOPNOTSUPP : -EIO;
}

static void finish_io(struct rf_blk *blk, struct blk_slot *slot, int result,
	struct reap_batch *batch)
{
	uint32_t nr = (uint32_t)(slot - blk->slots);
	struct rf_blk_io *io = slot->io;

	if (result == 0 && slot->bounced && slot->req.operation == BLKIF_OP_READ)
		memcpy(slot->buf, blk_bounce(blk, nr), slot->len_bytes);
	io->result = result;
	io->priv.next = NULL;
	*batch->tail = io;
	batch->tail = &io->priv.next;
	batch->nr_done++;
	/* Relaxed: freeing the slot below publishes it. */
	atomic_store_explicit(&slot->word, 0, memory_order_relaxed);
	blk_slot_free(blk, nr);
}

/* The reaper. After it, a blocking call's slot is its owner's again. */
static void finish_slot(struct rf_blk *blk, struct blk_slot *slot, int result,
	struct reap_batch *batch)
{
	uint32_t old;

	if (slot->io) {
		finish_io(blk, slot, result, batch);
		return;
	}
	slot->result = result;
	/*
	 * Orders: the result and the data before the mark.
	 * Pairs with: ready() in wait.c.
	 * Without it: the owner could return an old result. One exchange also tells whether it
	 * sleeps, so that afterwards nothing of the slot is touched but the word's address.
	 */
	old = atomic_exchange_explicit(&slot->word, 0, memory_order_acq_rel);
	if (old & WORD_ASLEEP)
		blk_futex_wake(&slot->word);
}

/* One response, from the ring. NULL, or how it broke the protocol. */
static const char *take_response(struct rf_blk *blk, RING_IDX cons, struct reap_batch *batch)
{
	blkif_response_t rsp;
	struct blk_slot *slot;
	uint32_t nr;

	ring_copy_from(&rsp, RING_GET_RESPONSE(&blk->ring, cons), sizeof(rsp));
	nr = (uint32_t)rsp.id;
	if (nr >= blk->nr_slots)
		return "it answered a request that cannot exist";
	slot = &blk->slots[nr];
	/*
	 * Orders: the mark before the slot's fields.
	 * Pairs with: place_request.
	 * Without it: the fields of a slot that is being filled would be used.
	 */
	if (!(atomic_load_explicit(&slot->word, memory_order_acquire) & WORD_PENDING) ||
		slot->req.id != rsp.id)
		return "it answered a request that is not outstanding";
	if (slot->req.operation != rsp.operation)
		return "it answered another operation than was asked for";
	finish_slot(blk, slot, status_error(rsp.status), batch);
	return NULL;
}

bool blk_has_responses(struct rf_blk *blk)
{
	RING_IDX cons = __atomic_load_n(&blk->ring.rsp_cons, __ATOMIC_RELAXED);

	return ring_load_prod(&blk->ring.sring->rsp_prod) != cons;
}

/* The reaper: all responses that are there now. Returns how many; *wrong if the ring is broken. */
static int drain(struct rf_blk *blk, struct reap_batch *batch, const char **wrong)
{
	RING_IDX cons = blk->ring.rsp_cons;
	RING_IDX prod = ring_load_prod(&blk->ring.sring->rsp_prod);
	RING_IDX nr = prod - cons;

	/* Stricter than RING_RESPONSE_PROD_OVERFLOW: not more than was asked either. */
	if (nr > __atomic_load_n(&blk->ring.req_prod_pvt, __ATOMIC_RELAXED) - cons) {
		*wrong = "it produced more responses than there were requests";
		return 0;
	}
	while (cons != prod && !*wrong)
		*wrong = take_response(blk, cons++, batch);
	/* Relaxed: for blk_has_responses a hint; the role orders it for the next reaper. */
	__atomic_store_n(&blk->ring.rsp_cons, cons, __ATOMIC_RELAXED);
	return (int)nr;
}

/* The reaper, with nothing to take: asks for an event. True if something came in the meantime. */
static bool arm_event(struct rf_blk *blk)
{
	blkif_sring_t *sring = blk->ring.sring;
	RING_IDX cons = blk->ring.rsp_cons;

	ring_store_event(&sring->rsp_event, cons + 1);
	/*
	 * Orders: our event index before the second look at the producer index.
	 * Pairs with: the back end's push, which writes rsp_prod and then reads rsp_event.
	 * Without it: both could miss each other, and the response would wait for a time limit.
	 */
	xen_mb();
	return ring_load_prod(&sring->rsp_prod) != cons;
}

static void batch_init(struct reap_batch *batch)
{
	batch->head = NULL;
	batch->tail = &batch->head;
	batch->nr_done = 0;
}

/* Hands finished asynchronous requests to whoever polls for them. */
static void batch_publish(struct rf_blk *blk, struct reap_batch *batch)
{
	if (!batch->nr_done)
		return;
	pthread_mutex_lock(&blk->done_lock);
	*blk->done_tail = batch->head;
	blk->done_tail = batch->tail;
	/*
	 * Orders: the count before the look at who waits.
	 * Pairs with: join() in wait.c, which counts itself and then looks at nr_done.
	 * Without it: a thread could go to sleep beside a finished request.
	 */
	atomic_fetch_add_explicit(&blk->nr_done, batch->nr_done, memory_order_seq_cst);
	pthread_mutex_unlock(&blk->done_lock);
	if (atomic_load_explicit(&blk->nr_joined[BLK_WAIT_DONE], memory_order_seq_cst))
		blk_wake(blk, BLK_WAIT_DONE);
}

static bool role_take(struct rf_blk *blk)
{
	/*
	 * Orders: the former reaper's doings before ours.
	 * Pairs with: role_release.
	 * Without it: a response could be taken twice.
	 */
	return !atomic_load_explicit(&blk->reaping, memory_order_relaxed) &&
	       !atomic_exchange_explicit(&blk->reaping, true, memory_order_acquire);
}

static void role_release(struct rf_blk *blk)
{
	/*
	 * Orders: our doings, rsp_cons among them, before the next reaper's.
	 * Pairs with: role_take.
	 * Without it: a response could be taken twice.
	 */
	atomic_store_explicit(&blk->reaping, false, memory_order_release);
}

/* The reaper, when `broken` is set: nobody pushes any more, so this is all there will be. */
static void fail_outstanding(struct rf_blk *blk, struct reap_batch *batch)
{
	int err = blk_broken(blk);

	/* Lets a push that did not see the mark end; its slots are marked then, and swept. */
	pthread_mutex_lock(&blk->ring_lock);
	pthread_mutex_unlock(&blk->ring_lock);
	for (uint32_t i = 0; i < blk->nr_slots; i++) {
		struct blk_slot *slot = &blk->slots[i];

		if (atomic_load_explicit(&slot->word, memory_order_acquire) & WORD_PENDING)
			finish_slot(blk, slot, err, batch);
	}
}

/* True for the first to say so. */
static bool mark_broken(struct rf_blk *blk, int err)
{
	int none = 0;

	/*
	 * Orders: the mark before the sweep of fail_outstanding.
	 * Pairs with: blk_push, which looks at it under ring_lock.
	 * Without it: a request could be pushed behind the sweep and never end.
	 */
	return atomic_compare_exchange_strong(&blk->broken, &none, err);
}

int blk_reap(struct rf_blk *blk, bool arm)
{
	const char *wrong = NULL;
	struct reap_batch batch;
	int rc;

	if (!role_take(blk))
		return -EBUSY;
	rc = blk_broken(blk);
	if (rc) {
		role_release(blk);
		return rc;
	}
	batch_init(&batch);
	rc = drain(blk, &batch, &wrong);
	if (wrong) {
		if (mark_broken(blk, -EIO))
			blk_log(blk, "the back end broke the protocol: %s", wrong);
		rc = blk_broken(blk);
		fail_outstanding(blk, &batch);
	} else if (rc == 0 && arm && arm_event(blk)) {
		rc = -EAGAIN;
	}
	role_release(blk);
	batch_publish(blk, &batch);
	if (wrong)
		blk_wake_all(blk);
	return rc;
}

void blk_break(struct rf_blk *blk, int err, const char *reason)
{
	struct reap_batch batch;

	if (!mark_broken(blk, err))
		return;
	if (reason)
		blk_log(blk, "%s", reason);
	while (!role_take(blk))
		sched_yield();
	batch_init(&batch);
	fail_outstanding(blk, &batch);
	role_release(blk);
	batch_publish(blk, &batch);
	blk_wake_all(blk);
}
