/* SPDX-License-Identifier: MIT */
/*
 * A limit on a rate: operations or bytes per second, with bursts. What was taken is paid for in
 * time: each unit moves the moment at which the account is even again (due_ns) further into the
 * future, and while that lies ahead nothing more is taken. An account that was not used gathers
 * credit, as much as the burst allows. (The generic cell rate algorithm, ITU-T I.371, with the cost
 * known only after the fact.) Every worker that serves the disk uses it at once: one atomic word.
 */
#ifndef RF_BLKBACK_LIMIT_H
#define RF_BLKBACK_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct limit {
	_Atomic uint64_t cost; /* of a unit, in 2^-20 ns; 0: no limit */
	_Atomic uint64_t burst_ns;
	_Atomic uint64_t due_ns; /* 0: never used */
};

/*
 * Sets or changes it, any thread: `rate` units per second (0: no limit), bursts of up to `burst`
 * units (0: what comes in 50 ms).
 */
void limit_set(struct limit *limit, uint64_t rate, uint64_t burst);

static inline bool limit_is_set(const struct limit *limit)
{
	return atomic_load_explicit(&limit->cost, memory_order_relaxed) != 0;
}

/* When the next unit may be taken (clock_ns); at or before `now`: at once. Any thread. */
uint64_t limit_due(const struct limit *limit);

/* Takes `units` at the time `now`; the price is an hour at most. Any thread. */
void limit_charge(struct limit *limit, uint64_t units, uint64_t now);

#endif
