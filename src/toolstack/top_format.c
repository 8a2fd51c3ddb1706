/* SPDX-License-Identifier: MIT */
/* The columns, and what is made of them. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/vdev.h"
#include "toolstack/top.h"

#define UNKNOWN "-"

/* ---- values ---- */

static double sum_of(const struct top_disk *disk)
{
	return disk->reads + disk->writes + disk->flushes + disk->discards;
}

static double value_domid(const struct top_row *row)
{
	return row->domain->domid;
}

static double value_device(const struct top_row *row)
{
	return row->disk ? row->disk->line.device : NAN;
}

static double value_requests(const struct top_row *row)
{
	return row->disk ? sum_of(row->disk) : NAN;
}

static double value_reads(const struct top_row *row)
{
	return row->disk ? row->disk->reads : NAN;
}

static double value_writes(const struct top_row *row)
{
	return row->disk ? row->disk->writes : NAN;
}

static double value_flushes(const struct top_row *row)
{
	return row->disk ? row->disk->flushes : NAN;
}

static double value_discards(const struct top_row *row)
{
	return row->disk ? row->disk->discards : NAN;
}

static double value_mbytes(const struct top_row *row)
{
	return row->disk ? row->disk->bytes / 1e6 : NAN;
}

static double value_latency(const struct top_row *row)
{
	return row->disk ? row->disk->latency_ns / 1e3 : NAN;
}

static double value_depth(const struct top_row *row)
{
	return row->disk ? row->disk->depth : NAN;
}

static double value_errors(const struct top_row *row)
{
	return row->disk ? (double)row->disk->line.counts.errors : NAN;
}

static double value_hits(const struct top_row *row)
{
	double lookups = row->disk ? row->disk->hits + row->disk->misses : 0;

	return lookups > 0 ? 100 * row->disk->hits / lookups : NAN;
}

static double value_cpu(const struct top_row *row)
{
	return 100 * row->domain->cpu;
}

static double value_memory(const struct top_row *row)
{
	return row->domain->memory_bytes / 0x1p20;
}

/* ---- columns ---- */

struct column {
	const char *name; /* for --sort and JSON */
	const char *title;
	int width, decimals;
	double (*value)(const struct top_row *row); /* NULL: the domain's name */
};

static const struct column columns[] = {
	{"name", "NAME", 16, 0, NULL},
	{"domid", "ID", 5, 0, value_domid},
	{"disk", "DISK", 5, 0, value_device},
	{"requests_per_s", "REQ/s", 9, 0, value_requests},
	{"reads_per_s", "READ/s", 9, 0, value_reads},
	{"writes_per_s", "WRITE/s", 9, 0, value_writes},
	{"flushes_per_s", "FLUSH/s", 8, 0, value_flushes},
	{"discards_per_s", "DISC/s", 7, 0, value_discards},
	{"mb_per_s", "MB/s", 8, 1, value_mbytes},
	{"latency_us", "LAT us", 9, 1, value_latency},
	{"depth", "DEPTH", 6, 1, value_depth},
	{"errors", "ERR", 5, 0, value_errors},
	{"cache_hit_percent", "HIT%", 5, 0, value_hits},
	{"cpu_percent", "CPU%", 6, 1, value_cpu},
	{"memory_mib", "MEM M", 6, 0, value_memory},
};

const unsigned int top_nr_columns = sizeof(columns) / sizeof(columns[0]);

int top_column(const char *name)
{
	for (unsigned int i = 0; i < top_nr_columns; i++) {
		if (strcmp(columns[i].name, name) == 0)
			return (int)i;
	}
	return -EINVAL;
}

/* ---- sorting ---- */

static int by_place(const struct top_row *a, const struct top_row *b)
{
	double x = value_device(a), y = value_device(b);

	if (a->domain->domid != b->domain->domid)
		return a->domain->domid < b->domain->domid ? -1 : 1;
	return (x > y) - (x < y);
}

/* Names and places from the front, figures from the largest; what is not known comes last. */
static int compare(const void *a, const void *b, void *data)
{
	const struct column *column = data;
	double x, y;

	if (!column->value) {
		int names = strcmp(((const struct top_row *)a)->domain->name,
			((const struct top_row *)b)->domain->name);

		return names ? names : by_place(a, b);
	}
	if (column->value == value_domid)
		return by_place(a, b);
	x = column->value(a);
	y = column->value(b);
	if (isnan(x) != isnan(y))
		return isnan(x) ? 1 : -1;
	if (isnan(x) || x == y)
		return by_place(a, b);
	return x > y ? -1 : 1;
}

void top_sort(struct top *top)
{
	qsort_r(top->rows, top->nr_rows, sizeof(*top->rows), compare,
		(void *)(uintptr_t)&columns[top->sort]);
}

/* ---- lines ---- */

struct totals {
	unsigned int nr_drivers;
	double requests, reads, writes, flushes, discards, bytes, cpu;
	uint64_t errors;
};

