/* SPDX-License-Identifier: MIT */
/* ringfence shm-list: the shared memory areas, and who has them where. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/command.h"
#include "toolstack/shm_line.h"

static const char usage[] =
	"Usage: ringfence shm-list [--json]\n"
	"Lists the static shared memory areas (ringfence.cfg(5), static_shared_mem): for each domain that\n"
	"has one, the area's id and size, the domain, where in its address space which part of the area\n"
	"is, whether it is the owner, and whether it may write. An area without an owner lasts until\n"
	"its last domain has ended, and can be given to no new one.\n"
	"\n"
	"      --json    as a JSON array of areas\n";

static void print_row(const struct shm_line *row)
{
	char owner[16] = "-", range[48];

	if (row->owner)
		snprintf(owner, sizeof(owner), "%u", row->owner);
	snprintf(range, sizeof(range), "0x%" PRIx64 "-0x%" PRIx64, row->begin,
		row->begin + row->length);
	printf("%10" PRIu32 " %#12" PRIx64 " %5s %-24s %5u %-31s %#10" PRIx64 " %-8s %s\n", row->id,
		row->size, owner, row->name, row->domid, range, row->offset, row->role, row->prot);
}

/* Lines of one area follow each other: it opens with the first, and closes before the next one's. */
static void print_json(const struct shm_line *row, const struct shm_line *before)
{
	if (!before || before->id != row->id) {
		printf("%s\n  {\"id\": %" PRIu32 ", \"size\": %" PRIu64 ", \"owner\": ",
			before ? "]}," : "", row->id, row->size);
		if (row->owner)
			printf("%u", row->owner);
		else
			fputs("null", stdout);
		fputs(", \"mappings\": [", stdout);
	} else {
		fputs(",", stdout);
	}
	printf("\n    {\"domid\": %u, \"name\": \"%s\", \"begin\": %" PRIu64 ", \"size\": %" PRIu64
	       ", \"offset\": %" PRIu64 ", \"role\": \"%s\", \"prot\": \"%s\"}",
		row->domid, row->name, row->begin, row->length, row->offset, row->role, row->prot);
}

static void print_all(char *text, bool json)
{
	struct shm_line rows[2];
	const struct shm_line *before = NULL;
	unsigned int at = 0;
	char *line, *rest;

	if (json)
		fputs("[", stdout);
	else
		printf("%10s %12s %5s %-24s %5s %-31s %10s %-8s %s\n", "ID", "Size", "Owner", "Name",
			"Dom", "Range", "Offset", "Role", "Prot");
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (!shm_line_parse(line, &rows[at]))
			continue;
		if (json)
			print_json(&rows[at], before);
		else
			print_row(&rows[at]);
		before = &rows[at];
		at = !at;
	}
	if (json)
		fputs(before ? "]}\n]\n" : "]\n", stdout);
}

static int run(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	char *text;
	int status;

	if (argc > 1 && !json)
		return command_usage(&command_shm_list, "it takes no argument but --json");
	text = command_ask("shm-list", &status);
	if (!text)
		return status;
	print_all(text, json);
	free(text);
	return 0;
}

const struct command command_shm_list = {.name = "shm-list",
	.summary = "list the shared memory areas", .usage = usage, .run = run};
