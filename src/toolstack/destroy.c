/* SPDX-License-Identifier: MIT */
/* ringfence destroy: ends a domain at once. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "toolstack/command.h"
#include "toolstack/find.h"

#define KEEPER_TIMEOUT_MS 10000

static const char usage[] =
	"Usage: ringfence destroy DOMAIN\n"
	"Ends a domain at once, by name or id, without asking it: its program is killed. 'ringfence\n"
	"shutdown' asks. Returns when the domain and its processes are gone.\n";

/* Whoever holds the domain sees its end, kills the program and ends too. */
static int wait_for_holder(const struct domain_line *row, int pidfd)
{
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	int rc;

	do {
		rc = poll(&pfd, 1, KEEPER_TIMEOUT_MS);
	} while (rc < 0 && errno == EINTR);
	if (rc == 1)
		return 0;
	fprintf(stderr, "ringfence: domain %u is gone, but process %d that kept it does not end\n",
		row->domid, row->pid);
	return 1;
}

static int destroy(const struct domain_line *row)
{
	char domain[32];
	const char *const words[] = {"domain-destroy", domain, NULL};
	int status, fd = command_connect(&status), pidfd;
	char *text;

	if (fd < 0)
		return status;
	snprintf(domain, sizeof(domain), "domain=%u", row->domid);
	/* Before it can end, so that the number is no other process's. */
	pidfd = row->pid > 0 ? (int)syscall(SYS_pidfd_open, row->pid, 0) : -1;
	text = command_call(fd, words, NULL, NULL);
	status = text ? 0 : 1;
	free(text);
	close(fd);
	if (status == 0 && pidfd >= 0)
		status = wait_for_holder(row, pidfd);
	if (pidfd >= 0)
		close(pidfd);
	return status;
}

static int run(int argc, char **argv)
{
	struct domain_line row;
	int status;

	if (argc != 2 || argv[1][0] == '-')
		return command_usage(&command_destroy, "it takes one domain, by name or id");
	status = domain_find(argv[1], &row);
	return status ? status : destroy(&row);
}

const struct command command_destroy = {
	.name = "destroy", .summary = "end a domain at once", .usage = usage, .run = run};
