/* SPDX-License-Identifier: MIT */
/* The table that xl prints, a longer one, and JSON. */
#include "toolstack/list.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/vdev.h"
#include "toolstack/block.h"
#include "toolstack/find.h"
#include "toolstack/processes.h"
#include "toolstack/shm_line.h"

/* What the hypervisor said about all domains. */
struct answers {
	const char *disks, *areas;
};

/* As xl: a letter in its place, and hyphens. */
static void state_letters(
	const struct domain_line *dom, const struct process_usage *use, char text[7])
{
	strcpy(text, "------");
	if (strcmp(dom->state, "paused") == 0)
		text[2] = 'p';
	else if (strcmp(dom->state, "shutdown") == 0)
		text[3] = 's';
	else if (strcmp(dom->state, "crashed") == 0)
		text[4] = 'c';
	else if (use->runs)
		text[0] = 'r';
	else
		text[1] = 'b';
}

static double cpu_seconds(const struct process_usage *use)
{
	return (double)use->cpu_ticks / (double)sysconf(_SC_CLK_TCK);
}

static void print_short(const struct domain_line *dom, const struct process_usage *use)
{
	char state[7];

	state_letters(dom, use, state);
	printf("%-40s %5u %5llu %5u     %s  %8.1f\n", dom->name, dom->domid,
		(unsigned long long)(use->memory_bytes >> 20), use->nr_cpus, state,
		cpu_seconds(use));
}

/* The next area of a domain at *at, which moves behind it. False: it has no more. */
static bool next_area(const char **at, unsigned int domid, struct shm_line *area)
{
	const char *line;

	while (**at) {
		line = *at;
		*at += strcspn(line, "\n");
		*at += **at == '\n';
		if (shm_line_parse(line, area) && area->domid == domid)
			return true;
	}
	return false;
}

static void print_disks(const char *at, unsigned int domid)
{
	struct block_line disk;
	char vdev[16];

	while (block_next(&at, &disk)) {
		if (disk.domid == domid)
			printf("    disk %s %c %s %s %s\n",
				vdev_name(disk.device, vdev, sizeof(vdev)), disk.mode, disk.backend,
				block_state_name(disk.state), disk.target);
	}
}

static void print_areas(const char *at, unsigned int domid)
{
	struct shm_line area;

	while (next_area(&at, domid, &area))
		printf("    area %" PRIu32 " 0x%" PRIx64 "-0x%" PRIx64 " %s %s\n", area.id, area.begin,
			area.begin + area.length, area.role, area.prot);
}

static void print_long(const struct domain_line *dom, const struct answers *answers)
{
	printf("%-32s %5u %-7s %8d %7u %7u %6u %6u\n", dom->name, dom->domid, dom->kind, dom->pid,
		dom->grants, dom->maps, dom->ports, dom->connections);
	print_disks(answers->disks, dom->domid);
	print_areas(answers->areas, dom->domid);
}

static void print_json_disks(const char *at, unsigned int domid)
{
	const char *separator = "";
	struct block_line disk;

	while (block_next(&at, &disk)) {
		if (disk.domid != domid)
			continue;
		printf("%s\n    ", separator);
		block_print_json(&disk);
		separator = ",";
	}
}

static void print_json_areas(const char *at, unsigned int domid)
{
	const char *separator = "";
	struct shm_line area;

	while (next_area(&at, domid, &area)) {
		printf("%s\n    {\"id\": %" PRIu32 ", \"begin\": %" PRIu64 ", \"size\": %" PRIu64
		       ", \"offset\": %" PRIu64 ", \"role\": \"%s\", \"prot\": \"%s\"}",
			separator, area.id, area.begin, area.length, area.offset, area.role, area.prot);
		separator = ",";
	}
}

static void print_json(const struct domain_line *dom, const struct process_usage *use,
	const struct answers *answers)
{
	char state[7];

	state_letters(dom, use, state);
	printf("  {\"domid\": %u, \"name\": \"%s\", \"kind\": \"%s\", \"pid\": %d, \"kept\": %s, "
	       "\"grants\": %u, \"maps\": %u, \"ports\": %u, \"connections\": %u,\n"
	       "   \"state\": \"%s\", \"state_letters\": \"%s\", \"memory_bytes\": %llu, \"vcpus\": %u, "
	       "\"cpu_seconds\": %.2f, \"processes\": %u,\n   \"disks\": [",
		dom->domid, dom->name, dom->kind, dom->pid, dom->has_keeper ? "true" : "false",
		dom->grants, dom->maps, dom->ports, dom->connections, dom->state, state,
		(unsigned long long)use->memory_bytes, use->nr_cpus, cpu_seconds(use),
		use->nr_processes);
	print_json_disks(answers->disks, dom->domid);
	printf("],\n   \"areas\": [");
	print_json_areas(answers->areas, dom->domid);
	printf("]}");
}

static void print_one(const struct domain_line *dom, const struct answers *answers,
	enum list_format format, bool first)
{
	struct process_usage use = {0};

	if (format == LIST_LONG) {
		print_long(dom, answers);
		return;
	}
	domain_usage(dom, &use);
	if (format == LIST_SHORT) {
		print_short(dom, &use);
		return;
	}
	fputs(first ? "\n" : ",\n", stdout);
	print_json(dom, &use, answers);
}

void list_print(
	const char *domains, const char *disks, const char *areas, enum list_format format)
{
	const struct answers answers = {disks, areas};
	struct domain_line dom;
	bool first = true;

	if (format == LIST_JSON)
		fputs("[", stdout);
	else if (format == LIST_SHORT)
		printf("%-40s %5s %5s %5s\t%s\t%s\n", "Name", "ID", "Mem", "VCPUs", "State", "Time(s)");
	else
		printf("%-32s %5s %-7s %8s %7s %7s %6s %6s\n", "Name", "ID", "Kind", "PID", "Grants",
			"Maps", "Ports", "Conns");
	while (domains_next(&domains, &dom)) {
		print_one(&dom, &answers, format, first);
		first = false;
	}
	if (format == LIST_JSON)
		fputs(first ? "]\n" : "\n]\n", stdout);
}
