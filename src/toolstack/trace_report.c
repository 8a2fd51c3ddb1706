/* SPDX-License-Identifier: MIT */
/* Tables and JSON of where the time went. */
#include "toolstack/trace_report.h"

#include <stdlib.h>

#include "common/vdev.h"

#define BAR_WIDTH 25
#define NSEC_PER_USEC_F 1e3

static const char *const joined_names[] = {"to_backend", "check", "prepare", "driver", "answer",
	"to_frontend", "wakeup"};
static const char *const front_names[] = {"backend", "wakeup"};
static const char *const back_names[] = {"check", "prepare", "driver", "answer"};

#define NR(names) (sizeof(names) / sizeof((names)[0]))

/* ---- summing up ---- */

static bool stages_init(
	struct trace_stages *stages, const char *const *names, unsigned int nr_stages)
{
	stages->names = names;
	stages->nr_stages = nr_stages;
	stages->of = calloc(nr_stages + 1, sizeof(*stages->of));
	for (unsigned int i = 0; stages->of && i <= nr_stages; i++)
		histogram_init(&stages->of[i]);
	return stages->of != NULL;
}

struct trace_report *trace_report_create(void)
{
	struct trace_report *report = calloc(1, sizeof(*report));

	if (report && stages_init(&report->joined, joined_names, NR(joined_names)) &&
		stages_init(&report->front, front_names, NR(front_names)) &&
		stages_init(&report->back, back_names, NR(back_names)))
		return report;
	trace_report_destroy(report);
	return NULL;
}

void trace_report_destroy(struct trace_report *report)
{
	if (!report)
		return;
	free(report->joined.of);
	free(report->front.of);
	free(report->back.of);
	free(report);
}

void trace_stages_add(struct trace_stages *stages, const uint64_t *ns)
{
	for (unsigned int i = 0; i < stages->nr_stages; i++)
		histogram_add(&stages->of[i], ns[i + 1] - ns[i]);
	histogram_add(&stages->of[stages->nr_stages], ns[stages->nr_stages] - ns[0]);
}

static const struct histogram *whole(const struct trace_stages *stages)
{
	return &stages->of[stages->nr_stages];
}

bool trace_report_has_samples(const struct trace_report *report)
{
	return whole(&report->joined)->count || whole(&report->front)->count ||
	       whole(&report->back)->count;
}

static double share_of(const struct trace_stages *stages, unsigned int stage)
{
	double mean = whole(stages)->mean;

	return mean > 0 ? stages->of[stage].mean / mean : 0;
}

/* ---- table ---- */

static void print_row(FILE *out, const char *name, const struct histogram *h, double share)
{
	int width = (int)(share * BAR_WIDTH + 0.5);

	fprintf(out, "  %-12s %10.2f %10.2f %10.2f %10.2f %5.1f%% ", name,
		(double)histogram_percentile(h, 50) / NSEC_PER_USEC_F,
		(double)histogram_percentile(h, 90) / NSEC_PER_USEC_F,
		(double)histogram_percentile(h, 99) / NSEC_PER_USEC_F, h->mean / NSEC_PER_USEC_F,
		100 * share);
	for (int i = 0; i < width; i++)
		fputc('#', out);
	fputc('\n', out);
}

static void print_stages(FILE *out, const struct trace_stages *stages)
{
	fprintf(out, "  %-12s %10s %10s %10s %10s %6s\n", "microseconds", "median", "p90", "p99",
		"mean", "share");
	for (unsigned int i = 0; i < stages->nr_stages; i++)
		print_row(out, stages->names[i], &stages->of[i], share_of(stages, i));
	print_row(out, "total", whole(stages), whole(stages)->mean > 0);
}

/* An end for which there is no other with the same clock. */
static void print_end(FILE *out, const char *which, const struct trace_stages *stages)
{
	if (!whole(stages)->count)
		return;
	fprintf(out, "  the %s end alone, %llu samples:\n", which,
		(unsigned long long)whole(stages)->count);
	print_stages(out, stages);
}

