/* SPDX-License-Identifier: MIT */
/* What is different on a real Xen host. Any thread. */
#ifndef RF_BLKBACK_XENHOST_H
#define RF_BLKBACK_XENHOST_H

#include <stdbool.h>

/* What to say, and to do, about a rival. */
#define XENHOST_RIVAL                                                                              \
	"the kernel's xen-blkback is loaded and would serve the same disks; "                      \
	"'rmmod xen-blkback', and keep it away with tools/xen/ringfence-blkback.conf in "          \
	"/etc/modprobe.d"

/* False in a domain of Ringfence's own hypervisor, which sets RINGFENCE_HYPERCALL. */
bool xenhost_is_real(void);

/* True if Linux's xen-blkback is loaded; `sysfs` is where sysfs is mounted. */
bool xenhost_has_kernel_blkback(const char *sysfs);

#endif
