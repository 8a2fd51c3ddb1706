/* SPDX-License-Identifier: MIT */
/*
 * pingpong: two threads, each on its own processor, bounce one cache line for some milliseconds.
 * Prints the round trip in nanoseconds: the floor for anything that two processors do together.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/parse.h"

static _Alignas(64) atomic_ulong line;
static atomic_bool stop;

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *other(void *data)
{
	unsigned long seen = 0;

	(void)data;
	pin(1);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		unsigned long now = atomic_load_explicit(&line, memory_order_acquire);

		if (now != seen && (now & 1)) {
			seen = now + 1;
			atomic_store_explicit(&line, seen, memory_order_release);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t ms = 50, start, now;
	unsigned long trips = 0, value = 0;
	pthread_t thread;

	if (argc > 2 || (argc == 2 && parse_u64(argv[1], 1, 100000, &ms))) {
		fputs("Usage: pingpong [MILLISECONDS]\n", stderr);
		return 2;
	}
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		fputs("pingpong: needs two processors\n", stderr);
		return 1;
	}
	pin(0);
	if (pthread_create(&thread, NULL, other, NULL))
		return 1;
	start = now = clock_ns();
	while (now - start < ms * NSEC_PER_MSEC) {
		for (int i = 0; i < 100; i++, trips++) {
			atomic_store_explicit(&line, value + 1, memory_order_release);
			while (atomic_load_explicit(&line, memory_order_acquire) != value + 2)
				;
			value += 2;
		}
		now = clock_ns();
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	printf("%.1f\n", (double)(now - start) / (double)trips);
	return 0;
}
