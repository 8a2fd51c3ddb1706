/* SPDX-License-Identifier: MIT */
/*
 * Starting the hypervisor; see service_hypervisor.h. It is our own program, so it is trusted, but
 * it may fail to start, and a wait for it has a bound.
 */
#include "service/service_hypervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "service/common_program.h"
#include "service/service.h"

#define START_TIMEOUT_MS 15000
#define START_POLL_MS 10

static int find_program(const char *dir, const char *name, char *path)
{
	if (snprintf(path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX) {
		complain("the path of %s is too long", name);
		return -1;
	}
	if (access(path, X_OK) == 0)
		return 0;
	complain("cannot run %s: %s; is everything built (make)?", path, strerror(errno));
	return -1;
}

int hypervisor_find_programs(struct hypervisor_programs *programs)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (len <= 0) {
		complain("cannot find my own executable: %s", strerror(errno));
		return -1;
	}
	self[len] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	if (find_program(self, "ringfenced", programs->hypervisor))
		return -1;
	return find_program(self, SERVICE_DRIVER, programs->driver);
}

/* In the child: becomes the hypervisor. */
static void exec_hypervisor(const struct hypervisor_programs *programs, uint64_t idle_timeout_s,
	const char *run_dir, bool daemon, pid_t parent)
{
	char idle[32];
	const char *const argv[] = {programs->hypervisor, "--idle-timeout", idle,
		daemon ? "--daemon" : NULL, NULL};
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(idle, sizeof(idle), "%" PRIu64, idle_timeout_s);
	if (null_fd >= 0) {
		/* stdout carries our own result line only, and may be a pipe that someone reads
		 * to its end. */
		dup2(null_fd, STDIN_FILENO);
		dup2(null_fd, STDOUT_FILENO);
	}
	/* It may live long: it shall hold neither our folder nor what our caller had open. */
	close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	if (setenv("RINGFENCE_RUN", run_dir, 1) < 0 || chdir("/") < 0)
		_exit(127);
	if (!daemon) {
		/* A terminal's Ctrl-C is for us; we end the hypervisor in order. */
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(EXIT_FAILED);
	}
	execv(programs->hypervisor, (char *const *)argv);
	complain("cannot run %s: %s", programs->hypervisor, strerror(errno));
	_exit(127);
}

/* Its pid, and in *pidfd a descriptor that becomes readable at its end; -1 after a message. */
static pid_t spawn_hypervisor(const struct hypervisor_programs *programs, uint64_t idle_timeout_s,
	const char *run_dir, bool daemon, int *pidfd)
{
	pid_t self = getpid(), pid = fork();

	if (pid < 0) {
		complain("cannot start a process: %s", strerror(errno));
		return -1;
	}
	if (pid == 0)
		exec_hypervisor(programs, idle_timeout_s, run_dir, daemon, self);
	*pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (*pidfd >= 0)
		return pid;
	complain("cannot watch a process: %s; needs Linux 5.3 or later", strerror(errno));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return -1;
}

/* Reaps the starter and translates its status as hypervisor_start_daemon has it. */
static int judge_start(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid) {
		complain("lost the hypervisor's process: %s", strerror(errno));
		return -1;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == HYPERVISOR_ALREADY_RUNS)
		return HYPERVISOR_ALREADY_RUNS;
	if (WIFEXITED(status))
		complain("the hypervisor did not start (status %d)", WEXITSTATUS(status));
	else
		complain("the hypervisor did not start (%s)", strsignal(WTERMSIG(status)));
	return -1;
}

int hypervisor_start_daemon(const struct hypervisor_programs *programs, uint64_t idle_timeout_s,
	const char *run_dir)
{
	struct pollfd pfd = {.events = POLLIN};
	pid_t pid = spawn_hypervisor(programs, idle_timeout_s, run_dir, true, &pfd.fd);
	int n;

	if (pid < 0)
		return -1;
	n = poll(&pfd, 1, START_TIMEOUT_MS);
	close(pfd.fd);
	if (n == 1)
		return judge_start(pid);
	complain("the hypervisor was not ready within %d s; giving up", START_TIMEOUT_MS / 1000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return -1;
}

int hypervisor_start_child(const struct hypervisor_programs *programs, uint64_t idle_timeout_s,
	const char *run_dir, pid_t *pid, int *pidfd)
{
	uint64_t deadline_ns = clock_ns() + START_TIMEOUT_MS * NSEC_PER_MSEC;
	struct pollfd pfd = {.events = POLLIN};
	int fd, rc;

	*pid = spawn_hypervisor(programs, idle_timeout_s, run_dir, false, &pfd.fd);
	if (*pid < 0)
		return -1;
	while (clock_ns() < deadline_ns) {
		if (poll(&pfd, 1, START_POLL_MS) == 1) {
			close(pfd.fd);
			rc = judge_start(*pid);
			if (rc == 0)
				complain("the hypervisor ended at once");
			return rc ? rc : -1;
		}
		fd = control_connect(run_dir);
		if (fd >= 0) {
			close(fd);
			*pidfd = pfd.fd;
			return 0;
		}
	}
	complain("the hypervisor was not ready within %d s; giving up", START_TIMEOUT_MS / 1000);
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	close(pfd.fd);
	return -1;
}
