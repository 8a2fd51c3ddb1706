/* SPDX-License-Identifier: MIT */
/*
 * An image: an open disk with its cache, shared by every vbd that has the same target. Opened once
 * by the main thread; workers use the driver and the cache, and count what is in flight.
 */
#ifndef RF_BLKBACK_IMAGE_H
#define RF_BLKBACK_IMAGE_H

#include <stdatomic.h>

#include "blkback/cache.h"
#include "blkback/driver.h"
#include "common/list.h"

struct image {
	struct list link;
	unsigned int nr_users;
	char *target;
	bool read_only;
	struct driver_disk *disk;
	struct cache *cache; /* NULL: none */
	/* I/Os at the device, of all workers. Relaxed: it only steers how much more is sent there. */
	atomic_uint nr_in_flight;
	atomic_uint nr_active; /* domains with requests, summed over the workers */
	atomic_uint nr_sparse; /* those of them that keep few requests outstanding (sched.h) */
};

struct image_cache_config {
	uint64_t size;	     /* bytes; 0: no cache */
	uint32_t block_size;
	unsigned int max_percent; /* of the image; 100: as much as `size` says */
};

/*
 * The open image of that target, or a new one. A target that is open read-only cannot be had
 * writable at the same time (-EBUSY), as its users would not see the writes in their cache's
 * place. `error` as driver_open. 0 or -errno.
 */
int image_get(const char *target, bool read_only, const struct image_cache_config *config,
	struct image **out, char *error, size_t error_size) __attribute__((warn_unused_result));

/* Closes it with the last user. NULL is legal. */
void image_put(struct image *image);

/* Bytes that the caches of all open images hold now. */
uint64_t images_cache_used(void);

#endif
