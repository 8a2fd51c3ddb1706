/* SPDX-License-Identifier: MIT */
/* What it costs on this machine to sleep and be woken: what polling is weighed against. */
#ifndef RF_COMMON_POLL_WAKE_H
#define RF_COMMON_POLL_WAKE_H

#include <stdint.h>

/* What it costs that one thread sleeps and another wakes it, and the same back. */
struct poll_wake {
	uint32_t trip_ns; /* time until the answer is there */
	uint32_t cpu_ns;  /* processor time of both */
};

/*
 * What a wake-up costs here, measured for a few milliseconds, once for a process, at the first call:
 * two threads, on two processors if there are two, wake each other through eventfds. trip_ns is
 * between 4 000 and 120 000, cpu_ns at most as much. Any thread.
 */
struct poll_wake poll_wake_measure(void);

#endif
