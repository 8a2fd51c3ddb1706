/* SPDX-License-Identifier: MIT */
/*
 * The device's life in xenstore: finding it, states, publishing and withdrawing the connection's
 * details. One thread at a time per device. The store is trusted, what the back end wrote is not.
 */
#include "blkfront/xenbus.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/protocols.h>

#include "common/clock.h"
#include "common/parse.h"
#include "common/ring_status.h"
#include "common/vdev.h"

#define VBD_DIRECTORY "device/vbd"
#define RING_PREFIX "ring-ref"
#define ORDER_NODE "ring-page-order"
#define PORT_NODE "event-channel"
#define QUEUES_NODE "multi-queue-num-queues"
#define QUEUE_PREFIX "queue-"
#define MAX_TRANSACTION_TRIES 64
#define MAX_EVENTS_PER_TURN 64
#define WAIT_SLICE_MS 100 /* a lost store connection does not make its descriptor readable */

#define STATE_BIT(state) (1u << (state))

/* What a failed store call means to our callers. */
static int store_error(void)
{
	return errno == ENOMEM || errno == EBUSY || errno == EPROTO ? -errno : -EIO;
}

static int node_path(char *path, const char *directory, const char *node)
{
	int len = snprintf(path, XENBUS_PATH_MAX + 64, "%s/%s", directory, node);

	return len < 0 || len >= XENBUS_PATH_MAX + 64 ? -ENAMETOOLONG : 0;
}

static int read_state(struct xenbus_device *dev, const char *directory)
{
	char path[XENBUS_PATH_MAX + 64], *value;
	uint64_t state;

	if (node_path(path, directory, "state") < 0)
		return -EIO;
	value = xs_read(dev->xs, XBT_NULL, path, NULL);
	/* A node that went with its parents: what is left above may not be ours to read. */
	if (!value)
		return errno == ENOENT || errno == EACCES ? -ENOENT : store_error();
	if (parse_u64(value, 0, XenbusStateReconfigured, &state) < 0)
		state = XenbusStateUnknown;
	free(value);
	return (int)state;
}

int xenbus_front_state(struct xenbus_device *dev)
{
	return read_state(dev, dev->front);
}

int xenbus_back_state(struct xenbus_device *dev)
{
	return read_state(dev, dev->back);
}

/* ---- finding the device ---- */

/* The lowest-numbered device, or the one that `wanted` names. */
static int choose_device(struct xenbus_device *dev, bool any, uint32_t wanted)
{
	unsigned int nr_entries;
	char **entries = xs_directory(dev->xs, XBT_NULL, VBD_DIRECTORY, &nr_entries);
	bool found = false;

	if (!entries)
		return errno == ENOENT || errno == EACCES ? -ENODEV : store_error();
	for (unsigned int i = 0; i < nr_entries; i++) {
		uint64_t vdev;

		if (parse_u64(entries[i], 0, UINT32_MAX, &vdev) < 0)
			continue;
		if (any ? found && vdev >= dev->vdev : vdev != wanted)
			continue;
		dev->vdev = (uint32_t)vdev;
		found = true;
	}
	free(entries);
	if (!found)
		return -ENODEV;
	snprintf(dev->front, sizeof(dev->front), VBD_DIRECTORY "/%u", dev->vdev);
	return 0;
}

/* Reads where the back end is; both nodes come from the toolstack. */
static int read_backend(struct xenbus_device *dev)
{
	char path[XENBUS_PATH_MAX + 64], *value;
	uint64_t domid;
	int err = 0;

	if (node_path(path, dev->front, "backend") < 0)
		return -EIO;
	value = xs_read(dev->xs, XBT_NULL, path, NULL);
	if (!value)
		return errno == ENOENT ? -ENODEV : store_error();
	if (value[0] != '/' || strlen(value) >= sizeof(dev->back))
		err = -EPROTO;
	else
		strcpy(dev->back, value);
	free(value);
	if (err || node_path(path, dev->front, "backend-id") < 0)
		return err ? err : -EIO;
	value = xs_read(dev->xs, XBT_NULL, path, NULL);
	if (!value)
		return errno == ENOENT ? -EPROTO : store_error();
	if (parse_u64(value, 0, 0x7fef, &domid) < 0)
		err = -EPROTO;
	else
		dev->back_domid = (uint32_t)domid;
	free(value);
	return err;
}

static int watch_backend(struct xenbus_device *dev)
{
	static const char *const nodes[] = {"state", "sectors"};
	char path[XENBUS_PATH_MAX + 64];

	for (unsigned int i = 0; i < 2; i++) {
		if (node_path(path, dev->back, nodes[i]) < 0)
			return -EPROTO;
		if (!xs_watch(dev->xs, path, nodes[i]))
			return store_error();
	}
	return 0;
}

