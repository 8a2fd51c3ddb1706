/* SPDX-License-Identifier: MIT */
/*
 * blkbench: a load on one disk through libringfence, as its own domain. Random or sequential
 * reads of one size for a given time, asynchronous at a depth or blocking from threads, with or
 * without thinking in between. Prints one JSON object; bench/README.md says what is in it.
 */
#include "blkbench.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>

#include <ringfence/domain.h>

#include "common/parse.h"

#define SIZE_MAX_BYTES (64ull << 20)

static const char usage[] =
	"Usage: blkbench [--depth=N | --threads=N] [OPTION]...\n"
	"  --depth=N          asynchronous requests outstanding (default 1)\n"
	"  --threads=N        blocking threads instead\n"
	"  --size=BYTES       of a request, multiple of 512 (default 512)\n"
	"  --sequential       instead of uniformly random\n"
	"  --ms=N             measured, milliseconds (default 1000)\n"
	"  --warmup=MS        the same load before that (default 0)\n"
	"  --think=NS         of each stream, between an answer and its next request: computing\n"
	"                     below 20000, sleeping from there on\n"
	"  --think-random     exponentially distributed, with that mean\n"
	"  --wait=POLICY      adaptive (default), event, spin or iddr\n"
	"  --disk=NAME        as the toolstack defined it (default disk1)\n"
	"  --copy             buffers that are not granted (asynchronous requests)\n"
	"  --latencies        measure and print latencies (threads always do)\n"
	"  --start-at=NS      begin when CLOCK_MONOTONIC says so, to run with others\n"
	"  --backend=PID      report the processor time of that process, too\n";

void die(const char *what, int rc)
{
	fprintf(stderr, "blkbench: %s: %s\n", what, strerror(-rc));
	exit(1);
}

/* ---- chance and time ---- */

/* splitmix64; the modulo's bias is far below what a measurement shows. */
uint64_t rng_below(struct rng *rng, uint64_t limit)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (z ^ z >> 31) % limit;
}

void rng_seed(struct rng *rng)
{
	if (getrandom(&rng->state, sizeof(rng->state), 0) != sizeof(rng->state))
		rng->state = clock_ns();
}

uint64_t think_time(const struct load *load, struct rng *rng)
{
	double uniform;

	if (!load->think_random)
		return load->think_ns;
	uniform = ((double)rng_below(rng, 1ull << 53) + 1) / 0x1p53; /* in (0, 1] */
	return (uint64_t)(-log(uniform) * (double)load->think_ns);
}

