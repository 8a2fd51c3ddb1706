/* SPDX-License-Identifier: MIT */
/* The learned polling window, and the measurement of what a wake-up costs. */
#include "common/poll_window.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"

#define NOTES_PER_UPDATE 8u
#define NOTES_EAGER 32u	 /* the first ones are each learned from at once */
#define COUNT_UNIT 256u	 /* of one wait: room for the decay */
#define DECAY_SHIFT 3u	 /* at each update an eighth is forgotten: 64 waits are remembered */

#define CROWD_NS (60 * NSEC_PER_USEC)
#define CROWD_MEMORY_NS (20 * NSEC_PER_MSEC)

#define WAKE_MIN_NS 4000u
#define WAKE_MAX_NS 120000u
#define WAKE_DEFAULT_NS 40000u /* where it cannot be measured */
#define WAKE_ROUNDS 48u

void poll_window_init(struct poll_window *window, uint32_t wake_ns)
{
	memset(window, 0, sizeof(*window));
	window->wake_ns = wake_ns;
	/* Knowing nothing: whatever comes, it costs at most twice the best. */
	atomic_init(&window->window_ns, wake_ns);
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

/* One pass: the cost of "poll to the end of this bucket" from that of the bucket before. */
static uint32_t best_window(const uint32_t *counts, uint32_t wake_ns)
{
	uint64_t left = 0, polled = 0, cost, best;
	uint32_t window = 0;

	for (unsigned int i = 0; i < POLL_WINDOW_BUCKETS; i++)
		left += counts[i];
	best = left * wake_ns;
	for (unsigned int i = 0; i < POLL_WINDOW_BUCKETS && polled < best; i++) {
		uint64_t end = bucket_end(i);

		left -= counts[i];
		polled += counts[i] * end;
		cost = polled + left * (end + wake_ns);
		if (counts[i] && cost < best) {
			best = cost;
			window = (uint32_t)end;
		}
	}
	return window;
}

/*
 * The few waits that are remembered do not show the rare longer gap, which would cost a wake-up.
 * To poll on for it is cheap: it costs only those waits that end in sleep anyway.
 */
static uint32_t with_margin(uint32_t window, uint32_t wake_ns)
{
	uint32_t wider = window * 2 > wake_ns / 4 ? window * 2 : wake_ns / 4;

	if (window == 0 || window >= wake_ns)
		return window;
	return wider < wake_ns ? wider : wake_ns;
}

/* Relaxed throughout, as the header says. */
static void update(struct poll_window *window, bool decay)
{
	uint32_t counts[POLL_WINDOW_BUCKETS];

	for (unsigned int i = 0; i < POLL_WINDOW_BUCKETS; i++) {
		counts[i] = atomic_load_explicit(&window->counts[i], memory_order_relaxed);
		if (decay && counts[i]) {
			counts[i] -= (counts[i] + (1u << DECAY_SHIFT) - 1) >> DECAY_SHIFT;
			atomic_store_explicit(&window->counts[i], counts[i], memory_order_relaxed);
		}
	}
	atomic_store_explicit(&window->window_ns,
		with_margin(best_window(counts, window->wake_ns), window->wake_ns),
		memory_order_relaxed);
}

void poll_window_note_many(struct poll_window *window, uint64_t gap_ns, unsigned int nr)
{
	unsigned int i = bucket_of(gap_ns);
	uint32_t before = atomic_load_explicit(&window->nr_notes, memory_order_relaxed);
	uint32_t after = before + nr;
	bool decay = after / NOTES_PER_UPDATE != before / NOTES_PER_UPDATE;

	atomic_store_explicit(&window->counts[i],
		atomic_load_explicit(&window->counts[i], memory_order_relaxed) + nr * COUNT_UNIT,
		memory_order_relaxed);
	atomic_store_explicit(&window->nr_notes, after, memory_order_relaxed);
	if (decay || after < NOTES_EAGER)
		update(window, decay);
}

void poll_window_note(struct poll_window *window, uint64_t gap_ns)
{
	poll_window_note_many(window, gap_ns, 1);
}

void poll_window_note_slept(struct poll_window *window, uint64_t gap_ns)
{
	/* Half of the cost is the way of one wake-up. */
	uint64_t way = window->wake_ns / 2;

	poll_window_note(window, gap_ns > way ? gap_ns - way : 0);
}

/* ---- crowds ---- */

uint64_t poll_crowd_yield(struct poll_crowd *crowd, uint64_t allowance_ns)
{
	uint64_t average = atomic_load_explicit(&crowd->yield_ns, memory_order_relaxed);
	uint64_t before = clock_ns(), after;

	sched_yield();
	after = clock_ns();
	average = (average * 7 + (after - before)) / 8;
	if (average > CROWD_NS + allowance_ns) {
		atomic_store_explicit(&crowd->until_ns, after + CROWD_MEMORY_NS,
			memory_order_relaxed);
		average = 0; /* the next attempt judges anew */
	}
	atomic_store_explicit(&crowd->yield_ns, average, memory_order_relaxed);
	return after;
}

/* ---- what a wake-up costs ---- */

struct pair {
	int ping, pong;
};

/* Waits as a worker does: by poll, then a read. False when something is wrong. */
static bool await(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	uint64_t count;

	return poll(&pfd, 1, 1000) == 1 && read(fd, &count, sizeof(count)) == sizeof(count);
}

static bool ring_bell(int fd)
{
	static const uint64_t one = 1;

	return write(fd, &one, sizeof(one)) == sizeof(one);
}

static void *answer(void *data)
{
	const struct pair *pair = data;

	for (unsigned int i = 0; i < WAKE_ROUNDS; i++) {
		if (!await(pair->ping) || !ring_bell(pair->pong))
			break;
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The median round trip: a machine that is busy for a moment is not remembered. */
static uint32_t play(const struct pair *pair)
{
	uint32_t trips[WAKE_ROUNDS];

	for (unsigned int i = 0; i < WAKE_ROUNDS; i++) {
		uint64_t start = clock_ns(), trip;

		if (!ring_bell(pair->ping) || !await(pair->pong))
			return WAKE_DEFAULT_NS;
		trip = clock_ns() - start;
		trips[i] = trip < WAKE_MAX_NS ? (uint32_t)trip : WAKE_MAX_NS;
	}
	qsort(trips, WAKE_ROUNDS, sizeof(trips[0]), compare);
	return trips[WAKE_ROUNDS / 2] > WAKE_MIN_NS ? trips[WAKE_ROUNDS / 2] : WAKE_MIN_NS;
}

static uint32_t measured_ns = WAKE_DEFAULT_NS;

static void measure(void)
{
	struct pair pair = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
	pthread_t thread;

	if (pair.ping >= 0 && pair.pong >= 0 && pthread_create(&thread, NULL, answer, &pair) == 0) {
		measured_ns = play(&pair);
		pthread_join(thread, NULL);
	}
	if (pair.ping >= 0)
		close(pair.ping);
	if (pair.pong >= 0)
		close(pair.pong);
}

uint32_t poll_window_measure_wake(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, measure);
	return measured_ns;
}
