/* SPDX-License-Identifier: MIT */
/* The environment that makes a program's Xen libraries find Ringfence. */
#ifndef RF_TOOLSTACK_ENVIRONMENT_H
#define RF_TOOLSTACK_ENVIRONMENT_H

#include <limits.h>

#define ENVIRONMENT_NR 3

struct environment {
	/* "NAME=value": XENSTORED_PATH, RINGFENCE_HYPERCALL, LD_LIBRARY_PATH. */
	char text[ENVIRONMENT_NR][PATH_MAX + 32];
};

/*
 * Fills it in for the given socket paths. LD_LIBRARY_PATH gets the user-mode libraries in front of
 * what it is now. 0 or -errno.
 */
int environment_make(struct environment *env, const char *store_path, const char *hypercall_path)
	__attribute__((warn_unused_result));

/* The same for domain 0 of the runtime directory's instance. */
int environment_domain0(struct environment *env) __attribute__((warn_unused_result));

#endif