void sleep_until(uint64_t when_ns)
{
	struct timespec ts = {.tv_sec = (time_t)(when_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(when_ns % NSEC_PER_SEC)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

uint64_t think_until(uint64_t now_ns, uint64_t due_ns, bool busy)
{
	uint64_t computed = 0, now = clock_ns(), before = now_ns < now ? now_ns : now;

	if (!busy) {
		if (due_ns > now)
			sleep_until(due_ns);
		return 0;
	}
	while (before < due_ns) {
		now = clock_ns();
		/* A larger step is somebody else's time: we did not have the processor. */
		if (now - before < 5 * NSEC_PER_USEC)
			computed += now - before;
		before = now;
	}
	return computed;
}

uint64_t next_sector(struct load *load, struct rng *rng)
{
	uint64_t sectors = load->size / 512, nr = load->info.nr_sectors / sectors;

	if (load->sequential)
		return atomic_fetch_add_explicit(&load->position, 1, memory_order_relaxed) % nr *
		       sectors;
	return rng_below(rng, nr) * sectors;
}

/* ---- measuring ---- */

static uint64_t own_cpu_ns(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * NSEC_PER_USEC;
}

/* Of all its threads, in nanoseconds (clock_getcpuclockid(3)); ticks would be too coarse. */
static uint64_t backend_cpu_ns(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;
	int err;

	if (!pid)
		return 0;
	err = clock_getcpuclockid(pid, &clock);
	if (err || clock_gettime(clock, &ts) < 0)
		die("processor time of the back end", err ? -err : -errno);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* The fields hold where the interval began, until measure_end makes them differences. */
void measure_begin(const struct load *load, struct outcome *out, uint64_t thinking_ns)
{
	out->think_busy_ns = thinking_ns;
	out->backend_cpu_ns = backend_cpu_ns(load->backend);
	out->cpu_ns = own_cpu_ns();
	out->elapsed_ns = clock_ns();
}

void measure_end(const struct load *load, struct outcome *out, uint64_t thinking_ns)
{
	out->elapsed_ns = clock_ns() - out->elapsed_ns;
	out->cpu_ns = own_cpu_ns() - out->cpu_ns;
	out->backend_cpu_ns = backend_cpu_ns(load->backend) - out->backend_cpu_ns;
	out->think_busy_ns = thinking_ns - out->think_busy_ns;
	out->cpu_ns -= out->think_busy_ns < out->cpu_ns ? out->think_busy_ns : out->cpu_ns;
}

static void print_outcome(const struct load *load, const struct outcome *out)
{
	double nr = out->nr_requests ? (double)out->nr_requests : 1;

	printf("{\"requests\": %lu, \"seconds\": %.6f, \"rate\": %.1f, \"cpu_ns\": %.1f",
		out->nr_requests, (double)out->elapsed_ns / 1e9,
		(double)out->nr_requests * 1e9 / (double)out->elapsed_ns,
		(double)out->cpu_ns / nr);
	if (load->backend)
		printf(", \"backend_cpu_ns\": %.1f", (double)out->backend_cpu_ns / nr);
	if (load->think_ns)
		printf(", \"think_busy_ns\": %.1f, \"late_ns\": %.1f",
			(double)out->think_busy_ns / nr, (double)out->late_ns / nr);
	if (out->latency.count)
		printf(", \"mean_ns\": %.1f, \"p50_ns\": %llu, \"p99_ns\": %llu, \"max_ns\": %llu",
			out->latency.mean,
			(unsigned long long)histogram_percentile(&out->latency, 50),
			(unsigned long long)histogram_percentile(&out->latency, 99),
			(unsigned long long)out->latency.max);
	if (load->threads)
		printf(", \"least\": %lu, \"most\": %lu", out->least, out->most);
	printf(", \"persistent_grants\": %s, \"max_request_bytes\": %llu}\n",
		load->info.persistent_grants ? "true" : "false",
		load->info.max_request_sectors * 512ull);
}

/* ---- command line ---- */

__attribute__((noreturn)) static void bad_usage(void)
{
	fputs(usage, stderr);
	exit(2);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
	uint64_t value;

	if (parse_u64(text, min, max, &value))
		bad_usage();
	return value;
}

static enum rf_blk_wait_policy policy(const char *text)
{
	if (strcmp(text, "event") == 0)
		return RF_BLK_WAIT_EVENT;
	if (strcmp(text, "spin") == 0)
		return RF_BLK_WAIT_SPIN;
	if (strcmp(text, "adaptive") == 0)
		return RF_BLK_WAIT_ADAPTIVE;
	if (strcmp(text, "iddr") == 0)
		return RF_BLK_WAIT_IDDR;
	bad_usage();
}

enum option_id {
	DEPTH, THREADS, SIZE, SEQUENTIAL, MS, WARMUP, THINK, THINK_RANDOM, WAIT, DISK, COPY,
	LATENCIES, START_AT, BACKEND
};

static void parse(int argc, char **argv, struct load *load, struct rf_blk_options *opt,
	const char **disk)
{
	static const struct option longs[] = {{"depth", 1, NULL, DEPTH},
		{"threads", 1, NULL, THREADS}, {"size", 1, NULL, SIZE},
		{"sequential", 0, NULL, SEQUENTIAL}, {"ms", 1, NULL, MS},
		{"warmup", 1, NULL, WARMUP}, {"think", 1, NULL, THINK},
		{"think-random", 0, NULL, THINK_RANDOM}, {"wait", 1, NULL, WAIT},
		{"disk", 1, NULL, DISK}, {"copy", 0, NULL, COPY},
		{"latencies", 0, NULL, LATENCIES}, {"start-at", 1, NULL, START_AT},
		{"backend", 1, NULL, BACKEND}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case DEPTH: load->depth = (unsigned int)number(optarg, 1, DEPTH_MAX); break;
		case THREADS: load->threads = (unsigned int)number(optarg, 1, 1024); break;
		case SIZE: load->size = number(optarg, 512, SIZE_MAX_BYTES); break;
		case SEQUENTIAL: load->sequential = true; break;
		case MS: load->duration_ns = number(optarg, 1, 3600000) * NSEC_PER_MSEC; break;
		case WARMUP: load->warmup_ns = number(optarg, 0, 3600000) * NSEC_PER_MSEC; break;
		case THINK: load->think_ns = number(optarg, 0, NSEC_PER_SEC); break;
		case THINK_RANDOM: load->think_random = true; break;
		case WAIT: opt->wait_policy = policy(optarg); break;
		case DISK: *disk = optarg; break;
		case COPY: load->copy = true; break;
		case LATENCIES: load->latencies = true; break;
		case START_AT: load->start_ns = number(optarg, 0, INT64_MAX); break;
		case BACKEND: load->backend = (pid_t)number(optarg, 1, 1 << 22); break;
		default: bad_usage();
		}
	}
	if (optind < argc || load->size % 512)
		bad_usage();
}

int main(int argc, char **argv)
{
	struct load load = {.depth = 1, .size = 512, .duration_ns = NSEC_PER_SEC};
	struct rf_blk_options opt = {0};
	static struct outcome out;
	const char *disk = "disk1";
	struct rf_domain *dom;
	char error[256];
	int rc;

	parse(argc, argv, &load, &opt, &disk);
	/* Else the kernel lets a sleep last 50 us longer, to gather wake-ups. Threads inherit it. */
	prctl(PR_SET_TIMERSLACK, 1);
	if (rf_domain_enter(NULL, &dom, error, sizeof(error)) ||
		rf_domain_attach_disk(dom, disk, "xvda", error, sizeof(error))) {
		fprintf(stderr, "blkbench: %s\n", error);
		return 1;
	}
	rc = rf_blk_open("xvda", &opt, &load.blk);
	if (rc)
		die("cannot open the disk", rc);
	rf_blk_get_info(load.blk, &load.info);
	if (load.info.nr_sectors < load.size / 512)
		die("the disk is smaller than a request", -EINVAL);
	if (load.start_ns && clock_ns() > load.start_ns)
		die("the time to start is over", -ETIME);
	if (load.threads)
		run_blocking(&load, &out);
	else
		run_async(&load, &out);
	print_outcome(&load, &out);
	rf_blk_close(load.blk);
	rf_domain_leave(dom);
	return 0;
}
