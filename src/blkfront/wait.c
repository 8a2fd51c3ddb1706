/* SPDX-License-Identifier: MIT */
/*
 * Waiting: a thread polls its queue's ring for as long as its disk's policy says; then it sleeps
 * (sleep.c).
 */
#include "blkfront/internal.h"

#include <errno.h>

#include "common/clock.h"

#define QUICK_POLLS 24		   /* polls before anybody looks at a clock: about 1 us */
#define POLLS_PER_YIELD 32	   /* of a lone poller: the back end may need this very core */
#define POLLS_PER_CLOCK 8
#define QUICK_NS 500		   /* what a wait that ended within them is taken for */
#define QUICK_BATCH 64		   /* such waits are noted in so many at a time */
#define TURN_NS (2 * NSEC_PER_USEC)	  /* a thread's poll and a switch to the next */
#define AWAY_NS (4 * NSEC_PER_USEC)	  /* a yield longer than that was somebody's turn */
#define PREEMPTED_NS (4 * NSEC_PER_MSEC)
#define ALIVE_FIRST_NS NSEC_PER_MSEC
#define ALIVE_EVERY_NS (4 * NSEC_PER_MSEC)

void blk_waiter_init(struct blk_waiter *w, struct blk_queue *queue, enum blk_wait_kind kind,
	bool everywhere, struct blk_slot *slot, int64_t timeout_ns)
{
	w->queue = queue;
	w->kind = kind;
	w->everywhere = everywhere;
	atomic_init(&w->own_word, WORD_PENDING);
	atomic_init(&w->kick_fd, -1);
	w->word = slot ? &slot->word : &w->own_word;
	w->deadline_ns = 0;
	if (timeout_ns >= 0)
		w->deadline_ns = clock_ns() + (uint64_t)timeout_ns;
}

bool blk_ready_here(const struct blk_waiter *w)
{
	struct blk_queue *queue = w->queue;

	switch (w->kind) {
	case BLK_WAIT_REQUEST:
		/*
		 * Orders: the mark before the result and the data.
		 * Pairs with: finish_slot in ring.c.
		 * Without it: the owner could return an old result.
		 */
		return !(atomic_load_explicit(w->word, memory_order_acquire) & WORD_PENDING);
	case BLK_WAIT_SLOT:
		return blk_slots_available(queue) || blk_broken(queue->blk);
	default:
		/* Relaxed: who takes a finished request looks under done_lock. */
		return atomic_load_explicit(&queue->nr_done, memory_order_relaxed) ||
		       (!w->everywhere &&
			       !atomic_load_explicit(&queue->nr_async, memory_order_relaxed));
	}
}

/* A finished request on any queue, or none outstanding on all of them. Relaxed: as above. */
static bool ready_anywhere(struct rf_blk *blk)
{
	bool outstanding = false;

	for (unsigned int i = 0; i < blk->nr_queues; i++) {
		struct blk_queue *queue = &blk->queues[i];

		if (atomic_load_explicit(&queue->nr_done, memory_order_relaxed))
			return true;
		if (atomic_load_explicit(&queue->nr_async, memory_order_relaxed))
			outstanding = true;
	}
	return !outstanding;
}

bool blk_ready(const struct blk_waiter *w)
{
	return blk_ready_here(w) || (w->everywhere && ready_anywhere(w->queue->blk));
}

static struct poll_window *window_of(struct blk_queue *queue)
{
	/* Relaxed: a hint; a wait that is learned from in the wrong place is one of many. */
	return &queue->windows[atomic_load_explicit(&queue->woke, memory_order_relaxed)];
}

/* Of asynchronous requests those count, else the threads that have one each. Relaxed: as above. */
static unsigned int nr_outstanding(struct blk_queue *queue)
{
	uint32_t nr = atomic_load_explicit(&queue->nr_async, memory_order_relaxed);

	return nr ? nr : atomic_load_explicit(&queue->nr_waiting, memory_order_relaxed);
}

/*
 * Learns how long it takes until something is answered while somebody waits for it. Not how long
 * one request takes: with many outstanding, polling pays even if each of them is slow. The wait
 * began at since_ns, or when other threads took the answers before these.
 */
void blk_note_gap(struct blk_queue *queue, uint64_t since_ns, unsigned int nr_answers, bool slept)
{
	/* Relaxed: an estimate that several threads make together. */
	uint64_t last = atomic_load_explicit(&queue->last_answer_ns, memory_order_relaxed);
	uint64_t since = last > since_ns ? last : since_ns, now = clock_ns();
	uint64_t gap = now > since ? now - since : 0;

	atomic_store_explicit(&queue->last_answer_ns, now, memory_order_relaxed);
	poll_window_note(window_of(queue),
		&(struct poll_wait){.gap_ns = gap, .nr_answers = nr_answers,
			.nr_outstanding = nr_outstanding(queue), .slept = slept});
}

/* Waits too short for a clock count, too; relaxed: as above. */
static void note_quick(struct blk_queue *queue)
{
	uint32_t nr = atomic_load_explicit(&queue->nr_quick, memory_order_relaxed) + 1;

	if (nr == QUICK_BATCH) {
		poll_window_note_many(window_of(queue), QUICK_NS, QUICK_BATCH);
		nr = 0;
	}
	atomic_store_explicit(&queue->nr_quick, nr, memory_order_relaxed);
}

/*
 * Somebody else wants the processors, and what is waited for does not nearly always come at once. Only
 * the adaptive policy cares.
 */
