/* SPDX-License-Identifier: MIT */
/*
 * Joining the two ends' records of a request: by queue and index, as both count on the ring. Either
 * may come first. What waits for its other half has one place, and is pushed out by a later one:
 * halves that never meet cost nothing, and an index that comes round again meets no old half, since
 * its stamps would not be in order.
 */
#include <stdlib.h>
#include <string.h>

#include "toolstack/tracer.h"

#define NR_PLACES 256u

struct trace_match {
	struct stamps_record waiting[2][NR_PLACES]; /* by side - 1; ns[0] is 0 in an empty place */
};

static unsigned int place_of(const struct stamps_record *record)
{
	return (record->index / STAMPS_INTERVAL + record->queue * 37u) % NR_PLACES;
}

static bool have_one_clock(const struct trace_disk *disk)
{
	return memcmp(disk->hosts[0], disk->hosts[1], STAMPS_HOST_BYTES) == 0;
}

/* False if they are not of one request. */
static bool join(struct tracer *tracer, struct trace_disk *disk,
	const struct stamps_record *front, const struct stamps_record *back)
{
	uint64_t ns[NR_TRACE_STAMPS];

	ns[TRACE_SUBMITTED] = front->ns[FRONT_SUBMITTED];
	memcpy(ns + TRACE_DEQUEUED, back->ns, sizeof(back->ns));
	ns[TRACE_REAPED] = front->ns[FRONT_REAPED];
	ns[TRACE_AWAKE] = front->ns[FRONT_AWAKE];
	if (!stamps_in_order(ns, NR_TRACE_STAMPS))
		return false;
	tracer->sink->joined(tracer->data, disk, back, ns);
	return true;
}

/* With the other half, if that is there; else this one waits for it. */
static void meet(struct tracer *tracer, struct trace_disk *disk, enum stamps_side side,
	const struct stamps_record *record)
{
	struct stamps_record *other, *own;

	if (!disk->match)
		disk->match = calloc(1, sizeof(*disk->match));
	if (!disk->match)
		return;
	own = &disk->match->waiting[side - 1][place_of(record)];
	other = &disk->match->waiting[2 - side][place_of(record)];
	if (other->ns[0] && other->index == record->index && other->queue == record->queue &&
		have_one_clock(disk) &&
		(side == STAMPS_FRONT ? join(tracer, disk, record, other)
				      : join(tracer, disk, other, record)))
		other->ns[0] = 0;
	else
		*own = *record;
}

static void add(struct trace_sum *sum, uint64_t ns)
{
	sum->nr++;
	sum->ns += (double)ns;
}

void trace_take(struct tracer *tracer, struct trace_disk *disk, enum stamps_side side,
	const struct stamps_record *record)
{
	unsigned int nr = side == STAMPS_FRONT ? NR_FRONT_STAMPS : NR_BACK_STAMPS;

	if (!stamps_in_order(record->ns, nr))
		return;
	add(side == STAMPS_FRONT ? &disk->front : &disk->back, record->ns[nr - 1] - record->ns[0]);
	if (!tracer->sink)
		return;
	if (side == STAMPS_FRONT)
		tracer->sink->front(tracer->data, disk, record);
	else
		tracer->sink->back(tracer->data, disk, record);
	meet(tracer, disk, side, record);
}
