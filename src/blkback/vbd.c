/* SPDX-License-Identifier: MIT */
/*
 * One disk's handshake. Every change in xenstore leads to the same question, asked in update():
 * given both ends' states and what we hold, what is next?
 */
#include "blkback/vbd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "blkback/stats.h"
#include "blkback/worker.h"
#include "common/clock.h"

#define BACKEND_DIR "backend/vbd"

static void update(struct vbd *vbd);

/* True if a message that the front end causes may be written; errors and news share the limit. */
static bool may_log(struct vbd *vbd)
{
	return ratelimit_pass(&vbd->log_limit, 20, 10 * NSEC_PER_SEC);
}

static void set_state(struct vbd *vbd, enum xenbus_state state)
{
	int rc = xenbus_write_state(vbd->ctx->xs, vbd->path, state);

	if (rc && rc != -ENOENT)
		log_error("domain %u device %u: cannot write state %d: %s", vbd->domid, vbd->device,
			state, strerror(-rc));
}

/* ---- connecting ---- */

/* The worker's thread calls these two. */
static void queue_detached(struct queue *queue)
{
	struct vbd *vbd = queue->owner;

	vbd->ctx->post(vbd, VBD_QUEUE_DETACHED);
}

static void queue_broke(struct queue *queue)
{
	struct vbd *vbd = queue->owner;

	vbd->ctx->post(vbd, VBD_QUEUE_BROKE);
}

/* What the front end published, read once. */
struct front_nodes {
	uint32_t grefs[1u << VBD_MAX_RING_PAGE_ORDER];
	unsigned int nr_pages;
	evtchn_port_t port;
	bool persistent;
};

static const char *read_ring_refs(struct vbd *vbd, struct front_nodes *front)
{
	struct xs_handle *xs = vbd->ctx->xs;
	uint64_t order = 0, value;
	char node[24];
	int rc;

	rc = xenbus_read_u64(xs, vbd->frontend, "ring-page-order", 0, VBD_MAX_RING_PAGE_ORDER, &order);
	if (rc && rc != -ENOENT)
		return "bad ring-page-order";
	front->nr_pages = 1u << order;
	for (unsigned int i = 0; i < front->nr_pages; i++) {
		snprintf(node, sizeof(node), "ring-ref%u", i);
		rc = -ENOENT;
		/* Front ends disagree on the name of a single page. */
		if (front->nr_pages == 1)
			rc = xenbus_read_u64(xs, vbd->frontend, "ring-ref", 0, UINT32_MAX, &value);
		if (rc == -ENOENT)
			rc = xenbus_read_u64(xs, vbd->frontend, node, 0, UINT32_MAX, &value);
		if (rc)
			return "bad or missing ring-ref";
		front->grefs[i] = (uint32_t)value;
	}
	return NULL;
}

static const char *read_front(struct vbd *vbd, struct front_nodes *front)
{
	struct xs_handle *xs = vbd->ctx->xs;
	const char *why = read_ring_refs(vbd, front);
	uint64_t value;
	char *protocol;
	bool native;

	if (why)
		return why;
	if (xenbus_read_u64(xs, vbd->frontend, "event-channel", 1, INT32_MAX, &value))
		return "bad or missing event-channel";
	front->port = (evtchn_port_t)value;
	front->persistent =
		xenbus_read_u64(xs, vbd->frontend, "feature-persistent", 0, 1, &value) == 0 && value;
	protocol = xenbus_read(xs, vbd->frontend, "protocol");
	native = !protocol || strcmp(protocol, "x86_64-abi") == 0;
	free(protocol);
	return native ? NULL : "its protocol is not x86_64-abi";
}

/* Undoes connect_ring. */
static void release_ring(struct vbd *vbd)
{
	xenevtchn_unbind(worker_evtchn(vbd->worker), vbd->port);
	xengnttab_unmap(worker_gnttab(vbd->worker), vbd->ring, vbd->nr_ring_pages);
	vbd->ring = NULL;
}

