/* SPDX-License-Identifier: MIT */
/* Options of blkback; docs/man/blkback.8 explains them, and a test compares the two. */
#include "blkback/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blkback/sched.h"
#include "common/parse.h"

#define EXIT_USAGE 2

static const char usage[] =
	"Usage: blkback [OPTION]...\n"
	"The block back end: serves the virtual block devices of this domain over blkif rings.\n"
	"\n"
	"Disks:\n"
	"  -c, --cache=SIZE        read cache of each image: bytes (K, M, G allowed), or a part of the\n"
	"                          image such as 1% or 0.5%; 0: none (default)\n"
	"      --cache-block=N     bytes of a cache block: 512, 1024, 2048 or 4096 (default)\n"
	"  -i, --image=TARGET      open this image read-only now and keep it open, with its cache;\n"
	"                          fail if that is not possible\n"
	"  -I, --image-rw=TARGET   the same for writing\n"
	"\n"
	"Offered to guests:\n"
	"      --grants=MODE       how their pages are reached: auto (default), persistent, map, copy\n"
	"      --indirect=N        segments of an indirect request, 0 to 256 (default); 0: none\n"
	"      --max-queues=N      queues of a disk, 1 to 16 (default: as many as workers)\n"
	"\n"
	"Work:\n"
	"  -p, --policy=POLICY     adaptive (default): poll while busy, then sleep;\n"
	"                          event: sleep at once; spin: never sleep;\n"
	"                          iddr: poll for 50 us, then sleep, and say so in the ring\n"
	"  -w, --workers=N         threads that serve rings (default: half of the processors)\n"
	"      --window=N          requests at a device while domains compete for it (default 8)\n"
	"      --aio=KIND          auto (default), uring or threads\n"
	"      --registered-buffers=on|off  pin guests' pages that stay mapped, for io_uring\n"
	"                          (default: on)\n"
	"\n"
	"On a Xen host:\n"
	"      --any-script        serve also disks whose script is not block-ringfence\n"
	"      --beside-xen-blkback  run although the kernel's back end is loaded\n"
	"\n"
	"  -l, --log-level=LEVEL   error, warn, info (default) or debug\n"
	"  -h, --help              show this help\n"
	"  -V, --version           show the version\n"
	"\n"
	"Targets: a path, file:PATH, or null:SIZE (no contents, takes no time).\n"
	"It finds its domain by XENSTORED_PATH and RINGFENCE_HYPERCALL, which the hypervisor sets.\n"
	"Without them it serves the guests of a Xen host, from dom0 or from a driver domain: by\n"
	"/dev/xen, with xen-evtchn and xen-gntdev loaded and xen-blkback not. A guest's disk then says\n"
	"    disk = [ 'format=raw,vdev=xvda,access=rw,script=block-ringfence,target=TARGET' ]\n"
	"(and backend=DOMAIN for a driver domain); see blkback(8) and tools/xen/README.md.\n"
	"SIGTERM closes the disks and ends it.\n"
	"\n"
	"Exit status: 0 ended as asked, 1 failed, 2 wrong usage.\n";

enum {
	OPT_CACHE_BLOCK = 256,
	OPT_WINDOW,
	OPT_AIO,
	OPT_REGISTERED_BUFFERS,
	OPT_GRANTS,
	OPT_INDIRECT,
	OPT_MAX_QUEUES,
	OPT_ANY_SCRIPT,
	OPT_BESIDE,
};

static void __attribute__((noreturn)) bad_option(const char *option, const char *text)
{
	fprintf(stderr, "blkback: bad value '%s' for --%s\nTry 'blkback --help'.\n", text, option);
	exit(EXIT_USAGE);
}

static unsigned int choose(const char *option, const char *text, const char *const *names)
{
	for (unsigned int i = 0; names[i]; i++) {
		if (strcmp(names[i], text) == 0)
			return i;
	}
	bad_option(option, text);
}

static unsigned int number(const char *option, const char *text, unsigned int min, unsigned int max)
{
	uint64_t value;

	if (parse_u64(text, min, max, &value))
		bad_option(option, text);
	return (unsigned int)value;
}

/* Each returns false if the option is not one of its kind. */
static bool parse_disk_option(int c, struct options *opt)
{
	switch (c) {
	case 'c':
		opt->cache.size = opt->cache.ppm = 0;
		if (parse_size(optarg, &opt->cache.size) && parse_percent(optarg, &opt->cache.ppm))
			bad_option("cache", optarg);
		return true;
	case OPT_CACHE_BLOCK:
		opt->cache.block_size = number("cache-block", optarg, 512, 4096);
		if (opt->cache.block_size & (opt->cache.block_size - 1))
			bad_option("cache-block", optarg);
		return true;
	case 'i':
	case 'I':
		opt->image = optarg;
		opt->image_writable = c == 'I';
		return true;
	default:
		return false;
	}
}

