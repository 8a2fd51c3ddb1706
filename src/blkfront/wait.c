/* SPDX-License-Identifier: MIT */
/*
 * Waiting. A thread polls the ring for as long as its disk's policy says; then it sleeps. Of the
 * sleepers one, the leader, sleeps in poll(2) on the outside world with an event asked for; the
 * others sleep on futexes of their own, and whoever takes their response wakes them. A leader that
 * has what it wanted hands over. docs/design/blkfront.md has the argument why no wake-up is lost.
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"

#define QUICK_POLLS 24		   /* polls before anybody looks at a clock: about 1 us */
#define POLLS_PER_YIELD 32	   /* of a lone poller: the back end may need this very core */
#define POLLS_PER_CLOCK 8
#define SPIN_CAP_NS (100 * NSEC_PER_USEC) /* adaptive polling is never worth more */
#define SPIN_MIN_NS (10 * NSEC_PER_USEC)
#define TURN_NS (2 * NSEC_PER_USEC)	  /* a thread's poll and a switch to the next */
#define GAP_CAP_NS (4 * SPIN_CAP_NS)	  /* one slow answer is not to be remembered for long */
#define CROWD_NS (60 * NSEC_PER_USEC)	  /* yields that take longer than all our turns by this */
#define CROWD_MEMORY_NS (20 * NSEC_PER_MSEC)
#define WAITS_PER_PROBE 16	   /* when sleeping has become the rule: polls again this often */
#define ALIVE_FIRST_NS NSEC_PER_MSEC
#define ALIVE_EVERY_NS (4 * NSEC_PER_MSEC)
#define SLEEP_LIMIT_MS 500 /* then look whether the other side is still there */

void blk_futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static bool futex_sleep(_Atomic uint32_t *word, uint32_t value, int timeout_ms)
{
	struct timespec ts = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = timeout_ms % 1000 * (long)NSEC_PER_MSEC,
	};

	return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &ts, NULL, 0) == 0 ||
	       errno != ETIMEDOUT;
}

void blk_waiter_init(struct blk_waiter *w, enum blk_wait_kind kind, struct blk_slot *slot,
	int timeout_ms)
{
	list_init(&w->link);
	w->listed = false;
	w->kind = kind;
	atomic_init(&w->own_word, WORD_PENDING);
	w->word = slot ? &slot->word : &w->own_word;
	w->deadline_ns = 0;
	if (timeout_ms >= 0)
		w->deadline_ns = clock_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
}

static bool ready(struct rf_blk *blk, const struct blk_waiter *w)
{
	switch (w->kind) {
	case BLK_WAIT_REQUEST:
		/*
		 * Orders: the mark before the result and the data.
		 * Pairs with: finish_slot in ring.c.
		 * Without it: the owner could return an old result.
		 */
		return !(atomic_load_explicit(w->word, memory_order_acquire) & WORD_PENDING);
	case BLK_WAIT_SLOT:
		return blk_slots_available(blk) || blk_broken(blk);
	default:
		/* Relaxed: who takes a finished request looks under done_lock. */
		return atomic_load_explicit(&blk->nr_done, memory_order_relaxed) ||
		       !atomic_load_explicit(&blk->nr_async, memory_order_relaxed);
	}
}

static bool expired(const struct blk_waiter *w)
{
	return w->deadline_ns && clock_ns() >= w->deadline_ns;
}

/* ---- the sleepers ---- */

/* Under sleep_lock. */
static void wake_waiter(struct rf_blk *blk, struct blk_waiter *w)
{
	static const uint64_t one = 1;

	if (w == atomic_load_explicit(&blk->leader, memory_order_relaxed)) {
		/* It is in poll(2), or about to be. The counter cannot get full. */
		if (write(blk->kick_fd, &one, sizeof(one)) < 0)
			return;
		return;
	}
	atomic_fetch_or_explicit(w->word, WORD_WAKE, memory_order_release);
	blk_futex_wake(w->word);
}

/* Under sleep_lock: w leads if nobody does, else it is listed. */
static void enlist(struct rf_blk *blk, struct blk_waiter *w)
{
	struct blk_waiter *leader = atomic_load_explicit(&blk->leader, memory_order_relaxed);

	if (!leader) {
		atomic_store_explicit(&blk->leader, w, memory_order_relaxed);
	} else if (leader != w && !w->listed) {
		list_add_tail(&blk->sleepers, &w->link);
		w->listed = true;
	}
}

