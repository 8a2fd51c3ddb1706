/* SPDX-License-Identifier: MIT */
/*
 * Mappings put into a program before its first instruction: the program needs to know nothing of
 * them. The parent traces its child through exec, has the kernel map on the child's behalf, closes
 * the descriptors there, and lets go. x86-64.
 */
#ifndef RF_TOOLSTACK_INJECT_H
#define RF_TOOLSTACK_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct inject_map {
	int fd; /* open in the child at the same number */
	uint32_t id; /* of the shared area, for messages */
	uint64_t begin, size, offset; /* bytes, whole pages */
	bool writable;
};

/*
 * How often to start a program whose place is taken: Linux puts the stack, libraries and most
 * programs at random addresses, so that the next attempt has others.
 */
#define INJECT_ATTEMPTS 16

/*
 * In the child, as the last step before exec: lets the parent trace it, makes the descriptors
 * survive exec, and stops until inject_at_exec. 0 or -errno.
 */
int inject_wait(const struct inject_map *maps, unsigned int nr_maps)
	__attribute__((warn_unused_result));

/*
 * In the parent, once: waits for the child to stop in inject_wait and then to exec, and puts the
 * mappings into the new program. By the thread that forked.
 * 0: the program runs, and is an ordinary child. Otherwise it has been waited for, and `error` says
 * why (empty for -ECHILD): -ECHILD it ended before it was a program, *status is what waitpid said;
 * -EAGAIN the addresses are not free this time; or another -errno.
 */
int inject_at_exec(pid_t pid, const struct inject_map *maps, unsigned int nr_maps, int *status,
	char *error, size_t error_size) __attribute__((warn_unused_result));

#endif
