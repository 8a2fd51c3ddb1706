/* SPDX-License-Identifier: MIT */
/* ringfence info: the hypervisor itself. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/rundir.h"
#include "toolstack/command.h"

static const char usage[] =
	"Usage: ringfence info\n"
	"Tells about the running hypervisor: version of its interface, process, uptime, number of\n"
	"domains, runtime directory, and how far its domains are protected from each other.\n";

static int run(int argc, char **argv)
{
	unsigned int version, pid, domains;
	unsigned long long uptime_s;
	char run_dir[PATH_MAX];
	int status;
	char *text;

	(void)argv;
	if (argc > 1)
		return command_usage(&command_info, "it takes no argument");
	text = command_ask("ping", &status);
	if (!text)
		return status;
	if (sscanf(text, "version=%u pid=%u domains=%u uptime_s=%llu", &version, &pid, &domains,
		    &uptime_s) != 4 || rundir_path(run_dir, sizeof(run_dir))) {
		fprintf(stderr, "ringfence: the hypervisor's answer makes no sense: %s\n", text);
		free(text);
		return 1;
	}
	free(text);
	printf("interface: %u\npid: %u\nuptime: %llu s\ndomains: %u\nruntime directory: %s\n"
	       "dom0's store: %s/xenstored/socket\n"
	       "isolation: domains of different user ids; those of one user id could attack each\n"
	       "           other's processes as any two programs of that user can\n",
		version, pid, uptime_s, domains, run_dir, run_dir);
	return 0;
}

const struct command command_info = {
	.name = "info", .summary = "tell about the hypervisor", .usage = usage, .run = run};
