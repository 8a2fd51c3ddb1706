/* SPDX-License-Identifier: MIT */
/* A domain's program, as a child of its keeper. */
#ifndef RF_TOOLSTACK_KEEPER_PROGRAM_H
#define RF_TOOLSTACK_KEEPER_PROGRAM_H

#include "toolstack/keeper_domain.h"

/*
 * Starts the program of the domain with `tty_fd` as its controlling terminal, under its user, limits
 * and CPUs. Returns once it is past its exec: its process id, or -1 and the reason is on standard
 * error. Every signal must be blocked that the keeper waits for; the program gets none blocked.
 */
pid_t program_start(const struct domain_config *config, const struct kept_domain *dom, int tty_fd)
	__attribute__((warn_unused_result));

/*
 * Kills the program, unless pid is 0, and every process that it has left to us, and waits until
 * they are gone, for a bounded time. The keeper must be a subreaper (PR_SET_CHILD_SUBREAPER).
 */
void program_kill(pid_t pid);

#endif
