/* SPDX-License-Identifier: MIT */
/* What a stopped program has in its address space. */
#ifndef RF_TOOLSTACK_INJECT_LAYOUT_H
#define RF_TOOLSTACK_INJECT_LAYOUT_H

#include "toolstack/inject.h"

/*
 * Whether all of the addresses are free, and remain so when the stack grows as far as it may. 0;
 * -EAGAIN they are not, and `error` says what is there; or another -errno.
 */
int inject_layout_free(pid_t pid, const struct inject_map *maps, unsigned int nr_maps, char *error,
	size_t error_size) __attribute__((warn_unused_result));

#endif
