/* SPDX-License-Identifier: MIT */
/*
 * service: starts, shows and stops the exercise's disk service. This file: arguments. It trusts
 * the hypervisor, which is ours, and neither its user nor the image.
 */
#include "service/service.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"
#include "common/rundir.h"
#include "service/common_program.h"

#define DEFAULT_IMAGE "disk1.img"
#define DEFAULT_IDLE_TIMEOUT_S 300
#define MAX_IDLE_TIMEOUT_S 31536000
#define DEFAULT_STOP_TIMEOUT_S 10
#define MAX_STOP_TIMEOUT_S 3600

static const char help_text[] =
	"Usage: service start [--image=FILE] [--cache=BYTES] [--idle-timeout=SECONDS]\n"
	"                     [--foreground]\n"
	"       service status [--json]\n"
	"       service stop [--timeout=SECONDS] [--json]\n"
	"\n"
	"Serves the sectors of a disk image to client(1) processes over rings in shared memory.\n"
	"\n"
	"start returns when the service is ready, and leaves it in the background.\n"
	"  --image=FILE            the image (default: disk1.img in the current folder)\n"
	"  --cache=BYTES           cache size, with K, M or G if you like; 0: no cache; at most\n"
	"                          and by default 1 % of the image\n"
	"  --idle-timeout=SECONDS  end after that long without a request (default 300; 0: never)\n"
	"  --foreground            stay; end on Ctrl-C\n"
	"stop ends all of it and prints request counts and the cache hit ratio.\n"
	"  --timeout=SECONDS       kill what has not ended by then (default 10)\n"
	"status and stop\n"
	"  --json                  print JSON\n"
	"  --help                  print this help\n"
	"  --version               print the version\n"
	"\n"
	"RINGFENCE_RUN names the runtime directory: several services can run side by side.\n"
	"\n"
	"Exit status: 0 done; 1 failed; 2 wrong arguments; 3 (status, stop) not running.\n";

enum option_id {
	OPT_IMAGE = 1 << 0,
	OPT_CACHE = 1 << 1,
	OPT_IDLE_TIMEOUT = 1 << 2,
	OPT_FOREGROUND = 1 << 3,
	OPT_TIMEOUT = 1 << 4,
	OPT_JSON = 1 << 5,
};

static const struct command {
	const char *name;
	int (*run)(const struct service_options *options);
	unsigned int options;
} commands[] = {
	{"start", service_start, OPT_IMAGE | OPT_CACHE | OPT_IDLE_TIMEOUT | OPT_FOREGROUND},
	{"status", service_status, OPT_JSON},
	{"stop", service_stop, OPT_TIMEOUT | OPT_JSON},
};

static const struct option long_options[] = {
	{"image", required_argument, NULL, OPT_IMAGE},
	{"cache", required_argument, NULL, OPT_CACHE},
	{"idle-timeout", required_argument, NULL, OPT_IDLE_TIMEOUT},
	{"foreground", no_argument, NULL, OPT_FOREGROUND},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"json", no_argument, NULL, OPT_JSON},
	{NULL, 0, NULL, 0},
};

static int parse_seconds(const char *option, const char *text, uint64_t min, uint64_t max,
	uint64_t *out)
{
	if (parse_u64(text, min, max, out) == 0)
		return 0;
	return complain_usage("--%s must be a whole number of seconds from %llu to %llu, not '%s'",
		option, (unsigned long long)min, (unsigned long long)max, text);
}

static int parse_option(int opt, const char *value, struct service_options *options)
{
	switch (opt) {
	case OPT_IMAGE:
		options->image = value;
		return value[0] ? 0 : complain_usage("--image needs the name of a file");
	case OPT_CACHE:
		options->cache_given = true;
		if (parse_size(value, &options->cache_bytes) == 0)
			return 0;
		return complain_usage(
			"--cache must be a size in bytes, such as 0, 65536 or 1M, not '%s'", value);
	case OPT_IDLE_TIMEOUT:
		return parse_seconds("idle-timeout", value, 0, MAX_IDLE_TIMEOUT_S,
			&options->idle_timeout_s);
	case OPT_TIMEOUT:
		return parse_seconds("timeout", value, 1, MAX_STOP_TIMEOUT_S,
			&options->stop_timeout_s);
	case OPT_FOREGROUND:
		options->foreground = true;
		return 0;
	default:
		options->json = true;
		return 0;
	}
}

static int parse_options(int argc, char **argv, const struct command *command,
	struct service_options *options)
{
	int opt, index = -1, rc;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "", long_options, &index)) != -1) {
		if (opt == '?')
			return complain_usage("unknown option or missing value: '%s'",
				argv[optind - 1]);
		if (!(command->options & (unsigned int)opt))
			return complain_usage("%s takes no --%s", command->name,
				long_options[index].name);
		rc = parse_option(opt, optarg, options);
		if (rc)
			return rc;
	}
	if (optind < argc)
		return complain_usage("%s takes no argument '%s'", command->name, argv[optind]);
	return 0;
}

int main(int argc, char **argv)
{
	struct service_options options = {
		.image = DEFAULT_IMAGE,
		.idle_timeout_s = DEFAULT_IDLE_TIMEOUT_S,
		.stop_timeout_s = DEFAULT_STOP_TIMEOUT_S,
	};
	int status;

	program_setup("service");
	if (program_handle_help(argc, argv, help_text))
		return program_finish(EXIT_OK);
	if (argc < 2)
		return complain_usage("need a command: start, status or stop");
	for (unsigned int i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		status = parse_options(argc - 1, argv + 1, &commands[i], &options);
		if (status)
			return status;
		if (rundir_path(options.run_dir, sizeof(options.run_dir))) {
			complain("the path of the runtime directory (RINGFENCE_RUN) is too long");
			return EXIT_FAILED;
		}
		return program_finish(commands[i].run(&options));
	}
	return complain_usage("unknown command '%s': need start, status or stop", argv[1]);
}
