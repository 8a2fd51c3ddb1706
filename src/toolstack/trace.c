/* SPDX-License-Identifier: MIT */
/* ringfence trace: where the time of requests goes. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/parse.h"
#include "toolstack/command.h"
#include "toolstack/domain0.h"
#include "toolstack/trace_report.h"
#include "toolstack/tracer.h"

#define POLL_NS (2 * NSEC_PER_MSEC)
#define SCAN_NS (500 * NSEC_PER_MSEC)
#define SECONDS_MAX 86400.0
#define DISKS_MAX 128u /* shown; each takes half a megabyte */

static const char usage[] =
	"Usage: ringfence trace [OPTION]... [DOMAIN]\n"
	"Shows for each disk where the time of its requests goes: one in 64 of them is stamped on its\n"
	"way, by the front end and by the back end. DOMAIN, a name or id, is either end.\n"
	"\n"
	"  -s, --seconds=N    collect for so long (default 2); SIGINT ends it earlier\n"
	"      --json         as a JSON object, with histograms\n"
	"      --raw          each sampled request on a line, in nanoseconds\n"
	"      --xen          as domain 0 of the Xen host that this is, or of the instance that the\n"
	"                     environment names (see 'ringfence env')\n"
	"  -h, --help         show this\n";

enum format { TABLE, JSON, RAW };

struct options {
	double seconds;
	enum format format;
	bool xen;
	const char *domain; /* NULL: all */
};

struct session {
	struct options opt;
	struct domain0 dom0;
	struct tracer tracer;
	unsigned int domid; /* of opt.domain */
	double seconds;	    /* that were spent */
	unsigned int nr_reports;
	bool too_many, out_of_memory;
};

static volatile sig_atomic_t interrupted;

static int parse(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = {{"seconds", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'}, {"raw", no_argument, NULL, 'r'},
		{"xen", no_argument, NULL, 'x'}, {0}};
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "s:", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			if (command_seconds(optarg, 0.01, SECONDS_MAX, &opt->seconds))
				return command_usage(&command_trace, "how many seconds?");
			break;
		case 'j':
			opt->format = JSON;
			break;
		case 'r':
			opt->format = RAW;
			break;
		case 'x':
			opt->xen = true;
			break;
		default:
			return command_usage(
				&command_trace, "unknown option, or one without its value");
		}
	}
	if (argc - optind > 1)
		return command_usage(&command_trace, "one domain, or none for all");
	opt->domain = argv[optind];
	return 0;
}

/* ---- which disks ---- */

/* Is it the name or the id of that domain? */
static bool is_called(struct session *s, unsigned int domid, const char *text)
{
	char *name = tracer_read(&s->tracer, "/local/domain/%u/name", domid);
	bool same = name && strcmp(name, text) == 0;
	uint64_t number;

	if (name && parse_u64(text, domid, domid, &number) == 0)
		same = true;
	free(name);
	return same;
}

/* False if there is no such domain, which is said. */
static bool find_domain(struct session *s, const char *text)
{
	unsigned int nr = 0;
	char **domains = xs_directory(s->dom0.xs, XBT_NULL, "/local/domain", &nr);
	bool found = false;
	uint64_t domid;

	for (unsigned int i = 0; i < nr && !found; i++) {
		if (parse_u64(domains[i], 0, UINT16_MAX, &domid) == 0 &&
			is_called(s, (unsigned int)domid, text)) {
			s->domid = (unsigned int)domid;
			found = true;
		}
	}
	free(domains);
	if (!found)
		fprintf(stderr, "ringfence: there is no domain '%s'\n", text);
	return found;
}

static bool is_wanted(const struct session *s, const struct trace_disk *disk)
{
	return !s->opt.domain || disk->domid == s->domid ||
	       disk->back_domid == s->domid;
}

/* ---- collecting ---- */

static struct trace_report *report_of(struct session *s, struct trace_disk *disk)
{
	if (disk->report || !is_wanted(s, disk))
		return disk->report;
	if (s->nr_reports == DISKS_MAX) {
		s->too_many = true;
		return NULL;
	}
	disk->report = trace_report_create();
	if (disk->report)
		s->nr_reports++;
	else
		s->out_of_memory = true;
	return disk->report;
}

static void take_front(void *data, struct trace_disk *disk, const struct stamps_record *record)
{
	struct trace_report *report = report_of(data, disk);

	if (report)
		trace_stages_add(&report->front, record->ns);
}

static void take_back(void *data, struct trace_disk *disk, const struct stamps_record *record)
{
	struct trace_report *report = report_of(data, disk);

	if (report)
		trace_stages_add(&report->back, record->ns);
}

