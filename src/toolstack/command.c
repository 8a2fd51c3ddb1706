/* SPDX-License-Identifier: MIT */
/* What the subcommands have in common. */
#include "toolstack/command.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/control.h"
#include "common/rundir.h"

#define CALL_TIMEOUT_MS 15000

int command_usage(const struct command *command, const char *problem)
{
	fprintf(stderr, "ringfence %s: %s\nTry 'ringfence %s --help'.\n", command->name, problem,
		command->name);
	return EXIT_USAGE;
}

int command_seconds(const char *text, double min, double max, double *seconds)
{
	char *end;
	double value;

	/* Not what else strtod takes: signs, exponents, "nan". */
	if (!*text || text[strspn(text, "0123456789.")])
		return -EINVAL;
	value = strtod(text, &end);
	if (*end || !(value >= min && value <= max))
		return -EINVAL;
	*seconds = value;
	return 0;
}

int command_connect(int *status)
{
	char run_dir[PATH_MAX];
	int rc = rundir_path(run_dir, sizeof(run_dir));

	if (rc == 0)
		rc = control_connect(run_dir);
	if (rc >= 0)
		return rc;
	*status = 1;
	if (rc == -ENOENT || rc == -ECONNREFUSED) {
		fprintf(stderr, "ringfence: no hypervisor is running in %s; start one with "
				"'ringfenced --daemon'\n", run_dir);
		*status = EXIT_NOT_RUNNING;
	} else {
		fprintf(stderr, "ringfence: cannot reach the hypervisor in %s: %s\n", run_dir,
			strerror(-rc));
	}
	return -1;
}

char *command_call(int control_fd, const char *const *words, int *fds, unsigned int *nr_fds)
{
	return command_call_within(control_fd, CALL_TIMEOUT_MS, words, fds, nr_fds);
}

char *command_call_within(int control_fd, int timeout_ms, const char *const *words, int *fds,
	unsigned int *nr_fds)
{
	char *text;
	int rc = control_call(control_fd, words, timeout_ms, &text, fds, nr_fds);

	if (rc == 0)
		return text;
	fprintf(stderr, "ringfence: %s\n", text && *text ? text : strerror(-rc));
	free(text);
	return NULL;
}

char *command_ask(const char *verb, int *status)
{
	const char *const words[] = {verb, NULL};
	int fd = command_connect(status);
	char *text;

	if (fd < 0)
		return NULL;
	*status = 1;
	text = command_call(fd, words, NULL, NULL);
	close(fd);
	return text;
}
