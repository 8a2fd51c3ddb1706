/* SPDX-License-Identifier: MIT */
/*
 * service start: checks the image, starts the hypervisor, lets it start the driver domain and
 * define the disk. Whatever fails, what was started before is ended again.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/control.h"
#include "common/rundir.h"
#include "service/common_program.h"
#include "service/service.h"
#include "service/service_hypervisor.h"
#include "service/service_image.h"
#include "service/service_session.h"
#include "service/service_stats.h"

struct startup {
	const struct service_options *options;
	struct hypervisor_programs programs;
	struct service_image image;
	uint64_t cache_bytes;
	pid_t child; /* in the foreground, otherwise -1 */
	int child_pidfd;
};

static int complain_already_runs(const char *run_dir)
{
	char image[PATH_MAX];
	int fd = control_connect(run_dir);

	image[0] = '\0';
	if (fd >= 0) {
		session_get_image(fd, SESSION_TIMEOUT_MS, image, sizeof(image));
		close(fd);
	}
	complain("already running in %s, serving %s; stop it with: service stop", run_dir,
		image[0] ? image : "no disk yet");
	return EXIT_FAILED;
}

/* The driver domain and its disk. */
static int set_up(const struct startup *s, int control_fd)
{
	char program[PATH_MAX + 16], cache[64], image[PATH_MAX + 16], target[PATH_MAX + 16];
	/* It keeps the image open, so that the cache outlives the clients. */
	const char *const driver[] = {"name=" SERVICE_DRIVER, program, cache,
		"arg=--cache-block=512", image, NULL};
	const char *const disk[] = {"name=" SERVICE_DISK, target, "mode=r",
		"backend=" SERVICE_DRIVER, NULL};
	int rc;

	snprintf(program, sizeof(program), "program=%s", s->programs.driver);
	snprintf(cache, sizeof(cache), "arg=--cache=%" PRIu64, s->cache_bytes);
	snprintf(image, sizeof(image), "arg=--image=%s", s->image.path);
	snprintf(target, sizeof(target), "target=%s", s->image.path);
	rc = session_call(control_fd, NULL, "driver-start", driver);
	return rc ? rc : session_call(control_fd, NULL, "disk-define", disk);
}

/* In the foreground the log has just been on the user's screen. */
static void point_to_log(const struct startup *s)
{
	if (!s->options->foreground)
		complain("the log is %s/ringfenced.log", s->options->run_dir);
}

static int start_hypervisor(struct startup *s)
{
	const struct service_options *options = s->options;

	if (options->foreground)
		return hypervisor_start_child(&s->programs, options->idle_timeout_s,
			options->run_dir, &s->child, &s->child_pidfd);
	return hypervisor_start_daemon(&s->programs, options->idle_timeout_s, options->run_dir);
}

/* Reaps the child of the foreground, if there is one, which has ended. */
static void reap_child(struct startup *s)
{
	if (s->child < 0)
		return;
	waitpid(s->child, NULL, 0);
	close(s->child_pidfd);
	s->child = -1;
}

/*
 * Stays until the hypervisor ends by itself (nobody used it, or something ended it), or a signal
 * asks for the end. Signals were blocked before the start.
 */
static int stay_in_foreground(struct startup *s, int signal_fd)
{
	struct pollfd fds[] = {
		{.fd = s->child_pidfd, .events = POLLIN},
		{.fd = signal_fd, .events = POLLIN},
	};
	int status;

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	if (fds[1].revents && !fds[0].revents) {
		status = service_stop(s->options);
		reap_child(s);
		return status;
	}
	if (waitpid(s->child, &status, 0) == s->child && WIFEXITED(status) &&
		WEXITSTATUS(status) == 0) {
		complain("ended, after %" PRIu64 " s without a request or by `service stop`",
			s->options->idle_timeout_s);
		status = EXIT_OK;
	} else {
		complain("the hypervisor has ended unexpectedly");
		status = EXIT_FAILED;
	}
	close(s->child_pidfd);
	s->child = -1;
	return status;
}

static int open_signals(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	return signalfd(-1, &mask, SFD_CLOEXEC);
}

static void announce(const struct startup *s)
{
	printf("service: serving %s (%" PRIu64 " sectors, cache %" PRIu64 " bytes) in %s\n",
		s->image.path, s->image.nr_sectors, s->cache_bytes, s->options->run_dir);
	fflush(stdout);
}

/* Everything from the first process on. */
static int bring_up(struct startup *s)
{
	const char *run_dir = s->options->run_dir;
	int control_fd, rc = start_hypervisor(s);

	if (rc == HYPERVISOR_ALREADY_RUNS)
		return complain_already_runs(run_dir);
	if (rc) {
		point_to_log(s);
		return EXIT_FAILED;
	}
	control_fd = control_connect(run_dir);
	if (control_fd < 0) {
		complain("cannot reach the hypervisor that was just started: %s",
			strerror(-control_fd));
	} else {
		rc = set_up(s, control_fd);
		close(control_fd);
		if (rc == 0) {
			announce(s);
			return EXIT_OK;
		}
	}
	point_to_log(s);
	if (session_end(run_dir, (int)s->options->stop_timeout_s * 1000, NULL) < 0)
		complain("what was started could not be ended in order");
	reap_child(s);
	return EXIT_FAILED;
}

int service_start(const struct service_options *options)
{
	struct startup s = {.options = options, .child = -1};
	int signal_fd = -1, status;

	if (hypervisor_find_programs(&s.programs) ||
		service_image_check(options->image, &s.image) ||
		service_image_cache(&s.image, options->cache_given ? &options->cache_bytes : NULL,
			&s.cache_bytes))
		return EXIT_FAILED;
	if (options->foreground) {
		signal_fd = open_signals();
		if (signal_fd < 0) {
			complain("cannot wait for signals: %s", strerror(errno));
			return EXIT_FAILED;
		}
	}
	status = bring_up(&s);
	if (status == EXIT_OK && options->foreground)
		status = stay_in_foreground(&s, signal_fd);
	if (signal_fd >= 0)
		close(signal_fd);
	return status;
}
