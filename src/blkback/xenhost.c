/* SPDX-License-Identifier: MIT */
/* Looking around on a Xen host. */
#include "blkback/xenhost.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool xenhost_is_real(void)
{
	return getenv("RINGFENCE_HYPERCALL") == NULL;
}

bool xenhost_has_kernel_blkback(const char *sysfs)
{
	char path[PATH_MAX];

	/* The name that the driver gives itself on the xen-backend bus. */
	snprintf(path, sizeof(path), "%s/bus/xen-backend/drivers/vbd", sysfs);
	return access(path, F_OK) == 0;
}
