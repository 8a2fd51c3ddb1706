/* SPDX-License-Identifier: MIT */
/*
 * disk: looks at, reads, writes and tests a block device of this domain, with libringfence alone.
 * docs/man/disk.1 describes it.
 *
 *     cc -o disk disk*.c -lringfence -lxengnttab -lxenevtchn -lxenstore -lxentoollog -pthread
 *
 * Runs in a domain of Xen (modules xen-gntalloc and xen-evtchn), and without Xen under
 * `ringfence exec --disk=NAME`.
 */
#include "disk.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
	"Usage: disk [OPTION]... COMMAND [ARGUMENT]...\n"
	"Works with a block device of this domain. Sectors have 512 bytes.\n"
	"\n"
	"  info                     tell what the disk is and what was agreed with the back end\n"
	"  read [SECTOR COUNT]      write it, or a part of it, to standard output\n"
	"  write [SECTOR]           write standard input to it, from SECTOR (0) on, and flush\n"
	"  verify SEED N            N random writes with several outstanding, and flushes; then\n"
	"                           read all of it back and compare\n"
	"  discard SECTOR COUNT     tell that these sectors are not needed any more\n"
	"  rate read|write BYTES DEPTH SECONDS\n"
	"                           random requests of BYTES, DEPTH of them outstanding on each\n"
	"                           queue: requests and MB a second\n"
	"  hold                     read until the disk goes away, or SIGTERM or SIGINT comes, and\n"
	"                           tell when its size changes\n"
	"\n"
	"  -d, --disk=VDEV          which one (xvda, 51712...); default: the first\n"
	"  -q, --queues=N           rings to ask for, each used by a thread of its own (1 to 16)\n"
	"  -w, --wait=POLICY        how to wait for answers: adaptive (default), event, spin or\n"
	"                           iddr\n"
	"  -t, --timeout=SECONDS    how long to wait for the back end when connecting (5)\n"
	"  -j, --json               what info tells, as a JSON object\n"
	"  -h, --help               show this\n"
	"\n"
	"write, verify, discard and rate write destroy what is on the disk.\n"
	"Exit status: 0 done, 1 failed or the disk went away, 2 wrong usage, 3 the disk cannot be\n"
	"opened, 4 verify read something else than it wrote.\n";

int fail(const char *fmt, ...)
{
	va_list ap;

	fputs("disk: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

int fail_io(const char *what, uint64_t sector, uint64_t nr_sectors, int err)
{
	static const struct {
		int err;
		const char *why;
	} reasons[] = {
		{-ERANGE, "the disk ends before that: see 'disk info'"},
		{-EINVAL, "not a multiple of the disk's logical sectors: see 'disk info'"},
		{-EROFS, "the disk is read-only"},
		{-EOPNOTSUPP, "the back end does not offer that"},
		{-EIO, "the back end failed it, or is gone"},
	};

	for (unsigned int i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].err == err)
			return fail("cannot %s sectors %" PRIu64 "+%" PRIu64 ": %s", what, sector,
				nr_sectors, reasons[i].why);
	}
	return fail("cannot %s: %s", what, strerror(-err));
}

double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int buffers_alloc_ordinary(struct buffers *b, size_t len_bytes, unsigned int nr)
{
	void *memory;

	if (posix_memalign(&memory, 4096, nr * len_bytes) != 0)
		return fail("not enough memory");
	*b = (struct buffers){.base = memory, .len_bytes = len_bytes, .nr = nr};
	return 0;
}

int buffers_alloc(struct buffers *b, struct disk *disk, size_t len_bytes, unsigned int least,
	unsigned int most)
{
	void *memory;

	for (unsigned int nr = most; nr >= least; nr /= 2) {
		if (rf_blk_buffer_alloc(disk->blk, nr * len_bytes, &memory) == 0) {
			*b = (struct buffers){.base = memory, .len_bytes = len_bytes, .nr = nr,
				.granted = true};
			return 0;
		}
	}
	return buffers_alloc_ordinary(b, len_bytes, most);
}

