/* SPDX-License-Identifier: MIT */
/*
 * From what the front end published to queues that are served, and back. Each node is read once;
 * all rings are mapped and all ports bound before any queue is served, or none is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/io/protocols.h>

#include "blkback/stats.h"
#include "blkback/trace.h"
#include "blkback/vbd_internal.h"
#include "blkback/worker.h"
#include "common/ring_status.h"

/* ---- what the front end published ---- */

struct front_ring {
	uint32_t grefs[1u << VBD_MAX_RING_PAGE_ORDER];
	evtchn_port_t port;
};

struct front_nodes {
	unsigned int nr_queues, nr_pages; /* pages of each ring */
	bool persistent, status;
	enum queue_abi abi;
	struct front_ring rings[VBD_MAX_QUEUES];
};

static const char *read_ring(
	struct vbd *vbd, const char *dir, unsigned int nr_pages, struct front_ring *ring)
{
	struct xs_handle *xs = vbd->ctx->xs;
	uint64_t value = 0;
	char node[24];
	int rc;

	for (unsigned int i = 0; i < nr_pages; i++) {
		snprintf(node, sizeof(node), "ring-ref%u", i);
		rc = -ENOENT;
		/* Front ends disagree on the name of a single page. */
		if (nr_pages == 1)
			rc = xenbus_read_u64(xs, dir, "ring-ref", 0, UINT32_MAX, &value);
		if (rc == -ENOENT)
			rc = xenbus_read_u64(xs, dir, node, 0, UINT32_MAX, &value);
		if (rc)
			return "bad or missing ring-ref";
		ring->grefs[i] = (uint32_t)value;
	}
	if (xenbus_read_u64(xs, dir, "event-channel", 1, INT32_MAX, &value))
		return "bad or missing event-channel";
	ring->port = (evtchn_port_t)value;
	return NULL;
}

/* One queue has its nodes in the front end's directory itself, several in one of their own each. */
static const char *read_rings(struct vbd *vbd, struct front_nodes *front)
{
	char dir[XENBUS_PATH_MAX];
	const char *why = NULL;

	if (front->nr_queues == 1)
		return read_ring(vbd, vbd->frontend, front->nr_pages, &front->rings[0]);
	for (unsigned int i = 0; !why && i < front->nr_queues; i++) {
		if (snprintf(dir, sizeof(dir), "%s/queue-%u", vbd->frontend, i) >= (int)sizeof(dir))
			return "its path is too long";
		why = read_ring(vbd, dir, front->nr_pages, &front->rings[i]);
	}
	return why;
}

static const char *read_protocol(struct vbd *vbd, enum queue_abi *abi)
{
	char *protocol = xenbus_read(vbd->ctx->xs, vbd->frontend, "protocol");
	const char *why = NULL;

	*abi = QUEUE_ABI_NATIVE;
	if (protocol && strcmp(protocol, XEN_IO_PROTO_ABI_NATIVE) != 0) {
		if (strcmp(protocol, XEN_IO_PROTO_ABI_X86_32) == 0)
			*abi = QUEUE_ABI_X86_32;
		else
			why = "its protocol is neither " XEN_IO_PROTO_ABI_NATIVE
			      " nor " XEN_IO_PROTO_ABI_X86_32;
	}
	free(protocol);
	return why;
}

static const char *read_front(struct vbd *vbd, struct front_nodes *front)
{
	struct xs_handle *xs = vbd->ctx->xs;
	uint64_t order = 0, nr_queues = 1, persistent = 0, status = 0;
	const char *why = read_protocol(vbd, &front->abi);
	int rc;

	if (why)
		return why;
	rc = xenbus_read_u64(xs, vbd->frontend, "ring-page-order", 0, VBD_MAX_RING_PAGE_ORDER, &order);
	if (rc && rc != -ENOENT)
		return "bad ring-page-order";
	rc = xenbus_read_u64(xs, vbd->frontend, "multi-queue-num-queues", 1,
		vbd->ctx->offer.max_queues, &nr_queues);
	if (rc && rc != -ENOENT)
		return "bad multi-queue-num-queues";
	if (xenbus_read_u64(xs, vbd->frontend, "feature-persistent", 0, 1, &persistent))
		persistent = 0;
	if (xenbus_read_u64(xs, vbd->frontend, RING_STATUS_NODE, 0, 1, &status))
		status = 0;
	front->nr_pages = 1u << order;
	front->nr_queues = (unsigned int)nr_queues;
	front->persistent = persistent;
	front->status = status;
	return read_rings(vbd, front);
}

/* ---- queues: called by the worker's thread ---- */

static void queue_detached(struct queue *queue)
{
	struct vbd_queue *vq = queue->owner;

	vq->vbd->ctx->post(vq, VBD_QUEUE_DETACHED);
}

static void queue_broke(struct queue *queue)
{
	struct vbd_queue *vq = queue->owner;

	vq->vbd->ctx->post(vq, VBD_QUEUE_BROKE);
}

/* ---- connecting ---- */

