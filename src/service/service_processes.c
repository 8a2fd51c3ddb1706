/* SPDX-License-Identifier: MIT */
/*
 * Finding and ending the hypervisor without its help; see service_hypervisor.h. Used when its
 * socket does not answer, so nothing here depends on a working one: the lock file names the
 * process, /proc names its children, and pidfds keep hold of both.
 */
#include "service/service_hypervisor.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define KILL_TIMEOUT_MS 5000

/* Reads a small file as text. Its length or -1. */
static ssize_t slurp(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

/* The fields of /proc/PID/stat from the third (the state) on: the second may contain anything. */
static const char *read_stat(pid_t pid, char *buf, size_t size)
{
	char path[64];
	char *paren;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	if (slurp(path, buf, size) <= 0)
		return NULL;
	paren = strrchr(buf, ')');
	return paren ? paren + 2 : NULL;
}

static pid_t parent_of(pid_t pid)
{
	char buf[1024];
	const char *fields = read_stat(pid, buf, sizeof(buf));
	long parent;

	return fields && sscanf(fields, "%*c %ld", &parent) == 1 ? (pid_t)parent : -1;
}

double process_age_s(pid_t pid)
{
	char buf[1024];
	const char *fields = read_stat(pid, buf, sizeof(buf));
	unsigned long long start_ticks;
	struct timespec now;

	if (!fields ||
		sscanf(fields,
			"%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
			"%*d %llu",
			&start_ticks) != 1)
		return -1;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9 -
	       (double)start_ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Whether a word of its command line is the hypervisor; it may run under valgrind. */
static bool is_hypervisor(pid_t pid)
{
	char path[64], buf[4096];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long)pid);
	len = slurp(path, buf, sizeof(buf));
	for (const char *p = buf; len > 0 && p < buf + len; p += strlen(p) + 1) {
		const char *slash = strrchr(p, '/');

		if (strcmp(slash ? slash + 1 : p, "ringfenced") == 0)
			return true;
	}
	return false;
}

/* The process that holds the lock, or -1. The file is believed only if it is ours. */
static pid_t lock_holder(const char *run_dir)
{
	char path[PATH_MAX + 8], text[32];
	struct stat st;
	pid_t pid = -1;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/lock", run_dir);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
		goto close;
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		goto close; /* nobody holds it: whatever it says is stale */
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (n > 0) {
		text[n] = '\0';
		pid = (pid_t)atol(text);
	}
	if (pid <= 1 || !is_hypervisor(pid))
		pid = -1;
close:
	close(fd);
	return pid;
}

static void find_children(struct hypervisor_processes *procs)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	pid_t pid;
	int fd;

	if (!dir)
		return;
	while ((entry = readdir(dir)) && procs->nr_children < HYPERVISOR_MAX_CHILDREN) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		pid = (pid_t)atol(entry->d_name);
		if (parent_of(pid) != procs->pid)
			continue;
		fd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (fd < 0)
			continue;
		/* Asked again now that the pid cannot become another process's. */
		if (parent_of(pid) == procs->pid)
			procs->child_pidfds[procs->nr_children++] = fd;
		else
			close(fd);
	}
	closedir(dir);
}

void hypervisor_find(const char *run_dir, struct hypervisor_processes *procs)
{
	procs->nr_children = 0;
	procs->pidfd = -1;
	procs->pid = lock_holder(run_dir);
	if (procs->pid < 0)
		return;
	procs->pidfd = (int)syscall(SYS_pidfd_open, procs->pid, 0);
	if (procs->pidfd >= 0)
		find_children(procs);
}

void hypervisor_release(struct hypervisor_processes *procs)
{
	for (unsigned int i = 0; i < procs->nr_children; i++)
		close(procs->child_pidfds[i]);
	procs->nr_children = 0;
	if (procs->pidfd >= 0)
		close(procs->pidfd);
	procs->pidfd = -1;
}

static bool wait_one(int pidfd, uint64_t deadline_ns)
{
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	uint64_t now = clock_ns();
	int timeout_ms = now < deadline_ns ? (int)((deadline_ns - now) / NSEC_PER_MSEC) + 1 : 0;

	return pidfd < 0 || poll(&pfd, 1, timeout_ms) == 1;
}

bool hypervisor_wait(const struct hypervisor_processes *procs, int timeout_ms)
{
	uint64_t deadline_ns = clock_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	bool ended = wait_one(procs->pidfd, deadline_ns);

	for (unsigned int i = 0; i < procs->nr_children; i++)
		ended = wait_one(procs->child_pidfds[i], deadline_ns) && ended;
	return ended;
}

bool hypervisor_kill(const struct hypervisor_processes *procs)
{
	if (procs->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, procs->pidfd, SIGKILL, NULL, 0);
	for (unsigned int i = 0; i < procs->nr_children; i++)
		syscall(SYS_pidfd_send_signal, procs->child_pidfds[i], SIGKILL, NULL, 0);
	return hypervisor_wait(procs, KILL_TIMEOUT_MS);
}

unsigned int hypervisor_clean(const char *run_dir)
{
	static const char *const sockets[] = {"control", "hypercall", "xenstored/socket"};
	int dir_fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int lock_fd = dir_fd < 0 ? -1 : openat(dir_fd, "lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	unsigned int nr = 0;
	struct stat st;

	/* Under the lock: a hypervisor that starts just now keeps its new sockets. */
	if (lock_fd >= 0 && fstat(lock_fd, &st) == 0 && st.st_uid == geteuid() &&
		flock(lock_fd, LOCK_EX | LOCK_NB) == 0) {
		for (unsigned int i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++)
			nr += fstatat(dir_fd, sockets[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			      S_ISSOCK(st.st_mode) && unlinkat(dir_fd, sockets[i], 0) == 0;
	}
	if (lock_fd >= 0)
		close(lock_fd);
	if (dir_fd >= 0)
		close(dir_fd);
	return nr;
}
