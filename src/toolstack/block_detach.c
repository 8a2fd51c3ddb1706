/* SPDX-License-Identifier: MIT */
/* ringfence block-detach: takes a disk from a domain. */
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>

#include "toolstack/command.h"
#include "toolstack/request.h"

static const char usage[] =
	"Usage: ringfence block-detach [-f] DOMAIN DEVICE\n"
	"Takes a disk, by name (xvda) or number (51712), from a domain. Waits up to 10 s for the guest\n"
	"to let go of it; it goes later when the guest does. Returns 0 once it is gone.\n"
	"\n"
	"  -f, --force   take it away at once: the guest's requests fail\n"
	"  -h, --help    show this\n";

static int run(int argc, char **argv)
{
	static const struct option longs[] = {{"force", no_argument, NULL, 'f'}, {0}};
	bool force = false;
	int c, status;
	char *text;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "f", longs, NULL)) != -1) {
		if (c != 'f')
			return command_usage(&command_block_detach, "unknown option");
		force = true;
	}
	if (optind + 2 != argc)
		return command_usage(&command_block_detach, "it takes a domain and a device");
	text = request_once(&status, REQUEST_TIMEOUT_S, "block-detach", "domain", argv[optind],
		"vdev", argv[optind + 1], "force", force ? "1" : NULL, (char *)NULL);
	if (!text)
		return status;
	free(text);
	return 0;
}

const struct command command_block_detach = {
	.name = "block-detach", .summary = "take a disk from a domain", .usage = usage, .run = run};
