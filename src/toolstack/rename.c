/* SPDX-License-Identifier: MIT */
/* ringfence rename: another name for a domain. */
#include <stdlib.h>

#include "toolstack/command.h"
#include "toolstack/request.h"

static const char usage[] =
	"Usage: ringfence rename DOMAIN NAME\n"
	"Gives a domain, by name or id, another name, in xenstore too.\n";

static int run(int argc, char **argv)
{
	int status;
	char *text;

	if (argc != 3 || argv[1][0] == '-')
		return command_usage(&command_rename, "it takes a domain and its new name");
	text = request_once(&status, REQUEST_TIMEOUT_S, "domain-rename", "domain", argv[1], "name",
		argv[2], (char *)NULL);
	if (!text)
		return status;
	free(text);
	return 0;
}

const struct command command_rename = {
	.name = "rename", .summary = "give a domain another name", .usage = usage, .run = run};
