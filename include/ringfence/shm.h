/* SPDX-License-Identifier: MIT */
/*
 * libringfence: the static shared memory areas of this domain.
 *
 * A domain's areas are in its address space before its main runs, at the addresses that its
 * configuration names (static_shared_mem and static_shm, ringfence.cfg(5)), so a program that knows
 * the addresses needs nothing of this. A program that knows an area's id can look up the rest here.
 */
#ifndef RINGFENCE_SHM_H
#define RINGFENCE_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* These are the library's interface; all else in it is built hidden. */
#pragma GCC visibility push(default)

struct rf_shm_area {
	void *addr;
	size_t size;	 /* bytes */
	size_t offset;	 /* of addr in the area, bytes */
	bool writable;
	bool owner;
};

/*
 * Looks an area up, in xenstore, as this process's domain. The memory is this process's until it
 * ends or calls exec; forked children have it too. What is in it can be changed by the other sharers
 * at any time: copy once, check, then use.
 * 0; -ENOENT the domain has no such area; -EFAULT it has, but this process has it not mapped, since
 * it is not the program that the domain was started with; -EPROTO the store's nodes make no sense; or
 * what opening the store said. Any thread.
 */
int rf_shm_find(uint32_t id, struct rf_shm_area *area) __attribute__((warn_unused_result));

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
