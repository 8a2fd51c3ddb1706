/* SPDX-License-Identifier: MIT */
/* Where this installation's other files are, seen from the running program. */
#ifndef RF_COMMON_INSTALL_H
#define RF_COMMON_INSTALL_H

#include <stddef.h>

/*
 * Writes the absolute path of `relative` ("lib/usermode") in the folder that holds the running
 * program's bin folder. 0 or -errno.
 */
int install_path(const char *relative, char *path, size_t size) __attribute__((warn_unused_result));

#endif
