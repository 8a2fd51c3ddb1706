/* SPDX-License-Identifier: MIT */
/*
 * The keeper's process. One life of its domain is: made, watched until it ends, given back; a restart
 * is another life, in a new domain of the same name.
 */
#include "toolstack/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/rundir.h"
#include "toolstack/keeper_console.h"
#include "toolstack/keeper_domain.h"
#include "toolstack/keeper_program.h"

#define REPORT_FD 3
#define RESTARTS_MAX 5u
#define RESTART_WINDOW_NS (60 * NSEC_PER_SEC)
#define RESTART_DELAY_NS (100 * NSEC_PER_MSEC)

struct report {
	int status; /* exit status of `create` */
	unsigned int domid;
};

/* How a life ended. */
enum life_end { LIFE_DESTROYED, LIFE_POWEROFF, LIFE_REBOOT, LIFE_CRASH };

struct keeper {
	struct domain_config config; /* a copy, but for what it points to; its name may change */
	struct kept_domain dom;
	struct keeper_console console;
	bool has_console;
	int signal_fd;
	pid_t pid;	 /* of the program; 0: it has ended */
	int wait_status; /* then: how */
	enum shutdown_request shutdown;
	uint64_t kill_ns; /* it was asked to end: when it will be killed */
	bool told_to_end; /* the keeper itself was asked to: SIGTERM */
	unsigned int nr_restarts;
	uint64_t window_start_ns;
};

enum { POLL_CONTROL, POLL_SIGNAL, POLL_STORE, POLL_CONSOLE };
#define NR_POLLFDS (POLL_CONSOLE + CONSOLE_POLLFDS)

/* ---- one life ---- */

static int open_console(struct keeper *keeper)
{
	char run_dir[PATH_MAX];
	int rc = rundir_path(run_dir, sizeof(run_dir));

	if (rc == 0 && !keeper->has_console)
		rc = console_open(&keeper->console, run_dir, keeper->config.name);
	if (rc == 0) {
		keeper->has_console = true;
		rc = console_new_terminal(&keeper->console);
	}
	if (rc)
		fprintf(stderr, "ringfence: cannot make a console: %s\n", strerror(-rc));
	return rc;
}

static void end_life(struct keeper *keeper)
{
	program_kill(keeper->pid);
	keeper->pid = 0;
	console_end_terminal(&keeper->console);
	/* It may have been renamed: so it is called in its next life. */
	kept_domain_read_name(&keeper->dom, keeper->config.name);
	kept_domain_leave(&keeper->dom);
}

/* 0 or the exit status; then nothing is left of it. */
static int begin_life(struct keeper *keeper)
{
	int status = kept_domain_make(
		&keeper->dom, &keeper->config, keeper->nr_restarts > 0);
	pid_t pid = -1;

	if (status)
		return status;
	keeper->shutdown = SHUTDOWN_NONE;
	/* Only now the name is ours, and with it the log. */
	if (open_console(keeper) == 0)
		pid = program_start(&keeper->config, &keeper->dom, keeper->console.tty_fd);
	keeper->pid = pid > 0 ? pid : 0;
	kept_domain_handed_over(&keeper->dom);
	if (pid > 0)
		return 0;
	end_life(keeper);
	return 1;
}

/* Asks the program to end, as the toolstack or the keeper's own user wants it. */
static void request_end(struct keeper *keeper, enum shutdown_request request)
{
	if (request == SHUTDOWN_NONE || keeper->shutdown != SHUTDOWN_NONE || !keeper->pid)
		return;
	keeper->shutdown = request;
	keeper->kill_ns = clock_ns() + keeper->config.shutdown_timeout_s * NSEC_PER_SEC;
	kill(keeper->pid, SIGTERM);
}

