/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of libxengnttab share: the handle, and its memory regions by address. A
 * handle may be used from several threads; its lock covers the regions.
 */
#ifndef RF_XENLIBS_GNT_H
#define RF_XENLIBS_GNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xengnttab.h>

#include "xenlibs/link.h"

#define GNT_PAGE_SIZE 4096u

/* One page of a scattered mapping. */
struct gnt_page {
	uint64_t share_id;
	uint32_t page;
};

/* A stretch of our address space that the handle mapped. */
struct gnt_region {
	char *addr;
	uint32_t nr_pages;
	uint64_t share_id; /* a whole share; 0 for a scattered mapping, then `pages` tells */
	bool writable;
	uint32_t nr_maps;  /* whole shares: pages mapped and not yet unmapped, counted */
	struct gnt_page *pages;
};

/* xengnttab_handle and xengntshr_handle are both this type (xengnttab.h). */
struct xengntdev_handle {
	struct link link;
	pthread_mutex_t lock;
	struct gnt_region *regions; /* sorted by address */
	unsigned int nr_regions, max_regions;
};

/* Makes a handle for one of the two interfaces, or NULL with errno. */
struct xengntdev_handle *gnt_open(xentoollog_logger *logger, enum hypercall_interface interface);

/* Unmaps everything (unless in a forked child, which has no mappings) and frees the handle. */
int gnt_close(struct xengntdev_handle *handle);

/* The region that contains `addr`, or NULL. Lock held. */
struct gnt_region *gnt_region_find(struct xengntdev_handle *handle, const void *addr);

/* Adds a region; false when out of memory. Lock held. */
bool gnt_region_add(struct xengntdev_handle *handle, const struct gnt_region *region);

/* Removes the region's record (not its mapping). Lock held. */
void gnt_region_remove(struct xengntdev_handle *handle, struct gnt_region *region);

/*
 * Takes some pages of a region out of use. Their addresses stay reserved until the last page is
 * dropped and the region goes, so that regions never overlap. 0 or -1 with errno. Lock held.
 */
int gnt_region_drop(struct xengntdev_handle *handle, struct gnt_region *region, uint32_t page,
	uint32_t nr_pages);

/*
 * Maps a memfd's pages shared, not inherited by fork (as gntdev's VM_DONTCOPY). `at` NULL: where
 * there is room. Returns the address or NULL with errno.
 */
void *gnt_mmap(void *at, uint32_t nr_pages, int prot, int memfd, uint32_t first_page);

#endif
