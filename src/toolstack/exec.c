/* SPDX-License-Identifier: MIT */
/*
 * ringfence exec: runs a program as a new domain. We stay its parent and hold the connection that
 * keeps the domain alive; the program gets nothing but its own two sockets.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/control.h"
#include "toolstack/command.h"
#include "toolstack/environment.h"
#include "toolstack/user.h"

#define DISKS_MAX 26
#define LEAVE_TIMEOUT_MS 5000
#define WORD_SIZE 160

static const char usage[] =
	"Usage: ringfence exec [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
	"Runs a program that was written for Xen's libraries (libxengnttab, libxenevtchn, libxenstore,\n"
	"libxenvchan) as a new domain. The domain ends with the program, and the program with it.\n"
	"\n"
	"  -n, --name=NAME    of the domain (default: the program's name and a process id)\n"
	"  -u, --uid=USER     run it as this user, by name or number (only for root): domains of\n"
	"                     different users are protected from each other\n"
	"  -d, --disk=NAME    attach this disk, as the toolstack defined it; the first one is xvda\n"
	"  -v, --verbose      say which domain it is\n"
	"  -h, --help         show this\n"
	"\n"
	"SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to the program.\n"
	"Exit status: the program's; 126 it cannot be run, 127 it was not found, 128+N ended by\n"
	"signal N; 1 the domain cannot be made, 2 wrong usage, 3 no hypervisor is running.\n";

struct options {
	const char *name, *user;
	const char *disks[DISKS_MAX];
	unsigned int nr_disks;
	bool verbose;
	char **program;
};

static int parse(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = {{"name", required_argument, NULL, 'n'},
		{"uid", required_argument, NULL, 'u'}, {"disk", required_argument, NULL, 'd'},
		{"verbose", no_argument, NULL, 'v'}, {0}};
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+n:u:d:v", longs, NULL)) != -1) {
		switch (c) {
		case 'n':
			opt->name = optarg;
			break;
		case 'u':
			opt->user = optarg;
			break;
		case 'd':
			if (opt->nr_disks == DISKS_MAX)
				return command_usage(&command_exec, "too many disks");
			opt->disks[opt->nr_disks++] = optarg;
			break;
		case 'v':
			opt->verbose = true;
			break;
		default:
			return command_usage(&command_exec, "unknown option, or one without its value");
		}
	}
	if (optind == argc)
		return command_usage(&command_exec, "which program?");
	opt->program = argv + optind;
	return 0;
}

/* A domain name from the program's: what is not allowed in one becomes a hyphen. */
static void make_name(const char *program, char *name, size_t size)
{
	const char *base = strrchr(program, '/');
	int n = snprintf(name, size, "%.40s-%d", base ? base + 1 : program, getpid());

	for (int i = 0; i < n && (size_t)i < size - 1; i++) {
		bool letter = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
			(name[i] >= '0' && name[i] <= '9');

		if (!letter && (i == 0 || !strchr("._-", name[i])))
			name[i] = i == 0 ? 'x' : '-';
	}
}

/* Creates the domain; fds: its hypercall and store sockets. Its id, or 0. */
static unsigned int create_domain(int control_fd, const struct options *opt,
	const struct user *id, int fds[2])
{
	char generated[64], name[WORD_SIZE], uid[WORD_SIZE];
	const char *words[] = {"domain-create", name, uid, "keeper=1", NULL};
	unsigned int domid = 0, nr_fds;
	char *text;

	make_name(opt->program[0], generated, sizeof(generated));
	snprintf(name, sizeof(name), "name=%.150s", opt->name ? opt->name : generated);
	snprintf(uid, sizeof(uid), "uid=%u", (unsigned int)id->uid);
	text = command_call(control_fd, words, fds, &nr_fds);
	if (!text)
		return 0;
	if (nr_fds != 2 || sscanf(text, "domid=%u", &domid) != 1) {
		fprintf(stderr, "ringfence: the hypervisor's answer makes no sense: %s\n", text);
		domid = 0;
	} else if (opt->verbose) {
		fprintf(stderr, "ringfence: domain %u is %s\n", domid, words[1] + strlen("name="));
	}
	free(text);
	return domid;
}

static bool attach_disks(int control_fd, const struct options *opt, unsigned int domid)
{
	char domain[32], disk[WORD_SIZE], vdev[16];
	const char *words[] = {"block-attach", domain, disk, vdev, NULL};
	char *text;

	snprintf(domain, sizeof(domain), "domain=%u", domid);
	for (unsigned int i = 0; i < opt->nr_disks; i++) {
		snprintf(disk, sizeof(disk), "disk=%.150s", opt->disks[i]);
		snprintf(vdev, sizeof(vdev), "vdev=xvd%c", 'a' + i);
		text = command_call(control_fd, words, NULL, NULL);
		if (!text)
			return false;
		free(text);
	}
	return true;
}