void buffers_free(struct buffers *b, struct disk *disk)
{
	if (b->granted)
		rf_blk_buffer_free(disk->blk, b->base);
	else
		free(b->base);
	b->base = NULL;
}

/* ---- the commands, of which the longer ones are elsewhere ---- */

struct job;

struct command {
	const char *name;
	int least, most; /* arguments */
	int (*run)(struct disk *disk, const struct job *job);
};

/* What there is to do. */
struct job {
	const struct command *command;
	uint64_t numbers[3];
	int nr_numbers;
	bool writing;
};

static const char *yes_no(bool value, bool json)
{
	if (json)
		return value ? "true" : "false";
	return value ? "yes" : "no";
}

static int info(struct disk *disk, const struct job *job)
{
	const struct rf_blk_info *i = &disk->info;
	bool json = disk->json;
	const struct {
		const char *name, *flag;
		uint64_t number;
	} lines[] = {
		{"sectors", NULL, i->nr_sectors},
		{"bytes", NULL, i->nr_sectors * RF_BLK_SECTOR_SIZE},
		{"sector_size", NULL, i->sector_size},
		{"physical_sector_size", NULL, i->physical_sector_size},
		{"read_only", yes_no(i->read_only, json), 0},
		{"flush", yes_no(i->can_flush, json), 0},
		{"discard", yes_no(i->can_discard, json), 0},
		{"persistent_grants", yes_no(i->persistent_grants, json), 0},
		{"queues", NULL, i->nr_queues},
		{"ring_slots", NULL, i->ring_slots},
		{"max_segments", NULL, i->max_segments},
		{"max_request_sectors", NULL, i->max_request_sectors},
		{"bounce_pages", NULL, i->bounce_pages},
		{"backend_domid", NULL, i->backend_domid},
	};
	const unsigned int nr = sizeof(lines) / sizeof(lines[0]);

	(void)job;
	for (unsigned int k = 0; k < nr; k++) {
		char value[24];

		snprintf(value, sizeof(value), "%" PRIu64, lines[k].number);
		if (json)
			printf("%s\"%s\": ", k ? ", " : "{", lines[k].name);
		else
			printf("%s: ", lines[k].name);
		printf("%s%s", lines[k].flag ? lines[k].flag : value, json ? "" : "\n");
	}
	if (json)
		puts("}");
	return 0;
}

static int discard(struct disk *disk, const struct job *job)
{
	uint64_t sector = job->numbers[0], nr_sectors = job->numbers[1];
	int err = rf_blk_discard(disk->blk, sector, nr_sectors);

	return err ? fail_io("discard", sector, nr_sectors, err) : 0;
}

static int run_read(struct disk *disk, const struct job *job)
{
	bool all = job->nr_numbers == 0;

	return stream_out(disk, job->numbers[0], all ? disk->info.nr_sectors : job->numbers[1]);
}

static int run_write(struct disk *disk, const struct job *job)
{
	return stream_in(disk, job->numbers[0]);
}

static int run_verify(struct disk *disk, const struct job *job)
{
	return verify(disk, job->numbers[0], job->numbers[1]);
}

static int run_rate(struct disk *disk, const struct job *job)
{
	return rate(disk, job->writing, job->numbers[0], (unsigned int)job->numbers[1],
		(unsigned int)job->numbers[2]);
}

static int run_hold(struct disk *disk, const struct job *job)
{
	(void)job;
	return hold(disk);
}

/* ---- the command line ---- */

static void bad_usage(const char *what, const char *text)
{
	fail("%s '%s'; 'disk --help' tells how to use it", what, text);
	exit(EXIT_USAGE);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
	uint64_t value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value < min || value > max)
		bad_usage("no number, or out of range:", text);
	return value;
}

