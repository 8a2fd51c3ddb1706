/* SPDX-License-Identifier: MIT */
/*
 * How long to poll before sleeping, learned. A wait is described by its gap: the time from its
 * beginning until what it waits for is there. Polling costs processor time as long as the gap;
 * sleeping costs a wake-up, in time and in processor time of both sides. Each window S has the cost
 *
 *	sum over the gaps g <= S of g,  plus over the gaps g > S of (S + wake_ns)
 *
 * over the gaps seen lately, and the window of the least cost is the one to use: 0 where sleeping
 * at once is best, and never much longer than a wake-up. (The problem is that of ski rental: with
 * the distribution known, the best fixed window is optimal; Karlin, Li, Manasse and Owicki,
 * "Empirical studies of competitive spinning for a shared-memory multiprocessor", SOSP '91.)
 *
 * Any number of threads may use a window at once: the counters are relaxed, a count that is lost
 * between two of them makes the estimate a little older, nothing else.
 */
#ifndef RF_COMMON_POLL_WINDOW_H
#define RF_COMMON_POLL_WINDOW_H

#include <stdatomic.h>
#include <stdint.h>

#define POLL_WINDOW_BUCKETS 64u	 /* four to a power of two */
#define POLL_WINDOW_FIRST_NS 256u /* where the first bucket ends */

struct poll_window {
	uint32_t wake_ns;
	_Atomic uint32_t counts[POLL_WINDOW_BUCKETS];
	_Atomic uint32_t nr_notes;
	_Atomic uint32_t window_ns;
};

/* wake_ns: what a sleep costs more than an answer found by polling, see poll_window_measure_wake. */
void poll_window_init(struct poll_window *window, uint32_t wake_ns);

/*
 * A wait ended gap_ns after it began (slept: the wake-up that is in that is taken off), and what
 * was learned counts from now on. _many: nr waits of about that gap.
 */
void poll_window_note(struct poll_window *window, uint64_t gap_ns);
void poll_window_note_many(struct poll_window *window, uint64_t gap_ns, unsigned int nr);
void poll_window_note_slept(struct poll_window *window, uint64_t gap_ns);

/* How long to poll for the next one: nanoseconds, 0 to sleep at once. */
static inline uint32_t poll_window_ns(const struct poll_window *window)
{
	return atomic_load_explicit(&window->window_ns, memory_order_relaxed);
}

/*
 * Whether other threads want the processors that pollers burn. All relaxed, as above; zeroed is
 * the initial state.
 */
struct poll_crowd {
	_Atomic uint64_t yield_ns;   /* average time that a yield takes */
	_Atomic uint64_t until_ns;   /* no polling until then; 0: never was crowded */
};

/*
 * Lets other threads run: a poller does this often, since what it waits for may need this very
 * processor. Yields that take longer than allowance_ns plus some tens of microseconds mean that
 * somebody computes here: then who sleeps gets the processor sooner after its wake-up than who
 * polls, and for some milliseconds nobody is to poll. Returns the time after it (clock_ns).
 */
uint64_t poll_crowd_yield(struct poll_crowd *crowd, uint64_t allowance_ns);

/* False as long as nothing of that kind was ever seen: then there is no need for a clock. */
static inline int poll_crowd_ever(const struct poll_crowd *crowd)
{
	return atomic_load_explicit(&crowd->until_ns, memory_order_relaxed) != 0;
}

static inline int poll_crowd_is(const struct poll_crowd *crowd, uint64_t now_ns)
{
	return now_ns < atomic_load_explicit(&crowd->until_ns, memory_order_relaxed);
}

/*
 * What it costs here that one thread sleeps and another wakes it, and the same back, as two threads
 * do it through a pair of eventfds for a few milliseconds: nanoseconds, between 4 000 and 120 000.
 * Measured once for a process, at the first call. Any thread.
 */
uint32_t poll_window_measure_wake(void);

#endif
