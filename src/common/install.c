/* SPDX-License-Identifier: MIT */
/* Finds the installation by /proc/self/exe, so that it can be moved as a whole. */
#include "common/install.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

int install_path(const char *relative, char *path, size_t size)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	int len;

	if (n < 0)
		return -errno;
	exe[n] = '\0';
	len = snprintf(path, size, "%s/%s", dirname(dirname(exe)), relative);
	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}