static bool parse_offer_option(int c, struct options *opt)
{
	/* In the order of enum grant_mode. */
	static const char *const grants[] = {"auto", "persistent", "map", "copy", NULL};

	switch (c) {
	case OPT_GRANTS:
		opt->offer.grants = (enum grant_mode)choose("grants", optarg, grants);
		return true;
	case OPT_INDIRECT:
		opt->offer.max_indirect_segments =
			number("indirect", optarg, 0, QUEUE_MAX_INDIRECT_SEGMENTS);
		return true;
	case OPT_MAX_QUEUES:
		opt->offer.max_queues = number("max-queues", optarg, 1, VBD_MAX_QUEUES);
		return true;
	case OPT_ANY_SCRIPT:
		opt->any_script = true;
		return true;
	case OPT_BESIDE:
		opt->beside_xen_blkback = true;
		return true;
	default:
		return false;
	}
}

static bool parse_work_option(int c, struct options *opt)
{
	static const char *const policies[] = {"adaptive", "event", "spin", "iddr", NULL};
	static const char *const aios[] = {"auto", "uring", "threads", NULL};
	static const char *const switches[] = {"off", "on", NULL};

	switch (c) {
	case 'p':
		opt->worker.policy = (enum worker_policy)choose("policy", optarg, policies);
		return true;
	case 'w':
		opt->nr_workers = number("workers", optarg, 1, SERVICE_WORKERS_MAX);
		return true;
	case OPT_WINDOW:
		opt->worker.window = number("window", optarg, 1, 4096);
		return true;
	case OPT_AIO:
		opt->worker.aio_kind = (enum aio_kind)choose("aio", optarg, aios);
		return true;
	case OPT_REGISTERED_BUFFERS:
		opt->worker.registered_buffers = choose("registered-buffers", optarg, switches);
		return true;
	default:
		return false;
	}
}

static void parse_option(int c, struct options *opt)
{
	switch (c) {
	case 'l':
		if (log_level_parse(optarg, &opt->log_level))
			bad_option("log-level", optarg);
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	case 'V':
		puts("blkback " RINGFENCE_VERSION);
		exit(0);
	default:
		if (parse_disk_option(c, opt) || parse_offer_option(c, opt) ||
			parse_work_option(c, opt))
			break;
		fputs("Try 'blkback --help'.\n", stderr);
		exit(EXIT_USAGE);
	}
}

static const struct option longs[] = {
	{"cache", required_argument, NULL, 'c'},
	{"cache-block", required_argument, NULL, OPT_CACHE_BLOCK},
	{"image", required_argument, NULL, 'i'},
	{"image-rw", required_argument, NULL, 'I'},
	{"grants", required_argument, NULL, OPT_GRANTS},
	{"indirect", required_argument, NULL, OPT_INDIRECT},
	{"max-queues", required_argument, NULL, OPT_MAX_QUEUES},
	{"policy", required_argument, NULL, 'p'},
	{"workers", required_argument, NULL, 'w'},
	{"window", required_argument, NULL, OPT_WINDOW},
	{"aio", required_argument, NULL, OPT_AIO},
	{"registered-buffers", required_argument, NULL, OPT_REGISTERED_BUFFERS},
	{"any-script", no_argument, NULL, OPT_ANY_SCRIPT},
	{"beside-xen-blkback", no_argument, NULL, OPT_BESIDE},
	{"log-level", required_argument, NULL, 'l'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{0},
};

static unsigned int default_workers(void)
{
	long nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return nr_cpus < 4 ? 1 : nr_cpus < 16 ? (unsigned int)nr_cpus / 2 : 8;
}

void options_parse(int argc, char **argv, struct options *opt)
{
	int c;

	*opt = (struct options){
		.cache = {.block_size = 4096},
		.worker = {.window = SCHED_WINDOW_DEFAULT, .registered_buffers = true},
		.nr_workers = default_workers(),
		.offer = {.grants = GRANT_AUTO,
			.max_indirect_segments = QUEUE_MAX_INDIRECT_SEGMENTS},
		.log_level = LOG_INFO,
	};
	while ((c = getopt_long(argc, argv, "c:i:I:p:w:l:hV", longs, NULL)) != -1)
		parse_option(c, opt);
	if (optind < argc) {
		fprintf(stderr, "blkback: unexpected argument '%s'\nTry 'blkback --help'.\n",
			argv[optind]);
		exit(EXIT_USAGE);
	}
	opt->offer.status = opt->worker.policy == WORKER_IDDR;
	/* More queues than workers would only wait for each other. */
	if (!opt->offer.max_queues)
		opt->offer.max_queues =
			opt->nr_workers < VBD_MAX_QUEUES ? opt->nr_workers : VBD_MAX_QUEUES;
}