static void join(struct rf_blk *blk, struct blk_waiter *w)
{
	pthread_mutex_lock(&blk->sleep_lock);
	enlist(blk, w);
	/*
	 * Orders: our being counted before the look at what we wait for.
	 * Pairs with: blk_slot_free and batch_publish in ring.c, which do it the other way round.
	 * Without it: they could find nobody to wake while we find nothing to take.
	 */
	atomic_fetch_add_explicit(&blk->nr_joined[w->kind], 1, memory_order_seq_cst);
	pthread_mutex_unlock(&blk->sleep_lock);
	xen_mb();
}

/* Hands leadership on to the sleeper that waits longest. Under sleep_lock. */
static void pass_leadership(struct rf_blk *blk)
{
	struct blk_waiter *next = NULL;

	if (!list_empty(&blk->sleepers)) {
		next = list_first(&blk->sleepers, struct blk_waiter, link);
		list_del(&next->link);
		next->listed = false;
		wake_waiter(blk, next);
	}
	atomic_store_explicit(&blk->leader, next, memory_order_relaxed);
}

static void leave(struct rf_blk *blk, struct blk_waiter *w)
{
	pthread_mutex_lock(&blk->sleep_lock);
	atomic_fetch_sub_explicit(&blk->nr_joined[w->kind], 1, memory_order_relaxed);
	if (atomic_load_explicit(&blk->leader, memory_order_relaxed) == w) {
		pass_leadership(blk);
	} else if (w->listed) {
		list_del(&w->link);
		w->listed = false;
	}
	pthread_mutex_unlock(&blk->sleep_lock);
}

void blk_wake(struct rf_blk *blk, enum blk_wait_kind kind)
{
	struct blk_waiter *w, *tmp, *leader;

	pthread_mutex_lock(&blk->sleep_lock);
	list_for_each_safe(w, tmp, &blk->sleepers, link) {
		if (w->kind != kind)
			continue;
		/* Off the list, so that the next free slot wakes another one; it enlists again. */
		list_del(&w->link);
		w->listed = false;
		wake_waiter(blk, w);
		if (kind == BLK_WAIT_SLOT)
			goto out;
	}
	leader = atomic_load_explicit(&blk->leader, memory_order_relaxed);
	if (leader && leader->kind == kind)
		wake_waiter(blk, leader);
out:
	pthread_mutex_unlock(&blk->sleep_lock);
}

void blk_wake_all(struct rf_blk *blk)
{
	struct blk_waiter *w, *leader;

	pthread_mutex_lock(&blk->sleep_lock);
	list_for_each(w, &blk->sleepers, link)
		wake_waiter(blk, w);
	leader = atomic_load_explicit(&blk->leader, memory_order_relaxed);
	if (leader)
		wake_waiter(blk, leader);
	pthread_mutex_unlock(&blk->sleep_lock);
}

/* ---- sleeping ---- */

static int sleep_ms(const struct blk_waiter *w)
{
	uint64_t now, ms;

	if (!w->deadline_ns)
		return SLEEP_LIMIT_MS;
	now = clock_ns();
	if (now >= w->deadline_ns)
		return 0;
	ms = (w->deadline_ns - now) / NSEC_PER_MSEC + 1;
	return ms < SLEEP_LIMIT_MS ? (int)ms : SLEEP_LIMIT_MS;
}

/* A broken disk does not count: that its end is found by looking is what the limit is for. */
static void count_rescue(struct rf_blk *blk, const struct blk_waiter *w, int slept_ms)
{
	if (slept_ms == SLEEP_LIMIT_MS && ready(blk, w) && !blk_broken(blk))
		atomic_fetch_add_explicit(&blk->nr_rescued, 1, memory_order_relaxed);
}

static void note_gap(struct rf_blk *blk, uint64_t since_ns, unsigned int nr);

/* One turn of the leader: takes what is there, or sleeps with an event asked for. */
static void lead(struct rf_blk *blk, struct blk_waiter *w, uint64_t since_ns)
{
	int rc = blk_reap(blk, true), timeout_ms;

	if (rc == -EBUSY) {
		sched_yield();
		return;
	}
	if (rc > 0)
		note_gap(blk, since_ns, (unsigned int)rc);
	if (rc != 0 && rc != blk_broken(blk))
		return;
	/* After arming: another thread may have taken our response before that. */
	if (ready(blk, w))
		return;
	timeout_ms = sleep_ms(w);
	if (blk_events_wait(blk, timeout_ms) == 0)
		count_rescue(blk, w, timeout_ms);
}

