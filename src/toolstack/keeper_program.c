/* SPDX-License-Identifier: MIT */
/* Starting and ending a domain's program. It is not trusted with anything but its two sockets. */
#include "toolstack/keeper_program.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "toolstack/environment.h"
#include "toolstack/user.h"

#define KILL_TIMEOUT_NS (5 * NSEC_PER_SEC)
#define KILL_POLL_NS (20 * NSEC_PER_MSEC)

/* What failed in the child, told through a pipe that closes with its exec. */
struct failure {
	int error;
	char what[32];
};

/* ---- in the child ---- */

/* `vcpus` of those that it may use; domains begin at different ones, so that they spread. */
static int set_cpus(const struct domain_config *config, unsigned int domid)
{
	cpu_set_t usable, chosen;
	unsigned int nr_usable, first, index = 0;

	if (!config->has_cpus && !config->nr_vcpus)
		return 0;
	if (sched_getaffinity(0, sizeof(usable), &usable) < 0)
		return -1;
	if (config->has_cpus)
		CPU_AND(&usable, &usable, &config->cpus);
	nr_usable = (unsigned int)CPU_COUNT(&usable);
	if (!config->nr_vcpus || config->nr_vcpus >= nr_usable)
		return sched_setaffinity(0, sizeof(usable), &usable);
	CPU_ZERO(&chosen);
	first = domid % nr_usable;
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &usable))
			continue;
		if ((index + nr_usable - first) % nr_usable < config->nr_vcpus)
			CPU_SET(cpu, &chosen);
		index++;
	}
	return sched_setaffinity(0, sizeof(chosen), &chosen);
}

/* Shared areas come on top of what is the domain's alone. */
static int set_memory(uint64_t bytes, const struct shm_maps *shm)
{
	const uint64_t all = bytes + shm_total(shm);
	const struct rlimit limit = {all, all};

	return bytes ? setrlimit(RLIMIT_AS, &limit) : 0;
}

static int wait_for_areas(const struct shm_maps *shm)
{
	int rc = shm->nr_maps ? inject_wait(shm->maps, shm->nr_maps) : 0;

	errno = -rc;
	return rc;
}

static int set_terminal(int tty_fd)
{
	if (setsid() < 0 || ioctl(tty_fd, TIOCSCTTY, 0) < 0)
		return -1;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (dup2(tty_fd, fd) < 0)
			return -1;
	}
	return 0;
}

static int set_user(const struct domain_config *config)
{
	const struct user user = {config->uid, config->gid, config->user};
	int rc;

	if (!config->has_user || geteuid() != 0)
		return 0;
	/* The terminal is the user's too: programs open it by its name. */
	if (fchown(STDIN_FILENO, config->uid, (gid_t)-1) < 0)
		return -1;
	rc = user_become(&user);
	errno = -rc;
	return rc ? -1 : 0;
}

