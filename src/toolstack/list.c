/* SPDX-License-Identifier: MIT */
/* ringfence list: the domains, as xl lists them. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "toolstack/command.h"
#include "toolstack/list.h"
#include "toolstack/request.h"

static const char usage[] =
	"Usage: ringfence list [-l|--json] [DOMAIN]...\n"
	"Lists the domains, or those named by name or id: name, id, resident memory in MiB, processors\n"
	"that it may use, state, and processor time in seconds.\n"
	"\n"
	"  -l, --long    instead: kind (guest or driver), process, granted pages, mapped foreign\n"
	"                pages, event channel ports and connections; disks and shared memory areas\n"
	"                below each\n"
	"      --json    all of it as a JSON array\n"
	"  -h, --help    show this\n"
	"\n"
	"State: r one of its processes runs, b all of them wait, p it is paused, s its program has\n"
	"ended and the domain is preserved, c the same after a crash.\n";

enum { OPT_JSON = 256 };

/* The lines of all domains, or of those named, which must all be there; to be freed. */
static char *ask(int control_fd, char **names)
{
	char *all = NULL, *one, *both;

	if (!*names)
		return request(control_fd, REQUEST_TIMEOUT_S, "domain-list", (char *)NULL);
	for (; *names; names++) {
		one = request(control_fd, REQUEST_TIMEOUT_S, "domain-list", "domain", *names,
			(char *)NULL);
		if (!one || asprintf(&both, "%s%s", all ? all : "", one) < 0)
			both = NULL;
		free(one);
		free(all);
		all = both;
		if (!all)
			return NULL;
	}
	return all;
}

static int list(int control_fd, enum list_format format, char **names)
{
	char *domains = ask(control_fd, names), *disks = NULL, *areas = NULL;

	if (domains)
		disks = request(control_fd, REQUEST_TIMEOUT_S, "block-list", (char *)NULL);
	if (disks)
		areas = request(control_fd, REQUEST_TIMEOUT_S, "shm-list", (char *)NULL);
	if (areas)
		list_print(domains, disks, areas, format);
	free(domains);
	free(disks);
	free(areas);
	return areas ? 0 : 1;
}

static int run(int argc, char **argv)
{
	static const struct option longs[] = {
		{"long", no_argument, NULL, 'l'}, {"json", no_argument, NULL, OPT_JSON}, {0}};
	enum list_format format = LIST_SHORT;
	int c, fd, status;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "l", longs, NULL)) != -1) {
		if (format != LIST_SHORT || (c != 'l' && c != OPT_JSON))
			return command_usage(&command_list, "it takes one of -l and --json, and domains");
		format = c == 'l' ? LIST_LONG : LIST_JSON;
	}
	fd = command_connect(&status);
	if (fd < 0)
		return status;
	status = list(fd, format, argv + optind);
	close(fd);
	return status;
}

const struct command command_list = {
	.name = "list", .summary = "list the domains", .usage = usage, .run = run};