/* In the child. Never returns. */
static void __attribute__((noreturn)) become(const struct options *opt, const struct user *id,
	const int fds[2], pid_t parent, const sigset_t *old_mask)
{
	char store[32], hypercall[32];
	struct environment env;
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigprocmask(SIG_SETMASK, old_mask, NULL);
	snprintf(hypercall, sizeof(hypercall), "/proc/self/fd/%d", fds[0]);
	snprintf(store, sizeof(store), "/proc/self/fd/%d", fds[1]);
	if (environment_make(&env, store, hypercall) || fcntl(fds[0], F_SETFD, 0) < 0 ||
		fcntl(fds[1], F_SETFD, 0) < 0) {
		fprintf(stderr, "ringfence: cannot prepare the environment\n");
		_exit(1);
	}
	for (int i = 0; i < ENVIRONMENT_NR; i++)
		putenv(env.text[i]);
	/* Without root it is the user that we are already; run() has made sure. */
	rc = opt->user && geteuid() == 0 ? user_become(id) : 0;
	if (rc) {
		fprintf(stderr, "ringfence: cannot become %s: %s\n", opt->user, strerror(-rc));
		_exit(1);
	}
	/* Changing the user has cleared it, and the parent may have gone in between. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	execvp(opt->program[0], opt->program);
	fprintf(stderr, "ringfence: cannot run %s: %s\n", opt->program[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static const int passed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

/* Reaps what has ended, of the program's orphans too. True if the program has: *status is how. */
static bool reap(pid_t program, int *status)
{
	pid_t pid;
	int how;

	while ((pid = waitpid(-1, &how, WNOHANG)) > 0) {
		if (pid != program)
			continue;
		*status = how;
		return true;
	}
	return false;
}

/* One signal of ours. True once the program has ended, and *status is its wait status. */
static bool take_signal(int signal_fd, pid_t pid, int *status)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo == SIGCHLD)
		return reap(pid, status);
	/* The terminal's own signals reach its whole process group. */
	if (info.ssi_code <= 0)
		kill(pid, (int)info.ssi_signo);
	return false;
}

/*
 * Waits for the program; what a terminal or supervisor sends us goes to it. The hypervisor says
 * nothing on the connection: what comes is its end, and so the domain's, and so the program's.
 */
static int supervise(pid_t pid, int signal_fd, int control_fd)
{
	struct pollfd pfds[2] = {
		{.fd = signal_fd, .events = POLLIN}, {.fd = control_fd, .events = POLLIN}};
	int status;

	for (;;) {
		if (poll(pfds, 2, -1) < 0)
			continue;
		if (pfds[1].revents) {
			kill(pid, SIGKILL);
			pfds[1].fd = -1;
		}
		if (pfds[0].revents && take_signal(signal_fd, pid, &status))
			return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
}

/*
 * Ends the domain, and waits until it is gone: who runs the next program may give it the same name.
 * The hypervisor answers the end of the connection with its own, and nobody else in between.
 */
static void leave(int control_fd)
{
	struct pollfd pfd = {.fd = control_fd, .events = POLLIN};
	int rc;

	shutdown(control_fd, SHUT_WR);
	do {
		rc = poll(&pfd, 1, LEAVE_TIMEOUT_MS);
	} while (rc < 0 && errno == EINTR);
	close(control_fd);
}

/* Starts the program and waits for its end. Its status, as ours. */
static int run_program(
	const struct options *opt, const struct user *id, const int fds[2], int control_fd)
{
	pid_t parent = getpid(), pid;
	sigset_t signals, old_mask;
	int signal_fd;

	sigemptyset(&signals);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
		sigaddset(&signals, passed_on[i]);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, &old_mask);
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	/* What the program's children leave behind stays below us: pause and list find it here. */
	pid = signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -1 : fork();
	if (pid == 0)
		become(opt, id, fds, parent, &old_mask);
	if (pid < 0) {
		fprintf(stderr, "ringfence: cannot start a process: %s\n", strerror(errno));
		return 1;
	}
	close(fds[0]);
	close(fds[1]);
	return supervise(pid, signal_fd, control_fd);
}

static int run(int argc, char **argv)
{
	struct user id = {getuid(), getgid(), NULL};
	struct options opt = {0};
	unsigned int domid;
	int control_fd, fds[2], status = parse(argc, argv, &opt);

	if (status)
		return status;
	if (opt.user && user_find(opt.user, &id)) {
		fprintf(stderr, "ringfence: there is no user '%s'\n", opt.user);
		return 1;
	}
	if (id.uid != getuid() && geteuid() != 0) {
		fprintf(stderr, "ringfence: only root can run a program as another user\n");
		return 1;
	}
	control_fd = command_connect(&status);
	if (control_fd < 0)
		return status;
	domid = create_domain(control_fd, &opt, &id, fds);
	status = domid && attach_disks(control_fd, &opt, domid) 
		? run_program(&opt, &id, fds, control_fd) : 1;
	leave(control_fd);
	return status;
}

const struct command command_exec = {
	.name = "exec", .summary = "run a program as a new domain", .usage = usage, .run = run};