/* Maps the ring and binds the port, with the handles of the worker that will use them. */
static const char *connect_ring(struct vbd *vbd, struct front_nodes *front)
{
	struct vbd_context *ctx = vbd->ctx;
	xenevtchn_port_or_error_t port;

	vbd->worker = ctx->workers[ctx->next_worker++ % ctx->nr_workers];
	vbd->nr_ring_pages = front->nr_pages;
	vbd->ring = xengnttab_map_domain_grant_refs(worker_gnttab(vbd->worker), front->nr_pages,
		vbd->domid, front->grefs, PROT_READ | PROT_WRITE);
	if (!vbd->ring)
		return "cannot map its ring";
	port = xenevtchn_bind_interdomain(worker_evtchn(vbd->worker), vbd->domid, front->port);
	if (port < 0) {
		xengnttab_unmap(worker_gnttab(vbd->worker), vbd->ring, front->nr_pages);
		vbd->ring = NULL;
		return "cannot bind its event channel";
	}
	vbd->port = (evtchn_port_t)port;
	return NULL;
}

static const char *connect_queue(struct vbd *vbd, const struct front_nodes *front)
{
	struct queue_config config = {.domid = vbd->domid, .device = vbd->device,
		.sring = vbd->ring, .nr_ring_pages = vbd->nr_ring_pages, .port = vbd->port,
		.persistent = front->persistent, .read_only = vbd->image->read_only,
		.image = vbd->image};
	int rc = queue_create(&config, vbd->worker, &vbd->queue);

	if (rc)
		return rc == -EPROTO ? "its ring indices make no sense" : strerror(-rc);
	vbd->queue->owner = vbd;
	vbd->queue->detached = queue_detached;
	vbd->queue->broke = queue_broke;
	vbd->state = VBD_CONNECTED;
	worker_attach(vbd->worker, vbd->queue);
	return NULL;
}

/* The front end broke the handshake: its device is closed, everything else goes on. */
static void fail(struct vbd *vbd, const char *why)
{
	if (may_log(vbd))
		log_error("domain %u device %u: %s; the device is closed", vbd->domid, vbd->device,
			why);
	vbd->failed = true;
	if (xenbus_write_error(vbd->ctx->xs, vbd->path, why))
		log_debug("cannot write the error node");
	set_state(vbd, XenbusStateClosing);
}

static void connect(struct vbd *vbd)
{
	struct front_nodes front;
	const char *why = read_front(vbd, &front);

	if (!why)
		why = connect_ring(vbd, &front);
	if (!why) {
		why = connect_queue(vbd, &front);
		if (why)
			release_ring(vbd);
	}
	if (why) {
		fail(vbd, why);
		return;
	}
	if (may_log(vbd))
		log_info("domain %u device %u: connected, ring of %u slots, persistent grants %s",
			vbd->domid, vbd->device, RING_SIZE(&vbd->queue->ring),
			front.persistent ? "on" : "off");
	set_state(vbd, XenbusStateConnected);
}

/* ---- disconnecting ---- */

/* True once nothing of the ring is in use. */
static bool disconnect(struct vbd *vbd)
{
	if (vbd->state == VBD_CONNECTED) {
		vbd->state = VBD_DISCONNECTING;
		worker_detach(vbd->worker, vbd->queue);
	}
	return vbd->state == VBD_DISCONNECTED;
}

void vbd_message(struct vbd *vbd, enum vbd_message message)
{
	if (message == VBD_QUEUE_BROKE) {
		fail(vbd, vbd->queue->why_broken ? vbd->queue->why_broken : "out of memory");
		disconnect(vbd);
		return;
	}
	stats_vbd_closed(vbd);
	queue_destroy(vbd->queue);
	vbd->queue = NULL;
	release_ring(vbd);
	vbd->state = VBD_DISCONNECTED;
	if (may_log(vbd))
		log_info("domain %u device %u: disconnected", vbd->domid, vbd->device);
	update(vbd);
}

/* ---- offering the disk ---- */

static int write_offer(void *data, xs_transaction_t t)
{
	struct vbd *vbd = data;
	const struct driver_geometry *geo = &vbd->image->disk->geometry;
	struct xs_handle *xs = vbd->ctx->xs;
	const struct {
		const char *node;
		unsigned long long value;
	} nodes[] = {
		{"sectors", geo->size / 512},
		{"sector-size", geo->sector_size},
		{"physical-sector-size", geo->physical_sector_size},
		{"info", vbd->image->read_only ? VDISK_READONLY : 0},
		{"feature-flush-cache", 1},
		{"feature-persistent", 1},
		{"feature-discard", geo->can_discard && !vbd->image->read_only},
		{"discard-granularity", geo->discard_granularity},
		{"discard-alignment", 0},
		{"max-ring-page-order", VBD_MAX_RING_PAGE_ORDER},
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(nodes) / sizeof(nodes[0]); i++)
		rc = xenbus_printf(xs, t, vbd->path, nodes[i].node, "%llu", nodes[i].value);
	if (rc == 0)
		rc = xenbus_printf(xs, t, vbd->path, "state", "%d", XenbusStateInitWait);
	return rc;
}

