/* SPDX-License-Identifier: MIT */
/* What the files of a vbd share among themselves. Main thread only. */
#ifndef RF_BLKBACK_VBD_INTERNAL_H
#define RF_BLKBACK_VBD_INTERNAL_H

#include "blkback/vbd.h"

/* ---- vbd.c ---- */

/* True if a message that the front end causes may be written; errors and news share the limit. */
bool vbd_may_log(struct vbd *vbd);

/* Writes our state; that it fails is logged, unless our directory is gone. */
void vbd_set_state(struct vbd *vbd, enum xenbus_state state);

/* Has vbd_look look at it. */
void vbd_mark(struct vbd *vbd);

/* The front end broke the rules: its device is closed, everything else goes on. */
void vbd_fail(struct vbd *vbd, const char *why);

/* ---- vbd_find.c ---- */

/*
 * Learns from our directory whose device it is, and watches the front end's. False if it is another
 * back end's, by its hotplug script, or the directory is not complete: then it is to be left alone.
 */
bool vbd_adopt(struct vbd *vbd);

/* Marks the device of that number, which is made known if its directory is there. */
void vbd_find_and_mark(struct vbd_context *ctx, unsigned int domid, unsigned int device);

/* Frees it; it must be disconnected. */
void vbd_free(struct vbd *vbd);

/* ---- vbd_offer.c ---- */

/* Opens the disk and publishes it, with state InitWait. What goes wrong is logged once. */
void vbd_offer(struct vbd *vbd);

/* Reads the disk's weight and limits, which the toolstack may change at any time. */
void vbd_read_share(struct vbd *vbd);

/* ---- vbd_connect.c ---- */

/* Follows what the front end published: maps its rings, binds its ports, starts to serve. */
void vbd_connect(struct vbd *vbd);

/* Lets go of all queues. True once nothing of the rings is in use. */
bool vbd_disconnect(struct vbd *vbd);

#endif
