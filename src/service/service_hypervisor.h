/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor as a process, seen from the service: starting it, finding it by its lock when its
 * socket does not answer, ending it whatever state it is in.
 */
#ifndef RF_SERVICE_SERVICE_HYPERVISOR_H
#define RF_SERVICE_SERVICE_HYPERVISOR_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HYPERVISOR_ALREADY_RUNS 75 /* ringfenced's exit status for that; EX_TEMPFAIL */
#define HYPERVISOR_MAX_CHILDREN 64

/* Where the programs are that this one starts: beside its own executable. */
struct hypervisor_programs {
	char hypervisor[PATH_MAX];
	char driver[PATH_MAX];
};

/* 0, or -1 after a message when one of them is not there. */
int hypervisor_find_programs(struct hypervisor_programs *programs)
	__attribute__((warn_unused_result));

/*
 * Starts it as a daemon and waits until it is ready. 0, HYPERVISOR_ALREADY_RUNS, or -1 after a
 * message.
 */
int hypervisor_start_daemon(const struct hypervisor_programs *programs, uint64_t idle_timeout_s,
	const char *run_dir) __attribute__((warn_unused_result));

/*
 * The same, but as a child that ends with this process; *pidfd becomes readable when it ends. The
 * caller reaps it.
 */
int hypervisor_start_child(const struct hypervisor_programs *programs, uint64_t idle_timeout_s,
	const char *run_dir, pid_t *pid, int *pidfd) __attribute__((warn_unused_result));

/* A running hypervisor and its children, held by pidfds: none is mistaken for another. */
struct hypervisor_processes {
	pid_t pid;
	int pidfd; /* -1: no hypervisor holds the lock */
	int child_pidfds[HYPERVISOR_MAX_CHILDREN];
	unsigned int nr_children;
};

/* Finds whoever holds the lock of the runtime directory. Always succeeds; see pidfd. */
void hypervisor_find(const char *run_dir, struct hypervisor_processes *procs);
void hypervisor_release(struct hypervisor_processes *procs);

/* Waits until all of them have ended, at most timeout_ms. True when they have. */
bool hypervisor_wait(const struct hypervisor_processes *procs, int timeout_ms)
	__attribute__((warn_unused_result));

/* SIGKILL for those that still run, and a short wait. True when all have ended. */
bool hypervisor_kill(const struct hypervisor_processes *procs)
	__attribute__((warn_unused_result));

/* Removes sockets that an ended hypervisor left in its runtime directory. Their number. */
unsigned int hypervisor_clean(const char *run_dir);

/* When the process started, in seconds before now; -1 if that cannot be learned. */
double process_age_s(pid_t pid);

#endif