static void take_joined(void *data, struct trace_disk *disk, const struct stamps_record *back,
	const uint64_t *ns)
{
	const struct session *s = data;
	struct trace_report *report = report_of(data, disk);

	if (!report)
		return;
	trace_stages_add(&report->joined, ns);
	report->nr_without_driver += back->flags & STAMPS_NO_DRIVER;
	if (s->opt.format == RAW)
		trace_raw_print(stdout, disk, back, ns);
}

static void disk_gone(struct trace_disk *disk)
{
	trace_report_destroy(disk->report);
}

static void interrupt(int nr)
{
	(void)nr;
	interrupted = 1;
}

/* Until the time is over. 0, or -errno when the store went away. */
static int collect(struct session *s)
{
	static const struct timespec pause = {.tv_nsec = POLL_NS};
	uint64_t start = clock_ns(), now = start, scan_ns = start;
	uint64_t end = start + (uint64_t)(s->opt.seconds * (double)NSEC_PER_SEC);
	int rc = tracer_scan(&s->tracer);

	while (rc == 0 && now < end && !interrupted && !s->out_of_memory && !ferror(stdout)) {
		nanosleep(&pause, NULL);
		tracer_poll(&s->tracer);
		if (s->opt.format == RAW)
			fflush(stdout);
		now = clock_ns();
		if (now - scan_ns < SCAN_NS)
			continue;
		rc = tracer_scan(&s->tracer);
		scan_ns = now;
	}
	s->seconds = (double)(now - start) / (double)NSEC_PER_SEC;
	return s->out_of_memory ? -ENOMEM : rc;
}

/* ---- the report ---- */

static bool has_samples(const struct trace_disk *disk)
{
	return disk->report && trace_report_has_samples(disk->report);
}

static void print_json(const struct session *s)
{
	struct trace_disk *disk;
	bool first = true;

	printf("{\"seconds\": %.3f, \"sampled_one_in\": %u, \"disks\": [", s->seconds,
		STAMPS_INTERVAL);
	list_for_each(disk, &s->tracer.disks, link) {
		if (!has_samples(disk))
			continue;
		fputs(first ? "\n" : ",\n", stdout);
		trace_report_print_json(stdout, disk);
		first = false;
	}
	puts("]}");
}

static void print_tables(const struct session *s)
{
	struct trace_disk *disk;

	list_for_each(disk, &s->tracer.disks, link) {
		if (has_samples(disk))
			trace_report_print(stdout, disk);
	}
}

static int report(const struct session *s)
{
	struct trace_disk *disk;
	bool any = false;

	list_for_each(disk, &s->tracer.disks, link)
		any |= has_samples(disk);
	if (!any) {
		fprintf(stderr, "ringfence: no sampled request in %.1f s: one in %u is, of disks whose "
				"front or back end is Ringfence's\n", s->seconds, STAMPS_INTERVAL);
		return 1;
	}
	if (s->too_many)
		fprintf(stderr, "ringfence: only %u disks are shown: name a domain\n", DISKS_MAX);
	if (s->opt.format == JSON)
		print_json(s);
	else if (s->opt.format == TABLE)
		print_tables(s);
	return 0;
}

static int trace_domains(struct session *s)
{
	static const struct tracer_sink sink = {
		.front = take_front, .back = take_back, .joined = take_joined, .gone = disk_gone};
	struct sigaction action = {.sa_handler = interrupt};
	int rc, status;

	tracer_init(&s->tracer, &s->dom0, &sink, s, true);
	if (s->opt.domain && !find_domain(s, s->opt.domain))
		return 1;
	/* Without SA_RESTART, though nothing here would wait longer than a moment. */
	sigaction(SIGINT, &action, NULL);
	if (s->opt.format == RAW)
		trace_raw_head(stdout);
	rc = collect(s);
	if (rc)
		fprintf(stderr, "ringfence: %s\n",
			rc == -ENOMEM ? "out of memory" : "the hypervisor went away");
	status = report(s);
	tracer_fini(&s->tracer);
	return rc ? 1 : status;
}

static int run(int argc, char **argv)
{
	struct session session = {.opt = {.seconds = 2}};
	int status = parse(argc, argv, &session.opt);

	if (status == 0)
		status = domain0_enter(&session.dom0, session.opt.xen);
	if (status)
		return status;
	status = trace_domains(&session);
	domain0_leave(&session.dom0);
	return status;
}

const struct command command_trace = {.name = "trace",
	.summary = "show where the time of requests goes", .usage = usage, .run = run};
