/* SPDX-License-Identifier: MIT */
/* The runtime directory's place and its safety check (other users may own /tmp entries). */
#include "common/rundir.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int rundir_path(char *path, size_t size)
{
	const char *env = getenv("RINGFENCE_RUN");
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	char cwd[PATH_MAX];
	int n;

	if (env && env[0] == '/') {
		n = snprintf(path, size, "%s", env);
	} else if (env && env[0]) {
		if (!getcwd(cwd, sizeof(cwd)))
			return -errno;
		n = snprintf(path, size, "%s/%s", cwd, env);
	} else if (geteuid() == 0) {
		n = snprintf(path, size, "/run/ringfence");
	} else if (xdg && xdg[0] == '/') {
		n = snprintf(path, size, "%s/ringfence", xdg);
	} else {
		n = snprintf(path, size, "/tmp/ringfence-%u", (unsigned int)geteuid());
	}
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int rundir_prepare(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return -EPERM;
	return 0;
}
