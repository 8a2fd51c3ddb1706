/* SPDX-License-Identifier: MIT */
/* Statistics nodes. Of disks that are gone only the latest keep theirs: the store does not fill. */
#include "blkback/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blkback/worker.h"
#include "common/clock.h"

#define TEXT_SIZE 320

static unsigned long load(const atomic_ulong *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_queue(struct vbd_counts *into, const struct queue_stats *from)
{
	into->reads += load(&from->reads);
	into->writes += load(&from->writes);
	into->flushes += load(&from->flushes);
	into->discards += load(&from->discards);
	into->errors += load(&from->errors);
	into->read_sectors += load(&from->read_sectors);
	into->written_sectors += load(&from->written_sectors);
	into->cache_hits += load(&from->cache_hits);
	into->cache_misses += load(&from->cache_misses);
}

static unsigned long nr_requests(const struct vbd_counts *c)
{
	return c->reads + c->writes + c->flushes + c->discards;
}

static void print(char *text, size_t size, const struct vbd_counts *c)
{
	snprintf(text, size,
		"requests=%lu reads=%lu writes=%lu flushes=%lu discards=%lu errors=%lu "
		"read_sectors=%lu written_sectors=%lu cache_hits=%lu cache_misses=%lu",
		nr_requests(c), c->reads, c->writes, c->flushes, c->discards, c->errors,
		c->read_sectors, c->written_sectors, c->cache_hits, c->cache_misses);
}

static void add_queues(struct vbd_counts *into, const struct vbd *vbd)
{
	for (unsigned int i = 0; i < vbd->nr_queues; i++)
		add_queue(into, &vbd->queues[i].queue->stats);
}

void stats_check(struct vbd_context *ctx, int rc)
{
	if (rc == 0 || ctx->totals->complained)
		return;
	ctx->totals->complained = true;
	log_warn("cannot write below our own data in xenstore: %s; the disks are served without "
		 "figures", strerror(-rc));
}

static void publish_vbd(struct vbd *vbd, const char *state)
{
	struct vbd_counts counts = vbd->past;
	char text[TEXT_SIZE], node[32];

	add_queues(&counts, vbd);
	vbd->nr_published = nr_requests(&counts) + counts.errors;
	print(text, sizeof(text), &counts);
	snprintf(node, sizeof(node), "%u-%u", vbd->domid, vbd->device);
	stats_check(vbd->ctx, xenbus_printf(vbd->ctx->xs, XBT_NULL, "data/stats/vbd", node,
		"domain=%u name=%.64s device=%u state=%s %s time_ms=%llu", vbd->domid,
		vbd->name ? vbd->name : "?", vbd->device, state, text,
		(unsigned long long)(clock_ns() / NSEC_PER_MSEC)));
}

/* True if the vbd counted anything since it was published. */
static bool has_news(const struct vbd *vbd)
{
	struct vbd_counts counts = vbd->past;

	add_queues(&counts, vbd);
	return nr_requests(&counts) + counts.errors != vbd->nr_published;
}

static bool exists(const struct vbd_context *ctx, unsigned int domid, unsigned int device)
{
	const struct vbd *vbd;

	list_for_each(vbd, &ctx->vbds, link) {
		if (vbd->domid == domid && vbd->device == device)
			return true;
	}
	return false;
}

/* Domain ids grow, so the lowest are the longest gone. */
static int compare_domids(const void *a, const void *b)
{
	unsigned long x = strtoul(*(char *const *)a, NULL, 10);
	unsigned long y = strtoul(*(char *const *)b, NULL, 10);

	return (x > y) - (x < y);
}

static void remove_oldest(struct vbd_context *ctx, char **names, unsigned int nr)
{
	unsigned int domid, device, nr_gone = 0, nr_removed = 0;
	char path[XENBUS_PATH_MAX];

	qsort(names, nr, sizeof(*names), compare_domids);
	for (unsigned int i = 0; i < nr; i++) {
		if (sscanf(names[i], "%u-%u", &domid, &device) != 2 || exists(ctx, domid, device))
			continue;
		nr_gone++;
		snprintf(path, sizeof(path), "data/stats/vbd/%s", names[i]);
		if (nr_removed < ctx->totals->max_gone_nodes / 2 && xs_rm(ctx->xs, XBT_NULL, path))
			nr_removed++;
	}
	ctx->totals->nr_gone_nodes = nr_gone - nr_removed;
}

void stats_vbd_gone(struct vbd *vbd)
{
	struct vbd_context *ctx = vbd->ctx;
	unsigned int nr;
	char **names;

	if (++ctx->totals->nr_gone_nodes <= ctx->totals->max_gone_nodes)
		return;
	names = xs_directory(ctx->xs, XBT_NULL, "data/stats/vbd", &nr);
	if (names)
		remove_oldest(ctx, names, nr);
	free(names);
}

static void count_all(const struct vbd_context *ctx, struct vbd_counts *total)
{
	const struct vbd *vbd;

	*total = ctx->totals->closed;
	list_for_each(vbd, &ctx->vbds, link)
		add_queues(total, vbd);
}

static void publish_total(struct vbd_context *ctx, const struct vbd_counts *total)
{
	char text[TEXT_SIZE];

	print(text, sizeof(text), total);
	stats_check(ctx, xenbus_printf(ctx->xs, XBT_NULL, "data/stats", "total",
		"%s cache_bytes=%llu", text, (unsigned long long)images_cache_used()));
}

void stats_vbd_closed(struct vbd *vbd)
{
	struct vbd_counts total;

	/* The total goes first: it is never less than the sum of the disks. */
	count_all(vbd->ctx, &total);
	publish_total(vbd->ctx, &total);
	publish_vbd(vbd, "closed");
	vbd->nr_published = ~0ul; /* so that its next connection shows */
	add_queues(&vbd->ctx->totals->closed, vbd);
	add_queues(&vbd->past, vbd);
}

/* True if workers have answered anything since this was last asked. */
static bool was_active(struct vbd_context *ctx)
{
	unsigned long nr = 0, before = ctx->totals->nr_activities;

	for (unsigned int i = 0; i < ctx->nr_workers; i++)
		nr += worker_activity(ctx->workers[i]);
	ctx->totals->nr_activities = nr;
	return nr != before;
}

bool stats_publish(struct vbd_context *ctx, bool force)
{
	struct vbd_counts total;
	struct vbd *vbd;
	bool active;

	if (!was_active(ctx) && !force)
		return false;
	count_all(ctx, &total);
	active = nr_requests(&total) != ctx->totals->nr_published;
	if (!active && !force)
		return false;
	ctx->totals->nr_published = nr_requests(&total);
	list_for_each(vbd, &ctx->vbds, link) {
		if (vbd->state == VBD_CONNECTED && (force || has_news(vbd)))
			publish_vbd(vbd, "connected");
	}
	publish_total(ctx, &total);
	return active;
}
