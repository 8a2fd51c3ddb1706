/* SPDX-License-Identifier: MIT */
/* Waiting for what a back end writes about a device. */
#ifndef RF_TOOLSTACK_BLOCK_WAIT_H
#define RF_TOOLSTACK_BLOCK_WAIT_H

#include <stdbool.h>

#include "toolstack/block.h"
#include "toolstack/domain0.h"

/* A number that the back end has written; -1 if it has not. */
long long block_wait_number(
	const struct domain0 *dom0, const struct block_line *disk, const char *node);

/*
 * Waits until `done` says so, which is asked at first and whenever the back end's directory changes.
 * 0, -ETIMEDOUT, -ENODEV the device is gone, -EIO the back end says what is wrong: *error is that, to
 * be freed, or another -errno.
 */
int block_wait(const struct domain0 *dom0, const struct block_line *disk, unsigned int timeout_s,
	bool (*done)(const struct domain0 *dom0, const struct block_line *disk, void *data),
	void *data, char **error) __attribute__((warn_unused_result));

#endif
