/* SPDX-License-Identifier: MIT */
/* ringfence list: the domains. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/command.h"
#include "toolstack/lines.h"

static const char usage[] =
	"Usage: ringfence list [--json]\n"
	"Lists the domains: id, name, kind (guest or driver), process, and how many granted pages,\n"
	"mapped foreign pages, event channel ports and connections each has.\n"
	"\n"
	"      --json    as a JSON array\n";

static void print_row(const struct domain_line *row, bool json, bool first)
{
	if (json)
		printf("%s\n  {\"domid\": %u, \"name\": \"%s\", \"kind\": \"%s\", \"pid\": %d, "
		       "\"grants\": %u, \"maps\": %u, \"ports\": %u, \"connections\": %u}",
			first ? "" : ",", row->domid, row->name, row->kind, row->pid, row->grants,
			row->maps, row->ports, row->connections);
	else
		printf("%-32s %5u %-7s %8d %7u %7u %6u %6u\n", row->name, row->domid, row->kind,
			row->pid, row->grants, row->maps, row->ports, row->connections);
}

static int run(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0, first = true;
	char *text, *line, *rest;
	struct domain_line row;
	int status;

	if (argc > 1 && !json)
		return command_usage(&command_list, "it takes no argument but --json");
	text = command_ask("domain-list", &status);
	if (!text)
		return status;
	if (json)
		fputs("[", stdout);
	else
		printf("%-32s %5s %-7s %8s %7s %7s %6s %6s\n", "Name", "ID", "Kind", "PID", "Grants",
			"Maps", "Ports", "Conns");
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (!domain_line_parse(line, &row))
			continue;
		print_row(&row, json, first);
		first = false;
	}
	if (json)
		fputs(first ? "]\n" : "\n]\n", stdout);
	free(text);
	return 0;
}

const struct command command_list = {
	.name = "list", .summary = "list the domains", .usage = usage, .run = run};
