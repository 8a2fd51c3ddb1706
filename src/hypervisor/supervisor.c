/* SPDX-License-Identifier: MIT */
/*
 * Starts driver domains as child processes and watches them by pidfd. A driver that ends
 * unasked loses its domain (its front ends see that) and is started again as a new one.
 */
#include "hypervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/hypercall.h"
#include "common/log.h"
#include "hypervisor/stats.h"

#define START_TIMEOUT_NS (10 * NSEC_PER_SEC)
#define STOP_TIMEOUT_NS (5 * NSEC_PER_SEC)
#define RESTART_DELAY_NS (100 * NSEC_PER_MSEC)
#define RESTARTS_MAX 5u
#define RESTART_WINDOW_NS (60 * NSEC_PER_SEC)

struct driver {
	struct list link;
	struct hypervisor *hv;
	char name[DOMAIN_NAME_MAX + 1];
	char **argv;
	struct domain *dom;	   /* NULL while it does not run */
	pid_t pid;		   /* 0 while it does not run */
	struct loop_source source; /* its pidfd */
	struct loop_timer timer;   /* start or stop takes too long; or: start it again */
	bool ready;	    /* this process */
	bool established;   /* one of its processes was; so it is started again when it ends */
	bool stopping, late; /* late: killed because it did not get ready */
	unsigned int nr_restarts;
	uint64_t window_start_ns;
	driver_started_fn *started;
	void *started_data;
	char *ended_stats; /* of its last process; NULL at first */
};

static int launch(struct driver *driver);

static void tell_waiter(struct driver *driver, int status, unsigned int domid, const char *text)
{
	driver_started_fn *started = driver->started;

	driver->started = NULL;
	if (started)
		started(driver->started_data, status, domid, text);
}

static void driver_free(struct driver *driver)
{
	loop_timer_cancel(&driver->timer);
	list_del(&driver->link);
	for (char **arg = driver->argv; arg && *arg; arg++)
		free(*arg);
	free(driver->argv);
	free(driver->ended_stats);
	free(driver);
}

static void describe_end(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "killed by signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "exit status %d", WEXITSTATUS(status));
}

/* Keeps the last figures, which vanish from xenstore with the domain. */
static void save_stats(struct driver *driver)
{
	size_t size;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	stats_print(driver->dom, out);
	if (fclose(out) == 0) {
		free(driver->ended_stats);
		driver->ended_stats = text;
	} else {
		free(text);
	}
}

static void restart(struct driver *driver)
{
	uint64_t now = clock_ns();

	if (now - driver->window_start_ns > RESTART_WINDOW_NS) {
		driver->window_start_ns = now;
		driver->nr_restarts = 0;
	}
	if (driver->nr_restarts == RESTARTS_MAX) {
		log_error("driver domain %s was restarted %u times within a minute, giving up",
			driver->name, driver->nr_restarts);
		return;
	}
	driver->nr_restarts++;
	loop_timer_set(&driver->hv->loop, &driver->timer,
		now + (RESTART_DELAY_NS << (driver->nr_restarts - 1)));
}

static void process_ended(struct loop_source *source, uint32_t events)
{
	struct driver *driver = container_of(source, struct driver, source);
	char text[256], how[96];
	int status;

	(void)events;
	if (waitpid(driver->pid, &status, WNOHANG) != driver->pid)
		return;
	loop_remove(&driver->hv->loop, &driver->source);
	close(driver->source.fd);
	loop_timer_cancel(&driver->timer);
	describe_end(status, how, sizeof(how));
	driver->pid = 0;
	driver->ready = false;
	save_stats(driver);
	domain_destroy(driver->dom);
	driver->dom = NULL;
	if (driver->stopping) {
		log_info("driver domain %s ended: %s", driver->name, how);
		return;
	}
	log_error("driver domain %s ended unexpectedly: %s", driver->name, how);
	if (driver->established) {
		restart(driver);
		return;
	}
	snprintf(text, sizeof(text), "%s %s: %s", driver->name,
		driver->late ? "did not get ready in time" : "ended before it was ready", how);
	tell_waiter(driver, driver->late ? -ETIMEDOUT : -ECHILD, 0, text);
	driver_free(driver);
}

static void timer_expired(struct loop_timer *timer)
{
	struct driver *driver = container_of(timer, struct driver, timer);
	int rc;

	if (driver->pid) {
		log_error("driver domain %s does not %s, killing it", driver->name,
			driver->stopping ? "end" : "get ready");
		driver->late = true;
		kill(driver->pid, SIGKILL);
		return;
	}
	rc = launch(driver);
	if (rc) {
		log_error("cannot start driver domain %s again: %s", driver->name, strerror(-rc));
		restart(driver);
	}
}

/* ---- starting a process ---- */

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

static int spawn(struct driver *driver)
{
	struct domain *dom = driver->dom;
	char own[3][PATH_MAX];
	char **env = make_env(driver->hv, dom, own);
	pid_t parent = getpid(), pid;
	int rc;

	if (!env)
		return -ENOMEM;
	pid = fork();
	if (pid == 0)
		exec_child(driver->argv, env, dom->hypercall_path_fd, dom->store_path_fd, parent);
	rc = pid < 0 ? -errno : 0;
	free(env);
	if (rc)
		return rc;
	driver->source = (struct loop_source){
		(int)syscall(SYS_pidfd_open, pid, 0), process_ended};
	rc = driver->source.fd < 0 ? -errno
				   : loop_add(&driver->hv->loop, &driver->source, EPOLLIN);
	if (rc) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (driver->source.fd >= 0)
			close(driver->source.fd);
		return rc;
	}
	driver->pid = dom->pid = pid;
	domain_handed_over(dom);
	return 0;
}

