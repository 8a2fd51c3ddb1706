/* SPDX-License-Identifier: MIT */
/* ringfence top: the load, live. */
#include "toolstack/top.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/parse.h"
#include "toolstack/command.h"

#define POLL_NS (50 * NSEC_PER_MSEC)
#define DELAY_S 2.0

static const char usage[] =
	"Usage: ringfence top [OPTION]...\n"
	"Shows the load of domains and disks, like xentop.\n"
	"\n"
	"  -d, --delay=SECONDS      between two looks (default 2)\n"
	"  -n, --iterations=N       end after so many\n"
	"  -b, --batch              plain text, without a terminal\n"
	"      --json               a JSON object a line\n"
	"      --sort=COLUMN        name, domid, disk, requests_per_s (default), reads_per_s,\n"
	"                           writes_per_s, flushes_per_s, discards_per_s, mb_per_s, latency_us,\n"
	"                           depth, errors, cache_hit_percent, cpu_percent, memory_mib\n"
	"  -h, --help               show this\n"
	"\n"
	"Keys: q quit; s, right, left: sort by another column; up, down: scroll; d: another delay.\n";

enum format { SCREEN_VIEW, BATCH, JSON };

struct options {
	enum format format;
	double delay_s;
	uint64_t nr_iterations; /* 0: no limit */
	int sort;
};

/* Takes one option. NULL, or what is wrong. */
static const char *take_option(int c, struct options *opt)
{
	switch (c) {
	case 'd':
		return command_seconds(optarg, 0.1, 3600, &opt->delay_s) ? "which delay?" : NULL;
	case 'n':
		return parse_u64(optarg, 1, UINT32_MAX, &opt->nr_iterations) ? "how many?" : NULL;
	case 'b':
		opt->format = BATCH;
		return NULL;
	case 'j':
		opt->format = JSON;
		return NULL;
	case 'o':
		opt->sort = top_column(optarg);
		return opt->sort < 0 ? "there is no such column" : NULL;
	default:
		return "unknown option, or one without its value";
	}
}

static int parse(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = {{"delay", required_argument, NULL, 'd'},
		{"iterations", required_argument, NULL, 'n'}, {"batch", no_argument, NULL, 'b'},
		{"json", no_argument, NULL, 'j'}, {"sort", required_argument, NULL, 'o'}, {0}};
	const char *wrong = NULL;
	int c;

	optind = 0;
	opterr = 0;
	while (!wrong && (c = getopt_long(argc, argv, "d:n:b", longs, NULL)) != -1)
		wrong = take_option(c, opt);
	if (!wrong && optind < argc)
		wrong = "it takes no argument";
	return wrong ? command_usage(&command_top, wrong) : 0;
}

/* Takes stamps until it is time for the next look. */
static void wait_and_see(struct top *top)
{
	static const struct timespec pause = {.tv_nsec = POLL_NS};
	uint64_t start = clock_ns();

	while ((double)(clock_ns() - start) < top->delay_s * 1e9) {
		nanosleep(&pause, NULL);
		tracer_poll(&top->tracer);
	}
}

/* The first figures are only what the next are compared with. */
static int print_again_and_again(struct top *top, const struct options *opt)
{
	int rc = top_sample(top);

	for (uint64_t i = 0; rc == 0 && (!opt->nr_iterations || i < opt->nr_iterations); i++) {
		wait_and_see(top);
		rc = top_sample(top);
		if (rc)
			break;
		if (opt->format == JSON)
			top_print_json(top, stdout);
		else
			top_print(top, stdout);
		if (fflush(stdout) || ferror(stdout))
			return 0; /* main says so */
	}
	if (!rc)
		return 0;
	fprintf(stderr, "ringfence: %s\n",
		rc == -ENOMEM ? "out of memory" : "the hypervisor went away");
	return 1;
}

static int run(int argc, char **argv)
{
	struct options opt = {.delay_s = DELAY_S, .sort = top_column("requests_per_s")};
	struct top top = {0};
	int status = parse(argc, argv, &opt);

	if (status)
		return status;
	if (opt.format == SCREEN_VIEW && (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)))
		return command_usage(&command_top, "this is no terminal: use --batch or --json");
	top.delay_s = opt.delay_s;
	top.sort = (unsigned int)opt.sort;
	status = top_open(&top);
	if (status == 0 && opt.format == SCREEN_VIEW)
		status = top_screen(&top, (unsigned long)opt.nr_iterations);
	else if (status == 0)
		status = print_again_and_again(&top, &opt);
	top_close(&top);
	return status;
}

const struct command command_top = {
	.name = "top", .summary = "show the load, live", .usage = usage, .run = run};
