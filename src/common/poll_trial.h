/* SPDX-License-Identifier: MIT */
/*
 * Whether polling pays, tried out. What is known of gaps says what polling costs if the gaps do not
 * depend on it. They do: on a virtual machine whose host has no processor to spare, a poller takes
 * it from the thread that does the disk's I/O, and the answers come later than to a sleeper. So now
 * and then some waits sleep at once, some poll, and both again, and the cheaper way is kept until
 * the next trial: soon if the load has changed or it turned out otherwise, else ever later.
 *
 * The cost of a wait is its time, for every request that is under way and for the other end, which
 * may poll meanwhile, and the processor time that it took; what counts is the cost for an answer.
 *
 * Time is what was waited, so the same waits give the same verdicts. Any number of threads may note
 * at once; who finds another one at it is not heard.
 */
#ifndef RF_COMMON_POLL_TRIAL_H
#define RF_COMMON_POLL_TRIAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A wait that has ended. */
struct poll_wait {
	uint64_t gap_ns;	      /* from its beginning until the answers were noticed */
	unsigned int nr_answers;      /* that were there then */
	unsigned int nr_outstanding;  /* requests under way meanwhile */
	bool slept;		      /* at its end */
};

enum poll_way { POLL_WAY_POLL, POLL_WAY_SLEEP, POLL_WAYS };

struct poll_trial {
	atomic_flag noting;
	atomic_bool sleeps; /* the next wait is to sleep at once */
	uint64_t trip_ns;
	/* Of who notes. */
	enum poll_way verdict;
	unsigned int nr_ripe; /* waits since polling is what is known to be right */
	unsigned int phase; /* of a trial, from 1; 0: none is on */
	unsigned int nr_skipped, nr_noted;
	uint64_t cost_ns[POLL_WAYS], nr_answers[POLL_WAYS];
	uint64_t time_ns, trial_began_ns, next_trial_ns, pause_ns;
	uint64_t level_ns, verdict_level_ns; /* cost of an answer, average; as it was at the verdict */
};

/* Polls until it knows better. trip_ns: of a wake-up and back (poll_wake.h). */
void poll_trial_init(struct poll_trial *trial, uint32_t trip_ns);

/*
 * A wait has ended that took cpu_ns of processor time at both ends. polls: that is what the gaps
 * say is right, and not so clearly that a trial would be wasted.
 */
void poll_trial_note(
	struct poll_trial *trial, const struct poll_wait *wait, uint64_t cpu_ns, bool polls);

/* True if the next wait is to sleep at once, whatever else says that polling pays. */
static inline bool poll_trial_sleeps(const struct poll_trial *trial)
{
	/* Relaxed: a wait that begins the other way is one of many. */
	return atomic_load_explicit(&trial->sleeps, memory_order_relaxed);
}

#endif
