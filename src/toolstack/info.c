/* SPDX-License-Identifier: MIT */
/* ringfence info: the host and the hypervisor, in the manner of `xl info`. */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/rundir.h"
#include "toolstack/command.h"
#include "toolstack/request.h"

static const char usage[] =
	"Usage: ringfence info [--json]\n"
	"Tells about the host, the running hypervisor, its limits, its store, its runtime directory, and\n"
	"how far its domains are protected from each other. Memory is in MiB.\n"
	"\n"
	"      --json   as a JSON object\n"
	"  -h, --help   show this\n";

/* One thing after the other, as "name : value" or as members of an object. */
struct printer {
	bool json, any;
};

static void print_text(struct printer *printer, const char *name, const char *value)
{
	if (printer->json) {
		printf("%s\n  \"%s\": ", printer->any ? "," : "", name);
		print_json_string(value);
	} else {
		printf("%-23s: %s\n", name, value);
	}
	printer->any = true;
}

static void print_number(struct printer *printer, const char *name, unsigned long long value)
{
	if (printer->json)
		printf("%s\n  \"%s\": %llu", printer->any ? "," : "", name, value);
	else
		printf("%-23s: %llu\n", name, value);
	printer->any = true;
}

static void print_host(struct printer *printer)
{
	long page_size = sysconf(_SC_PAGESIZE);
	struct utsname host;

	if (uname(&host) == 0) {
		print_text(printer, "host", host.nodename);
		print_text(printer, "release", host.release);
		print_text(printer, "version", host.version);
		print_text(printer, "machine", host.machine);
	}
	print_number(printer, "nr_cpus", (unsigned long long)sysconf(_SC_NPROCESSORS_ONLN));
	print_number(printer, "total_memory",
		(unsigned long long)sysconf(_SC_PHYS_PAGES) * (unsigned long long)page_size >> 20);
	print_number(printer, "free_memory",
		(unsigned long long)sysconf(_SC_AVPHYS_PAGES) * (unsigned long long)page_size >> 20);
}

/* "key=value" words of the hypervisor's answer, under the names that people see. */
static void print_hypervisor(struct printer *printer, char *text)
{
	static const char *const names[][2] = {
		{"version", "interface"}, {"release", "ringfence_version"}};
	char *word, *rest, *value, *end;
	unsigned long long number;

	for (word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
		const char *name = word;

		value = strchr(word, '=');
		if (!value)
			continue;
		*value++ = '\0';
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			if (strcmp(word, names[i][0]) == 0)
				name = names[i][1];
		}
		number = strtoull(value, &end, 10);
		if (*value && !*end)
			print_number(printer, name, number);
		else
			print_text(printer, name, value);
	}
}

static int run(int argc, char **argv)
{
	struct printer printer = {.json = argc == 2 && strcmp(argv[1], "--json") == 0};
	char run_dir[PATH_MAX], store[PATH_MAX + 32], *text;
	int status;

	if (argc > 1 && !printer.json)
		return command_usage(&command_info, "it takes no argument but --json");
	text = command_ask("info", &status);
	if (!text)
		return status;
	if (printer.json)
		putchar('{');
	print_host(&printer);
	print_hypervisor(&printer, text);
	free(text);
	if (rundir_path(run_dir, sizeof(run_dir)) == 0) {
		snprintf(store, sizeof(store), "%s/xenstored/socket", run_dir);
		print_text(&printer, "runtime_directory", run_dir);
		print_text(&printer, "dom0_store", store);
	}
	print_text(&printer, "isolation",
		"domains of different user ids; those of one user id could attack each other's "
		"processes as any two programs of that user can");
	if (printer.json)
		fputs("\n}\n", stdout);
	return 0;
}

const struct command command_info = {.name = "info",
	.summary = "tell about the host and the hypervisor", .usage = usage, .run = run};
