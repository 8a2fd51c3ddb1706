/* SPDX-License-Identifier: MIT */
/*
 * How long to poll before sleeping, learned. A wait is described by its gap: the time from its
 * beginning until what it waits for is there. Polling costs processor time as long as the gap;
 * sleeping costs a wake-up: its processor time, and its time for everything that was there when
 * it ended, since all of that had to wait for it. Each window S has the cost
 *
 *	sum over the gaps g <= S of g,  plus over the gaps g > S of (S + wake)
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
#include <stdbool.h>
#include <stdint.h>

#include "common/poll_trial.h"
#include "common/poll_wake.h"

#define POLL_WINDOW_BUCKETS 64u	 /* four to a power of two */
#define POLL_WINDOW_FIRST_NS 256u /* where the first bucket ends */

struct poll_window {
	struct poll_wake wake; /* what of it counts */
	bool is_tried;
	uint32_t probe_ns;
	_Atomic uint32_t counts[POLL_WINDOW_BUCKETS];
	_Atomic uint32_t nr_notes;
	_Atomic uint32_t answers; /* of a wait, sixteenths, averaged */
	_Atomic uint32_t probing; /* so many waits are still polled to see what gaps are like then */
	_Atomic uint32_t probe_in, probe_every; /* that begins after so many slept waits */
	_Atomic uint32_t window_ns;
	atomic_bool is_short, is_tiny;
	struct poll_trial trial;
};

/*
 * For a kind of wait; wake is what poll_wake_measure says. How much of it a sleep costs:
 *
 * within: in the middle of a request, where everybody waits and processors go to sleep: all of it,
 *	and one way more for the other end, which polls meanwhile. Whether polling does what this
 *	says is also tried out (poll_trial.h): what is waited for may come later because of it.
 * between: for the next request: one way. Who sends it is awake, and so is that processor.
 * woken: for an answer of somebody who had to be woken for it: next to nothing. It is the sooner
 *	awake if it may have our processor.
 */
void poll_window_init_within(struct poll_window *window, struct poll_wake wake);
void poll_window_init_between(struct poll_window *window, struct poll_wake wake);
void poll_window_init_woken(struct poll_window *window, struct poll_wake wake);

/* A wait has ended; what was learned from it counts from now on. */
void poll_window_note(struct poll_window *window, const struct poll_wait *wait);

/* nr polled waits of about that gap ended with an answer each. */
void poll_window_note_many(struct poll_window *window, uint64_t gap_ns, unsigned int nr);

/* How long to poll for the next one: nanoseconds, 0 to sleep at once. */
static inline uint32_t poll_window_ns(const struct poll_window *window)
{
	return poll_trial_sleeps(&window->trial)
		       ? 0
		       : atomic_load_explicit(&window->window_ns, memory_order_relaxed);
}

/* True if nearly everything comes at once: then polling pays also where others want the processor. */
static inline bool poll_window_is_short(const struct poll_window *window)
{
	return atomic_load_explicit(&window->is_short, memory_order_relaxed);
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

#endif
