/* SPDX-License-Identifier: MIT */
/* The open images. Main thread only. */
#include "blkback/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

static struct list images = {&images, &images};

static int make_cache(struct image *image, const struct image_cache_config *config)
{
	uint64_t size = config->size, max = image->disk->geometry.size / 100 * config->max_percent;
	uint32_t block_size = config->block_size;

	/* Without contents a fill would hand out what our buffer held before. */
	if (image->disk->driver->no_contents)
		return 0;
	/* A block is filled by one read, which takes whole logical sectors. */
	if (block_size < image->disk->geometry.sector_size)
		block_size = image->disk->geometry.sector_size;
	if (config->max_percent < 100 && size > max)
		size = max;
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
	image->target = strdup(target);
	if (!image->target)
		goto err;
	rc = driver_open(target, read_only, &image->disk, error, error_size);
	if (rc)
		goto err;
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
	free(image->target);
	free(image);
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
