/* SPDX-License-Identifier: MIT */
/*
 * Foreign pages of one queue: how a gref becomes an address. With persistent grants (blkif.h,
 * feature-persistent) a page stays mapped and is found again by its gref; otherwise it is mapped
 * for one request. Owned by the queue's worker.
 */
#ifndef RF_BLKBACK_GRANTMAP_H
#define RF_BLKBACK_GRANTMAP_H

#include <stdbool.h>
#include <stdint.h>

#include <xengnttab.h>

#include "blkback/aio.h"
#include "blkback/slot.h"
#include "common/list.h"

#define GRANT_PAGE_SIZE 4096u
#define GRANTMAP_MAX 256u /* pages of a call */

_Static_assert(GRANT_PAGE_SIZE == AIO_PAGE_SIZE, "a granted page can be pinned");

struct grantmap_entry;

/* How a request's data get from and to the granted pages. */
enum grant_mode {
	GRANT_AUTO,	  /* persistent if the front end offers that, else the cheaper of the others */
	GRANT_PERSISTENT, /* pages stay mapped */
	GRANT_MAP,	  /* mapped for one request */
	GRANT_COPY,	  /* copied by the platform from and to memory of our own */
};

struct grantmap {
	xengnttab_handle *xgt;
	struct aio *aio; /* that may pin pages which stay mapped */
	uint32_t domid; /* the granter */
	bool persistent;
	uint32_t nr_buckets; /* a power of two */
	struct grantmap_entry **buckets;
	uint32_t nr_kept, max_kept;
	uint32_t nr_unpinned; /* by grantmap_unpin */
	struct list unused; /* kept, and of no request now; the longest unused first */
};

/* One page that a request uses. */
struct grantref {
	struct aio_page *page; /* persistent; or NULL */
	void *addr;
};

/* max_kept: how many persistent grants stay mapped. 0 or -ENOMEM. */
int grantmap_init(struct grantmap *map, xengnttab_handle *xgt, struct aio *aio, uint32_t domid,
	bool persistent, uint32_t max_kept) __attribute__((warn_unused_result));

/*
 * Unpins at most `nr` pages; no reference may be held, nor be got any more. True if no page is
 * pinned now. On the worker's thread, as often as it takes, before the next.
 */
bool grantmap_unpin(struct grantmap *map, unsigned int nr) __attribute__((warn_unused_result));

/* Unmaps everything that is kept. Any thread, as the worker uses it no more. */
void grantmap_fini(struct grantmap *map);

/*
 * Maps the pages of a request, GRANTMAP_MAX at most: all or none. Of `segs` only the grefs count.
 * `writable`: the request writes into them. When as many
 * as may be kept are, the longest unused is unmapped; when all of those are in use, too, a page is
 * mapped for this request alone. Returns 0 or -errno (-EACCES: not granted so; -ENOENT: no such
 * grant).
 */
int grantmap_get(struct grantmap *map, const struct blkif_request_segment *segs, unsigned int nr,
	bool writable, struct grantref *refs) __attribute__((warn_unused_result));

/* Gives them back. */
void grantmap_put(struct grantmap *map, struct grantref *refs, unsigned int nr);

#endif