/* Ended children, and what the keeper itself is asked to do. */
static void take_signals(struct keeper *keeper)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(keeper->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		keeper->told_to_end = true;
		request_end(keeper, SHUTDOWN_POWEROFF);
	}
	/* Several ends may be one signal; those of the program's own children count for nothing. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != keeper->pid)
			continue;
		keeper->pid = 0;
		keeper->wait_status = status;
	}
}

/* Milliseconds until the program is killed, -1 for none; kills it when the time has come. */
static int kill_timeout_ms(struct keeper *keeper)
{
	uint64_t now = clock_ns();

	if (keeper->shutdown == SHUTDOWN_NONE || !keeper->pid)
		return -1;
	if (now < keeper->kill_ns)
		return (int)((keeper->kill_ns - now) / NSEC_PER_MSEC) + 1;
	kill(keeper->pid, SIGKILL);
	return -1;
}

/* Waits for events and takes them. False: the domain is no more. */
static bool turn(struct keeper *keeper)
{
	struct pollfd pfds[NR_POLLFDS] = {
		[POLL_CONTROL] = {.fd = keeper->dom.control_fd, .events = POLLIN},
		[POLL_SIGNAL] = {.fd = keeper->signal_fd, .events = POLLIN},
		[POLL_STORE] = {.fd = xs_fileno(keeper->dom.xs), .events = POLLIN}};

	console_pollfds(&keeper->console, &pfds[POLL_CONSOLE]);
	if (poll(pfds, NR_POLLFDS, kill_timeout_ms(keeper)) < 0)
		return errno == EINTR;
	if (pfds[POLL_CONTROL].revents)
		return false;
	console_ready(&keeper->console, &pfds[POLL_CONSOLE]);
	if (pfds[POLL_STORE].revents)
		request_end(keeper, kept_domain_shutdown_request(&keeper->dom));
	if (pfds[POLL_SIGNAL].revents)
		take_signals(keeper);
	return true;
}

static enum life_end watch_life(struct keeper *keeper)
{
	while (keeper->pid) {
		if (!turn(keeper))
			return LIFE_DESTROYED;
	}
	if (keeper->shutdown == SHUTDOWN_REBOOT)
		return LIFE_REBOOT;
	if (keeper->shutdown == SHUTDOWN_POWEROFF)
		return LIFE_POWEROFF;
	return WIFEXITED(keeper->wait_status) && WEXITSTATUS(keeper->wait_status) == 0
		? LIFE_POWEROFF : LIFE_CRASH;
}

/* ---- its end ---- */

static enum end_action action_for(const struct keeper *keeper, enum life_end end)
{
	if (keeper->told_to_end)
		return END_DESTROY;
	return end == LIFE_CRASH      ? keeper->config.on_crash
		: end == LIFE_REBOOT ? keeper->config.on_reboot
				      : keeper->config.on_poweroff;
}

