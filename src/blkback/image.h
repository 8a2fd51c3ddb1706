/* SPDX-License-Identifier: MIT */
/*
 * An image: an open disk with its cache, shared by every vbd that has the same target. Opened once
 * by the main thread; workers use the driver and the cache, and count what is in flight.
 */
#ifndef RF_BLKBACK_IMAGE_H
#define RF_BLKBACK_IMAGE_H

#include <pthread.h>
#include <stdatomic.h>

#include "blkback/cache.h"
#include "blkback/driver.h"
#include "blkback/service.h"
#include "common/list.h"
#include "common/log.h"

/* One domain's use of an image, by all workers that have a queue of it. */
struct image_domain {
	struct list link;
	unsigned int domid;
	unsigned int nr_users;	/* workers; under the image's lock */
	atomic_uint nr_active;	/* workers that have requests of it. Relaxed: a count */
	_Atomic uint64_t service; /* what it got (service.h); counted while several workers compete */
};

struct image {
	struct list link;
	unsigned int nr_users;
	char *target;
	bool read_only;
	struct ratelimit log_limit;
	struct driver_disk *disk;
	struct cache *cache; /* NULL: none */
	_Atomic uint64_t size; /* bytes; changed by the main thread */
	/* I/Os at the device, of all workers. Relaxed: it only steers how much more is sent there. */
	atomic_uint nr_in_flight;
	atomic_uint nr_active; /* domains with requests, each once */
	atomic_uint nr_clients; /* the same, each once for every worker that it has requests on */
	atomic_uint nr_sparse; /* that keep few requests outstanding (sched.h), summed over the workers */
	pthread_mutex_t lock; /* of the domains, and the workers' places in service */
	struct list domains;
	struct service service;
};

struct image_cache_config {
	uint64_t size; /* bytes; 0: no cache */
	uint32_t ppm;  /* not 0: so many millionths of the image instead */
	uint32_t block_size;
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

/*
 * Bytes on the disk now, a multiple of its sector size; it may grow or shrink meanwhile. Any
 * thread. Relaxed: it is a bound by itself; who finds the disk shorter than this gets an I/O error.
 */
static inline uint64_t image_size(const struct image *image)
{
	return atomic_load_explicit(&image->size, memory_order_relaxed);
}

/* A worker begins to serve queues of the image, NULL without a place; or has no more. Any thread. */
struct service_worker *image_worker_get(struct image *image);
void image_worker_put(struct image *image, struct service_worker *worker);

/* A worker begins to serve queues of a domain, NULL without memory; or has no more. Any thread. */
struct image_domain *image_domain_get(struct image *image, unsigned int domid);
void image_domain_put(struct image *image, struct image_domain *domain);

/*
 * Looks at the size of every open image, and calls `resized` for each that has another one now;
 * image_size() says the new one already, and the cache has nothing beyond it.
 */
void images_refresh(void (*resized)(void *data, const struct image *image), void *data);

/* Bytes that the caches of all open images hold now. */
uint64_t images_cache_used(void);

#endif
