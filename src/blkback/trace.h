/* SPDX-License-Identifier: MIT */
/*
 * The back end's trace area (common/stamps.h), shared with domain 0 and announced in xenstore as
 * data/trace/blkback (docs/protocol/trace.md). Opened and closed by the main thread; workers write to it.
 */
#ifndef RF_BLKBACK_TRACE_H
#define RF_BLKBACK_TRACE_H

#include <xengnttab.h>
#include <xenstore.h>
#include <xentoollog.h>

#include "common/stamps.h"

struct queue;
struct request;

struct trace {
	struct stamps_area area;
	xengntshr_handle *xgs;
	xentoollog_logger *logger;
	void *pages;
};

/* Where pages cannot be shared or announced, that is said once, and nothing is traced. */
void trace_open(struct trace *trace, struct xs_handle *xs);

/* No queue may use it any more. */
void trace_close(struct trace *trace, struct xs_handle *xs);

/* ---- for queue.c, on the worker's thread ---- */

/* A sampled request is answered, and its record waits for the answer to be published. */
void trace_answered(struct request *req, int16_t status) STAMPS_SELDOM;

/* The queue's answers were published at this time: ends the records that waited for it. */
void trace_published(struct queue *queue, uint64_t published_ns) STAMPS_SELDOM;

#endif
