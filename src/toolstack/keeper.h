/* SPDX-License-Identifier: MIT */
/*
 * The keeper: the process that `ringfence create` leaves for each domain, as xl does. It holds the
 * control connection that the domain lives by, is the parent of the domain's program, has its
 * terminal, and acts on its end. Whatever of these three ends, hypervisor, keeper or program, the
 * others learn it from the kernel: nothing has to be cleaned up by anybody else.
 */
#ifndef RF_TOOLSTACK_KEEPER_H
#define RF_TOOLSTACK_KEEPER_H

#include "toolstack/config.h"

/*
 * The keeper's console socket is this descriptor of its process, opened with O_PATH; it has no
 * name. So it is at /proc/PID/fd/KEEPER_CONSOLE_FD, PID as `domain-list` tells it, for those who may look
 * into the process: its user and root. It cannot be left behind.
 */
#define KEEPER_CONSOLE_FD 9

/*
 * Starts a keeper, which creates the domain, and waits until its program runs. 0 and *domid, or the
 * exit status, the reason being on standard error; then nothing is left.
 */
int keeper_start(const struct domain_config *config, unsigned int *domid)
	__attribute__((warn_unused_result));

#endif
