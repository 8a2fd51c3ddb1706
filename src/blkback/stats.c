/* SPDX-License-Identifier: MIT */
/* Statistics nodes. Only the latest closed disks keep theirs, so that the store does not fill. */
#include "blkback/stats.h"

#include <stdio.h>
#include <stdlib.h>

#define CLOSED_NODES_MAX 256u /* then the oldest are not kept apart any more */
#define TEXT_SIZE 256

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

static void publish_vbd(struct vbd *vbd, const char *state)
{
	char text[TEXT_SIZE], node[32];
	struct vbd_counts counts = {0};

	if (vbd->queue)
		add_queue(&counts, &vbd->queue->stats);
	print(text, sizeof(text), &counts);
	snprintf(node, sizeof(node), "%u-%u", vbd->domid, vbd->device);
	/* Figures are for people: without them the disks are served all the same. */
	if (xenbus_printf(vbd->ctx->xs, XBT_NULL, "data/stats/vbd", node,
		    "domain=%u name=%.64s device=%u state=%s %s", vbd->domid,
		    vbd->name ? vbd->name : "?", vbd->device, state, text))
		log_debug("cannot publish statistics");
}

/* Removes the nodes of the longest closed disks once there are too many. */
static void limit_closed(struct vbd_context *ctx)
{
	char path[XENBUS_PATH_MAX];
	unsigned int nr;
	char **names;

	if (++ctx->totals->nr_closed_nodes <= CLOSED_NODES_MAX)
		return;
	names = xs_directory(ctx->xs, XBT_NULL, "data/stats/vbd", &nr);
	for (unsigned int i = 0; names && i < nr && i < CLOSED_NODES_MAX / 2; i++) {
		struct vbd *vbd;
		bool open = false;
		unsigned int domid = 0, device = 0;

		if (sscanf(names[i], "%u-%u", &domid, &device) != 2)
			continue;
		list_for_each(vbd, &ctx->vbds, link)
			open |= vbd->domid == domid && vbd->device == device;
		snprintf(path, sizeof(path), "data/stats/vbd/%s", names[i]);
		if (!open && xs_rm(ctx->xs, XBT_NULL, path))
			ctx->totals->nr_closed_nodes--;
	}
	free(names);
}

void stats_vbd_closed(struct vbd *vbd)
{
	add_queue(&vbd->ctx->totals->closed, &vbd->queue->stats);
	publish_vbd(vbd, "closed");
	limit_closed(vbd->ctx);
}

bool stats_publish(struct vbd_context *ctx, bool force)
{
	struct vbd_counts total = ctx->totals->closed;
	char text[TEXT_SIZE];
	struct vbd *vbd;
	bool active;

	list_for_each(vbd, &ctx->vbds, link) {
		if (vbd->queue)
			add_queue(&total, &vbd->queue->stats);
	}
	active = nr_requests(&total) != ctx->totals->nr_published;
	if (!active && !force)
		return false;
	ctx->totals->nr_published = nr_requests(&total);
	list_for_each(vbd, &ctx->vbds, link) {
		if (vbd->state == VBD_CONNECTED)
			publish_vbd(vbd, "connected");
	}
	print(text, sizeof(text), &total);
	if (xenbus_printf(ctx->xs, XBT_NULL, "data/stats", "total", "%s cache_bytes=%llu", text,
		    (unsigned long long)images_cache_used()))
		log_debug("cannot publish statistics");
	return active;
}
