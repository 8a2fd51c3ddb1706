/* SPDX-License-Identifier: MIT */
/* The learned polling window. */
#include "common/poll_window.h"

#include <sched.h>
#include <stdbool.h>
#include <string.h>

#include "common/clock.h"

#define NOTES_PER_UPDATE 8u
#define NOTES_EAGER 32u	 /* the first ones are each learned from at once */
#define COUNT_UNIT 256u	 /* of one wait: room for the decay */
#define ANSWER_UNIT 16u	 /* of the average number of answers */
#define ANSWERS_MAX 64u
#define DECAY_SHIFT 3u	 /* at each update an eighth is forgotten: 64 waits are remembered */

#define PROBE_WAITS 16u	 /* so that the other end learns from it, too */
#define PROBE_FIRST 64u	 /* slept waits before a probe; four times as many after each in vain */
#define PROBE_LAST 4096u
#define PROBE_TRIPS 3u	 /* gaps are not longer than that because of somebody's wake-up */

#define SHORT_MAX_NS 10000u
#define TINY_TRIP_PARTS 8u /* no sleep is better than polling for less than such a part of a trip */

#define CROWD_NS (60 * NSEC_PER_USEC)
#define CROWD_SLICE_NS NSEC_PER_MSEC
#define CROWD_MEMORY_NS (20 * NSEC_PER_MSEC)