/* Maps a ring and binds its port, with the handles of the worker that will use them. */
static const char *map_ring(struct vbd *vbd, struct front_ring *front, struct vbd_queue *vq)
{
	struct vbd_context *ctx = vbd->ctx;
	xenevtchn_port_or_error_t port;

	vq->vbd = vbd;
	vq->queue = NULL;
	vq->worker = ctx->workers[ctx->next_worker++ % ctx->nr_workers];
	vq->ring = xengnttab_map_domain_grant_refs(worker_gnttab(vq->worker), vbd->nr_ring_pages,
		vbd->domid, front->grefs, PROT_READ | PROT_WRITE);
	if (!vq->ring)
		return "cannot map its ring";
	port = xenevtchn_bind_interdomain(worker_evtchn(vq->worker), vbd->domid, front->port);
	if (port < 0) {
		xengnttab_unmap(worker_gnttab(vq->worker), vq->ring, vbd->nr_ring_pages);
		return "cannot bind its event channel";
	}
	vq->port = (evtchn_port_t)port;
	return NULL;
}

static const char *make_queue(
	struct vbd *vbd, const struct front_nodes *front, struct vbd_queue *vq)
{
	const struct vbd_offer *offer = &vbd->ctx->offer;
	struct queue_config config = {.domid = vbd->domid, .device = vbd->device,
		.nr = (unsigned int)(vq - vbd->queues), .trace = &vbd->ctx->trace->area,
		.sring = vq->ring, .nr_ring_pages = vbd->nr_ring_pages, .port = vq->port,
		.abi = front->abi, .grant_mode = offer->grants,
		.front_persistent = front->persistent,
		.own_status = offer->status, .front_status = front->status,
		.max_indirect_segments = offer->max_indirect_segments,
		.read_only = vbd->image->read_only, .can_discard = vbd->can_discard,
		.image = vbd->image, .share = &vbd->share};
	int rc = queue_create(&config, vq->worker, &vq->queue);

	if (rc)
		return rc == -EPROTO ? "its ring indices make no sense" : strerror(-rc);
	vq->queue->owner = vq;
	vq->queue->detached = queue_detached;
	vq->queue->broke = queue_broke;
	return NULL;
}

/* Ends all queues and gives rings and ports back; no worker has any of them. */
static void release_queues(struct vbd *vbd)
{
	while (vbd->nr_queues) {
		struct vbd_queue *vq = &vbd->queues[--vbd->nr_queues];

		if (vq->queue)
			queue_destroy(vq->queue);
		vq->queue = NULL;
		xenevtchn_unbind(worker_evtchn(vq->worker), vq->port);
		xengnttab_unmap(worker_gnttab(vq->worker), vq->ring, vbd->nr_ring_pages);
		vq->ring = NULL;
	}
}

static const char *make_queues(struct vbd *vbd, struct front_nodes *front)
{
	const char *why = NULL;

	vbd->nr_ring_pages = front->nr_pages;
	for (unsigned int i = 0; !why && i < front->nr_queues; i++) {
		why = map_ring(vbd, &front->rings[i], &vbd->queues[i]);
		if (!why) {
			vbd->nr_queues++;
			why = make_queue(vbd, front, &vbd->queues[i]);
		}
	}
	if (why)
		release_queues(vbd);
	return why;
}

void vbd_connect(struct vbd *vbd)
{
	struct front_nodes front;
	const char *why = read_front(vbd, &front);
	char text[128];

	if (!why)
		why = make_queues(vbd, &front);
	if (why) {
		vbd_fail(vbd, why);
		return;
	}
	if (vbd_may_log(vbd))
		log_info("domain %u device %u: connected, queues: %u of %s", vbd->domid, vbd->device,
			vbd->nr_queues, queue_describe(vbd->queues[0].queue, text, sizeof(text)));
	vbd->state = VBD_CONNECTED;
	vbd->nr_attached = vbd->nr_queues;
	for (unsigned int i = 0; i < vbd->nr_queues; i++)
		worker_attach(vbd->queues[i].worker, vbd->queues[i].queue);
	vbd_set_state(vbd, XenbusStateConnected);
}

/* ---- disconnecting ---- */

bool vbd_disconnect(struct vbd *vbd)
{
	if (vbd->state == VBD_CONNECTED) {
		vbd->state = VBD_DISCONNECTING;
		for (unsigned int i = 0; i < vbd->nr_queues; i++)
			worker_detach(vbd->queues[i].worker, vbd->queues[i].queue);
	}
	return vbd->state == VBD_DISCONNECTED;
}

void vbd_message(struct vbd_queue *vq, enum vbd_message message)
{
	struct vbd *vbd = vq->vbd;

	if (message == VBD_QUEUE_BROKE) {
		if (!vbd->failed)
			vbd_fail(vbd, vq->queue->why_broken ? vq->queue->why_broken : "out of memory");
		vbd_disconnect(vbd);
		return;
	}
	if (--vbd->nr_attached)
		return;
	stats_vbd_closed(vbd);
	release_queues(vbd);
	vbd->state = VBD_DISCONNECTED;
	if (vbd_may_log(vbd))
		log_info("domain %u device %u: disconnected", vbd->domid, vbd->device);
	vbd_mark(vbd);
}
