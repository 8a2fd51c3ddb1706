/* SPDX-License-Identifier: MIT */
/*
 * Collects stamps: finds the trace areas of all domains in xenstore, maps and reads them, and joins
 * what a disk's two ends recorded of one request. Of what it reads nothing is trusted; a domain
 * that lies spoils its own disks' figures. One thread.
 */
#ifndef RF_TOOLSTACK_TRACER_H
#define RF_TOOLSTACK_TRACER_H

#include "common/list.h"
#include "common/stamps.h"
#include "toolstack/domain0.h"
#include "toolstack/lines.h"

/* A joined request's stamps. Between each and the next lies a stage. */
enum {
	TRACE_SUBMITTED,
	TRACE_DEQUEUED,
	TRACE_VALIDATED,
	TRACE_DRIVER_SUBMITTED,
	TRACE_DRIVER_COMPLETED,
	TRACE_PUBLISHED,
	TRACE_REAPED,
	TRACE_AWAKE,
	NR_TRACE_STAMPS
};
#define NR_TRACE_STAGES (NR_TRACE_STAMPS - 1)

#define TRACE_BUCKETS 256u

/* How long one end had requests, summed up. */
struct trace_sum {
	uint64_t nr;
	double ns;
};

struct trace_disk {
	struct list link;
	struct trace_disk *next_in_bucket;
	unsigned int domid, device, back_domid;
	char name[DOMAIN_NAME_SIZE], back_name[DOMAIN_NAME_SIZE];
	/* From submitted to awake, from dequeued to published. Whoever reads them may zero them. */
	struct trace_sum front, back;
	struct trace_match *match;
	uint8_t hosts[2][STAMPS_HOST_BYTES]; /* by side - 1 */
	bool seen;
	void *report; /* the sink's */
};

/* Called by tracer_poll, with the tracer's `data`. */
struct tracer_sink {
	void (*front)(void *data, struct trace_disk *disk, const struct stamps_record *record);
	void (*back)(void *data, struct trace_disk *disk, const struct stamps_record *record);
	/* Both records of a request: the back end's, and all stamps, in order. */
	void (*joined)(void *data, struct trace_disk *disk, const struct stamps_record *back,
		const uint64_t *ns);
	/* The disk is forgotten. */
	void (*gone)(struct trace_disk *disk);
};

struct tracer {
	struct domain0 *dom0;
	const struct tracer_sink *sink; /* or NULL: only sums are wanted */
	void *data;
	bool keep; /* disks that are gone */
	struct list areas, disks;
	struct trace_disk *buckets[TRACE_BUCKETS]; /* the same disks */
};

/* keep: disks that are gone stay in the list. */
void tracer_init(struct tracer *tracer, struct domain0 *dom0, const struct tracer_sink *sink,
	void *data, bool keep);
void tracer_fini(struct tracer *tracer);

/* Looks for areas and disks that came or went. 0, or -errno when xenstore is gone. */
int tracer_scan(struct tracer *tracer) __attribute__((warn_unused_result));

/* Takes what was recorded since the last time: every few milliseconds, or much is overwritten. */
void tracer_poll(struct tracer *tracer);

/* A node's value, to be freed, or NULL. fmt: its path. */
char *tracer_read(struct tracer *tracer, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The disk of that front end, device and back end, or NULL. */
struct trace_disk *tracer_disk(
	struct tracer *tracer, unsigned int domid, unsigned int device, unsigned int back_domid);

/* ---- tracer_match.c ---- */

/* A record of the disk's front or back end. */
void trace_take(struct tracer *tracer, struct trace_disk *disk, enum stamps_side side,
	const struct stamps_record *record);

#endif