static int open_image(struct vbd *vbd)
{
	char *target = xenbus_read(vbd->ctx->xs, vbd->path, "params");
	char *mode = xenbus_read(vbd->ctx->xs, vbd->path, "mode");
	char error[192] = "", text[448];
	int rc = -ENOENT;

	if (target && mode)
		rc = image_get(target, mode[0] != 'w', &vbd->ctx->cache, &vbd->image, error,
			sizeof(error));
	if (rc) {
		snprintf(text, sizeof(text), "cannot open %.200s: %s", target ? target : "(no params)",
			error[0] ? error : strerror(-rc));
		log_error("domain %u device %u: %s", vbd->domid, vbd->device, text);
		if (xenbus_write_error(vbd->ctx->xs, vbd->path, text))
			log_debug("cannot write the error node");
	}
	free(target);
	free(mode);
	return rc;
}

static void offer(struct vbd *vbd)
{
	int rc;

	if (!vbd->image && !vbd->refused && open_image(vbd)) {
		vbd->refused = true;
		set_state(vbd, XenbusStateClosed);
	}
	if (vbd->refused)
		return;
	vbd->failed = false;
	rc = xenbus_update(vbd->ctx->xs, vbd->path, write_offer, vbd);
	if (rc && rc != -ENOENT)
		log_error("domain %u device %u: cannot publish the disk: %s", vbd->domid,
			vbd->device, strerror(-rc));
}

/* ---- the state machine ---- */

static void vbd_free(struct vbd *vbd)
{
	if (vbd->watching)
		xs_unwatch(vbd->ctx->xs, vbd->frontend, vbd->path);
	image_put(vbd->image);
	list_del(&vbd->link);
	free(vbd->name);
	free(vbd);
}

/* Both ends agree to part: Closing until nothing is in use, then Closed. */
static void close_down(struct vbd *vbd, enum xenbus_state own)
{
	if (!disconnect(vbd)) {
		if (own != XenbusStateClosing)
			set_state(vbd, XenbusStateClosing);
		return;
	}
	if (own != XenbusStateClosed)
		set_state(vbd, XenbusStateClosed);
}

static void follow_front(struct vbd *vbd, enum xenbus_state own, enum xenbus_state front)
{
	switch (front) {
	case XenbusStateInitialising:
		if (own == XenbusStateClosing) /* it did not wait for us: first things first */
			close_down(vbd, own);
		else if (own == XenbusStateInitialising || own == XenbusStateClosed) {
			if (disconnect(vbd))
				offer(vbd);
		}
		break;
	case XenbusStateInitialised:
	case XenbusStateConnected:
		if (own == XenbusStateInitialising)
			offer(vbd);
		else if (own == XenbusStateInitWait && vbd->state == VBD_DISCONNECTED)
			connect(vbd);
		break;
	case XenbusStateClosing:
	case XenbusStateClosed:
	case XenbusStateUnknown: /* its nodes are gone, and so is the domain */
		close_down(vbd, own);
		break;
	default:
		break;
	}
}

static void update(struct vbd *vbd)
{
	struct xs_handle *xs = vbd->ctx->xs;
	enum xenbus_state own = xenbus_read_state(xs, vbd->path), front;
	uint64_t online = 1;

	if (own == XenbusStateUnknown)
		vbd->gone = true;
	if (vbd->gone) {
		if (disconnect(vbd)) {
			stats_vbd_gone(vbd);
			vbd_free(vbd);
		}
		return;
	}
	front = xenbus_read_state(xs, vbd->frontend);
	if (xenbus_read_u64(xs, vbd->path, "online", 0, 1, &online))
		online = 1;
	/* The toolstack, or our own end, or a broken ring: close whatever the front end says. */
	if (vbd->ctx->stopping || vbd->failed || (!online && own == XenbusStateClosing)) {
		bool restarts = vbd->failed && !vbd->ctx->stopping && online &&
			front == XenbusStateInitialising && own == XenbusStateClosed;

		if (!restarts) {
			close_down(vbd, own);
			return;
		}
	}
	follow_front(vbd, own, front);
}