static const struct command commands[] = {
	{"info", 0, 0, info},
	{"read", 0, 2, run_read},
	{"write", 0, 1, run_write},
	{"verify", 2, 2, run_verify},
	{"discard", 2, 2, discard},
	{"rate", 4, 4, run_rate},
	{"hold", 0, 0, run_hold},
};

static const struct command *find_command(int argc, char **argv)
{
	if (argc == 0)
		bad_usage("a command is missing after", "disk");
	for (unsigned int i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *c = &commands[i];

		if (strcmp(argv[0], c->name) != 0)
			continue;
		/* read has both of its arguments, or none. */
		if (argc - 1 < c->least || argc - 1 > c->most || (c->run == run_read && argc == 2))
			bad_usage("wrong number of arguments for", argv[0]);
		return c;
	}
	bad_usage("unknown command", argv[0]);
	return NULL;
}

/* Its numbers are checked before the disk is touched. */
static void parse_job(struct job *job, int argc, char **argv)
{
	job->command = find_command(argc, argv);
	if (job->command->run == run_rate) {
		job->writing = strcmp(argv[1], "write") == 0;
		if (!job->writing && strcmp(argv[1], "read") != 0)
			bad_usage("neither read nor write:", argv[1]);
		job->numbers[0] = number(argv[2], RF_BLK_SECTOR_SIZE, 1 << 20);
		job->numbers[1] = number(argv[3], 1, 512);
		job->numbers[2] = number(argv[4], 1, 1000000);
		return;
	}
	for (int i = 1; i < argc; i++)
		job->numbers[job->nr_numbers++] = number(argv[i], 0, UINT64_MAX);
}

static enum rf_blk_wait_policy policy(const char *text)
{
	static const char *const names[] = {[RF_BLK_WAIT_ADAPTIVE] = "adaptive",
		[RF_BLK_WAIT_EVENT] = "event", [RF_BLK_WAIT_SPIN] = "spin",
		[RF_BLK_WAIT_IDDR] = "iddr"};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0)
			return (enum rf_blk_wait_policy)i;
	}
	bad_usage("not adaptive, event, spin or iddr:", text);
	return RF_BLK_WAIT_ADAPTIVE;
}

static void log_line(void *data, const char *message)
{
	(void)data;
	fprintf(stderr, "%s\n", message);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"disk", 1, NULL, 'd'}, {"queues", 1, NULL, 'q'},
		{"wait", 1, NULL, 'w'}, {"timeout", 1, NULL, 't'}, {"json", 0, NULL, 'j'},
		{"help", 0, NULL, 'h'}, {0}};
	struct rf_blk_options options = {.log = log_line};
	struct disk disk = {0};
	struct job job = {0};
	const char *vdev = NULL;
	int c, err, status;

	while ((c = getopt_long(argc, argv, "+d:q:w:t:jh", longs, NULL)) != -1) {
		switch (c) {
		case 'd': vdev = optarg; break;
		case 'q': options.nr_queues = (unsigned int)number(optarg, 1, 16); break;
		case 'w': options.wait_policy = policy(optarg); break;
		case 't': options.connect_timeout_ms = 1000 * (unsigned int)number(optarg, 1, 3600); break;
		case 'j': disk.json = true; break;
		case 'h': fputs(usage, stdout); return 0;
		default: return EXIT_USAGE;
		}
	}
	parse_job(&job, argc - optind, argv + optind);
	/* Who reads the output may go away; the disk is to be closed all the same. */
	signal(SIGPIPE, SIG_IGN);
	err = rf_blk_open(vdev, &options, &disk.blk);
	if (err) {
		fail("cannot open %s: %s", vdev ? vdev : "a disk", strerror(-err));
		return EXIT_OPEN;
	}
	rf_blk_get_info(disk.blk, &disk.info);
	status = job.command->run(&disk, &job);
	rf_blk_close(disk.blk);
	if (fflush(stdout) != 0 && status == 0)
		status = fail("cannot write to standard output: %s", strerror(errno));
	return status;
}
