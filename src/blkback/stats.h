/* SPDX-License-Identifier: MIT */
/*
 * The figures that blkback publishes in xenstore under its own data/stats
 * (docs/protocol/blkif.md). Main thread only.
 */
#ifndef RF_BLKBACK_STATS_H
#define RF_BLKBACK_STATS_H

#include "blkback/vbd.h"

struct vbd_counts {
	unsigned long reads, writes, flushes, discards, errors;
	unsigned long read_sectors, written_sectors;
	unsigned long cache_hits, cache_misses;
};

/* Sums over all disks that were served; `closed` those that are gone. */
struct vbd_totals {
	struct vbd_counts closed;
	unsigned long nr_published; /* requests at the last publication */
	unsigned int nr_closed_nodes;
};

/* The queue's disk ends: keeps its counts and publishes them for the last time. */
void stats_vbd_closed(struct vbd *vbd);

/*
 * Publishes all counts if there were requests since the last time, or `force`. Returns true if
 * there were.
 */
bool stats_publish(struct vbd_context *ctx, bool force);

#endif
