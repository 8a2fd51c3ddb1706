/* SPDX-License-Identifier: MIT */
/*
 * Stamps of sampled requests, in a page of this disk's that domain 0 may read
 * (docs/protocol/trace.md). A handle travels with its request: in the slot, then with an
 * asynchronous request to whoever collects it.
 */
#include "blkfront/internal.h"

#include <stdio.h>
#include <string.h>

#define TRACE_DOMID 0 /* who may read it */

static void node_of(const struct rf_blk *blk, char *node, size_t size)
{
	snprintf(node, size, "data/trace/vbd-%u", blk->dev.vdev);
}

void blk_trace_open(struct rf_blk *blk)
{
	char node[40], value[16];
	uint32_t ref;
	void *page = xengntshr_share_pages(blk->gntshr, TRACE_DOMID, 1, &ref, 0);

	/* Of all that wants grants this is the last, and the least important. */
	if (!page)
		return;
	memset(page, 0, BLK_PAGE_SIZE);
	stamps_area_init(&blk->trace, page, BLK_PAGE_SIZE, STAMPS_FRONT);
	node_of(blk, node, sizeof(node));
	snprintf(value, sizeof(value), "%u", ref);
	if (!xs_write(blk->dev.xs, XBT_NULL, node, value, (unsigned int)strlen(value))) {
		blk_trace_close(blk);
		return;
	}
	for (unsigned int i = 0; i < blk->nr_queues; i++)
		stamps_sets_init(&blk->queues[i].stamps, &blk->trace);
}

void blk_trace_close(struct rf_blk *blk)
{
	char node[40];

	if (!blk->trace.header)
		return;
	node_of(blk, node, sizeof(node));
	/* A node that stays behind names a grant that has ended: whoever tries it gets nothing. */
	(void)xs_rm(blk->dev.xs, XBT_NULL, node);
	xengntshr_unshare(blk->gntshr, blk->trace.header, 1);
	blk->trace.header = NULL;
}

void blk_trace_submitted(struct blk_queue *queue, struct blk_slot *slot, uint32_t index)
{
	unsigned int handle = stamps_begin(&queue->stamps, index);
	struct stamps_record *record;

	slot->stamps = (uint8_t)handle;
	if (!handle)
		return;
	record = stamps_record_of(&queue->stamps, handle);
	record->device = queue->blk->dev.vdev;
	record->queue = (uint8_t)queue->nr;
	record->operation = slot->req.operation;
}

void blk_trace_piece(struct blk_queue *queue, struct blk_slot *slot)
{
	struct rf_blk_io *io = slot->io;

	/* Of several pieces the last one's is what the caller waited for. */
	if (io->priv.stamps)
		stamps_drop(&queue->stamps, io->priv.stamps);
	io->priv.stamps = slot->stamps;
	slot->stamps = 0;
}

static void awake(struct blk_queue *queue, unsigned int handle, int result)
{
	if (result) {
		stamps_drop(&queue->stamps, handle);
		return;
	}
	stamps_mark(&queue->stamps, handle, FRONT_AWAKE);
	stamps_end(&queue->stamps, handle);
}

void blk_trace_slot_awake(struct blk_queue *queue, struct blk_slot *slot, int result)
{
	awake(queue, slot->stamps, result);
	slot->stamps = 0;
}

void blk_trace_io_awake(struct blk_queue *queue, struct rf_blk_io *io)
{
	awake(queue, io->priv.stamps, io->result);
}
