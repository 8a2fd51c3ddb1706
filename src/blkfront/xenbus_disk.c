/* SPDX-License-Identifier: MIT */
/*
 * Reading what a back end publishes about itself and its disk. Every value comes from a peer: it
 * must be a number, in range, and make sense beside the others.
 */
#include "blkfront/xenbus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/parse.h"

#include "common/ring_status.h"

#define SECTOR_SIZE_MIN 512
#define SECTOR_SIZE_MAX 4096 /* a segment never leaves its page */
#define PHYSICAL_SIZE_MAX (1u << 24)
#define MAX_RING_ORDER 4
#define MAX_SECTORS (UINT64_MAX >> 10) /* so that neither bytes nor sums overflow */

/* A missing node has the value `missing`; UINT64_MAX as `missing` makes that an error. */
static int read_number(struct xenbus_device *dev, const char *node, uint64_t min, uint64_t max,
	uint64_t missing, uint64_t *out)
{
	char path[XENBUS_PATH_MAX + 64], *value;
	int err;

	if (snprintf(path, sizeof(path), "%s/%s", dev->back, node) >= (int)sizeof(path))
		return -EPROTO;
	value = xs_read(dev->xs, XBT_NULL, path, NULL);
	if (!value) {
		if (errno != ENOENT)
			return errno == ENOMEM ? -ENOMEM : -EIO;
		*out = missing;
		return missing == UINT64_MAX ? -EPROTO : 0;
	}
	err = parse_u64(value, min, max, out);
	free(value);
	return err ? -EPROTO : 0;
}

static int read_flag(struct xenbus_device *dev, const char *node, bool *out)
{
	uint64_t value;
	int err = read_number(dev, node, 0, UINT32_MAX, 0, &value);

	if (!err)
		*out = value != 0;
	return err;
}

/* A number that says how much of something is possible: more than `most` is as good as that. */
static int read_bound(struct xenbus_device *dev, const char *node, unsigned int missing,
	unsigned int most, unsigned int *out)
{
	uint64_t value;
	int err = read_number(dev, node, 0, UINT32_MAX, missing, &value);

	if (!err)
		*out = value < most ? (unsigned int)value : most;
	return err;
}

int xenbus_read_offer(struct xenbus_device *dev, struct xenbus_offer *offer)
{
	int err = read_bound(dev, "max-ring-page-order", 0, MAX_RING_ORDER, &offer->max_ring_order);

	if (!err)
		err = read_bound(dev, "multi-queue-max-queues", 1, XENBUS_MAX_QUEUES,
			&offer->max_queues);
	if (!err && offer->max_queues == 0)
		offer->max_queues = 1;
	return err;
}

int xenbus_read_sectors(struct xenbus_device *dev, uint32_t sector_size, uint64_t *nr_sectors)
{
	uint64_t value;
	int err = read_number(dev, "sectors", 0, MAX_SECTORS, UINT64_MAX, &value);

	if (err)
		return err;
	/* A disk whose last logical sector is cut off: use what is whole. */
	*nr_sectors = value - value % (sector_size / 512);
	return 0;
}

static int read_sizes(struct xenbus_device *dev, struct xenbus_disk *disk)
{
	uint64_t logical, physical;
	int err = read_number(dev, "sector-size", SECTOR_SIZE_MIN, SECTOR_SIZE_MAX,
		SECTOR_SIZE_MIN, &logical);

	if (err)
		return err;
	err = read_number(dev, "physical-sector-size", logical, PHYSICAL_SIZE_MAX, logical,
		&physical);
	if (err)
		return err;
	if ((logical & (logical - 1)) || physical % logical)
		return -EPROTO;
	disk->sector_size = (uint32_t)logical;
	disk->physical_sector_size = (uint32_t)physical;
	return xenbus_read_sectors(dev, disk->sector_size, &disk->nr_sectors);
}

int xenbus_read_disk(struct xenbus_device *dev, struct xenbus_disk *disk)
{
	uint64_t info;
	int err = read_sizes(dev, disk);

	if (!err)
		err = read_number(dev, "info", 0, UINT32_MAX, 0, &info);
	if (!err)
		err = read_flag(dev, "feature-flush-cache", &disk->flush);
	if (!err)
		err = read_flag(dev, "feature-discard", &disk->discard);
	if (!err)
		err = read_flag(dev, "feature-persistent", &disk->persistent);
	if (!err)
		err = read_flag(dev, RING_STATUS_NODE, &disk->status);
	if (!err)
		err = read_bound(dev, "feature-max-indirect-segments", 0, UINT32_MAX,
			&disk->max_indirect_segments);
	if (!err)
		disk->read_only = info & VDISK_READONLY;
	return err;
}