void trace_report_print(FILE *out, const struct trace_disk *disk)
{
	const struct trace_report *report = disk->report;
	unsigned long long nr = whole(&report->joined)->count;
	char vdev[16];

	fprintf(out, "%s of domain %u (%s), served by domain %u (%s): ",
		vdev_name(disk->device, vdev, sizeof(vdev)), disk->domid, disk->name,
		disk->back_domid, disk->back_name);
	if (nr) {
		fprintf(out, "%llu samples, %.1f %% without the driver\n", nr,
			100.0 * (double)report->nr_without_driver / (double)nr);
		print_stages(out, &report->joined);
	} else {
		fputs("its two ends' samples cannot be joined\n", out);
		print_end(out, "front", &report->front);
		print_end(out, "back", &report->back);
	}
	fputc('\n', out);
}

/* ---- JSON ---- */

/* How many values lie in [2^n, 2^(n+1)), from 64 ns on; all below count as 0. */
static void print_powers(FILE *out, const struct histogram *h)
{
	const unsigned int sub = 1u << HISTOGRAM_SUB_BITS;
	bool first = true;

	fputs("{", out);
	for (unsigned int group = 0; group * sub < HISTOGRAM_NR_BUCKETS; group++) {
		uint64_t nr = 0;

		for (unsigned int i = 0; i < sub; i++)
			nr += h->buckets[group * sub + i];
		if (!nr)
			continue;
		fprintf(out, "%s\"%llu\": %llu", first ? "" : ", ",
			group ? 1ull << (HISTOGRAM_SUB_BITS + group - 1) : 0ull,
			(unsigned long long)nr);
		first = false;
	}
	fputs("}", out);
}

static void print_json_row(FILE *out, const char *name, const struct histogram *h, double share)
{
	fprintf(out,
		"{\"stage\": \"%s\", \"median_ns\": %llu, \"p90_ns\": %llu, \"p99_ns\": %llu, "
		"\"mean_ns\": %.1f, \"share\": %.4f, \"powers_of_two_ns\": ",
		name, (unsigned long long)histogram_percentile(h, 50),
		(unsigned long long)histogram_percentile(h, 90),
		(unsigned long long)histogram_percentile(h, 99), h->mean, share);
	print_powers(out, h);
	fputs("}", out);
}

static void print_json_stages(FILE *out, const struct trace_stages *stages)
{
	fprintf(out, "{\"samples\": %llu, \"stages\": [",
		(unsigned long long)whole(stages)->count);
	for (unsigned int i = 0; whole(stages)->count && i < stages->nr_stages; i++) {
		fputs(i ? ",\n    " : "\n    ", out);
		print_json_row(out, stages->names[i], &stages->of[i], share_of(stages, i));
	}
	fputs("],\n    \"total\": ", out);
	if (whole(stages)->count)
		print_json_row(out, "total", whole(stages), 1);
	else
		fputs("null", out);
	fputs("}", out);
}

void trace_report_print_json(FILE *out, const struct trace_disk *disk)
{
	const struct trace_report *report = disk->report;
	char vdev[16];

	fprintf(out,
		"  {\"domid\": %u, \"name\": \"%s\", \"device\": %u, \"vdev\": \"%s\", "
		"\"backend_domid\": %u, \"backend\": \"%s\", \"without_driver\": %lu,\n   \"both_ends\": ",
		disk->domid, disk->name, disk->device,
		vdev_name(disk->device, vdev, sizeof(vdev)), disk->back_domid, disk->back_name,
		report->nr_without_driver);
	print_json_stages(out, &report->joined);
	fputs(",\n   \"front_end\": ", out);
	print_json_stages(out, &report->front);
	fputs(",\n   \"back_end\": ", out);
	print_json_stages(out, &report->back);
	fputs("}", out);
}

/* ---- raw ---- */

void trace_raw_head(FILE *out)
{
	fputs("domid device queue index operation driver submitted_ns", out);
	for (unsigned int i = 0; i < NR(joined_names); i++)
		fprintf(out, " %s", joined_names[i]);
	fputs(" total\n", out);
}

void trace_raw_print(FILE *out, const struct trace_disk *disk, const struct stamps_record *back,
	const uint64_t *ns)
{
	fprintf(out, "%u %u %u %u %u %d %llu", disk->domid, disk->device, back->queue, back->index,
		back->operation, !(back->flags & STAMPS_NO_DRIVER),
		(unsigned long long)ns[TRACE_SUBMITTED]);
	for (unsigned int i = 0; i < NR_TRACE_STAGES; i++)
		fprintf(out, " %llu", (unsigned long long)(ns[i + 1] - ns[i]));
	fprintf(out, " %llu\n", (unsigned long long)(ns[TRACE_AWAKE] - ns[TRACE_SUBMITTED]));
}
