/* SPDX-License-Identifier: MIT */
/*
 * The runtime directory: where one instance of the hypervisor keeps its sockets, lock and log.
 */
#ifndef RF_COMMON_RUNDIR_H
#define RF_COMMON_RUNDIR_H

#include <stddef.h>

/*
 * Writes the absolute path: $RINGFENCE_RUN, else /run/ringfence for root, else
 * $XDG_RUNTIME_DIR/ringfence, else /tmp/ringfence-UID. 0 or -ENAMETOOLONG.
 */
int rundir_path(char *path, size_t size) __attribute__((warn_unused_result));

/*
 * Makes the directory (mode 0700) if it is missing and checks that it is a directory of this
 * user's that nobody else can write to. 0, -ENOTDIR, -EPERM (owner or mode), or what mkdir said.
 */
int rundir_prepare(const char *path) __attribute__((warn_unused_result));

#endif
