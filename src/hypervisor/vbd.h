/* SPDX-License-Identifier: MIT */
/*
 * The toolstack's part in block devices: the nodes that connect a front end to a back end, with
 * the names, values and permissions that libxl gives them. No device code: what a disk is, only
 * the back end knows.
 */
#ifndef RF_HYPERVISOR_VBD_H
#define RF_HYPERVISOR_VBD_H

#include "hypervisor/domain.h"

#define DISK_WEIGHT_MAX 65535u

/* Weight and limits of a disk, as its back end understands them (docs/protocol/blkif.md); 0: not set. */
struct disk_share {
	uint64_t weight, iops, iops_burst, bps, bps_burst;
};

struct disk {
	struct list link;
	char name[DOMAIN_NAME_MAX + 1];
	char backend[DOMAIN_NAME_MAX + 1]; /* name of the driver domain */
	char mode;			   /* 'r' or 'w' */
	struct disk_share share;
	char target[];			   /* as the back end understands it */
};

/* Defines a disk that can be attached by name. 0, -EINVAL, -EEXIST, -ENOENT, -ENOMEM. */
int disk_define(struct hypervisor *hv, const char *name, const char *target, const char *mode,
	const char *backend, const struct disk_share *share) __attribute__((warn_unused_result));

/* Forgets all definitions. */
void disk_undefine_all(struct hypervisor *hv);

/*
 * Attaches a defined disk to a domain as `vdev` ("xvda"). *device receives the virtual-device
 * number. 0, -ENOENT no such disk or its driver domain is gone, -EINVAL bad vdev, -EEXIST taken, or what the store said; then no node is left.
 */
int vbd_attach(struct hypervisor *hv, struct domain *dom, const char *disk, const char *vdev,
	unsigned int *device) __attribute__((warn_unused_result));

/* xenstore changed: back ends that reached Closed are removed. */
void vbd_store_changed(struct hypervisor *hv, const char *path);

/*
 * A domain ends: its disks' back ends are told to close (and removed once they have), and disks
 * that it served disappear.
 */
void vbd_domain_gone(struct hypervisor *hv, unsigned int domid);

/* Frees all records. */
void vbd_forget_all(struct hypervisor *hv);

#endif
