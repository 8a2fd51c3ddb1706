/* SPDX-License-Identifier: MIT */
/*
 * Figures: from the hypervisor (domains, what back ends count), from /proc, and from stamps. Back
 * ends publish their counts about once a second, with the time, and rates are made of two of those
 * times; so they are exact, but may be a second old.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "toolstack/command.h"
#include "toolstack/processes.h"
#include "toolstack/top.h"

#define CALL_TIMEOUT_MS 15000
#define STALE_MS 2500 /* counts that are not published again have not changed */

/* ---- the hypervisor's lines ---- */

static char *ask(struct top *top, const char *verb, int *rc)
{
	const char *const words[] = {verb, NULL};
	char *text = NULL;

	*rc = control_call(top->control_fd, words, CALL_TIMEOUT_MS, &text, NULL, NULL);
	if (*rc == 0)
		return text;
	free(text);
	return NULL;
}

static size_t nr_lines(const char *text)
{
	size_t nr = 0;

	for (; *text; text++)
		nr += *text == '\n';
	return nr;
}

static int compare_domains(const void *a, const void *b)
{
	const struct top_domain *x = a, *y = b;

	return (x->domid > y->domid) - (x->domid < y->domid);
}

static int compare_disks(const void *a, const void *b)
{
	const struct disk_line *x = &((const struct top_disk *)a)->line;
	const struct disk_line *y = &((const struct top_disk *)b)->line;

	if (x->domid != y->domid)
		return x->domid < y->domid ? -1 : 1;
	return (x->device > y->device) - (x->device < y->device);
}

static struct top_domain *find_domain(
	const struct top_snapshot *snapshot, const struct top_domain *key)
{
	if (!snapshot->nr_domains)
		return NULL;
	return bsearch(key, snapshot->domains, snapshot->nr_domains, sizeof(*key),
		compare_domains);
}

static struct top_disk *find_disk(
	const struct top_snapshot *snapshot, const struct top_disk *key)
{
	if (!snapshot->nr_disks)
		return NULL;
	return bsearch(key, snapshot->disks, snapshot->nr_disks, sizeof(*key), compare_disks);
}

static int take_domains(struct top *top, struct top_snapshot *snapshot)
{
	char *line, *rest, *text;
	struct process_usage usage;
	struct domain_line parsed;
	int rc;

	text = ask(top, "domain-list", &rc);
	if (!text)
		return rc;
	snapshot->domains = calloc(nr_lines(text) + 1, sizeof(*snapshot->domains));
	for (line = strtok_r(text, "\n", &rest); line && snapshot->domains;
		line = strtok_r(NULL, "\n", &rest)) {
		struct top_domain *domain = &snapshot->domains[snapshot->nr_domains];

		if (!domain_line_parse(line, &parsed))
			continue;
		*domain = (struct top_domain){
			.domid = parsed.domid, .pid = parsed.pid, .cpu = NAN};
		memcpy(domain->name, parsed.name, sizeof(domain->name));
		memcpy(domain->kind, parsed.kind, sizeof(domain->kind));
		domain_usage(&parsed, &usage);
		domain->cpu_ticks = usage.cpu_ticks;
		domain->memory_bytes = (double)usage.memory_bytes;
		snapshot->nr_domains++;
	}
	free(text);
	if (!snapshot->domains)
		return -ENOMEM;
	qsort(snapshot->domains, snapshot->nr_domains, sizeof(*snapshot->domains), compare_domains);
	return 0;
}

static int take_disks(struct top *top, struct top_snapshot *snapshot)
{
	char *line, *rest, *text;
	int rc;

	text = ask(top, "stats", &rc);
	if (!text)
		return rc;
	snapshot->disks = calloc(nr_lines(text) + 1, sizeof(*snapshot->disks));
	for (line = strtok_r(text, "\n", &rest); line && snapshot->disks;
		line = strtok_r(NULL, "\n", &rest)) {
		struct top_disk *disk = &snapshot->disks[snapshot->nr_disks];

		if (disk_line_parse(line, &disk->line) && disk->line.connected)
			snapshot->nr_disks++;
	}
	free(text);
	if (!snapshot->disks)
		return -ENOMEM;
	qsort(snapshot->disks, snapshot->nr_disks, sizeof(*snapshot->disks), compare_disks);
	return 0;
}

/* ---- rates ---- */

static void rate_domain(const struct top_snapshot *before, uint64_t ns, struct top_domain *domain)
{
	const struct top_domain *old = find_domain(before, domain);
	double seconds = (double)(ns - before->ns) / (double)NSEC_PER_SEC;

	/* A child that has ended takes its time along. */
	if (old && old->pid == domain->pid && domain->cpu_ticks >= old->cpu_ticks)
		domain->cpu = (double)(domain->cpu_ticks - old->cpu_ticks) /
			      (double)sysconf(_SC_CLK_TCK) / seconds;
}

