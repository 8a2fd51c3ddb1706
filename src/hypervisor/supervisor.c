/* SPDX-License-Identifier: MIT */
/*
 * Starts driver domains as child processes and watches them by pidfd. A driver that ends
 * unasked loses its domain (its front ends see that) and is started again as a new one.
 */
#include "hypervisor/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "hypervisor/driver_process.h"
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
	bool again;	     /* stopping: only to be started again */
	unsigned int nr_restarts;
	uint64_t window_start_ns;
	driver_started_fn *started;
	void *started_data;
	char *ended_stats; /* of its last process; NULL at first */
};

static int launch(struct driver *driver);

/* ---- records ---- */

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

static struct driver *find_driver(struct hypervisor *hv, const char *name)
{
	struct driver *driver;

	list_for_each(driver, &hv->drivers, link) {
		if (strcmp(driver->name, name) == 0)
			return driver;
	}
	return NULL;
}

/* Its process has ended and will not be started again; only its last figures are left. */
static bool given_up(const struct driver *driver)
{
	return !driver->pid && list_empty(&driver->timer.link);
}

bool driver_name_is_taken(struct hypervisor *hv, const char *name, const struct domain *except)
{
	struct driver *driver = find_driver(hv, name);

	return driver && !given_up(driver) && (!except || driver->dom != except);
}

void driver_renamed(struct hypervisor *hv, const struct domain *dom)
{
	struct driver *driver, *ended = find_driver(hv, dom->name);

	/* The figures of an ended one go, as when one of this name is started. */
	if (ended)
		driver_free(ended);
	list_for_each(driver, &hv->drivers, link) {
		if (driver->dom == dom)
			snprintf(driver->name, sizeof(driver->name), "%s", dom->name);
	}
}

/* ---- the end of a process ---- */

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

/* Its process was ended for that. */
static void launch_again(struct driver *driver)
{
	char text[256];
	int rc;

	driver->stopping = driver->again = false;
	rc = launch(driver);
	if (rc == 0)
		return;
	snprintf(text, sizeof(text), "cannot start driver domain %s again: %s", driver->name,
		strerror(-rc));
	tell_waiter(driver, rc, 0, text);
	restart(driver);
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
		if (driver->again)
			launch_again(driver);
		else
			tell_waiter(driver, 0, 0, NULL);
		return;
	}
	log_error("driver domain %s ended unexpectedly: %s", driver->name, how);
	snprintf(text, sizeof(text), "%s %s: %s", driver->name,
		driver->late ? "did not get ready in time" : "ended before it was ready", how);
	tell_waiter(driver, driver->late ? -ETIMEDOUT : -ECHILD, 0, text);
	if (driver->established)
		restart(driver);
	else
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

/* ---- starting ---- */

static int spawn(struct driver *driver)
{
	struct domain *dom = driver->dom;
	pid_t pid;
	int rc = driver_process_start(dom, driver->argv, &pid);

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

	driver->late = false;
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

int driver_start(struct hypervisor *hv, const char *name, char *const *argv,
	driver_started_fn *started, void *data)
{
	struct driver *driver;
	int rc;

	if (driver_name_is_taken(hv, name, NULL))
		return -EEXIST;
	if (!domain_name_valid(name))
		return -EINVAL;
	if (access(argv[0], X_OK) < 0)
		return -errno;
	/* The figures of one that has ended for good. */
	driver = find_driver(hv, name);
	if (driver)
		driver_free(driver);
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

/* Its process is to end. A paused one would not even get the signal. */
static void end_process(struct driver *driver, int signal)
{
	loop_timer_cancel(&driver->timer);
	driver->stopping = true;
	driver->again = false;
	if (!driver->pid)
		return;
	kill(driver->pid, signal);
	kill(driver->pid, SIGCONT);
	loop_timer_set(&driver->hv->loop, &driver->timer, clock_ns() + STOP_TIMEOUT_NS);
}

/* Xen's protocol for asking a domain to end, which for a guest is its keeper's to carry out. */
static void shutdown_asked(struct driver *driver, const char *value)
{
	bool again = value && strcmp(value, "reboot") == 0;

	if (driver->stopping || !driver->pid || !value ||
		(!again && strcmp(value, "poweroff") != 0 && strcmp(value, "halt") != 0))
		return;
	log_info("driver domain %s is asked to %s", driver->name, value);
	end_process(driver, SIGTERM);
	driver->again = again;
}

static void node_changed(struct driver *driver, const char *path, const char *node)
{
	struct hypervisor *hv = driver->hv;

	if (strcmp(node, "control/shutdown") == 0)
		shutdown_asked(driver, store_read(hv->store, path, NULL));
	else if (strcmp(node, "data/activity") == 0)
		hv->last_activity_ns = clock_ns();
	else if (!driver->ready && !driver->stopping) {
		driver->ready = driver->established = true;
		loop_timer_cancel(&driver->timer);
		log_info("driver domain %s is ready", driver->name);
		tell_waiter(driver, 0, driver->dom->id, NULL);
	}
}

static bool is_of_interest(const char *node)
{
	return strcmp(node, "data/ready") == 0 || strcmp(node, "data/activity") == 0 ||
		strcmp(node, "control/shutdown") == 0;
}

/* Called at every write to the store, so it looks at the drivers only for the nodes that it wants. */
void supervisor_store_changed(struct hypervisor *hv, const char *path)
{
	unsigned int domid;
	int len = 0;
	struct driver *driver;

	if (sscanf(path, "/local/domain/%u/%n", &domid, &len) != 1 || len == 0 ||
		!is_of_interest(path + len))
		return;
	list_for_each(driver, &hv->drivers, link) {
		if (driver->dom && driver->dom->id == domid) {
			node_changed(driver, path, path + len);
			return;
		}
	}
}

int driver_stop(struct hypervisor *hv, const char *name, bool at_once, driver_started_fn *ended,
	void *data)
{
	struct driver *driver = find_driver(hv, name);

	if (!driver)
		return -ENOENT;
	if (driver->started)
		return -EBUSY;
	end_process(driver, at_once ? SIGKILL : SIGTERM);
	driver->started = ended;
	driver->started_data = data;
	if (!driver->pid)
		tell_waiter(driver, 0, 0, NULL);
	return 0;
}

int driver_restart(
	struct hypervisor *hv, const char *name, driver_started_fn *started, void *data)
{
	struct driver *driver = find_driver(hv, name);

	if (!driver)
		return -ENOENT;
	if (driver->started)
		return -EBUSY;
	/* Whoever asks has looked at why it ended so often. */
	driver->nr_restarts = 0;
	driver->started = started;
	driver->started_data = data;
	end_process(driver, SIGTERM);
	if (driver->pid)
		driver->again = true;
	else
		launch_again(driver);
	return 0;
}

void drivers_stop(struct hypervisor *hv)
{
	struct driver *driver;

	list_for_each(driver, &hv->drivers, link) {
		/* Who waits for one to start is told by the end of the connection. */
		if (!driver->stopping || driver->again)
			driver->started = NULL;
		end_process(driver, SIGTERM);
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
