/* SPDX-License-Identifier: MIT */
/*
 * The xenbus side of the disks: follows each one's handshake in xenstore (docs/protocol/blkif.md),
 * maps its rings, binds its ports, and hands its queues to workers. Main thread only. It trusts the
 * store and the toolstack; what a front end wrote is checked.
 */
#ifndef RF_BLKBACK_VBD_H
#define RF_BLKBACK_VBD_H

#include <xenstore.h>

#include "blkback/image.h"
#include "blkback/queue.h"
#include "blkback/sched.h"
#include "blkback/xenbus.h"

#define VBD_MAX_RING_PAGE_ORDER 4u
#define VBD_MAX_QUEUES 16u

struct trace;
struct vbd;

/* What a worker tells about a queue; VBD_QUEUE_DETACHED is the last. */
enum vbd_message { VBD_QUEUE_BROKE, VBD_QUEUE_DETACHED };

/* One of a disk's queues, from when its ring is mapped until all of the disk's are detached. */
struct vbd_queue {
	struct vbd *vbd;
	struct worker *worker;
	struct queue *queue;
	void *ring;
	evtchn_port_t port;
};

/* What is offered to front ends. */
struct vbd_offer {
	enum grant_mode grants;		    /* persistent grants are offered with the first two */
	unsigned int max_queues;	    /* 1 to VBD_MAX_QUEUES */
	unsigned int max_indirect_segments; /* 0: none */
	bool status;			    /* to keep req_status (common/ring_status.h) */
};

/* What the vbds of a process share. */
struct vbd_context {
	struct xs_handle *xs;
	struct image_cache_config cache;
	struct vbd_offer offer;
	bool any_script;	   /* serve also disks whose hotplug script is not ours */
	struct trace *trace;
	const char *sysfs;	   /* where to look for a rival in the kernel; NULL: nowhere */
	struct worker **workers;
	unsigned int nr_workers, next_worker;
	struct list vbds;
	struct list changed;	   /* vbds that vbd_look shall look at */
	struct list timers;	   /* vbds with a due_ns, earliest first */
	struct vbd_totals *totals; /* stats.h; counts of queues that are gone */
	/* Gets a message to vbd_message on the main thread, in order; called by workers. */
	void (*post)(struct vbd_queue *queue, enum vbd_message message);
	bool stopping;
};

enum vbd_link {
	VBD_DISCONNECTED,
	VBD_CONNECTED,	  /* workers have the queues */
	VBD_DISCONNECTING /* workers were asked to let go of them */
};

struct vbd_counts {
	unsigned long reads, writes, flushes, discards, errors;
	unsigned long read_sectors, written_sectors;
	unsigned long cache_hits, cache_misses;
};

struct vbd {
	struct list link, changed_link, timer_link;
	struct vbd_context *ctx;
	unsigned int domid, device;
	char *name;			/* of the front end's domain, for people; or NULL */
	char path[XENBUS_PATH_MAX];	/* ours: backend/vbd/DOMID/DEVICE */
	char frontend[XENBUS_PATH_MAX]; /* the front end's, absolute; empty until adopted */
	bool has_script;		/* libxl made it: its script runs between states 2 and 4 */
	bool foreign;			/* another back end's, by its script: left alone */
	struct ratelimit log_limit;	/* what its front end makes us say */
	bool refused;			/* the image cannot be opened: said once */
	bool rivalled;			/* the kernel's back end is loaded: said once */
	bool orphan;			/* connected to a process that has ended: said once */
	bool can_discard;		/* and may: offered to the front end */
	bool offered;			/* by this process, in this life of the directory */
	bool gone;			/* our directory was removed: free when disconnected */
	bool failed;			/* broke the protocol: closed until the front end starts over */
	uint64_t offered_ns;
	uint64_t remove_ns;		/* when our directory may go; 0: it is in use */
	uint64_t due_ns;		/* to be looked at then, while timer_link is in the list */
	struct vbd_counts past;		/* of its queues that are gone */
	unsigned long nr_published;	/* what was counted at its last publication */
	struct image *image;
	struct sched_share share;	/* weight and limits; shared with the workers */
	enum vbd_link state;
	unsigned int nr_ring_pages;	/* of each ring */
	unsigned int nr_queues;		/* valid in `queues`; 0 while disconnected */
	unsigned int nr_attached;	/* of them, not detached yet */
	struct vbd_queue queues[VBD_MAX_QUEUES];
};

/* A watch fired on this path, ours or the front end's; marks the devices that it concerns. */
void vbd_watch_event(struct vbd_context *ctx, const char *path, const char *token);

/* Looks at the devices that were marked or are due, and does what is next for them. */
void vbd_look(struct vbd_context *ctx, uint64_t now_ns);

/* Milliseconds until a device is due, or `max_ms` if that is earlier. */
int vbd_timeout_ms(const struct vbd_context *ctx, uint64_t now_ns, int max_ms);

/* A worker's message arrived. vbd_look does what follows from it. */
void vbd_message(struct vbd_queue *queue, enum vbd_message message);

/* Tells the front ends of an image that its size has changed. */
void vbd_image_resized(struct vbd_context *ctx, const struct image *image);

/* Begins to close every device; vbd_are_idle says when nothing of any is in use. */
void vbd_stop_all(struct vbd_context *ctx);
bool vbd_are_idle(const struct vbd_context *ctx);

/* Forgets every device; none may be connected. */
void vbd_free_all(struct vbd_context *ctx);

#endif