/* Everything is relaxed, as the header says. */
static uint32_t get(const _Atomic uint32_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static void set(_Atomic uint32_t *value, uint32_t to)
{
	atomic_store_explicit(value, to, memory_order_relaxed);
}

/*
 * What a sleep costs. What was there at its end came during it, one after the other: on average each
 * but the first waited for half of the wake-up.
 */
static uint32_t cost_of_sleep(const struct poll_window *window)
{
	uint32_t answers = get(&window->answers);

	return window->wake.cpu_ns +
		(uint32_t)((uint64_t)window->wake.trip_ns * (answers + ANSWER_UNIT) / (2 * ANSWER_UNIT));
}

/* As the header says; trip_ns is the whole of what wake has a part of. */
static void init(struct poll_window *window, struct poll_wake wake, uint32_t trip_ns)
{
	memset(window, 0, sizeof(*window));
	window->wake = wake;
	window->probe_ns = PROBE_TRIPS * trip_ns;
	atomic_init(&window->answers, ANSWER_UNIT);
	atomic_init(&window->probe_in, PROBE_FIRST);
	atomic_init(&window->probe_every, PROBE_FIRST);
	/* Knowing nothing: whatever comes, it costs at most twice the best. */
	atomic_init(&window->window_ns, cost_of_sleep(window));
	poll_trial_init(&window->trial, trip_ns);
}

void poll_window_init_within(struct poll_window *window, struct poll_wake wake)
{
	struct poll_wake cost = {wake.trip_ns + wake.trip_ns / 2, wake.cpu_ns};

	init(window, cost, wake.trip_ns);
	window->is_tried = true;
}

void poll_window_init_between(struct poll_window *window, struct poll_wake wake)
{
	init(window, (struct poll_wake){wake.trip_ns / 2, 0}, wake.trip_ns);
}

void poll_window_init_woken(struct poll_window *window, struct poll_wake wake)
{
	init(window, (struct poll_wake){wake.trip_ns / 4, 0}, wake.trip_ns);
}

/* The upper end of a bucket: 256 ns times 2^(index / 4), in four straight steps. */
static uint64_t bucket_end(unsigned int index)
{
	uint64_t base = (uint64_t)POLL_WINDOW_FIRST_NS << index / 4;

	return base + base / 4 * (index % 4);
}

static unsigned int bucket_of(uint64_t gap_ns)
{
	unsigned int octave, index;

	if (gap_ns <= POLL_WINDOW_FIRST_NS)
		return 0;
	octave = 63u - (unsigned int)__builtin_clzll(gap_ns / POLL_WINDOW_FIRST_NS);
	index = octave * 4;
	while (index < POLL_WINDOW_BUCKETS - 1 && bucket_end(index) < gap_ns)
		index++;
	return index < POLL_WINDOW_BUCKETS ? index : POLL_WINDOW_BUCKETS - 1;
}

/*
 * One pass: the cost of "poll to the end of this bucket" from that of the bucket before. Where polling
 * and sleeping cost about the same, it stays as it is: the worst is to do a little of both.
 * *rare: of eight waits less than one is longer than the window.
 */
static uint32_t best_window(const uint32_t *counts, uint32_t wake_ns, bool polls, bool *rare)
{
	uint64_t all = 0, left, polled = 0, cost, best;
	uint32_t window = 0;

	for (unsigned int i = 0; i < POLL_WINDOW_BUCKETS; i++)
		all += counts[i];
	left = all;
	best = left * wake_ns / 8 * (polls ? 9 : 7);
	for (unsigned int i = 0; i < POLL_WINDOW_BUCKETS && polled < best; i++) {
		uint64_t end = bucket_end(i);

		left -= counts[i];
		polled += counts[i] * end;
		cost = polled + left * (end + wake_ns);
		if (counts[i] && cost < best) {
			best = cost;
			window = (uint32_t)end;
			*rare = left < all / 8;
		}
	}
	return window;
}

/* All waits but a part of them are not longer than that. */
static bool mostly_below(const uint32_t *counts, uint32_t gap_ns, unsigned int part)
{
	unsigned int last = bucket_of(gap_ns);
	uint64_t few = 0, all = 0;

	for (unsigned int i = 0; i < POLL_WINDOW_BUCKETS; i++) {
		all += counts[i];
		few += i <= last ? counts[i] : 0;
	}
	return all && few >= all - all / part;
}

static uint32_t at_least(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t at_most(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/*
 * The few waits that are remembered do not show the rare longer gap, which would cost a wake-up. To
 * poll on for it is cheap as long as it is rare: it costs only those waits that end in sleep anyway.
 */
static uint32_t with_margin(uint32_t window, uint32_t wake_ns, bool rare)
{
	if (window == 0)
		return 0;
	return rare ? at_most(at_least(window * 3, wake_ns), 3 * wake_ns)
		    : at_most(at_least(window * 2, wake_ns / 4), at_least(window, wake_ns));
}

static void update(struct poll_window *window, bool decay)
{
	uint32_t counts[POLL_WINDOW_BUCKETS], wake_ns = cost_of_sleep(window), best;
	bool rare = false;

	for (unsigned int i = 0; i < POLL_WINDOW_BUCKETS; i++) {
		counts[i] = get(&window->counts[i]);
		if (decay && counts[i]) {
			counts[i] -= (counts[i] + (1u << DECAY_SHIFT) - 1) >> DECAY_SHIFT;
			set(&window->counts[i], counts[i]);
		}
	}
	best = best_window(counts, wake_ns, get(&window->window_ns) != 0, &rare);
	set(&window->window_ns, with_margin(best, wake_ns, rare));
	atomic_store_explicit(&window->is_short, mostly_below(counts, SHORT_MAX_NS, 8),
		memory_order_relaxed);
	/* As polling finds them: what sleepers say is less exact than that. */
	if (!poll_trial_sleeps(&window->trial))
		atomic_store_explicit(&window->is_tiny,
			mostly_below(counts, window->probe_ns / PROBE_TRIPS / TINY_TRIP_PARTS, 2),
			memory_order_relaxed);
}

/*
 * Where both ends sleep, gaps contain each other's wake-ups, and what is learned from them is that
 * sleeping is right. So a few waits are polled now and then, and judged by what they find alone.
 */
static void begin_probe(struct poll_window *window)
{
	uint32_t every = get(&window->probe_every);

	for (unsigned int i = 0; i < POLL_WINDOW_BUCKETS; i++)
		set(&window->counts[i], 0);
	set(&window->probing, PROBE_WAITS);
	set(&window->probe_every, every < PROBE_LAST ? every * 4 : PROBE_LAST);
	set(&window->probe_in, get(&window->probe_every));
	set(&window->window_ns, window->probe_ns);
}

/* After a wait that is learned from, while no probe is on. */
static void consider_probe(struct poll_window *window, uint64_t gap_ns)
{
	uint32_t left = get(&window->probe_in);

	if (get(&window->window_ns)) {
		set(&window->probe_every, PROBE_FIRST);
		set(&window->probe_in, PROBE_FIRST);
	} else if (gap_ns <= window->probe_ns) {
		if (left > 1)
			set(&window->probe_in, left - 1);
		else
			begin_probe(window);
	}
}

static void note(struct poll_window *window, uint64_t gap_ns, unsigned int nr)
{
	uint32_t before = get(&window->nr_notes), after = before + nr, probing = get(&window->probing);
	bool decay = after / NOTES_PER_UPDATE != before / NOTES_PER_UPDATE;
	unsigned int i = bucket_of(gap_ns);

	set(&window->counts[i], get(&window->counts[i]) + nr * COUNT_UNIT);
	set(&window->nr_notes, after);
	if (probing)
		set(&window->probing, probing - 1);
	if (probing > 1)
		return;
	if (probing || decay || after < NOTES_EAGER)
		update(window, decay);
	if (!probing)
		consider_probe(window, gap_ns);
}

static void note_trial(struct poll_window *window, const struct poll_wait *wait)
{
	uint64_t cpu_ns = wait->gap_ns;

	if (wait->slept)
		cpu_ns = window->wake.cpu_ns + poll_window_ns(window);
	poll_trial_note(&window->trial, wait, cpu_ns,
		get(&window->window_ns) && !get(&window->probing) &&
			!atomic_load_explicit(&window->is_tiny, memory_order_relaxed));
}

void poll_window_note(struct poll_window *window, const struct poll_wait *wait)
{
	uint32_t answers = get(&window->answers);
	uint64_t way = window->probe_ns / PROBE_TRIPS / 2, gap_ns = wait->gap_ns;
	unsigned int nr = wait->nr_answers < ANSWERS_MAX ? wait->nr_answers : ANSWERS_MAX;

	answers = (answers * 7 + nr * ANSWER_UNIT + 7) / 8;
	set(&window->answers, answers);
	if (window->is_tried)
		note_trial(window, wait);
	/* What a sleeper measures contains its wake-up. */
	if (wait->slept)
		gap_ns = gap_ns > way ? gap_ns - way : 0;
	note(window, gap_ns, 1);
}

void poll_window_note_many(struct poll_window *window, uint64_t gap_ns, unsigned int nr)
{
	note(window, gap_ns, nr);
}

/* ---- crowds ---- */

uint64_t poll_crowd_yield(struct poll_crowd *crowd, uint64_t allowance_ns)
{
	uint64_t average = atomic_load_explicit(&crowd->yield_ns, memory_order_relaxed);
	uint64_t before = clock_ns(), after, took;

	sched_yield();
	after = clock_ns();
	took = after - before;
	/* A single one is no crowd, interrupts take a processor, too: unless somebody had a time slice. */
	if (took > 4 * CROWD_NS && took < CROWD_SLICE_NS)
		took = 4 * CROWD_NS;
	average = (average * 7 + took) / 8;
	if (average > CROWD_NS + allowance_ns) {
		atomic_store_explicit(&crowd->until_ns, after + CROWD_MEMORY_NS,
			memory_order_relaxed);
		average = 0; /* the next attempt judges anew */
	}
	atomic_store_explicit(&crowd->yield_ns, average, memory_order_relaxed);
	return after;
}