static int launch(struct driver *driver)
{
	int rc = domain_create(driver->hv, driver->name, DOMAIN_DRIVER, 0, &driver->dom);

	if (rc)
		return rc;
	rc = spawn(driver);
	if (rc) {
		domain_destroy(driver->dom);
		driver->dom = NULL;
		return rc;
	}
	loop_timer_set(&driver->hv->loop, &driver->timer, clock_ns() + START_TIMEOUT_NS);
	return 0;
}

static char **copy_argv(char *const *argv)
{
	size_t nr = 0;
	char **copy;

	while (argv[nr])
		nr++;
	copy = calloc(nr + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < nr; i++) {
		copy[i] = strdup(argv[i]);
		if (!copy[i]) {
			while (i-- > 0)
				free(copy[i]);
			free(copy);
			return NULL;
		}
	}
	return copy;
}

/* Its process has ended and will not be started again; only its last figures are left. */
static bool given_up(const struct driver *driver)
{
	return !driver->pid && list_empty(&driver->timer.link);
}

int driver_start(struct hypervisor *hv, const char *name, char *const *argv,
	driver_started_fn *started, void *data)
{
	struct driver *driver;
	int rc;

	list_for_each(driver, &hv->drivers, link) {
		if (strcmp(driver->name, name) != 0)
			continue;
		if (!given_up(driver))
			return -EEXIST;
		driver_free(driver);
		break;
	}
	if (!domain_name_valid(name))
		return -EINVAL;
	if (access(argv[0], X_OK) < 0)
		return -errno;
	driver = calloc(1, sizeof(*driver));
	if (!driver)
		return -ENOMEM;
	driver->hv = hv;
	snprintf(driver->name, sizeof(driver->name), "%s", name);
	loop_timer_init(&driver->timer, timer_expired);
	list_add_tail(&hv->drivers, &driver->link);
	driver->argv = copy_argv(argv);
	rc = driver->argv ? launch(driver) : -ENOMEM;
	if (rc) {
		driver_free(driver);
		return rc;
	}
	driver->started = started;
	driver->started_data = data;
	return 0;
}

void driver_forget_waiter(struct hypervisor *hv, void *data)
{
	struct driver *driver;

	list_for_each(driver, &hv->drivers, link) {
		if (driver->started_data == data) {
			driver->started = NULL;
			driver->started_data = NULL;
		}
	}
}

/* ---- readiness, activity, stopping ---- */

/* Called at every write to the store, so it looks at the drivers only for the two nodes it wants. */
void supervisor_store_changed(struct hypervisor *hv, const char *path)
{
	const char *node = strstr(path, "/data/");
	char ready[64], activity[64];
	struct driver *driver;

	if (!node || (strcmp(node, "/data/ready") != 0 && strcmp(node, "/data/activity") != 0))
		return;
	list_for_each(driver, &hv->drivers, link) {
		if (!driver->dom)
			continue;
		snprintf(ready, sizeof(ready), "/local/domain/%u/data/ready", driver->dom->id);
		snprintf(activity, sizeof(activity), "/local/domain/%u/data/activity", driver->dom->id);
		if (strcmp(path, activity) == 0)
			hv->last_activity_ns = clock_ns();
		if (strcmp(path, ready) == 0 && !driver->ready && !driver->stopping) {
			driver->ready = driver->established = true;
			loop_timer_cancel(&driver->timer);
			log_info("driver domain %s is ready", driver->name);
			tell_waiter(driver, 0, driver->dom->id, NULL);
		}
	}
}

void drivers_stop(struct hypervisor *hv)
{
	struct driver *driver;

	list_for_each(driver, &hv->drivers, link) {
		loop_timer_cancel(&driver->timer);
		driver->stopping = true;
		if (!driver->pid)
			continue;
		kill(driver->pid, SIGTERM);
		loop_timer_set(&hv->loop, &driver->timer, clock_ns() + STOP_TIMEOUT_NS);
	}
}

bool drivers_stopped(const struct hypervisor *hv)
{
	struct driver *driver;

	list_for_each(driver, &hv->drivers, link) {
		if (driver->pid)
			return false;
	}
	return true;
}

void drivers_print_stats(struct hypervisor *hv, FILE *out)
{
	struct driver *driver;

	list_for_each(driver, &hv->drivers, link) {
		if (driver->dom)
			stats_print(driver->dom, out);
		else if (driver->ended_stats)
			fputs(driver->ended_stats, out);
	}
}

void drivers_fini(struct hypervisor *hv)
{
	struct driver *driver, *tmp;

	list_for_each_safe(driver, tmp, &hv->drivers, link) {
		if (driver->pid) {
			kill(driver->pid, SIGKILL);
			waitpid(driver->pid, NULL, 0);
			loop_remove(&hv->loop, &driver->source);
			close(driver->source.fd);
		}
		if (driver->dom)
			domain_destroy(driver->dom);
		driver_free(driver);
	}
}
