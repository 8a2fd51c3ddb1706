/* SPDX-License-Identifier: MIT */
/* ringfence domid: a domain's id by its name. */
#include <stdio.h>
#include <stdlib.h>

#include "toolstack/command.h"
#include "toolstack/request.h"

static const char usage[] =
	"Usage: ringfence domid NAME\n"
	"Prints the id of the domain of this name.\n";

static int run(int argc, char **argv)
{
	unsigned int domid;
	int status;
	char *text;

	if (argc != 2 || argv[1][0] == '-')
		return command_usage(&command_domid, "it takes the name of a domain");
	text = request_once(
		&status, REQUEST_TIMEOUT_S, "domain-list", "domain", argv[1], (char *)NULL);
	if (!text)
		return status;
	status = sscanf(text, "domid=%u", &domid) == 1 ? 0 : 1;
	if (status == 0)
		printf("%u\n", domid);
	free(text);
	return status;
}

const struct command command_domid = {
	.name = "domid", .summary = "print a domain's id", .usage = usage, .run = run};
