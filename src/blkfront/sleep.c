/* SPDX-License-Identifier: MIT */
/*
 * Sleeping. Of a queue's sleepers one, the leader, sleeps in poll(2) on the outside world with an
 * event asked for; the others sleep on futexes of their own, and whoever takes their response wakes
 * them. A leader that has what it wanted hands over. A thread that waits for asynchronous requests
 * of whichever queue is a member of all of them, and leads those that have no other leader.
 * docs/design/blkfront.md has the argument why no wake-up is lost.
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"

#define SLEEP_LIMIT_NS (500 * NSEC_PER_MSEC) /* then look whether the other side is still there */

void blk_futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static bool futex_sleep(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(timeout_ns % NSEC_PER_SEC),
	};

	return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &ts, NULL, 0) == 0 ||
	       errno != ETIMEDOUT;
}

static bool expired(const struct blk_waiter *w)
{
	return w->deadline_ns && clock_ns() >= w->deadline_ns;
}

/* ---- members of a queue ---- */

/* Under the sleep_lock of a queue that w is a member of. */
static void wake_waiter(struct blk_waiter *w)
{
	static const uint64_t one = 1;
	uint32_t before;
	int kick_fd;

	/*
	 * Orders: the mark before the look for a descriptor.
	 * Pairs with: poll_kickable in events.c, which does it the other way round.
	 * Without it: we could find none while it finds no mark, and sleeps on.
	 */
	before = atomic_fetch_or_explicit(w->word, WORD_WAKE, memory_order_seq_cst);
	kick_fd = atomic_load_explicit(&w->kick_fd, memory_order_seq_cst);
	if (kick_fd < 0 && !(before & WORD_ASLEEP))
		return; /* it will look at its word before it sleeps; often it is ourselves */
	if (kick_fd < 0)
		blk_futex_wake(w->word);
	else if (write(kick_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is readable, which is all that is wanted */
}

static bool leads(const struct blk_member *m)
{
	/* Relaxed: only the leader makes itself not the leader; becoming it comes with a wake. */
	return atomic_load_explicit(&m->queue->leader, memory_order_relaxed) == m;
}

/* Under sleep_lock: m leads if nobody does, else it is listed. */
static void enlist(struct blk_member *m)
{
	struct blk_queue *queue = m->queue;

	if (!atomic_load_explicit(&queue->leader, memory_order_relaxed)) {
		atomic_store_explicit(&queue->leader, m, memory_order_relaxed);
	} else if (!leads(m) && !m->listed) {
		list_add_tail(&queue->sleepers, &m->link);
		m->listed = true;
	}
}

static void join(struct blk_waiter *w, unsigned int nr_queues)
{
	struct rf_blk *blk = w->queue->blk;

	/* Relaxed: what woke it in an earlier sleep. It is no member now: nobody wakes it. */
	atomic_fetch_and_explicit(w->word, ~WORD_WAKE, memory_order_relaxed);
	w->nr_members = nr_queues;
	for (unsigned int i = 0; i < nr_queues; i++) {
		struct blk_queue *queue = &blk->queues[(w->queue->nr + i) % blk->nr_queues];
		struct blk_member *m = &w->members[i];

		*m = (struct blk_member){.queue = queue, .waiter = w};
		list_init(&m->link);
		pthread_mutex_lock(&queue->sleep_lock);
		enlist(m);
		/*
		 * Orders: our being counted before the look at what we wait for.
		 * Pairs with: blk_slot_free and batch_publish in ring.c, forget in async.c, which
		 * do it the other way round.
		 * Without it: they could find nobody to wake while we find nothing to take.
		 */
		atomic_fetch_add_explicit(&queue->nr_joined[w->kind], 1, memory_order_seq_cst);
		pthread_mutex_unlock(&queue->sleep_lock);
	}
	xen_mb();
}

/* Somebody woke us: whatever the reason, it may have taken us off a list. */
static void enlist_again(struct blk_waiter *w)
{
	/* Before the next look at what we wait for: what comes after that wakes us again. */
	atomic_fetch_and_explicit(w->word, ~WORD_WAKE, memory_order_acq_rel);
	for (unsigned int i = 0; i < w->nr_members; i++) {
		pthread_mutex_lock(&w->members[i].queue->sleep_lock);
		enlist(&w->members[i]);
		pthread_mutex_unlock(&w->members[i].queue->sleep_lock);
	}
	/* As in join: enlisted first, then the caller looks. */
	xen_mb();
}

/* Hands leadership on to the sleeper that waits longest. Under sleep_lock. */
static void pass_leadership(struct blk_queue *queue)
{
	struct blk_member *next = NULL;

	if (!list_empty(&queue->sleepers)) {
		next = list_first(&queue->sleepers, struct blk_member, link);
		list_del(&next->link);
		next->listed = false;
	}
	atomic_store_explicit(&queue->leader, next, memory_order_relaxed);
	if (next)
		wake_waiter(next->waiter);
}

static void leave(struct blk_waiter *w)
{
	for (unsigned int i = 0; i < w->nr_members; i++) {
		struct blk_member *m = &w->members[i];

		pthread_mutex_lock(&m->queue->sleep_lock);
		atomic_fetch_sub_explicit(&m->queue->nr_joined[w->kind], 1, memory_order_relaxed);
		if (leads(m)) {
			blk_disarm(m->queue);
			pass_leadership(m->queue);
		} else if (m->listed) {
			list_del(&m->link);
			m->listed = false;
		}
		pthread_mutex_unlock(&m->queue->sleep_lock);
	}
}

void blk_wake(struct blk_queue *queue, enum blk_wait_kind kind)
{
	struct blk_member *m, *tmp, *leader;

	pthread_mutex_lock(&queue->sleep_lock);
	list_for_each_safe(m, tmp, &queue->sleepers, link) {
		if (m->waiter->kind != kind)
			continue;
		/* Off the list, so that the next free slot wakes another one; it enlists again. */
		list_del(&m->link);
		m->listed = false;
		wake_waiter(m->waiter);
		if (kind == BLK_WAIT_SLOT)
			goto out;
	}
	leader = atomic_load_explicit(&queue->leader, memory_order_relaxed);
	if (leader && leader->waiter->kind == kind)
		wake_waiter(leader->waiter);
out:
	pthread_mutex_unlock(&queue->sleep_lock);
}

void blk_wake_all(struct blk_queue *queue)
{
	struct blk_member *m, *leader;

	pthread_mutex_lock(&queue->sleep_lock);
	list_for_each(m, &queue->sleepers, link)
		wake_waiter(m->waiter);
	leader = atomic_load_explicit(&queue->leader, memory_order_relaxed);
	if (leader)
		wake_waiter(leader->waiter);
	pthread_mutex_unlock(&queue->sleep_lock);
}

/* ---- sleeping ---- */

static uint64_t sleep_ns(const struct blk_waiter *w)
{
	uint64_t now;

	if (!w->deadline_ns)
		return SLEEP_LIMIT_NS;
	now = clock_ns();
	if (now >= w->deadline_ns)
		return 0;
	return w->deadline_ns - now < SLEEP_LIMIT_NS ? w->deadline_ns - now : SLEEP_LIMIT_NS;
}

/* A broken disk does not count: that its end is found by looking is what the limit is for. */
static void count_rescue(const struct blk_waiter *w, uint64_t slept_ns)
{
	struct rf_blk *blk = w->queue->blk;

	if (slept_ns == SLEEP_LIMIT_NS && blk_ready(w) && !blk_broken(blk))
		atomic_fetch_add_explicit(&blk->nr_rescued, 1, memory_order_relaxed);
}

/* Takes what is there, or asks for an event. True if neither is a reason to stay awake. */
static bool arm(struct blk_queue *queue, uint64_t since_ns, bool slept)
{
	int rc;

	if (!blk_has_responses(queue))
		blk_events_settle(queue);
	rc = blk_reap(queue, true);
	if (rc == -EBUSY)
		sched_yield();
	if (rc > 0)
		blk_note_gap(queue, since_ns, (unsigned int)rc, slept);
	return rc == 0 || rc == blk_broken(queue->blk);
}

/* One turn of the leader of the given queues. */
static void lead(struct blk_waiter *w, struct blk_queue *const *queues, unsigned int nr,
	uint64_t since_ns)
{
	uint64_t timeout_ns;

	for (unsigned int i = 0; i < nr; i++) {
		if (!arm(queues[i], since_ns, w->slept))
			return;
	}
	/* After arming: another thread may have taken our response before that. */
	if (blk_ready(w))
		return;
	timeout_ns = sleep_ns(w);
	w->slept = true;
	if (blk_events_wait(w, queues, nr, timeout_ns) == 0)
		count_rescue(w, timeout_ns);
	for (unsigned int i = 0; i < nr; i++)
		blk_disarm(queues[i]);
}

/* One turn of a follower. */
static void follow(struct blk_waiter *w)
{
	uint32_t value = atomic_fetch_or_explicit(w->word, WORD_ASLEEP, memory_order_acq_rel) |
			 WORD_ASLEEP;
	uint64_t timeout_ns;

	if (value & WORD_WAKE)
		return;
	timeout_ns = sleep_ns(w);
	if (!blk_ready(w) && !futex_sleep(w->word, value, timeout_ns))
		count_rescue(w, timeout_ns);
}

int blk_wait_asleep(struct blk_waiter *w, uint64_t since_ns)
{
	int err = 0;

	w->slept = false;
	join(w, w->everywhere ? w->queue->blk->nr_queues : 1);
	while (!blk_ready(w)) {
		struct blk_queue *led[BLK_MAX_QUEUES];
		unsigned int nr = 0;

		if (expired(w)) {
			err = -ETIMEDOUT;
			break;
		}
		if (atomic_load_explicit(w->word, memory_order_relaxed) & WORD_WAKE) {
			enlist_again(w);
			continue;
		}
		for (unsigned int i = 0; i < w->nr_members; i++) {
			if (leads(&w->members[i]))
				led[nr++] = w->members[i].queue;
		}
		if (nr)
			lead(w, led, nr, since_ns);
		else
			follow(w);
	}
	leave(w);
	return err;
}

void blk_check_alive(struct blk_waiter *w)
{
	join(w, 1);
	if (leads(&w->members[0])) {
		/* An event that is still due would hide that nothing else is. */
		blk_events_settle(w->queue);
		blk_events_wait(w, &w->queue, 1, 0);
	}
	leave(w);
}
