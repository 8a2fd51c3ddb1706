/* SPDX-License-Identifier: MIT */
/*
 * client: a guest domain that reads random sectors of the service's disk, as the classic exercise
 * "Simulating the Xen Split Driver Model" asks. This file: arguments, the connection, the result
 * line. The requests are client_load.c, the files client_output.c. It trusts neither the service
 * nor its user.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <ringfence/blkfront.h>
#include <ringfence/domain.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/parse.h"
#include "common/rundir.h"
#include "service/client_load.h"
#include "service/client_output.h"
#include "service/common_program.h"

#define MAX_THREADS 1024
#define MAX_REQUESTS 1000000000000ull
#define DISK_NAME "disk1"
#define DISK_VDEV "xvda"
#define CONNECT_TIMEOUT_MS 20000 /* a loaded machine may need a while for many clients at once */

static const char help_text[] =
	"Usage: client [OPTION]... NUM_OF_THREADS NUM_OF_REQUESTS\n"
	"\n"
	"Reads NUM_OF_REQUESTS random sectors of 512 bytes from the disk of the running service\n"
	"(see service(1)) with NUM_OF_THREADS threads, which share one ring. Prints one line,\n"
	"  max|average|minimum|std. dev.|requests_per_second\n"
	"with times per request in nanoseconds, and writes to the current folder\n"
	"  sectors.PID  the sector numbers, one per line\n"
	"  read.PID     their contents, in the same order\n"
	"\n"
	"  --stats        also print percentiles and a histogram, on standard error\n"
	"  --progress     print progress lines on standard error even if it is no terminal\n"
	"  --wait=POLICY  how threads wait for answers: adaptive (default), event, spin or iddr\n"
	"  --help         print this help\n"
	"  --version      print the version\n"
	"\n"
	"Exit status: 0 every request was answered; 1 failed, the files hold what was answered;\n"
	"2 wrong arguments; 128+N ended by signal N.\n";

struct client_options {
	uint64_t nr_threads, nr_requests;
	enum rf_blk_wait_policy wait_policy;
	bool stats, progress;
};

/* What connects this process to the disk. */
struct connection {
	struct rf_domain *domain;
	struct rf_blk *blk;
	struct rf_blk_info info;
};

static int parse_count(const char *text, const char *what, uint64_t max, uint64_t *out)
{
	switch (parse_u64(text, 1, max, out)) {
	case 0:
		return 0;
	case -ERANGE:
		return complain_usage("%s must be from 1 to %" PRIu64 ", not %s", what, max, text);
	default:
		return complain_usage("%s must be a whole number from 1 to %" PRIu64 ", not '%s'",
			what, max, text);
	}
}

static int parse_wait(const char *text, enum rf_blk_wait_policy *policy)
{
	static const char *const names[] = {
		[RF_BLK_WAIT_ADAPTIVE] = "adaptive",
		[RF_BLK_WAIT_EVENT] = "event",
		[RF_BLK_WAIT_SPIN] = "spin",
		[RF_BLK_WAIT_IDDR] = "iddr",
	};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			*policy = (enum rf_blk_wait_policy)i;
			return 0;
		}
	}
	return complain_usage("--wait must be adaptive, event, spin or iddr, not '%s'", text);
}

/*
 * A negative count must be told as such, not as an unknown option: whatever begins with a minus
 * and a digit is an argument.
 */
static bool is_negative_number(const char *text)
{
	return text && text[0] == '-' && text[1] >= '0' && text[1] <= '9';
}

