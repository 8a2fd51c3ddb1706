/* SPDX-License-Identifier: MIT */
/* Virtual-device numbers from names, as xen-vbd-interface(7) lays them out. */
#include "common/vdev.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"

#define VDEV_EXTENDED (1u << 28)
#define VDEV_MAX_DISK ((1u << 20) - 1)

/* "a".."z", "aa".. in the manner of disk names; returns what follows the letters, or NULL. */
static const char *parse_letters(const char *text, uint32_t *disk)
{
	uint32_t nr = 0;
	const char *p;

	for (p = text; *p >= 'a' && *p <= 'z'; p++) {
		nr = nr * 26 + (uint32_t)(*p - 'a') + 1;
		if (nr - 1 > VDEV_MAX_DISK)
			return NULL;
	}
	if (p == text)
		return NULL;
	*disk = nr - 1;
	return p;
}

/* Where a major number has room for the disk and the partition, and the extended form elsewhere. */
static uint32_t encode(const char *prefix, uint32_t disk, uint32_t part)
{
	if (strncmp(prefix, "hd", 2) == 0 && disk < 4 && part < 64)
		return (disk < 2 ? 3u : 22u) << 8 | (disk & 1) << 6 | part;
	if (disk < 16 && part < 16)
		return (prefix[0] == 's' ? 8u : 202u) << 8 | disk << 4 | part;
	return VDEV_EXTENDED | disk << 8 | part;
}

int vdev_parse(const char *name, uint32_t *vdev)
{
	static const char *const prefixes[] = {"xvd", "hd", "sd"};
	uint64_t number, part = 0;
	uint32_t disk;

	for (unsigned int i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t len = strlen(prefixes[i]);
		const char *rest;

		if (strncmp(name, prefixes[i], len) != 0)
			continue;
		rest = parse_letters(name + len, &disk);
		if (!rest || (*rest && parse_u64(rest, 1, 255, &part) < 0))
			return -EINVAL;
		*vdev = encode(prefixes[i], disk, (uint32_t)part);
		return 0;
	}
	if (parse_u64(name, 0, UINT32_MAX, &number) < 0)
		return -EINVAL;
	*vdev = (uint32_t)number;
	return 0;
}

const char *vdev_name(unsigned int device, char *text, size_t size)
{
	unsigned int disk;

	if (device >> 8 == 202 && !(device & 15)) {
		snprintf(text, size, "xvd%c", 'a' + (int)(device >> 4 & 15));
		return text;
	}
	disk = device >> 8 & 0xfffff;
	if (device >> 28 != 1 || device & 0xff || disk >= 26 + 26 * 26)
		snprintf(text, size, "%u", device);
	else if (disk < 26)
		snprintf(text, size, "xvd%c", 'a' + (int)disk);
	else
		snprintf(text, size, "xvd%c%c", 'a' + (int)(disk / 26 - 1), 'a' + (int)(disk % 26));
	return text;
}
