/* SPDX-License-Identifier: MIT */
/*
 * The order of an image's domains while several workers serve them. Each domain has an account of
 * what it got divided by its weight, its *service* (virtual time, as in Goyal, Vin and Cheng's
 * start-time fair queueing, SIGCOMM '96), that every worker adds to which takes requests of it.
 * Whoever is further ahead than SERVICE_AHEAD of the least served domain that has requests, on
 * whatever worker, is passed over. Each worker says in a word of its own how little the least
 * served of its domains got, and when it saw that: nobody waits for a worker that has not looked
 * for SERVICE_FRESH_NS.
 *
 * Services wrap around, and only their differences mean anything. All of it only steers, and every
 * word is right by itself; so what has no other comment is relaxed. Any worker's thread; the places
 * of workers are given out under the image's lock.
 */
#ifndef RF_BLKBACK_SERVICE_H
#define RF_BLKBACK_SERVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

#define SERVICE_WORKERS_MAX 64
#define SERVICE_SPACE 128 /* bytes: workers do not write into each other's cache lines */
/* Of a unit of 4 KiB at weight 1: so that what the largest weight pays is exact to a thousandth. */
#define SERVICE_UNIT (1ull << 26)
/*
 * In units that a domain takes itself, so that weights have no influence: as much as the longest
 * batch of a scheduler's run, so that workers need not run in step.
 */
#define SERVICE_AHEAD 64
/* What a domain may make up for that its worker missed: what a disk does in some milliseconds. */
#define SERVICE_BEHIND 512
/*
 * So long at most a worker holds others back that does not look: an awake one is back sooner, even
 * after a longest batch. One that sleeps or is not scheduled makes up later for what it missed.
 */
#define SERVICE_FRESH_NS (50 * NSEC_PER_USEC)

/* What a worker says of its domains. */
struct service_worker {
	_Atomic uint64_t least;	  /* service of the least served with requests */
	_Atomic uint64_t seen_ns; /* when that was so; 0: none has requests */
	bool used;		  /* under the image's lock */
	char space[SERVICE_SPACE - 2 * sizeof(uint64_t) - sizeof(bool)];
};

struct service {
	_Atomic uint64_t floor; /* the highest `least` of all so far: where newcomers begin */
	atomic_uint nr_workers; /* places that were ever used */
	struct service_worker workers[SERVICE_WORKERS_MAX];
};

/* A place for a worker, or NULL: all are taken. Under the image's lock. */
struct service_worker *service_join(struct service *service);
void service_leave(struct service_worker *worker);

/* The worker's domains have no requests. */
static inline void service_withdraw(struct service_worker *worker)
{
	if (atomic_load_explicit(&worker->seen_ns, memory_order_relaxed))
		atomic_store_explicit(&worker->seen_ns, 0, memory_order_relaxed);
}

/*
 * Says that the least served of the worker's domains with requests got `least`. Returns how little
 * the least served of all workers got.
 */
uint64_t service_compare(struct service *service, struct service_worker *worker, uint64_t least);

/* Where newcomers begin. */
static inline uint64_t service_floor(const struct service *service)
{
	return atomic_load_explicit(&service->floor, memory_order_relaxed);
}

/* Moves a service (or the floor) up to `to` if it is below. */
void service_raise(_Atomic uint64_t *service, uint64_t to);

/* By how much a is ahead of b; negative: behind. */
static inline int64_t service_lead(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b);
}

#endif
