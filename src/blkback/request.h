/* SPDX-License-Identifier: MIT */
/*
 * A request's way through the back end: check, data, cache or driver, answer. Worker's thread.
 *	request.c	the way itself
 *	request_check.c	what may be asked for; looks at private copies only
 *	request_data.c	where the data are: the guest's pages, or memory of ours
 *	request_cache.c	reads and writes beside the image's cache
 */
#ifndef RF_BLKBACK_REQUEST_H
#define RF_BLKBACK_REQUEST_H

#include "blkback/queue.h"

#define SECTOR_SIZE 512u
#define SECTORS_PER_PAGE (GRANT_PAGE_SIZE / SECTOR_SIZE)

/* What a request that waits does next. */
enum request_stage {
	REQUEST_DATA,	/* gets its data's memory */
	REQUEST_BOUNCE, /* the same once more: memory of ours beside the guest's pages */
	REQUEST_IO,	/* goes to the driver */
};

/* A request, from the ring to its answer. */
struct request {
	struct driver_io io;
	struct queue *queue;
	struct request *next;	     /* free list, or the queue's list of waiting requests */
	blkif_request_t copy;	     /* the slot's private copy */
	const struct blkif_request_segment *desc; /* private copies, of a READ or WRITE */
	struct segments *segments;   /* of a READ or WRITE; else NULL */
	void *buffer;		     /* its data in memory of ours; NULL: only in the guest's pages */
	struct iovec buffer_iov;
	uint64_t sector, nr_sectors; /* of 512 bytes */
	uint64_t fill_token;
	uint64_t grant_ns;	     /* spent on grants, for GRANT_AUTO */
	uint32_t buffer_offset;	     /* of its first byte in the buffer */
	uint16_t nr_segments;	     /* of a READ or WRITE; 0 if there are not as many as there must be */
	uint8_t operation;	     /* as in the ring (of an indirect one, the inner), echoed */
	uint8_t buffer_class;
	uint8_t grant_mode;	     /* an enum grant_mode, not GRANT_AUTO */
	uint8_t stage;		     /* an enum request_stage */
	uint8_t stamps;		     /* handle of its stamps, from taken to answered, if it is sampled; else 0 */
	bool mapped;		     /* segments->refs are held */
	bool fills;		     /* the buffer gets a whole block, for the cache */
	bool guarded;		     /* request_guard was called */
};

static inline bool request_is_sampled(const struct request *req)
{
	return __builtin_expect(req->stamps != 0, 0);
}

/* The request has come to a stage: one of the BACK_ stamps. */
static inline void request_stamp(struct request *req, unsigned int stamp)
{
	if (request_is_sampled(req))
		stamps_mark(&req->queue->stamps, req->stamps, stamp);
}

/* ---- for queue.c ---- */

/*
 * Gets the memory that a request needs for its segments, of which there are none yet but req->copy.
 * False if there will be some only when others have ended: then the request stays in the ring.
 */
bool request_reserve(struct request *req);

/*
 * Checks the private copy and starts what it asks for; a bad one is answered with an error at once.
 * After request_reserve. Returns its cost in units of 4 KiB.
 */
unsigned int request_start(struct request *req);

/*
 * Goes on with a request, as far as it gets. False if it must wait, for memory or the driver; else
 * it may be answered and free.
 */
bool request_advance(struct request *req);

/* queue.c: puts a request at the end of the queue's waiting ones. */
void queue_wait(struct queue *queue, struct request *req);

/* queue.c: writes the answer and frees the request. Published by queue_push. */
void queue_answer(struct queue *queue, struct request *req, int16_t status);

/* ---- request_check.c: NULL, or what is wrong ---- */

/* True if the range of req->sector and nr_sectors lies on the disk and on its logical sectors. */
bool request_in_bounds(const struct request *req);

/* Checks the nr_segments of req->desc; sums up nr_sectors. */
const char *request_check_segments(struct request *req);

/* ---- request_data.c: 0 or -errno ---- */

/* Decides how the data are reached, where grants are not persistent. */
void data_choose(struct request *req);

/* Copies the descriptors out of an indirect request's page, and makes them req->desc. */
int data_fetch_indirect(struct request *req, uint32_t gref) __attribute__((warn_unused_result));

/*
 * Gets a buffer if the data need one, maps the request's pages unless the data are copied, and puts
 * a write's data into the buffer. -EAGAIN: must wait for a buffer, and has got nothing.
 */
int data_open(struct request *req) __attribute__((warn_unused_result));

/* Gets a buffer of so many bytes. As pool_get. */
int data_get_buffer(struct request *req, size_t len) __attribute__((warn_unused_result));

/* Sets io's vector to the buffer, or to the guest's pages, neighbours joined. */
void data_to_io(struct request *req);

/* Hands a read's data over to the guest, out of the buffer. */
int data_deliver(struct request *req) __attribute__((warn_unused_result));

/* Where the guest's segment is mapped. */
static inline char *data_segment(const struct request *req, unsigned int i, uint32_t *len)
{
	const struct blkif_request_segment *desc = &req->desc[i];

	*len = (desc->last_sect - desc->first_sect + 1u) * SECTOR_SIZE;
	return (char *)req->segments->refs[i].addr + desc->first_sect * SECTOR_SIZE;
}

/* Gives pages, buffer and segments back. `learn`: the data went their way. */
void data_close(struct request *req, bool learn);

/* ---- request_cache.c ---- */

/* Answers a read from the cache, if all of it is there: the data are where data_open put them. */
bool request_cached(struct request *req);

/* Makes a read one of the whole block, so that the cache can have it, if that is possible. */
void request_prepare_fill(struct request *req);
void request_finish_fill(struct request *req);

/* A write or discard begins, or has ended. */
void request_guard(struct request *req);
void request_unguard(struct request *req);

#endif
