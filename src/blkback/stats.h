/* SPDX-License-Identifier: MIT */
/*
 * The figures that blkback publishes in xenstore under its own data/stats
 * (docs/protocol/blkif.md). Main thread only.
 */
#ifndef RF_BLKBACK_STATS_H
#define RF_BLKBACK_STATS_H

#include "blkback/vbd.h"

/* Sums over all disks that were served; `closed` those that are gone. */
struct vbd_totals {
	struct vbd_counts closed;
	unsigned long nr_published; /* requests at the last publication */
	unsigned long nr_activities; /* of all workers then */
	unsigned int nr_gone_nodes; /* of vbds that are gone; at most */
	unsigned int max_gone_nodes; /* then the older half is removed */
	bool complained;	    /* that they cannot be written */
};

/* The result of writing below `data`: a failure is said once, and the disks are served on. */
void stats_check(struct vbd_context *ctx, int rc);

/* The vbd's queues end: keeps their counts and publishes them. */
void stats_vbd_closed(struct vbd *vbd);

/* The vbd itself ends: its node stays, but of such nodes only the latest. */
void stats_vbd_gone(struct vbd *vbd);

/*
 * Publishes all counts if there were requests since the last time, or `force`. Returns true if
 * there were. Looks at the disks only if workers say that they answered something: thousands of idle
 * guests cost nothing.
 */
bool stats_publish(struct vbd_context *ctx, bool force);

#endif