/* Crashes are told, in the console and its log. */
static void tell_crash(const struct keeper *keeper)
{
	int status = keeper->wait_status;

	if (WIFSIGNALED(status))
		fprintf(stderr, "ringfence: the program was ended by signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		fprintf(stderr, "ringfence: the program ended with status %d", WEXITSTATUS(status));
	fprintf(stderr, "; on_crash: %s\n", config_end_action_name(keeper->config.on_crash));
}

/* The domain stays as it is, without its program, until it is destroyed. */
static void preserve(struct keeper *keeper, enum life_end end)
{
	program_kill(0);
	kept_domain_ended(&keeper->dom, end == LIFE_CRASH ? "crash" : "poweroff");
	while (!keeper->told_to_end && turn(keeper))
		;
}

/* Not more often than some times a minute. False: given up, or told to end. */
static bool wait_for_restart(struct keeper *keeper)
{
	struct pollfd pfds[1 + CONSOLE_POLLFDS] = {{.fd = keeper->signal_fd, .events = POLLIN}};
	uint64_t now = clock_ns(), until_ns;

	if (now - keeper->window_start_ns > RESTART_WINDOW_NS) {
		keeper->window_start_ns = now;
		keeper->nr_restarts = 0;
	}
	if (keeper->nr_restarts == RESTARTS_MAX) {
		fprintf(stderr, "ringfence: restarted %u times within a minute, giving up\n",
			keeper->nr_restarts);
		return false;
	}
	until_ns = now + (RESTART_DELAY_NS << keeper->nr_restarts++);
	while (!keeper->told_to_end && (now = clock_ns()) < until_ns) {
		console_pollfds(&keeper->console, pfds + 1);
		if (poll(pfds, 1 + CONSOLE_POLLFDS, (int)((until_ns - now) / NSEC_PER_MSEC) + 1) <= 0)
			continue;
		console_ready(&keeper->console, pfds + 1);
		if (pfds[0].revents)
			take_signals(keeper);
	}
	return !keeper->told_to_end;
}

/* Each life of the domain, until the last one has ended. */
static void live(struct keeper *keeper)
{
	enum life_end end;
	enum end_action action;

	for (;;) {
		end = watch_life(keeper);
		action = end == LIFE_DESTROYED ? END_DESTROY : action_for(keeper, end);
		if (end == LIFE_CRASH)
			tell_crash(keeper);
		if (action == END_PRESERVE)
			preserve(keeper, end);
		end_life(keeper);
		if (action != END_RESTART)
			return;
		do {
			if (!wait_for_restart(keeper))
				return;
		} while (begin_life(keeper));
	}
}

/* ---- the process ---- */

/* Nothing of the caller's but standard error, until the domain runs. */
static int become_keeper(struct keeper *keeper, int report_fd)
{
	sigset_t signals;
	int null_fd;

	signal(SIGPIPE, SIG_IGN);
	if (setsid() < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || dup2(report_fd, REPORT_FD) < 0 ||
		fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	(void)close_range(REPORT_FD + 1, ~0u, 0);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* The console's number is taken from the start, so that nothing else gets it. */
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
		dup3(null_fd, KEEPER_CONSOLE_FD, O_CLOEXEC) < 0)
		return -errno;
	close(null_fd);
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -errno;
	keeper->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return keeper->signal_fd < 0 ? -errno : 0;
}

/* Tells `create` how it went. -1 if it has gone: then nobody knows of the domain. */
static int report(const struct keeper *keeper, int status)
{
	const struct report report = {status, keeper->dom.domid};
	int rc = write(REPORT_FD, &report, sizeof(report)) == (ssize_t)sizeof(report) ? 0 : -1;

	close(REPORT_FD);
	return rc;
}

static void __attribute__((noreturn)) keeper_main(const struct domain_config *config, int report_fd)
{
	struct keeper keeper = {.config = *config};
	int status, rc = become_keeper(&keeper, report_fd);

	console_init(&keeper.console);
	if (rc)
		fprintf(stderr, "ringfence: cannot start a keeper: %s\n", strerror(-rc));
	status = rc ? 1 : begin_life(&keeper);
	rc = status == 0 ? console_take_stderr(&keeper.console) : 0;
	if (report(&keeper, status) == 0 && status == 0 && rc == 0)
		live(&keeper);
	else if (status == 0)
		end_life(&keeper);
	console_close(&keeper.console);
	_exit(status);
}

int keeper_start(const struct domain_config *config, unsigned int *domid)
{
	struct report answer;
	int fds[2], rc;
	ssize_t n;
	pid_t pid;

	rc = pipe2(fds, O_CLOEXEC);
	pid = rc < 0 ? -1 : fork();
	if (pid < 0) {
		fprintf(stderr, "ringfence: cannot start a keeper: %s\n", strerror(errno));
		return 1;
	}
	if (pid == 0)
		keeper_main(config, fds[1]);
	close(fds[1]);
	do {
		n = read(fds[0], &answer, sizeof(answer));
	} while (n < 0 && errno == EINTR);
	close(fds[0]);
	if (n != (ssize_t)sizeof(answer)) {
		fprintf(stderr, "ringfence: the keeper of %s ended before the domain ran\n", config->name);
		return 1;
	}
	*domid = answer.domid;
	return answer.status;
}
