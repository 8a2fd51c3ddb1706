/* SPDX-License-Identifier: MIT */
/*
 * ringfence shutdown: asks a domain to end, by Xen's protocol: control/shutdown in its part of
 * xenstore, which its keeper obeys. Driver domains are the hypervisor's to stop.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "toolstack/command.h"
#include "toolstack/domain0.h"
#include "toolstack/find.h"

#define PATH_SIZE 96
#define WAIT_TIMEOUT_S 60

static const char usage[] =
	"Usage: ringfence shutdown [-w] DOMAIN...\n"
	"       ringfence shutdown [-w] -a\n"
	"Asks domains to end: their programs get SIGTERM, and are killed if they have not ended after\n"
	"shutdown_timeout seconds (ringfence.cfg(5)). What follows is what on_poweroff says.\n"
	"\n"
	"  -a, --all             every domain but driver domains, on which others depend\n"
	"  -w, --wait            return when they have ended\n"
	"  -t, --timeout=SECONDS wait at most so long (default: 60)\n"
	"  -h, --help            show this\n";

struct options {
	bool all, wait;
	double timeout_s;
	char **names;
};

static int parse(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = {{"all", no_argument, NULL, 'a'},
		{"wait", no_argument, NULL, 'w'}, {"timeout", required_argument, NULL, 't'}, {0}};
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "awt:", longs, NULL)) != -1) {
		if (c == 'a')
			opt->all = true;
		else if (c == 'w')
			opt->wait = true;
		else if (c != 't')
			return command_usage(&command_shutdown, "unknown option, or one without its value");
		else if (command_seconds(optarg, 0, 86400, &opt->timeout_s))
			return command_usage(&command_shutdown, "--timeout takes seconds, 0 to 86400");
	}
	opt->names = argv + optind;
	if (opt->all ? optind != argc : optind == argc)
		return command_usage(&command_shutdown, "which domains? name them, or all with -a");
	return 0;
}

/* ---- waiting ---- */

/* It is gone, or it stays without its program (on_poweroff="preserve"). */
static bool has_ended(struct xs_handle *xs, unsigned int domid)
{
	char path[PATH_SIZE], *value;
	unsigned int len;

	snprintf(path, sizeof(path), "/local/domain/%u/domid", domid);
	value = xs_read(xs, XBT_NULL, path, &len);
	free(value);
	if (!value)
		return true;
	snprintf(path, sizeof(path), "/local/domain/%u/control/ended", domid);
	value = xs_read(xs, XBT_NULL, path, &len);
	free(value);
	return value != NULL;
}

/* Every change below the domain wakes us; its end is one. */
static int wait_for_end(struct xs_handle *xs, const struct domain_line *row, uint64_t deadline_ns)
{
	struct pollfd pfd = {.fd = xs_fileno(xs), .events = POLLIN};
	char path[PATH_SIZE], **event;
	uint64_t now;

	snprintf(path, sizeof(path), "/local/domain/%u/control", row->domid);
	if (!xs_watch(xs, path, "control")) {
		fprintf(stderr, "ringfence: cannot watch xenstore: %s\n", strerror(errno));
		return 1;
	}
	while (!has_ended(xs, row->domid)) {
		now = clock_ns();
		if (now >= deadline_ns) {
			fprintf(stderr, "ringfence: domain %u (%s) has not ended in time; 'ringfence "
				"destroy' does not ask\n", row->domid, row->name);
			return 1;
		}
		poll(&pfd, 1, (int)((deadline_ns - now) / NSEC_PER_MSEC) + 1);
		while ((event = xs_check_watch(xs)))
			free(event);
	}
	return xs_unwatch(xs, path, "control") ? 0 : 1;
}

/* ---- asking ---- */

/* Returns when it has ended, whether that was wanted or not. */
static int stop_driver(const struct domain_line *row)
{
	char name[DOMAIN_NAME_SIZE + 8];
	const char *const words[] = {"driver-stop", name, NULL};
	int status, fd = command_connect(&status);
	char *text;

	if (fd < 0)
		return status;
	snprintf(name, sizeof(name), "name=%s", row->name);
	text = command_call(fd, words, NULL, NULL);
	status = text ? 0 : 1;
	free(text);
	close(fd);
	return status;
}

static int ask(struct xs_handle *xs, const struct domain_line *row)
{
	char path[PATH_SIZE];

	if (strcmp(row->kind, "driver") == 0)
		return stop_driver(row);
	snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", row->domid);
	if (xs_write(xs, XBT_NULL, path, "poweroff", strlen("poweroff")))
		return 0;
	fprintf(stderr, "ringfence: cannot write %s: %s\n", path, strerror(errno));
	return 1;
}

static int add(struct domain_line **rows, unsigned int *nr, const struct domain_line *row)
{
	struct domain_line *grown = realloc(*rows, (*nr + 1) * sizeof(*grown));

	if (!grown) {
		fprintf(stderr, "ringfence: out of memory\n");
		return 1;
	}
	*rows = grown;
	grown[(*nr)++] = *row;
	return 0;
}

/* Those that are meant, in *rows, to be freed. All must be there before any is asked. */
static int choose(const struct options *opt, struct domain_line **rows, unsigned int *nr)
{
	struct domains domains;
	struct domain_line row;
	int status = domains_get(&domains);
	const char *at = status ? NULL : domains.text;

	while (status == 0 && opt->all && domains_next(&at, &row)) {
		if (strcmp(row.kind, "driver") != 0)
			status = add(rows, nr, &row);
	}
	for (char **name = opt->names; status == 0 && *name; name++) {
		if (domains_find(&domains, *name, &row)) {
			status = add(rows, nr, &row);
			continue;
		}
		fprintf(stderr, FIND_NO_DOMAIN "\n", *name);
		status = 1;
	}
	domains_put(&domains);
	return status;
}

static int shut_down(const struct options *opt, const struct domain_line *rows, unsigned int nr)
{
	uint64_t deadline_ns = clock_ns() + (uint64_t)(opt->timeout_s * (double)NSEC_PER_SEC);
	struct domain0 dom0;
	int status = domain0_enter(&dom0, false);

	for (unsigned int i = 0; status == 0 && i < nr; i++)
		status = ask(dom0.xs, &rows[i]);
	for (unsigned int i = 0; status == 0 && opt->wait && i < nr; i++)
		status = wait_for_end(dom0.xs, &rows[i], deadline_ns);
	domain0_leave(&dom0);
	return status;
}

static int run(int argc, char **argv)
{
	struct options opt = {.timeout_s = WAIT_TIMEOUT_S};
	struct domain_line *rows = NULL;
	unsigned int nr = 0;
	int status = parse(argc, argv, &opt);

	if (status)
		return status;
	status = choose(&opt, &rows, &nr);
	if (status == 0)
		status = shut_down(&opt, rows, nr);
	free(rows);
	return status;
}

const struct command command_shutdown = {
	.name = "shutdown", .summary = "ask domains to end", .usage = usage, .run = run};
