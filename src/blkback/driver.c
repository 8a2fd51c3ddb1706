/* SPDX-License-Identifier: MIT */
/* The table of block drivers. */
#include "blkback/driver.h"

#include <string.h>

static const struct driver *const drivers[] = {&file_driver, &null_driver};

int driver_open(const char *target, bool read_only, struct driver_disk **out, char *error,
	size_t error_size)
{
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		size_t len = strlen(drivers[i]->name);

		if (strncmp(target, drivers[i]->name, len) == 0 && target[len] == ':')
			return drivers[i]->open(target + len + 1, read_only, out, error, error_size);
	}
	return file_driver.open(target, read_only, out, error, error_size);
}
