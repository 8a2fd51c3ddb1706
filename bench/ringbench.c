/* SPDX-License-Identifier: MIT */
/*
 * ringbench: what our back and front end add to the least that two processes need. Slices of some
 * milliseconds alternate in the same processes on the same two processors: the bare exchange
 * (barering.h) and the null driver through libringfence. The back end is stopped by signals
 * while it is not its turn, since it may poll. One JSON object a round.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <ringfence/blkfront.h>
#include <ringfence/domain.h>

#include "barering.h"
#include "common/clock.h"
#include "common/parse.h"

#define TURNS_PER_CLOCK 64u

static const char usage[] =
	"Usage: ringbench --backend=PID [--wait=spin|event] [--cpus=OURS,PARTNER] [--rounds=N] "
	"[--ms=N]\n";

struct null_disk {
	struct rf_domain *dom;
	struct rf_blk *blk;
	void *buffer; /* granted, BARE_DEPTH_MAX sectors */
	uint64_t nr_sectors;
};

static pid_t backend;

/* Also at exit: whoever stops it starts it again. */
static void resume_backend(void)
{
	kill(backend, SIGCONT);
}

/* ---- the null driver ---- */

/* Sends what came back again, elsewhere. `done`: requests so far. */
static void submit_again(struct null_disk *disk, struct rf_blk_io **batch, int n, uint64_t done)
{
	int rc;

	for (int i = 0; i < n; i++)
		batch[i]->sector = (done + (unsigned int)i) * 2654435761u % disk->nr_sectors;
	rc = rf_blk_submit(disk->blk, batch, (unsigned int)n);
	if (rc != n)
		bench_die("cannot submit", rc < 0 ? rc : -ENOSPC);
}

static int take(struct null_disk *disk, struct rf_blk_io **batch)
{
	static unsigned char sector[BARE_SECTOR_BYTES];
	int n = rf_blk_wait(disk->blk, batch, BARE_DEPTH_MAX, 1000);

	if (n <= 0)
		bench_die("waiting", n ? n : -ETIMEDOUT);
	for (int i = 0; i < n; i++) {
		if (batch[i]->result)
			bench_die("request failed", batch[i]->result);
		/* As a user of the data would; the bare ring's loop does the same. */
		memcpy(sector, batch[i]->buf, BARE_SECTOR_BYTES);
		__asm__ volatile("" : : "r"(sector) : "memory");
	}
	return n;
}

/* The load for that long; requests per second. Leaves as many outstanding as it found. */
static double run_slice(struct null_disk *disk, uint64_t slice_ns)
{
	uint64_t start = clock_ns(), now = start, done = 0, turns = 0;
	struct rf_blk_io *batch[BARE_DEPTH_MAX];

	while (now - start < slice_ns) {
		int n = take(disk, batch);

		done += (unsigned int)n;
		submit_again(disk, batch, n, done);
		if (++turns % TURNS_PER_CLOCK == 0)
			now = clock_ns();
	}
	return (double)done * 1e9 / (double)(now - start);
}

/* Requests per second through our front and back end with that many outstanding, batch calls. */
static double null_rate(struct null_disk *disk, unsigned int depth, uint64_t slice_ns)
{
	struct rf_blk_io ios[BARE_DEPTH_MAX], *batch[BARE_DEPTH_MAX];
	unsigned int out = depth;
	double rate;

	resume_backend();
	for (unsigned int i = 0; i < depth; i++) {
		ios[i] = (struct rf_blk_io){.op = RF_BLK_READ, .nr_sectors = 1,
			.buf = (char *)disk->buffer + (size_t)i * BARE_SECTOR_BYTES};
		batch[i] = &ios[i];
	}
	submit_again(disk, batch, (int)depth, 0);
	/* First until the back end runs again and both ends are warm. */
	run_slice(disk, slice_ns / 10);
	rate = run_slice(disk, slice_ns);
	while (out)
		out -= (unsigned int)take(disk, batch);
	kill(backend, SIGSTOP);
	return rate;
}

