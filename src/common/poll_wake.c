/* SPDX-License-Identifier: MIT */
/* The measurement of what a wake-up costs. */
#include "common/poll_wake.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"

#define WAKE_MIN_NS 4000u
#define WAKE_MAX_NS 120000u
#define WAKE_DEFAULT_NS 40000u /* where it cannot be measured */
#define WAKE_ROUNDS 48u

/* Two threads, each on a processor of its own if there are two: there a wake-up costs most. */
struct side {
	int own, other; /* eventfds */
	int cpu;	/* -1: any */
	bool first;
	uint32_t *trips;
	uint64_t cpu_ns; /* that it used */
	bool failed;
};

static void run_on(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned int)cpu, &set);
	/* Where that is forbidden, the scheduler places us. */
	(void)sched_setaffinity(0, sizeof(set), &set);
}

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

/* Processor time of this thread. */
static uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void *play(void *data)
{
	struct side *side = data;
	uint64_t cpu_before, start;

	run_on(side->cpu);
	cpu_before = thread_cpu_ns();
	for (unsigned int i = 0; i < WAKE_ROUNDS && !side->failed; i++) {
		start = clock_ns();
		if (side->first)
			side->failed = !ring_bell(side->other) || !await(side->own);
		else
			side->failed = !await(side->own) || !ring_bell(side->other);
		start = clock_ns() - start;
		side->trips[i] = start < WAKE_MAX_NS ? (uint32_t)start : WAKE_MAX_NS;
	}
	side->cpu_ns = thread_cpu_ns() - cpu_before;
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The first two processors that this thread may use; false if it has only one. */
static bool two_cpus(int cpus[2])
{
	unsigned int nr = 0;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return false;
	for (int i = 0; i < CPU_SETSIZE && nr < 2; i++) {
		if (CPU_ISSET((unsigned int)i, &set))
			cpus[nr++] = i;
	}
	return nr == 2;
}

/* The median trip, so that a moment of disturbance does not count. */
static struct poll_wake cost_of(struct side sides[2])
{
	struct poll_wake wake;

	qsort(sides[0].trips, WAKE_ROUNDS, sizeof(uint32_t), compare);
	wake.trip_ns = sides[0].trips[WAKE_ROUNDS / 2];
	if (wake.trip_ns < WAKE_MIN_NS)
		wake.trip_ns = WAKE_MIN_NS;
	wake.cpu_ns = (uint32_t)((sides[0].cpu_ns + sides[1].cpu_ns) / WAKE_ROUNDS);
	/* A processor that is slow to wake is idle meanwhile, so there is no more of it than of time. */
	if (wake.cpu_ns > wake.trip_ns)
		wake.cpu_ns = wake.trip_ns;
	return wake;
}

static struct poll_wake measured = {WAKE_DEFAULT_NS, WAKE_DEFAULT_NS / 2};

static void measure(void)
{
	int ping = eventfd(0, EFD_CLOEXEC), pong = eventfd(0, EFD_CLOEXEC), cpus[2] = {-1, -1};
	uint32_t trips[2][WAKE_ROUNDS];
	struct side sides[2];
	pthread_t threads[2];
	unsigned int nr = 0;

	if (!two_cpus(cpus))
		cpus[0] = cpus[1] = -1;
	for (unsigned int i = 0; i < 2; i++)
		sides[i] = (struct side){.own = i ? ping : pong, .other = i ? pong : ping,
			.cpu = cpus[i], .first = i == 0, .trips = trips[i]};
	while (ping >= 0 && pong >= 0 && nr < 2 &&
		pthread_create(&threads[nr], NULL, play, &sides[nr]) == 0)
		nr++;
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	if (nr == 2 && !sides[0].failed && !sides[1].failed)
		measured = cost_of(sides);
	if (ping >= 0)
		close(ping);
	if (pong >= 0)
		close(pong);
}

struct poll_wake poll_wake_measure(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, measure);
	return measured;
}
