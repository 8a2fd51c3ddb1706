/* SPDX-License-Identifier: MIT */
/*
 * blkbench: a load on one disk through libringfence, as its own domain. Random or sequential
 * requests of one size for a given time, asynchronous at a depth or blocking from threads. Prints
 * one JSON object.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <ringfence/blkfront.h>
#include <ringfence/domain.h>

#include "common/clock.h"
#include "common/histogram.h"
#include "common/parse.h"

#define DEPTH_MAX 512

static const char usage[] =
	"Usage: blkbench [--depth=N | --threads=N] [OPTION]...\n"
	"  --depth=N          asynchronous requests outstanding (default 1)\n"
	"  --threads=N        blocking threads instead\n"
	"  --size=BYTES       of a request, multiple of 512 (default 512)\n"
	"  --sequential       instead of uniformly random\n"
	"  --seconds=N        (default 1), --ms=N milliseconds\n"
	"  --wait=POLICY      adaptive (default), event or spin\n"
	"  --disk=NAME        as the toolstack defined it (default disk1)\n"
	"  --copy             buffers that are not granted (asynchronous requests)\n"
	"  --start-at=NS      begin when CLOCK_MONOTONIC says so, to run with others\n"
	"  --latencies        measure and print percentiles\n";

struct load {
	struct rf_blk *blk;
	struct rf_blk_info info;
	unsigned int depth, threads;
	uint64_t size, duration_ns, start_ns;
	bool sequential, copy, latencies;
	atomic_ulong nr_done;
};

struct rng {
	uint64_t state;
};

/* splitmix64; the modulo's bias is far below what a measurement shows. */
static uint64_t rng_below(struct rng *rng, uint64_t limit)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (z ^ z >> 31) % limit;
}

static void rng_seed(struct rng *rng)
{
	if (getrandom(&rng->state, sizeof(rng->state), 0) != sizeof(rng->state))
		rng->state = clock_ns();
}

static void die(const char *what, int rc)
{
	fprintf(stderr, "blkbench: %s: %s\n", what, strerror(-rc));
	exit(1);
}

/* ---- asynchronous ---- */

struct slot {
	struct rf_blk_io io;
	uint64_t start_ns;
};

static void next_request(const struct load *load, struct rng *rng, struct rf_blk_io *io)
{
	uint64_t sectors = load->size / 512, nr = load->info.nr_sectors / sectors;
	static uint64_t position;

	io->op = RF_BLK_READ;
	io->nr_sectors = sectors;
	io->sector = (load->sequential ? position++ % nr : rng_below(rng, nr)) * sectors;
}

static void run_async(struct load *load, struct histogram *h)
{
	struct slot *slots = calloc(load->depth, sizeof(*slots));
	struct rf_blk_io *batch[DEPTH_MAX];
	unsigned long done = 0;
	struct rng rng;
	uint64_t end, now;
	unsigned int nr_out = load->depth;
	void *buffer;
	int n, rc;

	rng_seed(&rng);
	if (load->copy)
		rc = posix_memalign(&buffer, 4096, load->depth * ((load->size + 4095) & ~4095ull));
	else
		rc = rf_blk_buffer_alloc(
			load->blk, load->depth * ((load->size + 4095) & ~4095ull), &buffer);
	if (rc || !slots)
		die("no buffers", rc ? rc : -12);
	while (clock_ns() < load->start_ns)
		;
	now = clock_ns();
	end = now + load->duration_ns;
	for (unsigned int i = 0; i < load->depth; i++) {
		slots[i].io.buf = (char *)buffer + i * ((load->size + 4095) & ~4095ull);
		slots[i].io.cookie = &slots[i];
		slots[i].start_ns = now;
		next_request(load, &rng, &slots[i].io);
		batch[i] = &slots[i].io;
	}
	rc = rf_blk_submit(load->blk, batch, load->depth);
	if (rc != (int)load->depth)
		die("cannot submit", rc < 0 ? rc : -28);
	while (nr_out) {
		n = rf_blk_wait(load->blk, batch, DEPTH_MAX, -1);
		if (n <= 0)
			die("waiting", n);
		now = load->latencies || (done & 255) + (unsigned int)n > 255 ? clock_ns() : now;
		for (int i = 0; i < n; i++) {
			struct slot *slot = batch[i]->cookie;

			if (batch[i]->result)
				die("request failed", batch[i]->result);
			if (load->latencies) {
				histogram_add(h, now - slot->start_ns);
				slot->start_ns = now;
			}
			next_request(load, &rng, batch[i]);
		}
		done += (unsigned int)n;
		if (now < end) {
			rc = rf_blk_submit(load->blk, batch, (unsigned int)n);
			if (rc != n)
				die("cannot submit", rc < 0 ? rc : -28);
		} else {
			nr_out -= (unsigned int)n;
			end = 0;
			now = 1;
		}
	}
	atomic_fetch_add(&load->nr_done, done);
	free(slots);
	if (load->copy)
		free(buffer);
	else
		rf_blk_buffer_free(load->blk, buffer);
}

/* ---- blocking ---- */

struct thread {
	struct load *load;
	pthread_t id;
	unsigned long done;
	struct histogram h;
};

