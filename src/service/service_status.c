/* SPDX-License-Identifier: MIT */
/* service status: what runs, for whom, and how much it has done so far. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/control.h"
#include "service/common_program.h"
#include "service/service.h"
#include "service/service_hypervisor.h"
#include "service/service_session.h"
#include "service/service_stats.h"

struct status {
	pid_t pid;
	double uptime_s;
	char image[PATH_MAX];
	unsigned int nr_guests; /* domains that are not drivers */
	struct service_stats stats;
};

/* Guests are counted as domains: one that has not connected its disk yet is there, too. */
static unsigned int count_guests(const char *text)
{
	unsigned int nr = 0;
	char kind[16];

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		nr += field_get(line, "kind", kind, sizeof(kind)) &&
		      strcmp(kind, "guest") == 0;
	}
	return nr;
}

static int gather(int fd, struct status *status)
{
	char *text;

	if (session_call(fd, &text, "ping", NULL))
		return -1;
	status->pid = (pid_t)field_get_u64(text, "pid");
	status->uptime_s = process_age_s(status->pid);
	free(text);
	session_get_image(fd, SESSION_TIMEOUT_MS, status->image, sizeof(status->image));
	if (session_call(fd, &text, "domain-list", NULL))
		return -1;
	status->nr_guests = count_guests(text);
	free(text);
	if (session_call(fd, &text, "stats", NULL))
		return -1;
	if (stats_parse(text, &status->stats)) {
		free(text);
		complain("out of memory");
		return -1;
	}
	free(text);
	return 0;
}

static void print_status(const struct status *status, const char *run_dir)
{
	printf("running in %s, pid %ld", run_dir, (long)status->pid);
	if (status->uptime_s >= 0)
		printf(", up %.0f s", status->uptime_s);
	printf("\nimage: %s\nclients now: %u\n", status->image[0] ? status->image : "none",
		status->nr_guests);
	stats_print(&status->stats);
}

static void print_status_json(const struct status *status, const char *run_dir)
{
	printf("{\"running\": true, \"run_dir\": ");
	json_print_string(run_dir);
	printf(", \"pid\": %ld, \"uptime_s\": %.3f, \"image\": ", (long)status->pid,
		status->uptime_s);
	json_print_string(status->image);
	printf(", \"clients_now\": %u, ", status->nr_guests);
	stats_print_json(&status->stats);
	printf("}\n");
}

int service_status(const struct service_options *options)
{
	struct status status = {0};
	int rc, fd = control_connect(options->run_dir);

	if (fd == -ENOENT || fd == -ECONNREFUSED) {
		if (options->json)
			printf("{\"running\": false}\n");
		else
			printf("not running (in %s)\n", options->run_dir);
		return EXIT_NOT_RUNNING;
	}
	if (fd < 0) {
		complain("cannot reach the service in %s: %s", options->run_dir, strerror(-fd));
		return EXIT_FAILED;
	}
	rc = gather(fd, &status);
	close(fd);
	if (rc)
		return EXIT_FAILED;
	if (options->json)
		print_status_json(&status, options->run_dir);
	else
		print_status(&status, options->run_dir);
	stats_free(&status.stats);
	return EXIT_OK;
}
