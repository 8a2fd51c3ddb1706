/* SPDX-License-Identifier: MIT */
/* Where this installation's user-mode libraries are, and the variables that lead there. */
#include "toolstack/environment.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/hypercall.h"

/* Beside this program's folder, in lib/usermode. */
static int library_dir(char *path, size_t size)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	int len;

	if (n < 0)
		return -errno;
	exe[n] = '\0';
	len = snprintf(path, size, "%s/lib/usermode", dirname(dirname(exe)));
	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

static int set(char *text, const char *name, const char *value, const char *more)
{
	int n = snprintf(text, PATH_MAX + 32, "%s=%s%s%s", name, value, more && *more ? ":" : "",
		more ? more : "");

	return n < 0 || n >= PATH_MAX + 32 ? -ENAMETOOLONG : 0;
}

int environment_make(struct environment *env, const char *store_path, const char *hypercall_path)
{
	char libs[PATH_MAX];
	int rc = library_dir(libs, sizeof(libs));

	if (rc == 0)
		rc = set(env->text[0], "XENSTORED_PATH", store_path, NULL);
	if (rc == 0)
		rc = set(env->text[1], HYPERCALL_ENV, hypercall_path, NULL);
	if (rc == 0)
		rc = set(env->text[2], "LD_LIBRARY_PATH", libs, getenv("LD_LIBRARY_PATH"));
	return rc;
}
