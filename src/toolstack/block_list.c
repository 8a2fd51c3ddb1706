/* SPDX-License-Identifier: MIT */
/* ringfence block-list: the disks of domains. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/vdev.h"
#include "toolstack/block.h"
#include "toolstack/command.h"
#include "toolstack/request.h"

static const char usage[] =
	"Usage: ringfence block-list [--json] DOMAIN...\n"
	"Lists the disks of domains, by name or id: device number, the back end's domain, the front\n"
	"end's domain, state of the back end (XenbusState; 4: connected), event channel port and grant\n"
	"reference of the (first) ring, and the back end's directory in xenstore. -1: not yet known.\n"
	"\n"
	"      --json   as a JSON array, with names, sizes, targets and the front end's state\n"
	"  -h, --help   show this\n";

enum { OPT_JSON = 256 };

static void print_row(const struct block_line *disk)
{
	printf("%-5u %-3u %-6u %-5lld %-6lld %-8lld /local/domain/%u/backend/vbd/%u/%u\n",
		disk->device, disk->backend_domid, disk->domid, disk->state, disk->event_channel,
		disk->ring_ref, disk->backend_domid, disk->domid, disk->device);
}

/* The domain's devices; *first is of the whole array. */
static void print_devices(const char *lines, bool json, bool *first)
{
	struct block_line disk;

	while (block_next(&lines, &disk)) {
		if (json) {
			fputs(*first ? "\n  " : ",\n  ", stdout);
			block_print_json(&disk);
		} else {
			print_row(&disk);
		}
		*first = false;
	}
}

static int list(int control_fd, char **names, bool json)
{
	bool first = true;
	char *lines;
	int status = 0;

	if (json)
		fputs("[", stdout);
	else
		printf("%-5s %-3s %-6s %-5s %-6s %-8s %s\n", "Vdev", "BE", "handle", "state", "evt-ch",
			"ring-ref", "BE-path");
	/* As xl: the others are listed though one is not there. */
	for (; *names; names++) {
		lines = request(control_fd, REQUEST_TIMEOUT_S, "block-list", "domain", *names,
			(char *)NULL);
		if (lines)
			print_devices(lines, json, &first);
		else
			status = 1;
		free(lines);
	}
	if (json)
		fputs(first ? "]\n" : "\n]\n", stdout);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, OPT_JSON}, {0}};
	bool json = false;
	int c, fd, status;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c != OPT_JSON)
			return command_usage(&command_block_list, "unknown option");
		json = true;
	}
	if (optind == argc)
		return command_usage(&command_block_list, "which domains?");
	fd = command_connect(&status);
	if (fd < 0)
		return status;
	status = list(fd, argv + optind, json);
	close(fd);
	return status;
}

const struct command command_block_list = {
	.name = "block-list", .summary = "list the disks of domains", .usage = usage, .run = run};
