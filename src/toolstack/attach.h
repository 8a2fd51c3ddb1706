/* SPDX-License-Identifier: MIT */
/* Attaching a disk to a domain, as `create` and `block-attach` do. */
#ifndef RF_TOOLSTACK_ATTACH_H
#define RF_TOOLSTACK_ATTACH_H

#include "toolstack/config.h"

/*
 * Asks the hypervisor for the disk; *device is its virtual-device number. 0, or -1 and the reason is
 * on standard error. That the back end serves it is not waited for.
 */
int attach_disk(int control_fd, unsigned int domid, const struct disk_config *disk,
	unsigned int *device) __attribute__((warn_unused_result));

#endif
