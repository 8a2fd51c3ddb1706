/* SPDX-License-Identifier: MIT */
/* Starting the process of a driver domain, as a child of the hypervisor that ends with it. */
#ifndef RF_HYPERVISOR_DRIVER_PROCESS_H
#define RF_HYPERVISOR_DRIVER_PROCESS_H

#include "hypervisor/domain.h"

/*
 * Runs `argv` (argv[0] a path) with the two sockets of `dom`, which has not been handed over yet. That
 * it cannot be run shows as its end, with status 127. 0 or -errno.
 */
int driver_process_start(const struct domain *dom, char *const *argv, pid_t *pid)
	__attribute__((warn_unused_result));

#endif
