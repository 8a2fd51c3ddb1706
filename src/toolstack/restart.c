/* SPDX-License-Identifier: MIT */
/* ringfence restart: a new process, and a new domain, for a driver domain. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "toolstack/command.h"
#include "toolstack/request.h"

/* More than the hypervisor gives the old program to end and the new one to get ready. */
#define RESTART_TIMEOUT_S 30

static const char usage[] =
	"Usage: ringfence restart [-f] DRIVER\n"
	"Ends the program of a driver domain that the hypervisor runs, and starts it again, as a new\n"
	"domain; also one that has ended for good. Returns, and prints the id, when it is ready.\n"
	"\n"
	"  -f, --force   even if it serves disks: its guests lose them\n"
	"  -h, --help    show this\n";

static int run(int argc, char **argv)
{
	static const struct option longs[] = {{"force", no_argument, NULL, 'f'}, {0}};
	unsigned int domid;
	bool force = false;
	int c, status;
	char *text;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "f", longs, NULL)) != -1) {
		if (c != 'f')
			return command_usage(&command_restart, "unknown option");
		force = true;
	}
	if (optind + 1 != argc)
		return command_usage(&command_restart, "it takes one driver domain");
	text = request_once(&status, RESTART_TIMEOUT_S, "driver-restart", "name",
		argv[optind], "force", force ? "1" : NULL, (char *)NULL);
	if (!text)
		return status;
	status = sscanf(text, "domid=%u", &domid) == 1 ? 0 : 1;
	if (status == 0)
		printf("%u\n", domid);
	free(text);
	return status;
}

const struct command command_restart = {
	.name = "restart", .summary = "restart a driver domain", .usage = usage, .run = run};
