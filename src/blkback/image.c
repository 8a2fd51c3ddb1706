/* SPDX-License-Identifier: MIT */
/* The open images. Main thread only, but for the domains that use them. */
#include "blkback/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/parse.h"

static struct list images = {&images, &images};

/* Rounded down: a percentage is an upper bound, too. */
static uint64_t cache_size(const struct image_cache_config *config, uint64_t image_size)
{
	const uint32_t million = PARSE_PPM_MAX;

	if (!config->ppm)
		return config->size;
	return image_size / million * config->ppm + image_size % million * config->ppm / million;
}

static int make_cache(struct image *image, const struct image_cache_config *config)
{
	uint64_t size = cache_size(config, image->disk->geometry.size);
	uint32_t block_size = config->block_size;

	/* Without contents a fill would hand out what our buffer held before. */
	if (image->disk->driver->no_contents)
		return 0;
	/* A block is filled by one read, which takes whole logical sectors. */
	if (block_size < image->disk->geometry.sector_size)
		block_size = image->disk->geometry.sector_size;
	if (size < block_size)
		return 0;
	return cache_create(size, block_size, &image->cache);
}

static int image_open(const char *target, bool read_only, const struct image_cache_config *config,
	struct image **out, char *error, size_t error_size)
{
	struct image *image = calloc(1, sizeof(*image));
	int rc = -ENOMEM;

	if (!image)
		return rc;
	image->read_only = read_only;
	pthread_mutex_init(&image->lock, NULL);
	list_init(&image->domains);
	image->target = strdup(target);
	if (!image->target)
		goto err;
	rc = driver_open(target, read_only, &image->disk, error, error_size);
	if (rc)
		goto err;
	atomic_init(&image->size, image->disk->geometry.size);
	rc = make_cache(image, config);
	if (rc) {
		snprintf(error, error_size, "cannot make a cache: %s", strerror(-rc));
		image->disk->driver->close(image->disk);
		goto err;
	}
	list_add_tail(&images, &image->link);
	log_info("image %s open: %llu sectors, %s, cache %llu bytes", target,
		(unsigned long long)(image->disk->geometry.size / 512),
		read_only ? "read-only" : "read-write",
		(unsigned long long)(image->cache ? cache_capacity(image->cache) : 0));
	*out = image;
	return 0;
err:
	pthread_mutex_destroy(&image->lock);
	free(image->target);
	free(image);
	return rc;
}

int image_get(const char *target, bool read_only, const struct image_cache_config *config,
	struct image **out, char *error, size_t error_size)
{
	struct image *image;
	int rc;

	list_for_each(image, &images, link) {
		if (strcmp(image->target, target) != 0)
			continue;
		if (image->read_only != read_only) {
			snprintf(error, error_size, "it is open %s for another domain",
				image->read_only ? "read-only" : "for writing");
			return -EBUSY;
		}
		image->nr_users++;
		*out = image;
		return 0;
	}
	rc = image_open(target, read_only, config, &image, error, error_size);
	if (rc)
		return rc;
	image->nr_users = 1;
	*out = image;
	return 0;
}

void image_put(struct image *image)
{
	if (!image || --image->nr_users)
		return;
	list_del(&image->link);
	image->disk->driver->close(image->disk);
	cache_destroy(image->cache);
	pthread_mutex_destroy(&image->lock);
	free(image->target);
	free(image);
}

struct service_worker *image_worker_get(struct image *image)
{
	struct service_worker *worker;

	pthread_mutex_lock(&image->lock);
	worker = service_join(&image->service);
	pthread_mutex_unlock(&image->lock);
	return worker;
}

void image_worker_put(struct image *image, struct service_worker *worker)
{
	pthread_mutex_lock(&image->lock);
	service_leave(worker);
	pthread_mutex_unlock(&image->lock);
}

static struct image_domain *find_domain(struct image *image, unsigned int domid)
{
	struct image_domain *domain;

	list_for_each(domain, &image->domains, link) {
		if (domain->domid == domid)
			return domain;
	}
	domain = calloc(1, sizeof(*domain));
	if (domain) {
		domain->domid = domid;
		list_add_tail(&image->domains, &domain->link);
	}
	return domain;
}

struct image_domain *image_domain_get(struct image *image, unsigned int domid)
{
	struct image_domain *domain;

	pthread_mutex_lock(&image->lock);
	domain = find_domain(image, domid);
	if (domain)
		domain->nr_users++;
	pthread_mutex_unlock(&image->lock);
	return domain;
}

void image_domain_put(struct image *image, struct image_domain *domain)
{
	pthread_mutex_lock(&image->lock);
	if (--domain->nr_users == 0) {
		list_del(&domain->link);
		free(domain);
	}
	pthread_mutex_unlock(&image->lock);
}

/* What was cached beyond the new end is not on the disk any more, and must not come back. */
static void drop_beyond(struct image *image, uint64_t size, uint64_t old_size)
{
	uint32_t block_size = cache_block_size(image->cache);
	uint64_t first = size / block_size;
	uint64_t nr = (old_size + block_size - 1) / block_size - first;

	cache_write_begin(image->cache, first, nr);
	cache_write_end(image->cache, first, nr);
}

/* True if the image has another size than before. */
static bool refresh(struct image *image)
{
	uint64_t size, old_size = image_size(image);
	int rc = image->disk->driver->refresh(image->disk, &size);

	if (rc) {
		if (ratelimit_pass(&image->log_limit, 1, 60 * NSEC_PER_SEC))
			log_warn("image %s: cannot read its size: %s", image->target, strerror(-rc));
		return false;
	}
	if (size == old_size)
		return false;
	atomic_store_explicit(&image->size, size, memory_order_relaxed);
	if (size < old_size && image->cache)
		drop_beyond(image, size, old_size);
	log_msg(size < old_size ? LOG_WARN : LOG_INFO, "image %s: %s from %llu to %llu sectors",
		image->target, size < old_size ? "shrunk" : "grown",
		(unsigned long long)(old_size / 512), (unsigned long long)(size / 512));
	return true;
}

void images_refresh(void (*resized)(void *data, const struct image *image), void *data)
{
	struct image *image;

	list_for_each(image, &images, link) {
		if (image->disk->driver->refresh && refresh(image))
			resized(data, image);
	}
}

uint64_t images_cache_used(void)
{
	struct image *image;
	uint64_t used = 0;

	list_for_each(image, &images, link) {
		if (image->cache)
			used += cache_used(image->cache);
	}
	return used;
}
