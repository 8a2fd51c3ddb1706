/* SPDX-License-Identifier: MIT */
/* How many descriptors this process may have. */
#ifndef RF_COMMON_FDLIMIT_H
#define RF_COMMON_FDLIMIT_H

#define FDLIMIT_MAX (1u << 20) /* what is said where there is no limit, or a greater one */

/*
 * Raises the process's soft limit (RLIMIT_NOFILE) to its hard one, which its children inherit.
 * Returns the limit that it has then. Not for programs that use select(2). Before there are threads.
 */
unsigned int fdlimit_raise(void);

#endif
