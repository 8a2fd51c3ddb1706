/* SPDX-License-Identifier: MIT */
/* The process of a driver domain: what it inherits, and what not. Main thread only. */
#include "hypervisor/driver_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/hypercall.h"

/* In the child: becomes the domain and the program. Only async-signal-safe calls. */
static void __attribute__((noreturn)) exec_child(
	char *const *argv, char *const *env, int hypercall_fd, int store_fd, pid_t parent)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	/* What we were started with is not for driver domains; kernels before 5.11 cannot help. */
	(void)close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent && fcntl(hypercall_fd, F_SETFD, 0) == 0 &&
		fcntl(store_fd, F_SETFD, 0) == 0)
		execve(argv[0], argv, env);
	_exit(127);
}

/* This process's environment with the domain's own settings in front; freed by one free(). */
static char **make_env(const struct hypervisor *hv, const struct domain *dom, char (*own)[PATH_MAX])
{
	static const char *const replaced[] = {
		"XENSTORED_PATH=", HYPERCALL_ENV "=", "LD_LIBRARY_PATH="};
	size_t nr = 0, used = 3;
	char **env;

	while (environ[nr])
		nr++;
	env = calloc(nr + 4, sizeof(*env));
	if (!env)
		return NULL;
	snprintf(own[0], PATH_MAX, "XENSTORED_PATH=/proc/self/fd/%d", dom->store_path_fd);
	snprintf(own[1], PATH_MAX, HYPERCALL_ENV "=/proc/self/fd/%d", dom->hypercall_path_fd);
	snprintf(own[2], PATH_MAX, "LD_LIBRARY_PATH=%.4000s", hv->lib_dir);
	for (size_t i = 0; i < 3; i++)
		env[i] = own[i];
	for (size_t i = 0; i < nr; i++) {
		bool skip = false;

		for (size_t r = 0; r < 3; r++)
			skip |= strncmp(environ[i], replaced[r], strlen(replaced[r])) == 0;
		if (!skip)
			env[used++] = environ[i];
	}
	return env;
}

int driver_process_start(const struct domain *dom, char *const *argv, pid_t *pid)
{
	char own[3][PATH_MAX];
	char **env = make_env(dom->hv, dom, own);
	pid_t parent = getpid();
	int rc;

	if (!env)
		return -ENOMEM;
	*pid = fork();
	if (*pid == 0)
		exec_child(argv, env, dom->hypercall_path_fd, dom->store_path_fd, parent);
	rc = *pid < 0 ? -errno : 0;
	free(env);
	return rc;
}