/* One turn of a follower. */
static void follow(struct rf_blk *blk, struct blk_waiter *w)
{
	uint32_t value = atomic_fetch_or_explicit(w->word, WORD_ASLEEP, memory_order_acq_rel) |
			 WORD_ASLEEP;

	if (!(value & WORD_WAKE)) {
		int timeout_ms = sleep_ms(w);

		if (!ready(blk, w) && !futex_sleep(w->word, value, timeout_ms))
			count_rescue(blk, w, timeout_ms);
		return;
	}
	atomic_fetch_and_explicit(w->word, ~WORD_WAKE, memory_order_acquire);
	pthread_mutex_lock(&blk->sleep_lock);
	enlist(blk, w);
	pthread_mutex_unlock(&blk->sleep_lock);
	/* As in join: enlisted first, then the caller looks. */
	xen_mb();
}

static int wait_asleep(struct rf_blk *blk, struct blk_waiter *w, uint64_t since_ns)
{
	int err = 0;

	join(blk, w);
	while (!ready(blk, w)) {
		if (expired(w)) {
			err = -ETIMEDOUT;
			break;
		}
		/* Relaxed: only we make ourselves not the leader; becoming it comes with a wake. */
		if (atomic_load_explicit(&blk->leader, memory_order_relaxed) == w)
			lead(blk, w, since_ns);
		else
			follow(blk, w);
	}
	leave(blk, w);
	return err;
}

void blk_check_alive(struct rf_blk *blk, struct blk_waiter *w)
{
	join(blk, w);
	if (atomic_load_explicit(&blk->leader, memory_order_relaxed) == w)
		blk_events_wait(blk, 0);
	leave(blk, w);
}

/* ---- polling ---- */

/*
 * Learns how long it takes until something is answered while somebody waits for it. Not how long
 * one request takes: with many outstanding, polling pays even if each of them is slow. `nr` answers
 * came, the first of them at most now - since_ns after somebody began to wait.
 * All relaxed: an estimate that several threads make together.
 */
static void note_gap(struct rf_blk *blk, uint64_t since_ns, unsigned int nr)
{
	uint64_t now = clock_ns();
	uint64_t last = atomic_load_explicit(&blk->last_answer_ns, memory_order_relaxed);
	uint64_t average = atomic_load_explicit(&blk->gap_ns, memory_order_relaxed);
	uint64_t since = last > since_ns ? last : since_ns;
	uint64_t gap = now > since ? (now - since) / nr : 0;

	if (gap > GAP_CAP_NS)
		gap = GAP_CAP_NS;
	/* What a thread that polls sees of an estimate that says "sleep" counts more. */
	if (average > SPIN_CAP_NS && gap < SPIN_CAP_NS)
		average = (average + gap) / 2;
	else
		average = (average * 7 + gap) / 8;
	atomic_store_explicit(&blk->last_answer_ns, now, memory_order_relaxed);
	atomic_store_explicit(&blk->gap_ns, average, memory_order_relaxed);
}

/*
 * Yields that take long mean that there are more threads than processors, other than our own who
 * take short turns. Then polling only keeps the others from working, and who sleeps gets the
 * processor sooner after its wake-up than who polls. Relaxed: a hint, made by several threads.
 */
static void yield(struct rf_blk *blk)
{
	uint64_t average = atomic_load_explicit(&blk->yield_ns, memory_order_relaxed);
	uint32_t nr = atomic_load_explicit(&blk->nr_waiting, memory_order_relaxed);
	uint64_t before = clock_ns(), after;

	sched_yield();
	after = clock_ns();
	average = (average * 7 + (after - before)) / 8;
	if (average > CROWD_NS + TURN_NS * nr) {
		atomic_store_explicit(&blk->crowded_until_ns, after + CROWD_MEMORY_NS,
			memory_order_relaxed);
		average = 0; /* the next attempt judges anew */
	}
	atomic_store_explicit(&blk->yield_ns, average, memory_order_relaxed);
}

static bool crowded(struct rf_blk *blk)
{
	uint64_t until = atomic_load_explicit(&blk->crowded_until_ns, memory_order_relaxed);

	return until && clock_ns() < until;
}

