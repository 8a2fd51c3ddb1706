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
static_assert(offsetof(blkif_request_t, id) == offsetof(blkif_request_discard_t, id) &&
	offsetof(blkif_request_t, id) == offsetof(blkif_request_indirect_t, id),
	"a discard's or an indirect request's id is read through the common request");

/* What one turn of the reaper finished, published at its end. */
struct reap_batch {
	struct rf_blk_io *head, **tail;
	uint32_t nr_done;
};

/* ---- free slots ---- */

uint32_t blk_slot_alloc(struct blk_queue *queue)
{
	for (unsigned int i = 0; i < BLK_SLOT_WORDS; i++) {
		_Atomic uint64_t *word = &queue->free_slots[i];
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

bool blk_slots_available(struct blk_queue *queue)
{
	for (unsigned int i = 0; i < BLK_SLOT_WORDS; i++) {
		if (atomic_load_explicit(&queue->free_slots[i], memory_order_relaxed))
			return true;
	}
	return false;
}

void blk_slot_free(struct blk_queue *queue, uint32_t slot)
{
	/*
	 * Orders: the slot's bit before the look at who waits (and our use of the slot before it).
	 * Pairs with: join() in sleep.c, which counts itself and then looks at the bits.
	 * Without it: a thread could go to sleep beside a free slot.
	 */
	atomic_fetch_or_explicit(&queue->free_slots[slot / 64], 1ull << slot % 64,
		memory_order_seq_cst);
	if (atomic_load_explicit(&queue->nr_joined[BLK_WAIT_SLOT], memory_order_seq_cst))
		blk_wake(queue, BLK_WAIT_SLOT);
}

/* ---- requests ---- */

/* Only the segments in use: what lies behind them in the ring is nobody's business. */
static size_t request_size(const blkif_request_t *req)
{
	if (req->operation == BLKIF_OP_DISCARD)
		return sizeof(blkif_request_discard_t);
	if (req->operation == BLKIF_OP_INDIRECT)
		return sizeof(blkif_request_indirect_t);
	return offsetof(blkif_request_t, seg) +
	       req->nr_segments * sizeof(struct blkif_request_segment);
}

/* Under ring_lock. */
static void place_request(struct blk_queue *queue, uint32_t nr)
{
	struct blk_slot *slot = &queue->slots[nr];
	RING_IDX prod = queue->ring.req_prod_pvt;

	if (stamps_is_sampled(prod))
		blk_trace_submitted(queue, slot, prod);
	slot->req.id = (uint64_t)++slot->generation << 32 | queue->nr << 16 | nr;
	ring_copy_to(RING_GET_REQUEST(&queue->ring, prod), &slot->req, request_size(&slot->req));
	/*
	 * Orders: the slot's fields before the mark that lets the reaper look at them.
	 * Pairs with: take_response, which believes nothing of an unmarked slot.
	 * Without it: a back end that answers what it was not asked yet would get us to use them.
	 */
	atomic_store_explicit(&slot->word, WORD_PENDING, memory_order_release);
	/* Relaxed: the reaper only bounds with it, after reading what the back end made of it. */
	__atomic_store_n(&queue->ring.req_prod_pvt, prod + 1, __ATOMIC_RELAXED);
}

/* After the fence: whether the back end asked to hear of the requests up to new. */
static bool wants_event(const struct blk_queue *queue, RING_IDX old, RING_IDX new)
{
	blkif_sring_t *sring = queue->ring.sring;

	if (queue->blk->disk.status)
		return ring_status_sleeps(sring, RING_REQ_STATUS_OFFSET);
	return new - ring_load_event(&sring->req_event) < new - old;
}

int blk_push(struct blk_queue *queue, const uint32_t *slots, unsigned int nr)
{
	blkif_sring_t *sring = queue->ring.sring;
	RING_IDX old, new;
	int err;

	pthread_mutex_lock(&queue->ring_lock);
	err = blk_broken(queue->blk);
	if (err) {
		pthread_mutex_unlock(&queue->ring_lock);
		return err;
	}
	old = queue->ring.req_prod_pvt;
	for (unsigned int i = 0; i < nr; i++)
		place_request(queue, slots[i]);
	new = queue->ring.req_prod_pvt;
	ring_store_prod(&sring->req_prod, new);
	/*
	 * Orders: our producer index before the look at the event index or req_status.
	 * Pairs with: the back end's final check, which writes these and then reads req_prod.
	 * Without it: it would sleep on a request that nobody tells it about.
	 */
	xen_mb();
	bool notify = wants_event(queue, old, new);

	if (atomic_load_explicit(&queue->woke, memory_order_relaxed) != notify)
		atomic_store_explicit(&queue->woke, notify, memory_order_relaxed);
	pthread_mutex_unlock(&queue->ring_lock);
	/* A full channel has an event pending already. */
	if (notify && xenevtchn_notify(queue->evtchn, (evtchn_port_t)queue->port) < 0 &&
		errno != EAGAIN && errno != EINTR)
		blk_break(queue->blk, -EIO, "the back end cannot be notified");
	return 0;
}

/* ---- responses ---- */

static int status_error(int16_t status)
{
	if (status == BLKIF_RSP_OKAY)
		return 0;
	return status == BLKIF_RSP_EOPNOTSUPP ? -EOPNOTSUPP : -EIO;
}

/* The request is finished with the last of its pieces, and failed if one of them has. */
static void finish_io(struct blk_queue *queue, struct blk_slot *slot, int result,
	struct reap_batch *batch)
{
	uint32_t nr = (uint32_t)(slot - queue->slots);
	struct rf_blk_io *io = slot->io;

	if (result == 0 && slot->bounced && slot->req.operation == BLKIF_OP_READ)
		memcpy(slot->buf, blk_bounce(queue, nr), slot->len_bytes);
	if (result)
		io->result = result;
	if (__builtin_expect(slot->stamps != 0, 0))
		blk_trace_piece(queue, slot);
	if (--io->priv.nr_pieces == 0) {
		io->priv.next = NULL;
		*batch->tail = io;
		batch->tail = &io->priv.next;
		batch->nr_done++;
	}
	/* Relaxed: freeing the slot below publishes it. */
	atomic_store_explicit(&slot->word, 0, memory_order_relaxed);
	blk_slot_free(queue, nr);
}

/* The reaper. After it, a blocking call's slot is its owner's again. */
static void finish_slot(struct blk_queue *queue, struct blk_slot *slot, int result,
	struct reap_batch *batch)
{
	uint32_t old;

	if (slot->io) {
		finish_io(queue, slot, result, batch);
		return;
	}
	slot->result = result;
	/*
	 * Orders: the result and the data before the mark.
	 * Pairs with: blk_ready_here in wait.c.
	 * Without it: the owner could return an old result. One exchange also tells whether it
	 * sleeps, so that afterwards nothing of the slot is touched but the word's address.
	 */
	old = atomic_exchange_explicit(&slot->word, 0, memory_order_acq_rel);
	if (old & WORD_ASLEEP)
		blk_futex_wake(&slot->word);
}

/*
 * An answer names the operation. That of an indirect request may be either: blkif.h says that it is
 * copied from the request, Linux's back end takes the one that the request carries inside.
 */
static bool operation_fits(const blkif_request_t *req, uint8_t operation)
{
	blkif_request_indirect_t indirect;

	if (req->operation == operation)
		return true;
	if (req->operation != BLKIF_OP_INDIRECT)
		return false;
	memcpy(&indirect, req, sizeof(indirect));
	return indirect.indirect_op == operation;
}

/* One response, from the ring. NULL, or how it broke the protocol. */
static const char *take_response(struct blk_queue *queue, RING_IDX cons, struct reap_batch *batch)
{
	blkif_response_t rsp;
	struct blk_slot *slot;
	uint32_t nr;

	ring_copy_from(&rsp, RING_GET_RESPONSE(&queue->ring, cons), sizeof(rsp));
	nr = (uint32_t)rsp.id - (queue->nr << 16);
	if (nr >= queue->nr_slots)
		return "it answered a request that cannot exist";
	slot = &queue->slots[nr];
	/*
	 * Orders: the mark before the slot's fields.
	 * Pairs with: place_request.
	 * Without it: the fields of a slot that is being filled would be used.
	 */
	if (!(atomic_load_explicit(&slot->word, memory_order_acquire) & WORD_PENDING) ||
		slot->req.id != rsp.id)
		return "it answered a request that is not outstanding";
	if (!operation_fits(&slot->req, rsp.operation))
		return "it answered another operation than was asked for";
	if (__builtin_expect(slot->stamps != 0, 0))
		stamps_mark(&queue->stamps, slot->stamps, FRONT_REAPED);
	finish_slot(queue, slot, status_error(rsp.status), batch);
	return NULL;
}

bool blk_has_responses(struct blk_queue *queue)
{
	RING_IDX cons = __atomic_load_n(&queue->ring.rsp_cons, __ATOMIC_RELAXED);

	return ring_load_prod(&queue->ring.sring->rsp_prod) != cons;
}

/* The reaper: all responses that are there now. Returns how many; *wrong if the ring is broken. */
static int drain(struct blk_queue *queue, struct reap_batch *batch, const char **wrong)
{
	RING_IDX cons = queue->ring.rsp_cons;
	RING_IDX prod = ring_load_prod(&queue->ring.sring->rsp_prod);
	RING_IDX nr = prod - cons;

	/* Stricter than RING_RESPONSE_PROD_OVERFLOW: not more than was asked either. */
	if (nr > __atomic_load_n(&queue->ring.req_prod_pvt, __ATOMIC_RELAXED) - cons) {
		*wrong = "it produced more responses than there were requests";
		return 0;
	}
	while (cons != prod && !*wrong)
		*wrong = take_response(queue, cons++, batch);
	/* Relaxed: for blk_has_responses a hint; the role orders it for the next reaper. */
	__atomic_store_n(&queue->ring.rsp_cons, cons, __ATOMIC_RELAXED);
	return (int)nr;
}

static void set_status(struct blk_queue *queue, enum ring_status status)
{
	if (queue->blk->details.status)
		ring_status_set(queue->ring.sring, RING_RSP_STATUS_OFFSET, status);
}

void blk_disarm(struct blk_queue *queue)
{
	set_status(queue, RING_RUNNING);
}

/*
 * The leader as the reaper, with nothing to take: asks for an event, by both ways, since the back
 * end may know nothing of status words. True if something came in the meantime.
 */
static bool arm_event(struct blk_queue *queue)
{
	blkif_sring_t *sring = queue->ring.sring;
	RING_IDX cons = queue->ring.rsp_cons;

	ring_store_event(&sring->rsp_event, cons + 1);
	set_status(queue, RING_SLEEPING);
	/*
	 * Orders: our event index and status before the second look at the producer index.
	 * Pairs with: the back end's push, which writes rsp_prod and then reads one of these.
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
static void batch_publish(struct blk_queue *queue, struct reap_batch *batch)
{
	if (!batch->nr_done)
		return;
	pthread_mutex_lock(&queue->done_lock);
	*queue->done_tail = batch->head;
	queue->done_tail = batch->tail;
	/*
	 * Orders: the count before the look at who waits.
	 * Pairs with: join() in sleep.c, which counts itself and then looks at nr_done.
	 * Without it: a thread could go to sleep beside a finished request.
	 */
	atomic_fetch_add_explicit(&queue->nr_done, batch->nr_done, memory_order_seq_cst);
	pthread_mutex_unlock(&queue->done_lock);
	if (atomic_load_explicit(&queue->nr_joined[BLK_WAIT_DONE], memory_order_seq_cst))
		blk_wake(queue, BLK_WAIT_DONE);
}

static bool role_take(struct blk_queue *queue)
{
	/*
	 * Orders: the former reaper's doings before ours.
	 * Pairs with: role_release.
	 * Without it: a response could be taken twice.
	 */
	return !atomic_load_explicit(&queue->reaping, memory_order_relaxed) &&
	       !atomic_exchange_explicit(&queue->reaping, true, memory_order_acquire);
}

static void role_release(struct blk_queue *queue)
{
	/*
	 * Orders: our doings, rsp_cons among them, before the next reaper's.
	 * Pairs with: role_take.
	 * Without it: a response could be taken twice.
	 */
	atomic_store_explicit(&queue->reaping, false, memory_order_release);
}

/* When `broken` is set: nobody pushes any more, so what is outstanding is all there will be. */
static void fail_outstanding(struct blk_queue *queue)
{
	int err = blk_broken(queue->blk);
	struct reap_batch batch;

	while (!role_take(queue))
		sched_yield();
	/* Lets a push that did not see the mark end; its slots are marked then, and swept. */
	pthread_mutex_lock(&queue->ring_lock);
	pthread_mutex_unlock(&queue->ring_lock);
	batch_init(&batch);
	for (uint32_t i = 0; i < queue->nr_slots; i++) {
		struct blk_slot *slot = &queue->slots[i];

		if (atomic_load_explicit(&slot->word, memory_order_acquire) & WORD_PENDING)
			finish_slot(queue, slot, err, &batch);
	}
	role_release(queue);
	batch_publish(queue, &batch);
	blk_wake_all(queue);
}

/* True for the first to say so, who then has to fail what is outstanding. */
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

static void fail_all(struct rf_blk *blk)
{
	for (unsigned int i = 0; i < blk->nr_queues; i++)
		fail_outstanding(&blk->queues[i]);
}

int blk_reap(struct blk_queue *queue, bool arm)
{
	const char *wrong = NULL;
	struct reap_batch batch;
	bool first = false;
	int rc;

	if (!role_take(queue))
		return -EBUSY;
	rc = blk_broken(queue->blk);
	if (rc) {
		role_release(queue);
		return rc;
	}
	batch_init(&batch);
	rc = drain(queue, &batch, &wrong);
	if (wrong)
		first = mark_broken(queue->blk, -EIO);
	else if (rc == 0 && arm && arm_event(queue))
		rc = -EAGAIN;
	role_release(queue);
	batch_publish(queue, &batch);
	if (!wrong)
		return rc;
	if (first) {
		blk_log(queue->blk, "the back end broke the protocol: %s", wrong);
		fail_all(queue->blk);
	}
	return blk_broken(queue->blk);
}

void blk_break(struct rf_blk *blk, int err, const char *reason)
{
	if (!mark_broken(blk, err))
		return;
	if (reason)
		blk_log(blk, "%s", reason);
	fail_all(blk);
}