static int set_sockets(const struct kept_domain *dom)
{
	char store[32], hypercall[32];
	static struct environment env; /* putenv keeps it */
	int rc;

	snprintf(hypercall, sizeof(hypercall), "/proc/self/fd/%d", dom->fds[0]);
	snprintf(store, sizeof(store), "/proc/self/fd/%d", dom->fds[1]);
	rc = environment_make(&env, store, hypercall);
	/* Not all that libraries have open is marked so. */
	if (rc == 0 && close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		rc = -errno;
	for (int i = 0; rc == 0 && i < ENVIRONMENT_NR; i++)
		rc = putenv(env.text[i]) ? -ENOMEM : 0;
	for (int i = 0; rc == 0 && i < 2; i++)
		rc = fcntl(dom->fds[i], F_SETFD, 0) < 0 ? -errno : 0;
	errno = -rc;
	return rc ? -1 : 0;
}

static void set_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Every step until the exec; returns the name of the one that failed, with errno. */
static const char *become(const struct domain_config *config, const struct kept_domain *dom,
	int tty_fd, pid_t parent)
{
	set_signals();
	if (set_terminal(tty_fd))
		return "the terminal";
	if (set_sockets(dom))
		return "the environment";
	if (set_cpus(config, dom->domid))
		return "cpus";
	if (set_user(config))
		return "uid";
	/* Changing the user clears it, and the keeper may have gone in between. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return "the keeper";
	if (set_memory(config->memory_bytes, &dom->shm))
		return "memory";
	if (wait_for_areas(&dom->shm))
		return "shared areas";
	execv(config->argv[0], config->argv);
	return config->argv[0];
}

static void __attribute__((noreturn)) run_child(const struct domain_config *config,
	const struct kept_domain *dom, int tty_fd, int failed_fd, pid_t parent)
{
	struct failure failure = {0};
	const char *what = become(config, dom, tty_fd, parent);

	failure.error = errno;
	snprintf(failure.what, sizeof(failure.what), "%s", what == config->argv[0] ? "" : what);
	if (write(failed_fd, &failure, sizeof(failure)) < 0)
		_exit(126);
	_exit(127);
}

/* ---- in the keeper ---- */

/*
 * Until the child is past its exec, which closes the pipe. 0, or -1 and what failed has been said.
 */
static int wait_for_exec(const struct domain_config *config, int failed_fd)
{
	struct failure failure;
	ssize_t n;

	do {
		n = read(failed_fd, &failure, sizeof(failure));
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	if (n == (ssize_t)sizeof(failure) && failure.what[0])
		fprintf(stderr, "ringfence: cannot set up %s: %s\n", failure.what,
			strerror(failure.error));
	else if (n == (ssize_t)sizeof(failure))
		fprintf(stderr, "ringfence: cannot run %s: %s\n", config->argv[0],
			strerror(failure.error));
	return -1;
}

/*
 * Puts the shared areas into the program as soon as there is one. As inject_at_exec; *pid becomes 0
 * when the child has been waited for.
 */
static int map_areas(const struct kept_domain *dom, pid_t *pid, char *error, size_t error_size)
{
	int status, rc;

	if (dom->shm.nr_maps == 0)
		return 0;
	rc = inject_at_exec(
		*pid, dom->shm.maps, dom->shm.nr_maps, &status, error, error_size);
	if (rc)
		*pid = 0;
	return rc;
}

/*
 * 0, or -1 and what failed has been said; or -EAGAIN and `error`: the areas have no room this time.
 */
static int wait_for_program(const struct domain_config *config, const struct kept_domain *dom,
	pid_t *pid, int failed_fd, char *error, size_t error_size)
{
	int rc = map_areas(dom, pid, error, error_size);

	if (rc == -EAGAIN)
		return rc;
	if (rc && rc != -ECHILD) {
		fprintf(stderr, "ringfence: %s\n", error);
		return -1;
	}
	if (wait_for_exec(config, failed_fd))
		return -1;
	if (rc)
		fprintf(stderr, "ringfence: the program was killed before it began\n");
	return rc ? -1 : 0;
}

static int start_once(const struct domain_config *config, const struct kept_domain *dom, int tty_fd,
	pid_t *pid, char *error, size_t error_size)
{
	pid_t parent = getpid();
	int failed[2], rc = -1;

	if (pipe2(failed, O_CLOEXEC) < 0) {
		fprintf(stderr, "ringfence: cannot make a pipe: %s\n", strerror(errno));
		return -1;
	}
	*pid = fork();
	if (*pid == 0)
		run_child(config, dom, tty_fd, failed[1], parent);
	close(failed[1]);
	if (*pid < 0)
		fprintf(stderr, "ringfence: cannot fork: %s\n", strerror(errno));
	else
		rc = wait_for_program(config, dom, pid, failed[0], error, error_size);
	close(failed[0]);
	if (rc)
		program_kill(*pid > 0 ? *pid : 0);
	return rc;
}

pid_t program_start(const struct domain_config *config, const struct kept_domain *dom, int tty_fd)
{
	char error[SHM_ERROR_SIZE];
	pid_t pid = -1;
	int rc = -EAGAIN;

	for (unsigned int i = 0; rc == -EAGAIN && i < INJECT_ATTEMPTS; i++)
		rc = start_once(config, dom, tty_fd, &pid, error, sizeof(error));
	if (rc == -EAGAIN)
		fprintf(stderr, "ringfence: %s\n", error);
	return rc ? -1 : pid;
}

/* ---- the end ---- */

/* Those that the kernel gave us when their parents ended, and the program itself. */
static void kill_children(void)
{
	char path[64];
	FILE *in;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	in = fopen(path, "re");
	if (!in)
		return;
	while (fscanf(in, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	fclose(in);
}

void program_kill(pid_t pid)
{
	const struct timespec pause = {.tv_nsec = KILL_POLL_NS};
	uint64_t deadline_ns = clock_ns() + KILL_TIMEOUT_NS;
	sigset_t child;
	pid_t ended = 0;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (pid)
		kill(pid, SIGKILL);
	/* Each that ends may leave us its own children. */
	while (ended >= 0 && clock_ns() < deadline_ns) {
		kill_children();
		ended = waitpid(-1, NULL, WNOHANG);
		if (ended == 0)
			sigtimedwait(&child, NULL, &pause);
	}
}
