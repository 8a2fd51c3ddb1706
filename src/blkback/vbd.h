/* SPDX-License-Identifier: MIT */
/*
 * The xenbus side of one disk: follows the handshake in xenstore (docs/protocol/blkif.md), maps
 * the ring, binds the port, and hands the queue to a worker. Main thread only.
 */
#ifndef RF_BLKBACK_VBD_H
#define RF_BLKBACK_VBD_H

#include <xenstore.h>

#include "blkback/image.h"
#include "blkback/queue.h"
#include "blkback/xenbus.h"

#define VBD_MAX_RING_PAGE_ORDER 4u

struct vbd;

/* What a worker tells about a vbd's queue; VBD_QUEUE_DETACHED is the last. */
enum vbd_message { VBD_QUEUE_BROKE, VBD_QUEUE_DETACHED };

/* What the vbds of a process share. */
struct vbd_context {
	struct xs_handle *xs;
	struct image_cache_config cache;
	struct worker **workers;
	unsigned int nr_workers, next_worker;
	struct list vbds;
	struct vbd_totals *totals; /* stats.h; counts of queues that are gone */
	/* Gets a message to vbd_message on the main thread, in order; called by workers. */
	void (*post)(struct vbd *vbd, enum vbd_message message);
	bool stopping;
};

enum vbd_link {
	VBD_DISCONNECTED,
	VBD_CONNECTED,	  /* the worker has the queue */
	VBD_DISCONNECTING /* the worker was asked to let go of it */
};

struct vbd_counts {
	unsigned long reads, writes, flushes, discards, errors;
	unsigned long read_sectors, written_sectors;
	unsigned long cache_hits, cache_misses;
};

struct vbd {
	struct list link;
	struct vbd_context *ctx;
	unsigned int domid, device;
	char *name;			 /* of the front end's domain, for people */
	char path[XENBUS_PATH_MAX];	 /* ours: backend/vbd/DOMID/DEVICE */
	char frontend[XENBUS_PATH_MAX];	 /* the front end's, absolute */
	bool watching;
	bool changed;			 /* vbd_look shall look at it */
	struct ratelimit log_limit;	 /* what its front end makes us say */
	bool refused;			 /* the image cannot be opened: said once */
	bool gone;			 /* our directory was removed: free when disconnected */
	bool failed;			 /* broke the protocol: closed until the front end starts over */
	struct vbd_counts past;		 /* of its queues that are gone */
	unsigned long nr_published;	 /* what was counted at its last publication */
	struct image *image;
	enum vbd_link state;
	struct worker *worker;
	struct queue *queue;
	void *ring;
	unsigned int nr_ring_pages;
	evtchn_port_t port;
};

/* A watch fired on this path, ours or the front end's; marks the devices that it concerns. */
void vbd_watch_event(struct vbd_context *ctx, const char *path, const char *token);

/* Looks at the devices that were marked, and does what is next for them. */
void vbd_look(struct vbd_context *ctx);

/* A worker's message arrived. */
void vbd_message(struct vbd *vbd, enum vbd_message message);

/* Begins to close every device; they are gone when the list is empty. */
void vbd_stop_all(struct vbd_context *ctx);

/* Forgets every device; none may be connected. */
void vbd_free_all(struct vbd_context *ctx);

#endif