static bool crowded(struct blk_queue *queue)
{
	return queue->blk->options.wait_policy == RF_BLK_WAIT_ADAPTIVE &&
	       poll_crowd_ever(&queue->crowd) && !poll_window_is_short(window_of(queue)) &&
	       poll_crowd_is(&queue->crowd, clock_ns());
}

/* If it does, a long wait is that for a back end that is out of its processor for a while. */
static bool is_preempted(struct blk_queue *queue, uint64_t start_ns, uint64_t now)
{
	return now - start_ns < PREEMPTED_NS && poll_window_is_short(window_of(queue));
}

/* How long polling without any answer is worth it; UINT64_MAX: for ever. */
static uint64_t spin_limit(struct blk_queue *queue)
{
	uint64_t window;

	if (queue->blk->options.wait_policy == RF_BLK_WAIT_SPIN)
		return UINT64_MAX;
	if (queue->blk->options.wait_policy == RF_BLK_WAIT_EVENT)
		return 0;
	if (queue->blk->options.wait_policy == RF_BLK_WAIT_IDDR)
		return RING_STATUS_SPIN_NS;
	window = poll_window_ns(window_of(queue));
	if (window == 0)
		return 0;
	/* Until all that poll had their turn at the core: nobody looked in the meantime. */
	return window + TURN_NS * atomic_load_explicit(&queue->nr_waiting, memory_order_relaxed);
}

static bool polled_in_vain(struct blk_queue *queue, uint64_t start_ns, uint64_t now,
	uint64_t limit_ns)
{
	uint64_t last = atomic_load_explicit(&queue->last_answer_ns, memory_order_relaxed);
	uint64_t since = last > start_ns ? last : start_ns;

	return now > since && now - since > limit_ns;
}

/* Lets others have the core, or only the pipeline. True if it is time to look at the clock. */
static bool relax(struct blk_queue *queue, unsigned int turn, bool *was_away)
{
	uint32_t nr_waiting = atomic_load_explicit(&queue->nr_waiting, memory_order_relaxed);
	uint64_t before;

	*was_away = false;
	if (nr_waiting > 1 || turn % POLLS_PER_YIELD == POLLS_PER_YIELD - 1) {
		before = clock_ns();
		*was_away = poll_crowd_yield(&queue->crowd, TURN_NS * nr_waiting) - before > AWAY_NS &&
			nr_waiting == 1;
		return true;
	}
	cpu_relax();
	return turn % POLLS_PER_CLOCK == POLLS_PER_CLOCK - 1;
}

/* Takes what there is on the other queues that have asynchronous requests outstanding. */
static void reap_elsewhere(struct blk_queue *own)
{
	struct rf_blk *blk = own->blk;

	for (unsigned int i = 0; i < blk->nr_queues; i++) {
		struct blk_queue *queue = &blk->queues[i];

		if (queue != own && blk_has_responses(queue) &&
			atomic_load_explicit(&queue->nr_async, memory_order_relaxed))
			(void)blk_reap(queue, false);
	}
}

/* 0, -ETIMEDOUT, or -EAGAIN when it is time to sleep. */
static int wait_polling(struct blk_waiter *w, uint64_t start_ns, uint64_t limit_ns)
{
	struct blk_queue *queue = w->queue;
	uint64_t alive_ns = start_ns + ALIVE_FIRST_NS;
	bool was_away = false;

	for (unsigned int turn = 0;; turn++) {
		uint64_t now;
		int nr = blk_has_responses(queue) ? blk_reap(queue, false) : 0;

		if (nr > 0) {
			blk_note_gap(queue, start_ns, (unsigned int)nr, false);
			blk_place_note(queue, was_away);
		}
		if (blk_ready_here(w))
			return 0;
		if (!relax(queue, turn, &was_away))
			continue;
		if (w->everywhere) {
			reap_elsewhere(queue);
			if (blk_ready(w))
				return 0;
		}
		now = clock_ns();
		if (w->deadline_ns && now >= w->deadline_ns)
			return -ETIMEDOUT;
		if ((polled_in_vain(queue, start_ns, now, limit_ns) &&
			    !is_preempted(queue, start_ns, now)) ||
			crowded(queue))
			return -EAGAIN;
		if (now >= alive_ns) {
			blk_check_alive(w);
			alive_ns = clock_ns() + ALIVE_EVERY_NS;
		}
	}
}

/* A lone waiter's first look, without clock: a back end that polls answers within it. */
static bool wait_quickly(struct blk_waiter *w)
{
	for (unsigned int i = 0; i < QUICK_POLLS; i++) {
		if (blk_has_responses(w->queue))
			blk_reap(w->queue, false);
		if (blk_ready_here(w))
			return true;
		cpu_relax();
	}
	return false;
}

int blk_wait(struct blk_waiter *w)
{
	struct blk_queue *queue = w->queue;
	uint64_t limit_ns, start_ns;
	int rc;

	if (blk_ready_here(w))
		return 0;
	limit_ns = spin_limit(queue);
	if (limit_ns && !atomic_load_explicit(&queue->nr_waiting, memory_order_relaxed) &&
		wait_quickly(w)) {
		note_quick(queue);
		return 0;
	}
	start_ns = clock_ns();
	atomic_fetch_add_explicit(&queue->nr_waiting, 1, memory_order_relaxed);
	/* Where others want the processors the quick look was all. */
	if (limit_ns == 0 || crowded(queue))
		rc = -EAGAIN;
	else
		rc = wait_polling(w, start_ns, limit_ns);
	if (rc == -EAGAIN)
		rc = blk_wait_asleep(w, start_ns);
	atomic_fetch_sub_explicit(&queue->nr_waiting, 1, memory_order_relaxed);
	return rc;
}
