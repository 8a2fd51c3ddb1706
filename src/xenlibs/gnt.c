/* SPDX-License-Identifier: MIT */
/* Handle and address bookkeeping of libxengnttab. */
#include "xenlibs/gnt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct xengntdev_handle *gnt_open(xentoollog_logger *logger, enum hypercall_interface interface)
{
	struct xengntdev_handle *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return NULL;
	if (link_open(&handle->link, logger, interface) < 0) {
		free(handle);
		return NULL;
	}
	pthread_mutex_init(&handle->lock, NULL);
	return handle;
}

int gnt_close(struct xengntdev_handle *handle)
{
	if (!handle)
		return 0;
	for (unsigned int i = 0; i < handle->nr_regions; i++) {
		struct gnt_region *region = &handle->regions[i];

		if (!link_inherited(&handle->link))
			munmap(region->addr, (size_t)region->nr_pages * GNT_PAGE_SIZE);
		free(region->pages);
	}
	free(handle->regions);
	pthread_mutex_destroy(&handle->lock);
	link_close(&handle->link);
	free(handle);
	return 0;
}

/* Index of the first region that ends behind `addr`. */
static unsigned int region_index(const struct xengntdev_handle *handle, const char *addr)
{
	unsigned int low = 0, high = handle->nr_regions, middle;

	while (low < high) {
		const struct gnt_region *region;

		middle = low + (high - low) / 2;
		region = &handle->regions[middle];
		if (region->addr + (size_t)region->nr_pages * GNT_PAGE_SIZE <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct gnt_region *gnt_region_find(struct xengntdev_handle *handle, const void *addr)
{
	unsigned int i = region_index(handle, addr);

	if (i == handle->nr_regions || handle->regions[i].addr > (const char *)addr)
		return NULL;
	return &handle->regions[i];
}

bool gnt_region_add(struct xengntdev_handle *handle, const struct gnt_region *region)
{
	unsigned int at = region_index(handle, region->addr), max;
	struct gnt_region *grown;

	if (handle->nr_regions == handle->max_regions) {
		max = handle->max_regions ? handle->max_regions * 2 : 8;
		grown = realloc(handle->regions, max * sizeof(*grown));
		if (!grown)
			return false;
		handle->regions = grown;
		handle->max_regions = max;
	}
	memmove(&handle->regions[at + 1], &handle->regions[at],
		(handle->nr_regions - at) * sizeof(handle->regions[0]));
	handle->regions[at] = *region;
	handle->nr_regions++;
	return true;
}

void gnt_region_remove(struct xengntdev_handle *handle, struct gnt_region *region)
{
	unsigned int at = (unsigned int)(region - handle->regions);

	free(region->pages);
	handle->nr_regions--;
	memmove(region, region + 1, (handle->nr_regions - at) * sizeof(*region));
}

int gnt_region_drop(struct xengntdev_handle *handle, struct gnt_region *region, uint32_t page,
	uint32_t nr_pages)
{
	if (region->nr_maps == nr_pages) {
		munmap(region->addr, (size_t)region->nr_pages * GNT_PAGE_SIZE);
		gnt_region_remove(handle, region);
		return 0;
	}
	if (mmap(region->addr + (size_t)page * GNT_PAGE_SIZE, (size_t)nr_pages * GNT_PAGE_SIZE,
		    PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		    0) == MAP_FAILED)
		return -1;
	region->nr_maps -= nr_pages;
	return 0;
}

void *gnt_mmap(void *at, uint32_t nr_pages, int prot, int memfd, uint32_t first_page)
{
	size_t len = (size_t)nr_pages * GNT_PAGE_SIZE;
	void *addr = mmap(at, len, prot, MAP_SHARED | (at ? MAP_FIXED : 0), memfd,
		(off_t)first_page * GNT_PAGE_SIZE);

	if (addr == MAP_FAILED)
		return NULL;
	if (madvise(addr, len, MADV_DONTFORK) < 0) {
		int saved = errno;

		munmap(addr, len);
		errno = saved;
		return NULL;
	}
	return addr;
}