int xenbus_init(struct xenbus_device *dev, const char *name)
{
	uint32_t wanted = 0;
	int err;

	memset(dev, 0, sizeof(*dev));
	if (name && vdev_parse(name, &wanted) < 0)
		return -ENODEV;
	dev->xs = xs_open(0);
	if (!dev->xs)
		return errno == ENOMEM ? -ENOMEM : -ENOENT;
	err = choose_device(dev, !name, wanted);
	if (!err)
		err = read_backend(dev);
	if (!err)
		err = watch_backend(dev);
	if (!err && xs_fileno(dev->xs) < 0)
		err = -EIO;
	if (err)
		xenbus_fini(dev);
	return err;
}

void xenbus_fini(struct xenbus_device *dev)
{
	/* The watches go with the connection. */
	xs_close(dev->xs);
	dev->xs = NULL;
}

/* ---- waiting ---- */

int xenbus_take_events(struct xenbus_device *dev)
{
	int nr = 0;

	while (nr < MAX_EVENTS_PER_TURN) {
		char **event = xs_check_watch(dev->xs);

		if (!event)
			return errno == EAGAIN || errno == EINTR ? nr : -EIO;
		free(event);
		nr++;
	}
	return nr;
}

static int wait_event(struct xenbus_device *dev, uint64_t remaining_ns)
{
	struct pollfd pfd = {.fd = xs_fileno(dev->xs), .events = POLLIN};
	uint64_t ms = remaining_ns / NSEC_PER_MSEC + 1;

	if (poll(&pfd, 1, ms < WAIT_SLICE_MS ? (int)ms : WAIT_SLICE_MS) < 0 && errno != EINTR)
		return -EIO;
	return xenbus_take_events(dev);
}

int xenbus_wait_back(struct xenbus_device *dev, unsigned int accept, unsigned int refuse,
	uint64_t deadline_ns)
{
	for (;;) {
		uint64_t now = clock_ns();
		int state = xenbus_back_state(dev);

		if (state < 0)
			return state == -ENOMEM ? state : -EIO;
		if (accept & STATE_BIT(state))
			return 0;
		if (refuse & STATE_BIT(state))
			return -EIO;
		if (now >= deadline_ns) {
			bool closed = state == XenbusStateClosing || state == XenbusStateClosed;

			return closed ? -EIO : -ETIMEDOUT;
		}
		state = wait_event(dev, deadline_ns - now);
		if (state < 0)
			return state;
	}
}

/* ---- publishing ---- */

static int write_node(struct xenbus_device *dev, xs_transaction_t t, const char *node,
	const char *value)
{
	char path[XENBUS_PATH_MAX + 64];

	if (node_path(path, dev->front, node) < 0)
		return -EIO;
	return xs_write(dev->xs, t, path, value, (unsigned int)strlen(value)) ? 0 : store_error();
}

static int write_number(struct xenbus_device *dev, xs_transaction_t t, const char *node,
	uint32_t number)
{
	char value[16];

	snprintf(value, sizeof(value), "%u", number);
	return write_node(dev, t, node, value);
}

static void remove_node(struct xenbus_device *dev, xs_transaction_t t, const char *node)
{
	char path[XENBUS_PATH_MAX + 64];

	/* That it was not there is as good. */
	if (node_path(path, dev->front, node) == 0 && !xs_rm(dev->xs, t, path))
		return;
}

typedef int xenbus_body(struct xenbus_device *dev, xs_transaction_t t, const void *arg);

/* Runs `body` in a transaction, again when another one got in its way. */
static int transact(struct xenbus_device *dev, xenbus_body *body, const void *arg)
{
	for (unsigned int tries = 0; tries < MAX_TRANSACTION_TRIES; tries++) {
		xs_transaction_t t = xs_transaction_start(dev->xs);
		int err;

		if (t == XBT_NULL)
			return store_error();
		err = body(dev, t, arg);
		if (err) {
			xs_transaction_end(dev->xs, t, true);
			return err;
		}
		if (xs_transaction_end(dev->xs, t, false))
			return 0;
		if (errno != EAGAIN)
			return store_error();
	}
	return -EIO;
}

/* Inside the transaction, so that of two openers only one gets past it. */
static int claim(struct xenbus_device *dev, xs_transaction_t t)
{
	char path[XENBUS_PATH_MAX + 64], *value;
	bool ours;

	if (node_path(path, dev->front, "state") < 0)
		return -EIO;
	value = xs_read(dev->xs, t, path, NULL);
	if (!value)
		return errno == ENOENT ? 0 : store_error();
	ours = strcmp(value, "1") == 0;
	free(value);
	return ours ? 0 : -EBUSY;
}