static struct vbd *find(struct vbd_context *ctx, unsigned int domid, unsigned int device)
{
	struct vbd *vbd;

	list_for_each(vbd, &ctx->vbds, link) {
		if (vbd->domid == domid && vbd->device == device)
			return vbd;
	}
	return NULL;
}

/* A device directory that we did not know. NULL if it is not complete (its state comes last). */
static struct vbd *discover(struct vbd_context *ctx, unsigned int domid, unsigned int device)
{
	struct vbd *vbd = calloc(1, sizeof(*vbd));
	char *frontend;

	if (!vbd)
		return NULL;
	vbd->ctx = ctx;
	vbd->domid = domid;
	vbd->device = device;
	snprintf(vbd->path, sizeof(vbd->path), BACKEND_DIR "/%u/%u", domid, device);
	frontend = xenbus_read(ctx->xs, vbd->path, "frontend");
	if (!frontend || strlen(frontend) >= sizeof(vbd->frontend) - 16 ||
		xenbus_read_state(ctx->xs, vbd->path) == XenbusStateUnknown) {
		free(frontend);
		free(vbd);
		return NULL;
	}
	strcpy(vbd->frontend, frontend);
	free(frontend);
	vbd->name = xenbus_read(ctx->xs, vbd->path, "domain");
	list_add_tail(&ctx->vbds, &vbd->link);
	vbd->watching = xs_watch(ctx->xs, vbd->frontend, vbd->path);
	if (!vbd->watching)
		log_error("domain %u device %u: cannot watch %s: %s", domid, device, vbd->frontend,
			strerror(errno));
	return vbd;
}

static void mark(struct vbd_context *ctx, unsigned int domid, unsigned int device)
{
	struct vbd *vbd = find(ctx, domid, device);

	if (!vbd)
		vbd = discover(ctx, domid, device);
	if (vbd)
		vbd->changed = true;
}

/* Marks every device below backend/vbd, or of one domain. */
static void scan(struct vbd_context *ctx, const char *dir)
{
	unsigned int domid, device, nr = 0;
	char path[XENBUS_PATH_MAX];
	char **names = xs_directory(ctx->xs, XBT_NULL, dir, &nr);

	for (unsigned int i = 0; names && i < nr; i++) {
		if (snprintf(path, sizeof(path), "%s/%s", dir, names[i]) >= (int)sizeof(path))
			continue;
		if (sscanf(path, BACKEND_DIR "/%u/%u", &domid, &device) == 2)
			mark(ctx, domid, device);
		else if (sscanf(path, BACKEND_DIR "/%u", &domid) == 1)
			scan(ctx, path);
	}
	free(names);
}

void vbd_watch_event(struct vbd_context *ctx, const char *path, const char *token)
{
	unsigned int domid, device;
	const char *where = path;
	struct vbd *vbd;

	/* The front end's directory: the token is the path of our own. */
	if (strncmp(token, BACKEND_DIR "/", strlen(BACKEND_DIR "/")) == 0)
		where = token;
	if (sscanf(where, BACKEND_DIR "/%u/%u", &domid, &device) == 2) {
		mark(ctx, domid, device);
	} else if (sscanf(where, BACKEND_DIR "/%u", &domid) == 1) {
		/* A whole domain's devices came or went. */
		scan(ctx, where);
		list_for_each(vbd, &ctx->vbds, link)
			vbd->changed |= vbd->domid == domid;
	} else {
		scan(ctx, BACKEND_DIR);
	}
}

void vbd_look(struct vbd_context *ctx)
{
	struct vbd *vbd, *tmp;

	list_for_each_safe(vbd, tmp, &ctx->vbds, link) {
		if (vbd->changed) {
			vbd->changed = false;
			update(vbd);
		}
	}
}

void vbd_stop_all(struct vbd_context *ctx)
{
	struct vbd *vbd, *tmp;

	ctx->stopping = true;
	list_for_each_safe(vbd, tmp, &ctx->vbds, link)
		update(vbd);
}

void vbd_free_all(struct vbd_context *ctx)
{
	while (!list_empty(&ctx->vbds))
		vbd_free(list_first(&ctx->vbds, struct vbd, link));
}