static void *blocking_thread(void *data)
{
	struct thread *t = data;
	struct load *load = t->load;
	struct rf_blk_io io;
	struct rng rng;
	uint64_t start, end;
	void *buffer;
	int rc;

	rng_seed(&rng);
	histogram_init(&t->h);
	if (posix_memalign(&buffer, 4096, load->size))
		die("no buffer", -12);
	while (clock_ns() < load->start_ns)
		usleep(100);
	start = clock_ns();
	end = start + load->duration_ns;
	do {
		uint64_t now;

		next_request(load, &rng, &io);
		rc = rf_blk_read(load->blk, io.sector, (uint32_t)io.nr_sectors, buffer);
		if (rc)
			die("read", rc);
		now = clock_ns();
		histogram_add(&t->h, now - start);
		start = now;
		t->done++;
	} while (start < end);
	free(buffer);
	return NULL;
}

static void run_blocking(struct load *load, struct histogram *h, unsigned long *least)
{
	struct thread *threads = calloc(load->threads, sizeof(*threads));

	for (unsigned int i = 0; i < load->threads; i++) {
		threads[i].load = load;
		if (pthread_create(&threads[i].id, NULL, blocking_thread, &threads[i]))
			die("cannot start a thread", -11);
	}
	*least = -1ul;
	for (unsigned int i = 0; i < load->threads; i++) {
		pthread_join(threads[i].id, NULL);
		histogram_merge(h, &threads[i].h);
		atomic_fetch_add(&load->nr_done, threads[i].done);
		if (threads[i].done < *least)
			*least = threads[i].done;
	}
	free(threads);
}

/* ---- command line ---- */

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
	uint64_t value;

	if (parse_u64(text, min, max, &value)) {
		fputs(usage, stderr);
		exit(2);
	}
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
	fputs(usage, stderr);
	exit(2);
}

static void parse(int argc, char **argv, struct load *load, struct rf_blk_options *opt,
	const char **disk)
{
	enum { DEPTH, THREADS, SIZE, SEQUENTIAL, SECONDS, MS, WAIT, DISK, COPY, START, LATENCIES };
	static const struct option longs[] = {{"depth", 1, NULL, DEPTH},
		{"threads", 1, NULL, THREADS}, {"size", 1, NULL, SIZE},
		{"sequential", 0, NULL, SEQUENTIAL}, {"seconds", 1, NULL, SECONDS},
		{"ms", 1, NULL, MS}, {"wait", 1, NULL, WAIT}, {"disk", 1, NULL, DISK},
		{"copy", 0, NULL, COPY}, {"start-at", 1, NULL, START},
		{"latencies", 0, NULL, LATENCIES}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case DEPTH: load->depth = (unsigned int)number(optarg, 1, DEPTH_MAX); break;
		case THREADS: load->threads = (unsigned int)number(optarg, 1, 1024); break;
		case SIZE: load->size = number(optarg, 512, 1 << 20); break;
		case SEQUENTIAL: load->sequential = true; break;
		case SECONDS: load->duration_ns = number(optarg, 1, 3600) * NSEC_PER_SEC; break;
		case MS: load->duration_ns = number(optarg, 1, 3600000) * NSEC_PER_MSEC; break;
		case WAIT: opt->wait_policy = policy(optarg); break;
		case DISK: *disk = optarg; break;
		case COPY: load->copy = true; break;
		case START: load->start_ns = number(optarg, 0, UINT64_MAX); break;
		case LATENCIES: load->latencies = true; break;
		default: fputs(usage, stderr); exit(2);
		}
	}
	if (optind < argc || load->size % 512) {
		fputs(usage, stderr);
		exit(2);
	}
}

static double cpu_seconds(const struct rusage *ru)
{
	return (double)ru->ru_utime.tv_sec + (double)ru->ru_stime.tv_sec +
		(double)(ru->ru_utime.tv_usec + ru->ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	struct load load = {.depth = 1, .size = 512, .duration_ns = NSEC_PER_SEC};
	struct rf_blk_options opt = {0};
	const char *disk = "disk1";
	static struct histogram h;
	struct rf_domain *dom;
	struct rusage before, after;
	unsigned long least = 0;
	uint64_t start, elapsed;
	char error[256];
	int rc;

	parse(argc, argv, &load, &opt, &disk);
	histogram_init(&h);
	if (rf_domain_enter(NULL, &dom, error, sizeof(error)) ||
		rf_domain_attach_disk(dom, disk, "xvda", error, sizeof(error))) {
		fprintf(stderr, "blkbench: %s\n", error);
		return 1;
	}
	rc = rf_blk_open("xvda", &opt, &load.blk);
	if (rc)
		die("cannot open the disk", rc);
	rf_blk_get_info(load.blk, &load.info);
	getrusage(RUSAGE_SELF, &before);
	start = clock_ns();
	if (start < load.start_ns)
		start = load.start_ns;
	if (load.threads)
		run_blocking(&load, &h, &least);
	else
		run_async(&load, &h);
	elapsed = clock_ns() - start;
	getrusage(RUSAGE_SELF, &after);
	printf("{\"requests\": %lu, \"seconds\": %.6f, \"rate\": %.1f, \"cpu_s\": %.4f",
		load.nr_done, (double)elapsed / 1e9,
		(double)load.nr_done * 1e9 / (double)elapsed,
		cpu_seconds(&after) - cpu_seconds(&before));
	if (h.count)
		printf(", \"p50_ns\": %llu, \"p99_ns\": %llu, \"max_ns\": %llu, \"mean_ns\": %.0f",
			(unsigned long long)histogram_percentile(&h, 50),
			(unsigned long long)histogram_percentile(&h, 99),
			(unsigned long long)h.max, h.mean);
	if (load.threads)
		printf(", \"least\": %lu", least);
	puts("}");
	rf_blk_close(load.blk);
	rf_domain_leave(dom);
	return 0;
}