/* A ring and its port: at the top for a lone queue, else in a directory of their own. */
static int publish_queue(struct xenbus_device *dev, xs_transaction_t t,
	const struct xenbus_details *details, unsigned int nr)
{
	const struct xenbus_queue *queue = &details->queues[nr];
	unsigned int nr_pages = 1u << details->ring_order;
	char directory[24] = "", node[48];
	int err = 0;

	if (details->nr_queues > 1)
		snprintf(directory, sizeof(directory), QUEUE_PREFIX "%u/", nr);
	for (unsigned int i = 0; !err && i < nr_pages; i++) {
		/* A lone page's node has no number. */
		if (nr_pages == 1)
			snprintf(node, sizeof(node), "%s" RING_PREFIX, directory);
		else
			snprintf(node, sizeof(node), "%s" RING_PREFIX "%u", directory, i);
		err = write_number(dev, t, node, queue->ring_refs[i]);
	}
	snprintf(node, sizeof(node), "%s" PORT_NODE, directory);
	return err ? err : write_number(dev, t, node, queue->port);
}

static int publish_body(struct xenbus_device *dev, xs_transaction_t t, const void *arg)
{
	const struct xenbus_details *details = arg;
	int err = claim(dev, t);

	if (!err && details->ring_order)
		err = write_number(dev, t, ORDER_NODE, details->ring_order);
	if (!err && details->nr_queues > 1)
		err = write_number(dev, t, QUEUES_NODE, details->nr_queues);
	for (unsigned int i = 0; !err && i < details->nr_queues; i++)
		err = publish_queue(dev, t, details, i);
	if (!err)
		err = write_node(dev, t, "protocol", XEN_IO_PROTO_ABI_NATIVE);
	if (!err)
		err = write_node(dev, t, "feature-persistent", "1");
	if (!err && details->status)
		err = write_number(dev, t, RING_STATUS_NODE, 1);
	if (!err)
		err = write_number(dev, t, "state", XenbusStateInitialised);
	return err;
}

int xenbus_publish(struct xenbus_device *dev, const struct xenbus_details *details)
{
	return transact(dev, publish_body, details);
}

/* Nodes of a connection, which are void without it. */
static bool is_detail(const char *node)
{
	return strcmp(node, ORDER_NODE) == 0 || strcmp(node, QUEUES_NODE) == 0 ||
	       strcmp(node, PORT_NODE) == 0 || strcmp(node, RING_STATUS_NODE) == 0 ||
	       strncmp(node, RING_PREFIX, strlen(RING_PREFIX)) == 0 ||
	       strncmp(node, QUEUE_PREFIX, strlen(QUEUE_PREFIX)) == 0;
}

static int unpublish_body(struct xenbus_device *dev, xs_transaction_t t, const void *arg)
{
	unsigned int nr_nodes;
	char **nodes = xs_directory(dev->xs, t, dev->front, &nr_nodes);

	(void)arg;
	if (!nodes)
		return store_error();
	for (unsigned int i = 0; i < nr_nodes; i++) {
		if (is_detail(nodes[i]))
			remove_node(dev, t, nodes[i]);
	}
	free(nodes);
	return write_number(dev, t, "state", XenbusStateInitialising);
}

int xenbus_unpublish(struct xenbus_device *dev)
{
	return transact(dev, unpublish_body, NULL);
}

int xenbus_set_state(struct xenbus_device *dev, enum xenbus_state state)
{
	return write_number(dev, XBT_NULL, "state", (uint32_t)state);
}

/*
 * Says Closed and waits until the back end has heard it. It goes from Closed to InitWait when it
 * sees us Initialising, so it must have seen our Closed before; it may be ahead of us, too, or new.
 */
static int close_and_wait(struct xenbus_device *dev, uint64_t deadline_ns)
{
	int err = xenbus_set_state(dev, XenbusStateClosed);

	if (err)
		return err;
	return xenbus_wait_back(dev,
		STATE_BIT(XenbusStateClosed) | STATE_BIT(XenbusStateInitialising) |
			STATE_BIT(XenbusStateInitWait),
		0, deadline_ns);
}

int xenbus_start_over(struct xenbus_device *dev, uint64_t deadline_ns)
{
	int err = close_and_wait(dev, deadline_ns);

	return err ? err : xenbus_unpublish(dev);
}

void xenbus_disconnect(struct xenbus_device *dev, unsigned int timeout_ms)
{
	uint64_t deadline_ns = clock_ns() + timeout_ms * NSEC_PER_MSEC;
	int err = xenbus_set_state(dev, XenbusStateClosing);

	if (!err)
		err = xenbus_wait_back(dev,
			STATE_BIT(XenbusStateClosed) | STATE_BIT(XenbusStateClosing), 0,
			deadline_ns);
	if (!err || err == -ETIMEDOUT)
		err = close_and_wait(dev, deadline_ns);
	/* Also after an error: whatever happened, what we published is void now. */
	if (xenbus_unpublish(dev) < 0 || err)
		return;
}
