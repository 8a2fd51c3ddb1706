/* SPDX-License-Identifier: MIT */
/*
 * Memory that requests need only while they are under way, from a worker's bounded pools: the
 * segments of READ and WRITE, and memory of our own for their data where the driver does not use
 * the guest's pages. A queue that is idle holds none of it. One worker's thread.
 */
#ifndef RF_BLKBACK_BUFFERS_H
#define RF_BLKBACK_BUFFERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <xengnttab.h>

#include "blkback/grantmap.h"
#include "blkback/pool.h"
#include "blkback/slot.h"

#define SEGMENTS_MAX 256u	/* of an indirect request */
#define BUFFER_SIZES 3u
#define BUFFER_MIN GRANT_PAGE_SIZE

#define SEGMENTS_FEW BLKIF_MAX_SEGMENTS_PER_REQUEST

/* What a request needs for its segments: the mapped pages, and what the driver gets. */
struct segments {
	bool many;
	struct grantref *refs;
	struct iovec *iov;
};

struct segments_few {
	struct segments head;
	struct grantref refs[SEGMENTS_FEW];
	struct iovec iov[SEGMENTS_FEW];
};

struct segments_many {
	struct segments head;
	struct grantref refs[SEGMENTS_MAX];
	struct iovec iov[SEGMENTS_MAX];
	struct blkif_request_segment desc[SEGMENTS_MAX]; /* the private copy */
};

struct buffers {
	struct pool segments_few, segments_many;
	struct pool data[BUFFER_SIZES];
	/* For one call of the platform: used and done with. */
	xengnttab_grant_copy_segment_t copies[SEGMENTS_MAX];
};

void buffers_init(struct buffers *buffers);

/* Nothing may be in use. */
void buffers_fini(struct buffers *buffers);

/* Room for SEGMENTS_FEW segments without descriptors, or for SEGMENTS_MAX with. As pool_get. */
static inline int __attribute__((warn_unused_result)) buffers_get_few(
	struct buffers *buffers, struct segments **out)
{
	struct segments_few *few;
	void *piece;
	int rc = pool_get(&buffers->segments_few, &piece);

	if (rc)
		return rc;
	few = piece;
	few->head = (struct segments){false, few->refs, few->iov};
	*out = &few->head;
	return 0;
}

int buffers_get_many(struct buffers *buffers, struct segments **out)
	__attribute__((warn_unused_result));

static inline void buffers_put_segments(struct buffers *buffers, struct segments *segments)
{
	pool_put(segments->many ? &buffers->segments_many : &buffers->segments_few, segments);
}

/*
 * `len` bytes, SEGMENTS_MAX pages at most, aligned for direct I/O; at least BUFFER_MIN in any case.
 * As pool_get. `*size_class` is to be given back with it.
 */
int buffers_get_data(struct buffers *buffers, size_t len, uint8_t *size_class, void **out)
	__attribute__((warn_unused_result));
void buffers_put_data(struct buffers *buffers, uint8_t size_class, void *data);

#endif
