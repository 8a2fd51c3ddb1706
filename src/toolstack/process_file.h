/* SPDX-License-Identifier: MIT */
/* Files of /proc/PID. */
#ifndef RF_TOOLSTACK_PROCESS_FILE_H
#define RF_TOOLSTACK_PROCESS_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Opened for reading, or NULL. */
FILE *process_file(pid_t pid, const char *name);

/* Some of proc(5)'s stat. */
struct process_stat {
	char state;
	pid_t parent;
	uint64_t cpu_ticks; /* utime, stime, cutime, cstime */
	uint64_t pages;	    /* rss */
};

/* False if the process is gone. */
bool process_read_stat(pid_t pid, struct process_stat *stat);

/* True if no thread of it can run: all are stopped, traced and stopped, or have ended. */
bool process_is_stopped(pid_t pid);

#endif
