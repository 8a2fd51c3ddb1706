/* SPDX-License-Identifier: MIT */
/* ringfence console: the terminal of a domain's program. */
#include "toolstack/console.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "common/rundir.h"
#include "common/unixsock.h"
#include "toolstack/command.h"
#include "toolstack/find.h"
#include "toolstack/keeper.h"
#include "toolstack/keeper_console.h"

#define ESCAPE 0x1d /* Ctrl-] as xl's */

static const char usage[] =
	"Usage: ringfence console [-l] DOMAIN\n"
	"Connects this terminal to a domain's: what its program wrote lately, what it writes, and what is\n"
	"typed. Ctrl-] leaves. Where standard input is no terminal, its end changes nothing: the output is\n"
	"shown until the domain ends.\n"
	"\n"
	"  -l, --log     print the log of the console instead: also of a domain that has ended, until\n"
	"                another one gets its name\n"
	"  -h, --help    show this\n";

/* ---- connecting ---- */

/* The keeper's socket is a descriptor of its process: keeper.h. */
static int connect_keeper(const struct domain_line *row)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", row->pid, KEEPER_CONSOLE_FD);
	fd = strcmp(row->kind, "driver") == 0 ? -ENOENT : unixsock_connect(path, SOCK_STREAM);
	if (fd >= 0)
		return fd;
	if (strcmp(row->kind, "driver") == 0)
		fprintf(stderr, "ringfence: a driver domain has no console; what it writes is in the "
			"hypervisor's log, 'ringfence dmesg'\n");
	else if (fd == -ENOENT || fd == -ECONNREFUSED)
		fprintf(stderr, "ringfence: domain %s has no console; those of 'ringfence create' "
			"have one\n", row->name);
	else
		fprintf(stderr, "ringfence: cannot reach the console of %s: %s\n", row->name,
			strerror(-fd));
	return -1;
}

/* ---- passing on ---- */

static bool write_all(int fd, const char *text, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, text, len);
		if (n < 0 && errno != EINTR)
			return false;
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* False: the user leaves. */
static bool pass_input(int sock, bool *open, bool is_terminal)
{
	char text[1024], *escape;
	ssize_t n = read(STDIN_FILENO, text, sizeof(text));

	if (n <= 0) {
		*open = false;
		return true;
	}
	escape = is_terminal ? memchr(text, ESCAPE, (size_t)n) : NULL;
	if (escape)
		n = escape - text;
	return write_all(sock, text, (size_t)n) && !escape;
}

/* False: the domain's end, or nobody reads us. Carriage returns are for terminals alone. */
static bool pass_output(int sock, bool to_terminal)
{
	char text[4096];
	size_t used = 0;
	ssize_t n = read(sock, text, sizeof(text));

	if (n <= 0)
		return false;
	for (ssize_t i = 0; i < n; i++) {
		if (to_terminal || text[i] != '\r')
			text[used++] = text[i];
	}
	return write_all(STDOUT_FILENO, text, used);
}

static void pass(int sock)
{
	bool open = true, from_terminal = isatty(STDIN_FILENO), to_terminal = isatty(STDOUT_FILENO);
	struct pollfd pfds[2];

	for (;;) {
		pfds[0] = (struct pollfd){.fd = open ? STDIN_FILENO : -1, .events = POLLIN};
		pfds[1] = (struct pollfd){.fd = sock, .events = POLLIN};
		if (poll(pfds, 2, -1) < 0 && errno != EINTR)
			return;
		if (pfds[1].revents && !pass_output(sock, to_terminal))
			return;
		if (pfds[0].revents && !pass_input(sock, &open, from_terminal))
			return;
	}
}

int console_attach(const char *name)
{
	struct termios saved, raw;
	struct domain_line row;
	bool is_terminal = tcgetattr(STDIN_FILENO, &saved) == 0;
	int status = domain_find(name, &row), sock;

	if (status)
		return status;
	sock = connect_keeper(&row);
	if (sock < 0)
		return 1;
	if (is_terminal) {
		fprintf(stderr, "Connected to %s; Ctrl-] leaves.\n", row.name);
		raw = saved;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	pass(sock);
	if (is_terminal)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	close(sock);
	return 0;
}

/* ---- the log ---- */

static bool print_file(const char *path)
{
	char text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	while ((n = read(fd, text, sizeof(text))) > 0 && write_all(STDOUT_FILENO, text, (size_t)n))
		;
	close(fd);
	return true;
}

static int print_log(const char *name)
{
	char run_dir[PATH_MAX], path[PATH_MAX], old[PATH_MAX + 8];
	struct domain_line row;
	bool found;
	int rc;

	/* An id is of a domain that there is, a name may be of one that there was. */
	if (strspn(name, "0123456789") == strlen(name)) {
		rc = domain_find(name, &row);
		if (rc)
			return rc;
		name = row.name;
	}
	rc = strchr(name, '/') ? -EINVAL : rundir_path(run_dir, sizeof(run_dir));
	if (rc == 0)
		rc = console_log_path(run_dir, name, path, sizeof(path));
	if (rc) {
		fprintf(stderr, "ringfence: %s: %s\n", name, strerror(-rc));
		return 1;
	}
	snprintf(old, sizeof(old), "%s.1", path);
	found = print_file(old);
	if (print_file(path) || found)
		return 0;
	fprintf(stderr, "ringfence: domain %s has written nothing to its console\n", name);
	return 1;
}

static int run(int argc, char **argv)
{
	static const struct option longs[] = {{"log", no_argument, NULL, 'l'}, {0}};
	bool log = false;
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "l", longs, NULL)) != -1) {
		if (c != 'l')
			return command_usage(&command_console, "unknown option");
		log = true;
	}
	if (argc != optind + 1)
		return command_usage(&command_console, "it takes one domain, by name or id");
	return log ? print_log(argv[optind]) : console_attach(argv[optind]);
}

const struct command command_console = {.name = "console",
	.summary = "connect to a domain's terminal", .usage = usage, .run = run};