static void sum_up(const struct top *top, struct totals *totals)
{
	const struct top_snapshot *now = &top->now;

	*totals = (struct totals){0};
	for (unsigned int i = 0; i < now->nr_domains; i++) {
		totals->nr_drivers += strcmp(now->domains[i].kind, "driver") == 0;
		totals->cpu += isnan(now->domains[i].cpu) ? 0 : now->domains[i].cpu;
	}
	for (unsigned int i = 0; i < now->nr_disks; i++) {
		const struct top_disk *disk = &now->disks[i];

		totals->requests += sum_of(disk);
		totals->reads += disk->reads;
		totals->writes += disk->writes;
		totals->flushes += disk->flushes;
		totals->discards += disk->discards;
		totals->bytes += disk->bytes;
		totals->errors += disk->line.counts.errors;
	}
}

void top_format_head(const struct top *top, char *line)
{
	struct totals totals;
	time_t now = time(NULL);
	struct tm tm;
	char clock[16] = "";

	sum_up(top, &totals);
	if (localtime_r(&now, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	snprintf(line, TOP_LINE_SIZE,
		"ringfence top - %s  domains: %u (drivers: %u), disks: %u, requests/s: %.0f, MB/s: %.1f, "
		"errors: %llu, CPU: %.0f %%",
		clock, top->now.nr_domains, totals.nr_drivers, top->now.nr_disks, totals.requests,
		totals.bytes / 1e6, (unsigned long long)totals.errors, 100 * totals.cpu);
}

/* Appends a cell; the first one is a name, and to the left. */
static int put_cell(char *line, int at, const struct column *column, const char *text)
{
	int width = column->width;
	int n = at >= TOP_LINE_SIZE ? 0
		: column == columns
			? snprintf(line + at, (size_t)(TOP_LINE_SIZE - at), "%-*.*s", width, width, text)
			: snprintf(line + at, (size_t)(TOP_LINE_SIZE - at), " %*s", width, text);

	return at + n;
}

void top_format_titles(const struct top *top, char *line)
{
	char title[24];
	int at = 0;

	for (unsigned int i = 0; i < top_nr_columns; i++) {
		snprintf(title, sizeof(title), "%s%s", i == top->sort ? ">" : "", columns[i].title);
		at = put_cell(line, at, &columns[i], title);
	}
}

void top_format_row(const struct top_row *row, char *line)
{
	char text[DOMAIN_NAME_SIZE];
	int at = 0;

	for (unsigned int i = 0; i < top_nr_columns; i++) {
		const struct column *column = &columns[i];
		double value = column->value ? column->value(row) : 0;

		if (!column->value)
			snprintf(text, sizeof(text), "%s", row->domain->name);
		else if (isnan(value))
			snprintf(text, sizeof(text), UNKNOWN);
		else if (column->value == value_device)
			vdev_name(row->disk->line.device, text, sizeof(text));
		else
			snprintf(text, sizeof(text), "%.*f", column->decimals, value);
		at = put_cell(line, at, column, text);
	}
}

void top_print(const struct top *top, FILE *out)
{
	char line[TOP_LINE_SIZE];

	top_format_head(top, line);
	fprintf(out, "%s\n", line);
	top_format_titles(top, line);
	fprintf(out, "%s\n", line);
	for (unsigned int i = 0; i < top->nr_rows; i++) {
		top_format_row(&top->rows[i], line);
		fprintf(out, "%s\n", line);
	}
	fputc('\n', out);
}

/* ---- JSON ---- */

static void print_json_row(const struct top_row *row, FILE *out)
{
	char vdev[16];

	fprintf(out, "{\"name\": \"%s\", \"kind\": \"%s\", \"pid\": %d", row->domain->name,
		row->domain->kind, row->domain->pid);
	if (row->disk)
		fprintf(out, ", \"vdev\": \"%s\", \"backend\": \"%s\"",
			vdev_name(row->disk->line.device, vdev, sizeof(vdev)),
			row->disk->line.backend);
	for (unsigned int i = 1; i < top_nr_columns; i++) {
		double value = columns[i].value(row);

		if (isnan(value))
			fprintf(out, ", \"%s\": null", columns[i].name);
		else
			fprintf(out, ", \"%s\": %.*f", columns[i].name,
				columns[i].decimals ? 3 : columns[i].decimals, value);
	}
	fputs("}", out);
}

void top_print_json(const struct top *top, FILE *out)
{
	struct totals totals;

	sum_up(top, &totals);
	fprintf(out,
		"{\"time\": %lld, \"domains\": %u, \"drivers\": %u, \"disks\": %u, \"totals\": "
		"{\"requests_per_s\": %.0f, \"reads_per_s\": %.0f, \"writes_per_s\": %.0f, "
		"\"flushes_per_s\": %.0f, \"discards_per_s\": %.0f, \"mb_per_s\": %.3f, "
		"\"errors\": %llu, \"cpu_percent\": %.1f}, \"rows\": [",
		(long long)time(NULL), top->now.nr_domains, totals.nr_drivers, top->now.nr_disks,
		totals.requests, totals.reads, totals.writes, totals.flushes, totals.discards,
		totals.bytes / 1e6, (unsigned long long)totals.errors, 100 * totals.cpu);
	for (unsigned int i = 0; i < top->nr_rows; i++) {
		fputs(i ? ", " : "", out);
		print_json_row(&top->rows[i], out);
	}
	fputs("]}\n", out);
}
