/* SPDX-License-Identifier: MIT */
/* service stop: ends everything, and tells what it did in its life. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "service/common_program.h"
#include "service/service.h"
#include "service/service_session.h"
#include "service/service_stats.h"

static void print_stopped(const struct service_stats *stats, const char *image, bool json)
{
	if (!json) {
		printf("service: stopped%s%s\n", image[0] ? ", served " : "", image);
		stats_print(stats);
		return;
	}
	printf("{\"image\": ");
	json_print_string(image);
	printf(", ");
	stats_print_json(stats);
	printf("}\n");
}

int service_stop(const struct service_options *options)
{
	uint64_t deadline_ns = clock_ns() + options->stop_timeout_s * NSEC_PER_SEC, now_ns;
	struct service_stats stats;
	char image[PATH_MAX] = "", *text;
	int rc, fd = control_connect(options->run_dir);

	if (fd >= 0) {
		session_get_image(fd, (int)options->stop_timeout_s * 1000, image, sizeof(image));
		close(fd);
	}
	/* A hypervisor that does not even answer that has used up its time. */
	now_ns = clock_ns();
	rc = session_end(options->run_dir,
		now_ns < deadline_ns ? (int)((deadline_ns - now_ns) / NSEC_PER_MSEC) : 0, &text);
	if (rc == 0) {
		complain("no service is running in %s", options->run_dir);
		return EXIT_NOT_RUNNING;
	}
	if (rc < 0) {
		free(text);
		return EXIT_FAILED;
	}
	rc = stats_parse(text ? text : "", &stats);
	free(text);
	if (rc) {
		complain("stopped, but there is no memory for its statistics");
		return EXIT_FAILED;
	}
	print_stopped(&stats, image, options->json);
	stats_free(&stats);
	return EXIT_OK;
}
