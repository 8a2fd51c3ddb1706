/* SPDX-License-Identifier: MIT */
/*
 * What the files of blkbench share: what load is asked for, and what came of it. The load runs in
 * the thread that calls run_async, or in threads of run_blocking.
 */
#ifndef RF_BENCH_BLKBENCH_H
#define RF_BENCH_BLKBENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <ringfence/blkfront.h>

#include "common/clock.h"
#include "common/histogram.h"

#define DEPTH_MAX 512u
#define PAGE_BYTES 4096ull

/* Thinking for less is computing (the processor stays busy), for longer it is sleeping. */
#define THINK_BUSY_NS (20 * NSEC_PER_USEC)

struct load {
	/* As asked for; constant while it runs. */
	struct rf_blk *blk;
	struct rf_blk_info info;
	unsigned int depth, threads; /* threads 0: asynchronous */
	uint64_t size;		     /* bytes of a request */
	uint64_t warmup_ns, duration_ns;
	uint64_t start_ns; /* CLOCK_MONOTONIC; 0: at once */
	uint64_t think_ns; /* of a stream, between an answer and its next request */
	bool think_random; /* exponentially distributed, with that mean */
	bool sequential, copy, latencies;
	pid_t backend; /* whose processor time is taken as well; 0: nobody's */

	atomic_ulong position; /* of sequential requests, any thread */
};

/* What was measured, from the end of the warm-up to the end of the duration. */
struct outcome {
	unsigned long nr_requests;
	uint64_t elapsed_ns;
	uint64_t cpu_ns, backend_cpu_ns; /* cpu_ns without busy thinking */
	uint64_t think_busy_ns;		 /* computed instead of sleeping */
	uint64_t late_ns;		 /* sum of how long after they were due requests went out */
	unsigned long least, most;	 /* requests of the slowest and of the fastest thread */
	struct histogram latency;
};

struct rng {
	uint64_t state;
};

void rng_seed(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t limit);

/* How long a stream thinks this time. */
uint64_t think_time(const struct load *load, struct rng *rng);

/*
 * Thinks until due_ns; `now_ns` is the time. Returns how long the processor computed for that,
 * without the time in which it was taken away; 0 if the thread slept.
 */
uint64_t think_until(uint64_t now_ns, uint64_t due_ns, bool busy);

void sleep_until(uint64_t when_ns);

/* First sector of the next request. */
uint64_t next_sector(struct load *load, struct rng *rng);

/*
 * The measured interval begins and ends: takes time and processor times. thinking_ns: what all
 * threads computed so far instead of sleeping.
 */
void measure_begin(const struct load *load, struct outcome *out, uint64_t thinking_ns);
void measure_end(const struct load *load, struct outcome *out, uint64_t thinking_ns);

void run_async(struct load *load, struct outcome *out);
void run_blocking(struct load *load, struct outcome *out);

__attribute__((noreturn)) void die(const char *what, int rc);

#endif
