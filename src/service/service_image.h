/* SPDX-License-Identifier: MIT */
/* Checks a disk image before anything is started for it, so that its user gets a clear message. */
#ifndef RF_SERVICE_SERVICE_IMAGE_H
#define RF_SERVICE_SERVICE_IMAGE_H

#include <limits.h>
#include <stdint.h>

struct service_image {
	char path[PATH_MAX]; /* absolute, without symbolic links */
	uint64_t nr_sectors; /* of 512 bytes */
};

/*
 * A readable regular file or block device, not empty, a multiple of 512 bytes, that can be opened
 * and read with O_DIRECT. 0, or -1 after a message that says what to do.
 */
int service_image_check(const char *path, struct service_image *image)
	__attribute__((warn_unused_result));

/*
 * The cache's size in whole sectors: what was asked for, or the most that is allowed, a hundredth
 * of the image. 0, or -1 after a message if more was asked for.
 */
int service_image_cache(const struct service_image *image, const uint64_t *asked_bytes,
	uint64_t *cache_bytes) __attribute__((warn_unused_result));

#endif
