/* SPDX-License-Identifier: MIT */
/* ringfence domname: a domain's name by its id. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/command.h"
#include "toolstack/lines.h"
#include "toolstack/request.h"

static const char usage[] =
	"Usage: ringfence domname ID\n"
	"Prints the name of the domain of this id.\n";

static int run(int argc, char **argv)
{
	struct domain_line row;
	int status;
	char *text;

	/* As xl: a name is not looked up. */
	if (argc != 2 || !*argv[1] || argv[1][strspn(argv[1], "0123456789")])
		return command_usage(&command_domname, "it takes the id of a domain, a number");
	text = request_once(
		&status, REQUEST_TIMEOUT_S, "domain-list", "domain", argv[1], (char *)NULL);
	if (!text)
		return status;
	status = domain_line_parse(text, &row) ? 0 : 1;
	if (status == 0)
		puts(row.name);
	free(text);
	return status;
}

const struct command command_domname = {
	.name = "domname", .summary = "print a domain's name", .usage = usage, .run = run};
