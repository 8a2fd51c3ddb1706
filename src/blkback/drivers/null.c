/* SPDX-License-Identifier: MIT */
/*
 * The null driver: a disk of a given size that has no contents and takes no time. Reads leave the
 * buffer as it is; for measuring everything but the disk. Target: "null:SIZE", e.g. "null:1G".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "blkback/driver.h"
#include "common/parse.h"

static int null_open(const char *target, bool read_only, struct driver_disk **out, char *error,
	size_t error_size)
{
	struct driver_disk *disk;
	uint64_t size;

	(void)read_only;
	if (parse_size(target, &size) || size == 0 || size % 512) {
		snprintf(error, error_size, "null:SIZE takes a multiple of 512, such as 64M");
		return -EINVAL;
	}
	disk = calloc(1, sizeof(*disk));
	if (!disk)
		return -ENOMEM;
	disk->driver = &null_driver;
	disk->geometry = (struct driver_geometry){.size = size, .sector_size = 512,
		.physical_sector_size = 512, .can_discard = true, .discard_granularity = 512};
	*out = disk;
	return 0;
}

static void null_close(struct driver_disk *disk)
{
	free(disk);
}

static enum driver_status null_submit(
	struct driver_disk *disk, struct aio *aio, struct driver_io *io)
{
	(void)disk, (void)aio;
	io->result = 0;
	return DRIVER_COMPLETED;
}

const struct driver null_driver = {
	.name = "null", .no_contents = true, .open = null_open, .close = null_close,
	.submit = null_submit};
