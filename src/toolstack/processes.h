/* SPDX-License-Identifier: MIT */
/*
 * The processes of a domain, from /proc. Processes come and go meanwhile: what cannot be read counts
 * as nothing.
 */
#ifndef RF_TOOLSTACK_PROCESSES_H
#define RF_TOOLSTACK_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "toolstack/lines.h"

struct process {
	pid_t pid, parent;
};

struct processes {
	struct process *all;
	unsigned int nr, nr_allocated;
};

/*
 * The process that made the domain and all that descend from it; without that process where it only
 * keeps the domain for the others. A parent comes before its children. 0 or -ENOMEM; processes_fini is
 * legal after either.
 */
int processes_init(struct processes *processes, const struct domain_line *dom)
	__attribute__((warn_unused_result));
void processes_fini(struct processes *processes);

/* What they use together. */
struct process_usage {
	uint64_t cpu_ticks; /* of sysconf(_SC_CLK_TCK), with what their ended children used */
	uint64_t memory_bytes; /* resident; what several of them share counts for each */
	unsigned int nr_cpus;  /* that they may run on, the one that may on most */
	unsigned int nr_processes;
	bool runs; /* one of them is on a processor, or waits for nothing but one */
};

void processes_usage(const struct processes *processes, struct process_usage *usage);

/* The same for a domain; zeroes if there is no process. */
void domain_usage(const struct domain_line *dom, struct process_usage *usage);

/*
 * Stops all of them with SIGSTOP, those included that they start meanwhile, and waits until no thread
 * of them runs; at most timeout_ms. 0, -ETIMEDOUT, or -errno of one that cannot be stopped (-EPERM);
 * the others have then been stopped all the same.
 */
int domain_stop(const struct domain_line *dom, unsigned int timeout_ms)
	__attribute__((warn_unused_result));

/* Lets all of them continue. 0 or -errno. */
int domain_continue(const struct domain_line *dom) __attribute__((warn_unused_result));

#endif
