/* SPDX-License-Identifier: MIT */
/*
 * What our path is compared with: the least that two processes do to pass requests to each other.
 * A partner process is the other end of all of these; it sleeps while it is nobody's turn. One
 * thread, one call at a time.
 */
#ifndef RF_BENCH_BARERING_H
#define RF_BENCH_BARERING_H

#include <stdbool.h>
#include <stdint.h>

#define BARE_DEPTH_MAX 32u
#define BARE_SECTOR_BYTES 512u

struct bare;

/* Forks the partner, on processor `cpu`, or on any (-1); before other threads run. */
struct bare *bare_start(int cpu);
void bare_stop(struct bare *bare);

/* Two processes that bounce one cache line: nanoseconds of a round trip. */
double bare_pingpong_ns(struct bare *bare, uint64_t slice_ns);

/*
 * A blkif ring of one page between two processes that poll it: Xen's macros, private copy of the
 * request, check, answer. With `data` the back end copies 512 bytes into shared memory and the
 * front end out of it. Requests per second with `depth` outstanding.
 */
double bare_ring_rate(struct bare *bare, unsigned int depth, bool data, uint64_t slice_ns);

/* Two processes that wake each other by eventfds (poll, read, write): ns of a round trip. */
double bare_eventfd_ns(struct bare *bare, uint64_t slice_ns);

/* All of these end the process when something fails, with a message. */
void bench_pin(int cpu);
__attribute__((noreturn)) void bench_die(const char *what, int rc);

#endif
