/* SPDX-License-Identifier: MIT */
/*
 * The toolstack's part in block devices: the nodes that connect a front end to a back end, with
 * the names, values and permissions that libxl gives them. No device code: what a disk is, only
 * the back end knows.
 */
#ifndef RF_HYPERVISOR_VBD_H
#define RF_HYPERVISOR_VBD_H

#include <stdio.h>

#include "hypervisor/domain.h"

#define DISK_WEIGHT_MAX 65535u
#define DISK_TARGET_MAX 1024u /* characters */

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

/* What is attached, and as which device. */
struct vbd_config {
	const char *vdev;	/* "xvda", or a number */
	const char *target;
	struct domain *backend;
	char mode;		/* 'r' or 'w' */
	struct disk_share share;
};

/* Defines a disk that can be attached by name. 0, -EINVAL, -EEXIST, -ENOENT, -ENOMEM. */
int disk_define(struct hypervisor *hv, const char *name, const char *target, const char *mode,
	const char *backend, const struct disk_share *share) __attribute__((warn_unused_result));

struct disk *disk_find(struct hypervisor *hv, const char *name);

/* A driver domain has another name: disks that it serves go with it. */
void disk_backend_renamed(struct hypervisor *hv, const char *from, const char *to);

/* Forgets all definitions. */
void disk_undefine_all(struct hypervisor *hv);

/*
 * Attaches a disk to a domain; *device receives the virtual-device number. 0, -EINVAL a bad vdev,
 * target or mode, -EEXIST the vdev is taken, or what the store said; then no node is left.
 */
int vbd_attach(struct hypervisor *hv, struct domain *dom, const struct vbd_config *config,
	unsigned int *device) __attribute__((warn_unused_result));

/* The device of a domain, or NULL. */
struct vbd *vbd_find(struct hypervisor *hv, unsigned int domid, unsigned int device);

/* True if disks of others are attached to this domain as their back end. */
bool vbd_serves(struct hypervisor *hv, unsigned int domid);

/* A line for each device of a domain, or of all with NULL (docs/protocol/control.md, block-list). */
void vbd_print(struct hypervisor *hv, const struct domain *dom, FILE *out);

/* How a detach ended: 0 the device is gone, -ETIMEDOUT its guest still uses it. */
typedef void vbd_detached_fn(void *data, int status);

/*
 * Asks the back end to close the device, as libxl does: online 0, state Closing; and removes it once
 * the back end has. With `force` the front end's directory goes first, which takes the device from a
 * guest that will not let go. Calls `detached` once, after at most ten seconds; without `force` the
 * device then stays until its guest lets go. 0 or -ENOMEM; then nothing has happened.
 */
int vbd_detach(struct vbd *vbd, bool force, vbd_detached_fn *detached, void *data)
	__attribute__((warn_unused_result));

/* The one that waits for a detach went away. */
void vbd_forget_waiter(struct hypervisor *hv, const void *data);

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
