/* SPDX-License-Identifier: MIT */
/*
 * Stopping and continuing a domain's processes. A running process can start others at any time, so
 * they are looked at again and again until all have stopped: then no more can appear.
 */
#include "toolstack/processes.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "toolstack/process_file.h"

#define LOOK_AGAIN_NS 1000000L

/*
 * Signals a process that was found below its parent, not one that has its number since: the
 * descriptor is of one process, and the parent is looked at through the number afterwards.
 */
static int send_signal(const struct process *process, int signal)
{
	int fd = (int)syscall(SYS_pidfd_open, process->pid, 0), rc = 0;
	struct process_stat stat;

	if (fd < 0)
		return errno == ESRCH ? 0 : -errno;
	if (process_read_stat(process->pid, &stat) &&
		(!process->parent || stat.parent == process->parent) &&
		syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0 && errno != ESRCH)
		rc = -errno;
	close(fd);
	return rc;
}

/* One look at all of them. 0 all have stopped, -EAGAIN some still have to, or why one cannot be. */
static int stop_once(const struct domain_line *dom)
{
	struct processes processes;
	int rc = processes_init(&processes, dom), one;

	for (unsigned int i = 0; i < processes.nr; i++) {
		if (process_is_stopped(processes.all[i].pid))
			continue;
		one = send_signal(&processes.all[i], SIGSTOP);
		if (rc == 0 || rc == -EAGAIN)
			rc = one ? one : -EAGAIN;
	}
	processes_fini(&processes);
	return rc;
}

int domain_stop(const struct domain_line *dom, unsigned int timeout_ms)
{
	const struct timespec pause = {.tv_nsec = LOOK_AGAIN_NS};
	uint64_t deadline_ns = clock_ns() + timeout_ms * NSEC_PER_MSEC;
	int rc;

	/* One that cannot be stopped does not save the others. */
	while ((rc = stop_once(dom)) != 0) {
		if (clock_ns() >= deadline_ns)
			return rc == -EAGAIN ? -ETIMEDOUT : rc;
		nanosleep(&pause, NULL);
	}
	return 0;
}

int domain_continue(const struct domain_line *dom)
{
	struct processes processes;
	int rc = processes_init(&processes, dom);

	/* Stopped ones start no others, and those of an unfinished pause run anyway. */
	for (unsigned int i = 0; rc == 0 && i < processes.nr; i++)
		rc = send_signal(&processes.all[i], SIGCONT);
	processes_fini(&processes);
	return rc;
}
