/* SPDX-License-Identifier: MIT */
/* Polling and sleeping, compared by what they cost. */
#include "common/poll_trial.h"

#include <string.h>

#include "common/clock.h"

#define PHASES 4u	      /* sleep, poll, sleep, poll: what changes slowly cancels out */
#define WAITS_PER_PHASE 16u
#define SKIP_MAX 16u	      /* waits after a change: what is under way began before it */
#define FIRST_TRIAL_NS (2 * NSEC_PER_MSEC)
#define PAUSE_PER_TRIAL 32u   /* so many times as long as a trial is the pause after it, */
#define PAUSE_MIN_NS (10 * NSEC_PER_MSEC)
#define PAUSE_MAX_NS (2 * NSEC_PER_SEC) /* twice as long after each that confirms, up to this */
#define RIPE_WAITS 96u
#define MAX_TRIPS 4u	      /* a longer gap is nobody's doing: it counts as that */
#define AVERAGE_SHIFT 4u
#define BIAS 16u	      /* sleeping has to be cheaper by so much of its cost */

void poll_trial_init(struct poll_trial *trial, uint32_t trip_ns)
{
	memset(trial, 0, sizeof(*trial));
	trial->trip_ns = trip_ns;
	atomic_flag_clear(&trial->noting);
	atomic_init(&trial->sleeps, false);
	trial->next_trial_ns = FIRST_TRIAL_NS;
}

static enum poll_way way_of(const struct poll_trial *trial)
{
	if (!trial->phase)
		return trial->verdict;
	return trial->phase % 2 ? POLL_WAY_SLEEP : POLL_WAY_POLL;
}

static void enter_phase(struct poll_trial *trial, unsigned int phase)
{
	trial->phase = phase;
	trial->nr_skipped = trial->nr_noted = 0;
	/* Relaxed: as in poll_trial_sleeps. */
	atomic_store_explicit(
		&trial->sleeps, way_of(trial) == POLL_WAY_SLEEP, memory_order_relaxed);
}

static void begin(struct poll_trial *trial)
{
	memset(trial->cost_ns, 0, sizeof(trial->cost_ns));
	memset(trial->nr_answers, 0, sizeof(trial->nr_answers));
	trial->trial_began_ns = trial->time_ns;
	enter_phase(trial, 1);
}

static uint64_t cost_of_answer(const struct poll_trial *trial, enum poll_way way)
{
	return trial->nr_answers[way] ? trial->cost_ns[way] / trial->nr_answers[way] : 0;
}

static void end(struct poll_trial *trial)
{
	uint64_t sleeping = cost_of_answer(trial, POLL_WAY_SLEEP);
	uint64_t polling = cost_of_answer(trial, POLL_WAY_POLL);
	enum poll_way verdict =
		sleeping + sleeping / BIAS < polling ? POLL_WAY_SLEEP : POLL_WAY_POLL;
	uint64_t pause = PAUSE_PER_TRIAL * (trial->time_ns - trial->trial_began_ns);

	if (pause < PAUSE_MIN_NS)
		pause = PAUSE_MIN_NS;
	if (verdict == trial->verdict && pause < 2 * trial->pause_ns)
		pause = 2 * trial->pause_ns;
	trial->pause_ns = pause < PAUSE_MAX_NS ? pause : PAUSE_MAX_NS;
	trial->next_trial_ns = trial->time_ns + trial->pause_ns;
	trial->verdict = verdict;
	trial->nr_ripe = 0;
	trial->level_ns = trial->verdict_level_ns = cost_of_answer(trial, verdict);
	enter_phase(trial, 0);
}

/* A wait of the phase that is on. */
static void add(struct poll_trial *trial, const struct poll_wait *wait, uint64_t cost)
{
	enum poll_way way = way_of(trial);

	if (trial->nr_skipped < wait->nr_outstanding && trial->nr_skipped < SKIP_MAX) {
		trial->nr_skipped++;
		return;
	}
	trial->cost_ns[way] += cost;
	trial->nr_answers[way] += wait->nr_answers;
	if (++trial->nr_noted < WAITS_PER_PHASE)
		return;
	if (trial->phase == PHASES)
		end(trial);
	else
		enter_phase(trial, trial->phase + 1);
}

/* Another load than the verdict is about. */
static bool has_changed(const struct poll_trial *trial)
{
	return trial->level_ns > 2 * trial->verdict_level_ns ||
	       trial->level_ns < trial->verdict_level_ns / 2;
}

static uint64_t averaged(uint64_t average, uint64_t value)
{
	return average + value / (1u << AVERAGE_SHIFT) - average / (1u << AVERAGE_SHIFT);
}

static bool is_due(struct poll_trial *trial)
{
	/* A load that is gone is no reason to go on with its verdict. */
	if (trial->verdict_level_ns && has_changed(trial) &&
		trial->next_trial_ns > trial->time_ns + PAUSE_MIN_NS)
		trial->next_trial_ns = trial->time_ns + PAUSE_MIN_NS;
	return trial->time_ns >= trial->next_trial_ns && trial->nr_ripe >= RIPE_WAITS;
}

static void note(struct poll_trial *trial, const struct poll_wait *wait, uint64_t cpu_ns,
	bool polls)
{
	uint64_t max_ns = MAX_TRIPS * trial->trip_ns;
	uint64_t gap = wait->gap_ns < max_ns ? wait->gap_ns : max_ns;
	uint64_t cost =
		gap * (wait->nr_outstanding + 1ull) + (cpu_ns < max_ns ? cpu_ns : max_ns);

	trial->time_ns += gap;
	if (trial->phase) {
		add(trial, wait, cost);
		return;
	}
	trial->level_ns = averaged(trial->level_ns, cost / (wait->nr_answers ? wait->nr_answers : 1));
	if (!polls) {
		/* Then it sleeps anyway. */
		trial->nr_ripe = 0;
		trial->verdict = POLL_WAY_POLL;
		enter_phase(trial, 0);
		return;
	}
	trial->nr_ripe++;
	if (is_due(trial))
		begin(trial);
}

void poll_trial_note(
	struct poll_trial *trial, const struct poll_wait *wait, uint64_t cpu_ns, bool polls)
{
	/*
	 * Orders: one note after the other.
	 * Pairs with: the release below.
	 * Without it: two threads could count at once, and a trial never end.
	 */
	if (atomic_flag_test_and_set_explicit(&trial->noting, memory_order_acquire))
		return;
	note(trial, wait, cpu_ns, polls);
	atomic_flag_clear_explicit(&trial->noting, memory_order_release);
}