static void open_disk(struct null_disk *disk, enum rf_blk_wait_policy policy)
{
	struct rf_blk_options opt = {.wait_policy = policy};
	struct rf_blk_info info;
	char error[256];
	int rc;

	if (rf_domain_enter(NULL, &disk->dom, error, sizeof(error)) ||
		rf_domain_attach_disk(disk->dom, "null", "xvda", error, sizeof(error))) {
		fprintf(stderr, "ringbench: %s\n", error);
		exit(1);
	}
	rc = rf_blk_open("xvda", &opt, &disk->blk);
	if (rc)
		bench_die("cannot open the disk", rc);
	rf_blk_get_info(disk->blk, &info);
	disk->nr_sectors = info.nr_sectors;
	rc = rf_blk_buffer_alloc(disk->blk, BARE_DEPTH_MAX * BARE_SECTOR_BYTES, &disk->buffer);
	if (rc)
		bench_die("no buffers", rc);
}

/* ---- rounds ---- */

/* The ping-pong before and after tells whether the distance of the processors changed. */
static void spin_round(struct bare *bare, struct null_disk *disk, uint64_t ns)
{
	printf("{\"before_ns\": %.1f", bare_pingpong_ns(bare, ns));
	printf(", \"bare_1\": %.0f", bare_ring_rate(bare, 1, true, ns));
	printf(", \"null_1\": %.0f", null_rate(disk, 1, ns));
	printf(", \"bare_nodata_1\": %.0f", bare_ring_rate(bare, 1, false, ns));
	printf(", \"bare_32\": %.0f", bare_ring_rate(bare, 32, true, ns));
	printf(", \"null_32\": %.0f", null_rate(disk, 32, ns));
	printf(", \"bare_nodata_32\": %.0f", bare_ring_rate(bare, 32, false, ns));
	printf(", \"after_ns\": %.1f}\n", bare_pingpong_ns(bare, ns));
}

static void event_round(struct bare *bare, struct null_disk *disk, uint64_t ns)
{
	printf("{\"before_ns\": %.1f", bare_eventfd_ns(bare, ns));
	printf(", \"null_1\": %.0f", null_rate(disk, 1, ns));
	printf(", \"after_ns\": %.1f}\n", bare_eventfd_ns(bare, ns));
}

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

static void parse_cpus(char *text, int *ours, int *partner)
{
	char *comma = strchr(text, ',');

	if (!comma)
		bad_usage();
	*comma = '\0';
	*ours = (int)number(text, 0, 1023);
	*partner = (int)number(comma + 1, 0, 1023);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"rounds", 1, NULL, 'r'}, {"ms", 1, NULL, 'm'},
		{"backend", 1, NULL, 'b'}, {"cpus", 1, NULL, 'c'}, {"wait", 1, NULL, 'w'}, {0}};
	uint64_t rounds = 20, slice_ns = 50 * NSEC_PER_MSEC;
	int c, our_cpu = -1, partner_cpu = -1;
	struct null_disk disk = {0};
	bool event = false;
	struct bare *bare;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'r': rounds = number(optarg, 1, 10000); break;
		case 'm': slice_ns = number(optarg, 1, 10000) * NSEC_PER_MSEC; break;
		case 'b': backend = (pid_t)number(optarg, 1, 1 << 22); break;
		case 'c': parse_cpus(optarg, &our_cpu, &partner_cpu); break;
		case 'w':
			event = strcmp(optarg, "event") == 0;
			if (!event && strcmp(optarg, "spin") != 0)
				bad_usage();
			break;
		default: bad_usage();
		}
	}
	if (optind < argc || !backend)
		bad_usage();
	bare = bare_start(partner_cpu);
	if (our_cpu >= 0)
		bench_pin(our_cpu);
	open_disk(&disk, event ? RF_BLK_WAIT_EVENT : RF_BLK_WAIT_SPIN);
	atexit(resume_backend);
	kill(backend, SIGSTOP);
	for (uint64_t i = 0; i < rounds; i++) {
		(event ? event_round : spin_round)(bare, &disk, slice_ns);
		fflush(stdout);
	}
	bare_stop(bare);
	resume_backend();
	rf_blk_close(disk.blk);
	rf_domain_leave(disk.dom);
	return 0;
}
