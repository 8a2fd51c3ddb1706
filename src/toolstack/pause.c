/* SPDX-License-Identifier: MIT */
/*
 * ringfence pause, unpause: stops a domain's processes and lets them continue. The hypervisor notes
 * it and lets one command at a time do it; the connection stays open until it is done.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolstack/command.h"
#include "toolstack/processes.h"
#include "toolstack/request.h"

#define STOP_TIMEOUT_MS 5000

static const char pause_usage[] =
	"Usage: ringfence pause DOMAIN\n"
	"Stops all processes of a domain, by name or id. Returns when none of them runs any more.\n"
	"What it has in its rings and in xenstore stays as it is; its peers are not told.\n";

static const char unpause_usage[] =
	"Usage: ringfence unpause DOMAIN\n"
	"Lets all processes of a domain continue, by name or id.\n";

static int stop(const struct domain_line *dom)
{
	int rc = domain_stop(dom, STOP_TIMEOUT_MS);

	if (rc == -ETIMEDOUT)
		fprintf(stderr, "ringfence: domain %u (%s) is paused, but some of its processes have not "
				"stopped within %d s; they are in the kernel and stop when they leave it\n",
			dom->domid, dom->name, STOP_TIMEOUT_MS / 1000);
	else if (rc)
		fprintf(stderr, "ringfence: cannot stop the processes of domain %u (%s): %s\n",
			dom->domid, dom->name, strerror(-rc));
	return rc ? 1 : 0;
}

static int resume(const struct domain_line *dom)
{
	int rc = domain_continue(dom);

	if (rc)
		fprintf(stderr, "ringfence: cannot let the processes of domain %u (%s) continue: %s\n",
			dom->domid, dom->name, strerror(-rc));
	return rc ? 1 : 0;
}

static int run_either(const struct command *command, int argc, char **argv, const char *verb,
	int (*act)(const struct domain_line *dom))
{
	struct domain_line dom;
	int status, fd;
	char *text;

	if (argc != 2 || argv[1][0] == '-')
		return command_usage(command, "it takes one domain, by name or id");
	fd = command_connect(&status);
	if (fd < 0)
		return status;
	text = request(fd, REQUEST_TIMEOUT_S, verb, "domain", argv[1], (char *)NULL);
	status = text && domain_line_parse(text, &dom) ? act(&dom) : 1;
	free(text);
	close(fd);
	return status;
}

static int run_pause(int argc, char **argv)
{
	return run_either(&command_pause, argc, argv, "domain-pause", stop);
}

static int run_unpause(int argc, char **argv)
{
	return run_either(&command_unpause, argc, argv, "domain-unpause", resume);
}

const struct command command_pause = {.name = "pause",
	.summary = "stop a domain's processes", .usage = pause_usage, .run = run_pause};

const struct command command_unpause = {.name = "unpause",
	.summary = "let a paused domain continue", .usage = unpause_usage, .run = run_unpause};