/* How long polling without any answer is worth it; UINT64_MAX: for ever. */
static uint64_t spin_limit(struct rf_blk *blk)
{
	uint64_t gap, limit, turn;
	uint32_t nr;

	if (blk->options.wait_policy == RF_BLK_WAIT_SPIN)
		return UINT64_MAX;
	if (blk->options.wait_policy == RF_BLK_WAIT_EVENT || crowded(blk))
		return 0;
	/* Until all that poll had their turn at the core: nobody looked in the meantime. */
	turn = TURN_NS * atomic_load_explicit(&blk->nr_waiting, memory_order_relaxed);
	gap = atomic_load_explicit(&blk->gap_ns, memory_order_relaxed);
	if (gap > SPIN_CAP_NS) {
		nr = atomic_fetch_add_explicit(&blk->nr_waits, 1, memory_order_relaxed);
		return nr % WAITS_PER_PROBE ? 0 : SPIN_CAP_NS + turn;
	}
	limit = 2 * gap + SPIN_MIN_NS;
	return (limit < SPIN_CAP_NS ? limit : SPIN_CAP_NS) + turn;
}

static bool polled_in_vain(struct rf_blk *blk, uint64_t start_ns, uint64_t now, uint64_t limit_ns)
{
	uint64_t last = atomic_load_explicit(&blk->last_answer_ns, memory_order_relaxed);
	uint64_t since = last > start_ns ? last : start_ns;

	return now > since && now - since > limit_ns;
}

/* Lets others have the core, or only the pipeline. True if it is time to look at the clock. */
static bool relax(struct rf_blk *blk, unsigned int turn)
{
	if (atomic_load_explicit(&blk->nr_waiting, memory_order_relaxed) > 1 ||
		turn % POLLS_PER_YIELD == POLLS_PER_YIELD - 1) {
		yield(blk);
		return true;
	}
	cpu_relax();
	return turn % POLLS_PER_CLOCK == POLLS_PER_CLOCK - 1;
}

/* 0, -ETIMEDOUT, or -EAGAIN when it is time to sleep. */
static int wait_polling(struct rf_blk *blk, struct blk_waiter *w, uint64_t start_ns,
	uint64_t limit_ns)
{
	uint64_t alive_ns = start_ns + ALIVE_FIRST_NS;

	for (unsigned int turn = 0;; turn++) {
		uint64_t now;
		int nr = blk_has_responses(blk) ? blk_reap(blk, false) : 0;

		if (nr > 0)
			note_gap(blk, start_ns, (unsigned int)nr);
		if (ready(blk, w))
			return 0;
		if (!relax(blk, turn))
			continue;
		now = clock_ns();
		if (w->deadline_ns && now >= w->deadline_ns)
			return -ETIMEDOUT;
		if (polled_in_vain(blk, start_ns, now, limit_ns) ||
			(limit_ns != UINT64_MAX && crowded(blk)))
			return -EAGAIN;
		if (now >= alive_ns) {
			blk_check_alive(blk, w);
			alive_ns = clock_ns() + ALIVE_EVERY_NS;
		}
	}
}

/* A lone waiter's first look, without clock: a back end that polls answers within it. */
static bool wait_quickly(struct rf_blk *blk, struct blk_waiter *w)
{
	for (unsigned int i = 0; i < QUICK_POLLS; i++) {
		if (blk_has_responses(blk))
			blk_reap(blk, false);
		if (ready(blk, w))
			return true;
		cpu_relax();
	}
	return false;
}

int blk_wait(struct rf_blk *blk, struct blk_waiter *w)
{
	uint64_t limit_ns, start_ns;
	int rc;

	if (ready(blk, w))
		return 0;
	limit_ns = spin_limit(blk);
	if (limit_ns && !atomic_load_explicit(&blk->nr_waiting, memory_order_relaxed) &&
		wait_quickly(blk, w))
		return 0;
	start_ns = clock_ns();
	atomic_fetch_add_explicit(&blk->nr_waiting, 1, memory_order_relaxed);
	rc = limit_ns ? wait_polling(blk, w, start_ns, limit_ns) : -EAGAIN;
	if (rc == -EAGAIN)
		rc = wait_asleep(blk, w, start_ns);
	atomic_fetch_sub_explicit(&blk->nr_waiting, 1, memory_order_relaxed);
	return rc;
}
