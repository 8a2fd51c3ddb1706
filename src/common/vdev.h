/* SPDX-License-Identifier: MIT */
/* Names and numbers of virtual block devices, as xen-vbd-interface(7) lays them out. */
#ifndef RF_COMMON_VDEV_H
#define RF_COMMON_VDEV_H

#include <stddef.h>
#include <stdint.h>

/* The number of "xvda", "hdb1", "sdc" or "51712". 0 or -EINVAL. */
int vdev_parse(const char *name, uint32_t *vdev) __attribute__((warn_unused_result));

/* "xvda" for the number of a whole xvd disk, else its decimal digits. Returns `text`. */
const char *vdev_name(unsigned int device, char *text, size_t size);

#endif