/* Counters may begin anew with the disk. */
static double rate(uint64_t now, uint64_t before, double seconds)
{
	return now >= before ? (double)(now - before) / seconds : 0;
}

static void rate_disk(const struct top_snapshot *before, uint64_t ns, struct top_disk *disk)
{
	const struct disk_counts *now = &disk->line.counts, *then;
	const struct top_disk *old = find_disk(before, disk);
	double seconds;

	disk->latency_ns = disk->depth = NAN;
	/* It has counted for as long as it is there, which nobody knows: 0 until there is more. */
	if (!old || disk->line.time_ms < old->line.time_ms)
		return;
	then = &old->line.counts;
	seconds = (double)(disk->line.time_ms - old->line.time_ms) / 1e3;
	if (disk->line.time_ms == old->line.time_ms) {
		if (ns / NSEC_PER_MSEC < disk->line.time_ms + STALE_MS) {
			*disk = *old;
			disk->latency_ns = disk->depth = NAN;
		}
		return;
	}
	disk->reads = rate(now->reads, then->reads, seconds);
	disk->writes = rate(now->writes, then->writes, seconds);
	disk->flushes = rate(now->flushes, then->flushes, seconds);
	disk->discards = rate(now->discards, then->discards, seconds);
	disk->bytes = 512 * (rate(now->read_sectors, then->read_sectors, seconds) +
				    rate(now->written_sectors, then->written_sectors, seconds));
	disk->hits = rate(now->cache_hits, then->cache_hits, seconds);
	disk->misses = rate(now->cache_misses, then->cache_misses, seconds);
}

/* Latencies of sampled requests; how many are under way at a time follows (Little's law). */
static void take_latencies(struct top *top, struct top_snapshot *snapshot)
{
	struct trace_disk *traced;

	tracer_poll(&top->tracer);
	list_for_each(traced, &top->tracer.disks, link) {
		const struct trace_sum *sum = traced->front.nr ? &traced->front : &traced->back;
		struct top_disk key = {.line = {.domid = traced->domid, .device = traced->device}};
		struct top_disk *disk = find_disk(snapshot, &key);

		if (disk && sum->nr) {
			disk->latency_ns = sum->ns / (double)sum->nr;
			disk->depth = (disk->reads + disk->writes + disk->flushes + disk->discards) *
				      disk->latency_ns / (double)NSEC_PER_SEC;
		}
		traced->front = traced->back = (struct trace_sum){0};
	}
}

/* ---- rows ---- */

static int make_rows(struct top *top)
{
	const struct top_snapshot *now = &top->now;
	unsigned int at = 0;

	free(top->rows);
	top->nr_rows = 0;
	top->rows = calloc(now->nr_domains + now->nr_disks + 1, sizeof(*top->rows));
	if (!top->rows)
		return -ENOMEM;
	for (unsigned int i = 0; i < now->nr_domains; i++) {
		const struct top_domain *domain = &now->domains[i];
		bool any = false;

		while (at < now->nr_disks && now->disks[at].line.domid < domain->domid)
			at++;
		for (; at < now->nr_disks && now->disks[at].line.domid == domain->domid; at++) {
			top->rows[top->nr_rows++] = (struct top_row){domain, &now->disks[at]};
			any = true;
		}
		if (!any)
			top->rows[top->nr_rows++] = (struct top_row){domain, NULL};
	}
	top_sort(top);
	return 0;
}

static void free_snapshot(struct top_snapshot *snapshot)
{
	free(snapshot->domains);
	free(snapshot->disks);
	*snapshot = (struct top_snapshot){0};
}

int top_sample(struct top *top)
{
	struct top_snapshot *now = &top->now, *before = &top->before;
	int rc;

	free_snapshot(before);
	*before = *now;
	*now = (struct top_snapshot){.ns = clock_ns()};
	rc = take_domains(top, now);
	if (rc == 0)
		rc = take_disks(top, now);
	if (rc == 0)
		rc = tracer_scan(&top->tracer);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < now->nr_domains; i++)
		rate_domain(before, now->ns, &now->domains[i]);
	for (unsigned int i = 0; i < now->nr_disks; i++)
		rate_disk(before, now->ns, &now->disks[i]);
	take_latencies(top, now);
	return make_rows(top);
}

int top_open(struct top *top)
{
	int status = domain0_enter(&top->dom0, false);

	tracer_init(&top->tracer, &top->dom0, NULL, NULL, false);
	top->control_fd = -1;
	if (status)
		return status;
	top->control_fd = command_connect(&status);
	return top->control_fd < 0 ? status : 0;
}

void top_close(struct top *top)
{
	tracer_fini(&top->tracer);
	domain0_leave(&top->dom0);
	if (top->control_fd >= 0)
		close(top->control_fd);
	free_snapshot(&top->now);
	free_snapshot(&top->before);
	free(top->rows);
}