static int parse_options(int argc, char **argv, struct client_options *options)
{
	static const struct option longs[] = {
		{"stats", no_argument, NULL, 's'},
		{"progress", no_argument, NULL, 'p'},
		{"wait", required_argument, NULL, 'w'},
		{NULL, 0, NULL, 0},
	};
	int opt, rc;

	opterr = 0;
	while (!is_negative_number(argv[optind]) &&
		(opt = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		if (opt == 's') {
			options->stats = true;
		} else if (opt == 'p') {
			options->progress = true;
		} else if (opt == 'w') {
			rc = parse_wait(optarg, &options->wait_policy);
			if (rc)
				return rc;
		} else {
			return complain_usage("unknown option or missing value: '%s'",
				argv[optind - 1]);
		}
	}
	if (argc - optind != 2)
		return complain_usage("need exactly two arguments: NUM_OF_THREADS NUM_OF_REQUESTS");
	rc = parse_count(argv[optind], "NUM_OF_THREADS", MAX_THREADS, &options->nr_threads);
	return rc ? rc
		  : parse_count(argv[optind + 1], "NUM_OF_REQUESTS", MAX_REQUESTS,
			    &options->nr_requests);
}

static void log_blk(void *log_data, const char *message)
{
	(void)log_data;
	complain("%s", message);
}

static void disconnect(struct connection *conn)
{
	rf_blk_close(conn->blk);
	rf_domain_leave(conn->domain);
}

static int complain_enter(int rc, const char *error)
{
	char run_dir[PATH_MAX];

	if ((rc == -ENOENT || rc == -ECONNREFUSED) && rundir_path(run_dir, sizeof(run_dir)) == 0)
		complain("the service is not running (in %s); start it with: service start",
			run_dir);
	else
		complain("cannot reach the service: %s", error[0] ? error : strerror(-rc));
	return rc;
}

/* Becomes a domain, gets the disk and asks for its first and last sector. */
static int connect_disk(const struct client_options *options, struct connection *conn)
{
	const struct rf_blk_options blk_options = {
		.wait_policy = options->wait_policy,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.log = log_blk,
	};
	char name[32], error[256] = "";
	int rc;

	conn->domain = NULL;
	conn->blk = NULL;
	snprintf(name, sizeof(name), "client-%ld", (long)getpid());
	rc = rf_domain_enter(name, &conn->domain, error, sizeof(error));
	if (rc)
		return complain_enter(rc, error);
	rc = rf_domain_attach_disk(conn->domain, DISK_NAME, DISK_VDEV, error, sizeof(error));
	if (rc) {
		complain("cannot attach the disk: %s", error[0] ? error : strerror(-rc));
		goto fail;
	}
	rc = rf_blk_open(DISK_VDEV, &blk_options, &conn->blk);
	if (rc) {
		complain("cannot open the disk: %s", strerror(-rc));
		goto fail;
	}
	rf_blk_get_info(conn->blk, &conn->info);
	if (conn->info.nr_sectors > 0 && conn->info.sector_size == RF_BLK_SECTOR_SIZE)
		return 0;
	complain("the disk has %" PRIu64 " sectors of %" PRIu32 " bytes; need at least one, of 512",
		conn->info.nr_sectors, conn->info.sector_size);
	rc = -EINVAL;
fail:
	disconnect(conn);
	return rc;
}

static void print_result(const struct load_result *r)
{
	double seconds = (double)r->elapsed_ns / 1e9;

	printf("%" PRIu64 "|%.0f|%" PRIu64 "|%.1f|%.1f\n", r->latency.max, r->latency.mean,
		r->latency.min, histogram_stddev(&r->latency),
		seconds > 0 ? (double)r->nr_completed / seconds : 0.0);
}

/*
 * The histogram in rows of half a power of two, as fine as an eye can use: its buckets come in
 * 1 << HISTOGRAM_SUB_BITS per power of two, and below that one per value (histogram.h).
 */
static void print_histogram(const struct histogram *h)
{
	static const char bar[] = "##################################################";
	const unsigned int nr_half = 1u << (HISTOGRAM_SUB_BITS - 1);
	uint64_t low = 0, high, count;

	for (unsigned int row = 0; row < HISTOGRAM_NR_BUCKETS / nr_half; row++, low = high) {
		high = row < 2 ? (uint64_t)(row + 1) * nr_half
			       : (uint64_t)(3 + row % 2) * nr_half << (row / 2 - 1);
		count = 0;
		for (unsigned int i = 0; i < nr_half; i++)
			count += h->buckets[row * nr_half + i];
		if (count == 0)
			continue;
		fprintf(stderr, "%12" PRIu64 " .. %12" PRIu64 " ns %12" PRIu64 " %5.1f %% %.*s\n",
			low, high, count, 100.0 * (double)count / (double)h->count,
			(int)((double)count / (double)h->count * (sizeof(bar) - 1) + 0.5), bar);
	}
}

static void print_stats(const struct load_result *r)
{
	static const double percents[] = {1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99};

	fprintf(stderr, "%" PRIu64 " requests in %.3f s\n", r->nr_completed,
		(double)r->elapsed_ns / 1e9);
	for (unsigned int i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
		fprintf(stderr, "p%-5g %12" PRIu64 " ns\n", percents[i],
			histogram_percentile(&r->latency, percents[i]));
	print_histogram(&r->latency);
}

/* Says what ended the run early, if anything did; the exit status follows from it. */
static int judge(const struct load_result *r, const struct client_options *options,
	const struct output *out)
{
	if (!r->read_error && !r->output_error && r->nr_completed == options->nr_requests)
		return EXIT_OK;
	if (r->output_error)
		complain("cannot write %s and %s: %s", out->sectors.name, out->contents.name,
			strerror(-r->output_error));
	else if (r->read_error)
		complain("reading sector %" PRIu64 " failed: %s; the service has failed the "
			 "request or is gone",
			r->failed_sector, strerror(-r->read_error));
	complain("ended early%s%s: %" PRIu64 " of %" PRIu64 " requests were answered; %s and %s "
		 "hold %" PRIu64 " of them",
		r->signal ? " by signal: " : "", r->signal ? strsignal(r->signal) : "",
		r->nr_completed, options->nr_requests, out->sectors.name, out->contents.name,
		out->nr_records);
	return r->signal ? 128 + r->signal : EXIT_FAILED;
}

static int run(const struct client_options *options, struct output *out)
{
	struct connection conn;
	struct load_params params = {
		.out = out,
		.nr_requests = options->nr_requests,
		.nr_threads = (unsigned int)options->nr_threads,
		.progress_lines = options->progress,
	};
	struct load_result result;
	int status, rc;

	if (connect_disk(options, &conn)) {
		output_discard(out);
		return EXIT_FAILED;
	}
	params.blk = conn.blk;
	params.nr_sectors = conn.info.nr_sectors;
	if (load_run(&params, &result)) {
		output_discard(out);
		status = EXIT_FAILED;
		goto disconnect;
	}
	rc = output_close(out);
	if (rc && !result.output_error)
		result.output_error = rc;
	status = judge(&result, options, out);
	if (status == EXIT_OK)
		print_result(&result);
	if (options->stats)
		print_stats(&result);
disconnect:
	disconnect(&conn);
	return status;
}

int main(int argc, char **argv)
{
	struct client_options options = {.wait_policy = RF_BLK_WAIT_ADAPTIVE};
	struct output out;
	int status;

	program_setup("client");
	if (program_handle_help(argc, argv, help_text))
		return program_finish(EXIT_OK);
	status = parse_options(argc, argv, &options);
	if (status)
		return status;
	/* A file size limit is then an error of write like a full disk, not the end. */
	signal(SIGXFSZ, SIG_IGN);
	/* The files first: where they cannot be written, nothing is asked of the service. */
	if (output_open(&out, getpid()))
		return EXIT_FAILED;
	return program_finish(run(&options, &out));
}
