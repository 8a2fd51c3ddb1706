/* SPDX-License-Identifier: MIT */
/*
 * A front end's view of its device in xenstore: finding it, the state machine, the details that
 * both ends publish. What the back end wrote is checked here. One thread at a time per device.
 */
#ifndef RF_BLKFRONT_XENBUS_H
#define RF_BLKFRONT_XENBUS_H

#include <stdbool.h>
#include <stdint.h>
#include <xenstore.h>
#include <xen/io/xenbus.h>

#define XENBUS_PATH_MAX 512
#define XENBUS_MAX_RING_PAGES 16
#define XENBUS_MAX_QUEUES 16

struct xenbus_device {
	struct xs_handle *xs;
	char front[64];		     /* "device/vbd/51712", relative to this domain's home */
	char back[XENBUS_PATH_MAX];  /* the back end's directory, absolute */
	uint32_t back_domid;
	uint32_t vdev;
};

/* What this end publishes for a connection. */
struct xenbus_queue {
	uint32_t ring_refs[XENBUS_MAX_RING_PAGES];
	uint32_t port;
};

struct xenbus_details {
	unsigned int ring_order;
	unsigned int nr_queues;
	bool status; /* rsp_status is kept (common/ring_status.h) */
	struct xenbus_queue queues[XENBUS_MAX_QUEUES];
};

/* What the back end offers before a connection: at InitWait, checked and bounded. */
struct xenbus_offer {
	unsigned int max_ring_order; /* 0 when it says nothing */
	unsigned int max_queues;     /* 1 when it says nothing */
};

/* What the back end publishes of the disk by the time it is Connected, checked. */
struct xenbus_disk {
	uint64_t nr_sectors;
	uint32_t sector_size;
	uint32_t physical_sector_size;
	bool read_only;
	bool flush;
	bool discard;
	bool persistent;
	bool status; /* it keeps req_status (common/ring_status.h) */
	unsigned int max_indirect_segments; /* 0: no such requests */
};

/*
 * Connects to the store, finds the device (name NULL: the lowest-numbered) and watches its back
 * end. 0, -ENOENT no store, -ENODEV, -EPROTO, -EIO, -ENOMEM. Undone by xenbus_fini.
 */
int xenbus_init(struct xenbus_device *dev, const char *name) __attribute__((warn_unused_result));

/* Closes the connection to the store. */
void xenbus_fini(struct xenbus_device *dev);

/* The states as stored; 0 (Unknown) for nonsense, -ENOENT when the node is gone, -EIO. */
int xenbus_front_state(struct xenbus_device *dev);
int xenbus_back_state(struct xenbus_device *dev);

/*
 * Waits until the back end's state is in the set `accept` (bits 1 << state). -EIO: it is in the set
 * `refuse`, it is gone, or it was closed to the end; -ETIMEDOUT.
 */
int xenbus_wait_back(struct xenbus_device *dev, unsigned int accept, unsigned int refuse,
	uint64_t deadline_ns) __attribute__((warn_unused_result));

/* 0 or -EPROTO, -EIO. */
int xenbus_read_offer(struct xenbus_device *dev, struct xenbus_offer *offer)
	__attribute__((warn_unused_result));

/* Writes the details and Initialised, all or nothing. -EBUSY: somebody else connected. */
int xenbus_publish(struct xenbus_device *dev, const struct xenbus_details *details)
	__attribute__((warn_unused_result));

/* Removes the details and goes back to Initialising. */
int xenbus_unpublish(struct xenbus_device *dev);

int xenbus_set_state(struct xenbus_device *dev, enum xenbus_state state)
	__attribute__((warn_unused_result));

/* Reads and checks what a Connected back end published. 0, -EPROTO or -EIO. */
int xenbus_read_disk(struct xenbus_device *dev, struct xenbus_disk *disk)
	__attribute__((warn_unused_result));

/* Only the size, for a resize. 0, -EPROTO or -EIO. */
int xenbus_read_sectors(struct xenbus_device *dev, uint32_t sector_size, uint64_t *nr_sectors)
	__attribute__((warn_unused_result));

/* Takes pending watch events. Returns how many, or -EIO when the store's connection is lost. */
int xenbus_take_events(struct xenbus_device *dev);

/*
 * Goes back to Initialising after somebody left in Closing or Closed: as far as Closed with the
 * back end, at most until the deadline. 0, -EIO, -ETIMEDOUT.
 */
int xenbus_start_over(struct xenbus_device *dev, uint64_t deadline_ns)
	__attribute__((warn_unused_result));

/*
 * Leaves a connection: Closing, Closed, each until the back end followed, at most timeout_ms in
 * all, then back to Initialising. A back end or store that is gone is no obstacle.
 */
void xenbus_disconnect(struct xenbus_device *dev, unsigned int timeout_ms);

#endif
