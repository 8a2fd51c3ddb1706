/* SPDX-License-Identifier: MIT */
/* ringfence dmesg: the hypervisor's log. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/command.h"
#include "toolstack/request.h"

static const char usage[] =
	"Usage: ringfence dmesg [-c]\n"
	"Prints the latest lines of the hypervisor's log, at most 64 KiB. All of it is on its standard\n"
	"error, or in ringfenced.log in the runtime directory.\n"
	"\n"
	"  -c, --clear   and forget them; the log file keeps them\n";

static int run(int argc, char **argv)
{
	bool clear = argc == 2 && (strcmp(argv[1], "-c") == 0 || strcmp(argv[1], "--clear") == 0);
	int status;
	char *text;

	if (argc > 1 && !clear)
		return command_usage(&command_dmesg, "it takes no argument but -c");
	text = request_once(
		&status, REQUEST_TIMEOUT_S, "dmesg", "clear", clear ? "1" : NULL, (char *)NULL);
	if (!text)
		return status;
	fputs(text, stdout);
	free(text);
	return 0;
}

const struct command command_dmesg = {
	.name = "dmesg", .summary = "print the hypervisor's log", .usage = usage, .run = run};
