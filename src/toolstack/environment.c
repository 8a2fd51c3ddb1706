/* SPDX-License-Identifier: MIT */
/* Where this installation's user-mode libraries are, and the variables that lead there. */
#include "toolstack/environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/hypercall.h"
#include "common/install.h"
#include "common/rundir.h"

static int set(char *text, const char *name, const char *value, const char *more)
{
	int n = snprintf(text, PATH_MAX + 32, "%s=%s%s%s", name, value, more && *more ? ":" : "",
		more ? more : "");

	return n < 0 || n >= PATH_MAX + 32 ? -ENAMETOOLONG : 0;
}

int environment_make(struct environment *env, const char *store_path, const char *hypercall_path)
{
	char libs[PATH_MAX];
	int rc = install_path("lib/usermode", libs, sizeof(libs));

	if (rc == 0)
		rc = set(env->text[0], "XENSTORED_PATH", store_path, NULL);
	if (rc == 0)
		rc = set(env->text[1], HYPERCALL_ENV, hypercall_path, NULL);
	if (rc == 0)
		rc = set(env->text[2], "LD_LIBRARY_PATH", libs, getenv("LD_LIBRARY_PATH"));
	return rc;
}

int environment_domain0(struct environment *env)
{
	char run_dir[PATH_MAX], store[PATH_MAX + 32], hypercall[PATH_MAX + 32];
	int rc = rundir_path(run_dir, sizeof(run_dir));

	if (rc)
		return rc;
	snprintf(store, sizeof(store), "%s/xenstored/socket", run_dir);
	snprintf(hypercall, sizeof(hypercall), "%s/hypercall", run_dir);
	return environment_make(env, store, hypercall);
}
