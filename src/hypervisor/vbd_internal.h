/* SPDX-License-Identifier: MIT */
/* Attached devices: what vbd.c, which makes their nodes, and vbd_close.c share. Main thread only. */
#ifndef RF_HYPERVISOR_VBD_INTERNAL_H
#define RF_HYPERVISOR_VBD_INTERNAL_H

#include "hypervisor/vbd.h"

#define VBD_PATH_SIZE 128

/* One attached device: exists from attach until its back end directory is removed. */
struct vbd {
	struct list link; /* hv->vbds, those that are closing first */
	struct hypervisor *hv;
	unsigned int frontend_domid, backend_domid, device;
	bool closing;
	bool forced; /* closing: its nodes go at the deadline, whatever the back end says */
	struct loop_timer timer; /* closing: bounds the wait; then: remove outside the store's hook */
	struct list waiters;	 /* struct vbd_waiter, for its end */
};

void vbd_backend_path(const struct vbd *vbd, char path[VBD_PATH_SIZE]);
void vbd_frontend_path(const struct vbd *vbd, char path[VBD_PATH_SIZE]);

/* A node of the back end's or front end's directory; NULL if there is none. */
const char *vbd_read(const struct vbd *vbd, const char *dir, const char *node);

/* The state of its back end, a XenbusState; 0 (unknown) without a node. */
int vbd_backend_state(const struct vbd *vbd);

void vbd_remove_nodes(const struct vbd *vbd);

/* Prepares the timer with what closing does when it expires. */
void vbd_timer_init(struct vbd *vbd);

/* Its nodes have been removed: tells who waits, and frees it. */
void vbd_free(struct vbd *vbd);

#endif
