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

#define GRANT_PAGE_SIZE 4096u

struct grantmap_entry;

struct grantmap {
	xengnttab_handle *xgt;
	uint32_t domid; /* the granter */
	bool persistent;
	uint32_t nr_buckets; /* a power of two */
	struct grantmap_entry **buckets;
	uint32_t nr_entries, max_entries;
	uint32_t evict_bucket; /* where the search for an unused entry goes on */
};

/* One page that a request uses. */
struct grantref {
	struct grantmap_entry *entry; /* persistent; or NULL */
	void *addr;
};

/* max_entries: how many persistent grants are kept. 0 or -ENOMEM. */
int grantmap_init(struct grantmap *map, xengnttab_handle *xgt, uint32_t domid, bool persistent,
	uint32_t max_entries) __attribute__((warn_unused_result));

/* Unmaps everything that is kept; no reference may be held. */
void grantmap_fini(struct grantmap *map);

/*
 * Maps the pages of a request: all or none. `writable`: the request writes into them. Returns 0 or
 * -errno (-EACCES: not granted so; -ENOENT: no such grant).
 */
int grantmap_get(struct grantmap *map, const uint32_t *grefs, unsigned int nr, bool writable,
	struct grantref *refs) __attribute__((warn_unused_result));

/* Gives them back. */
void grantmap_put(struct grantmap *map, struct grantref *refs, unsigned int nr);

#endif
