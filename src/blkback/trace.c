/* SPDX-License-Identifier: MIT */
/* Sharing the trace area, and the end of sampled requests' records. */
#include "blkback/trace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "blkback/request.h"
#include "blkback/xenbus.h"

#define TRACE_PAGES 16
#define TRACE_DOMID 0 /* who may read it */
#define TRACE_NODE "blkback"

/* ---- the area ---- */

static int announce(struct xs_handle *xs, const uint32_t *refs)
{
	char text[TRACE_PAGES * 12] = "";
	int len = 0;

	for (unsigned int i = 0; i < TRACE_PAGES; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%s%u", i ? " " : "", refs[i]);
	return xenbus_printf(xs, XBT_NULL, "data/trace", TRACE_NODE, "%s", text);
}

static int share(struct trace *trace, uint32_t *refs)
{
	/* The libraries keep quiet: what matters is said below. */
	trace->logger = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_CRITICAL, 0);
	if (!trace->logger)
		return -ENOMEM;
	trace->xgs = xengntshr_open(trace->logger, 0);
	if (!trace->xgs)
		return -errno;
	trace->pages = xengntshr_share_pages(trace->xgs, TRACE_DOMID, TRACE_PAGES, refs, 0);
	return trace->pages ? 0 : -errno;
}

static void release(struct trace *trace)
{
	if (trace->pages)
		xengntshr_unshare(trace->xgs, trace->pages, TRACE_PAGES);
	if (trace->xgs)
		xengntshr_close(trace->xgs);
	if (trace->logger)
		xtl_logger_destroy(trace->logger);
	*trace = (struct trace){0};
}

void trace_open(struct trace *trace, struct xs_handle *xs)
{
	uint32_t refs[TRACE_PAGES];
	int rc;

	*trace = (struct trace){0};
	rc = share(trace, refs);
	if (rc == 0) {
		memset(trace->pages, 0, TRACE_PAGES * GRANT_PAGE_SIZE);
		stamps_area_init(
			&trace->area, trace->pages, TRACE_PAGES * GRANT_PAGE_SIZE, STAMPS_BACK);
		rc = announce(xs, refs);
	}
	if (rc == 0)
		return;
	log_info("requests are not traced: %s", strerror(-rc));
	release(trace);
}

void trace_close(struct trace *trace, struct xs_handle *xs)
{
	/* That the store is gone is as good. */
	if (trace->pages && !xs_rm(xs, XBT_NULL, "data/trace/" TRACE_NODE))
		log_debug("cannot withdraw the trace area: %s", strerror(errno));
	release(trace);
}

/* ---- records ---- */

/* Stages that a request did not pass take no time. */
static void fill_stages(struct stamps_record *record)
{
	if (!record->ns[BACK_VALIDATED])
		record->ns[BACK_VALIDATED] = record->ns[BACK_DEQUEUED];
	if (record->ns[BACK_DRIVER_COMPLETED])
		return;
	record->flags |= STAMPS_NO_DRIVER;
	record->ns[BACK_DRIVER_SUBMITTED] = record->ns[BACK_VALIDATED];
	record->ns[BACK_DRIVER_COMPLETED] = record->ns[BACK_VALIDATED];
}

void trace_answered(struct request *req, int16_t status)
{
	struct queue *queue = req->queue;
	unsigned int handle = req->stamps;
	struct stamps_record *record = stamps_record_of(&queue->stamps, handle);

	req->stamps = 0;
	/* Errors end early, and would only make the stages look shorter. */
	if (status != BLKIF_RSP_OKAY) {
		stamps_drop(&queue->stamps, handle);
		return;
	}
	record->device = queue->config.device;
	record->domid = (uint16_t)queue->config.domid;
	record->queue = (uint8_t)queue->config.nr;
	record->operation = req->operation;
	fill_stages(record);
	queue->answered_stamps |= 1u << handle;
}

void trace_published(struct queue *queue, uint64_t published_ns)
{
	uint32_t left = queue->answered_stamps;

	queue->answered_stamps = 0;
	for (; left; left &= left - 1) {
		unsigned int handle = (unsigned int)__builtin_ctz(left);

		stamps_record_of(&queue->stamps, handle)->ns[BACK_PUBLISHED] = published_ns;
		stamps_end(&queue->stamps, handle);
	}
}
