/* SPDX-License-Identifier: MIT */
/* The scripted back end. One thread, which owns everything but the atomics. */
#include "fake_blkback.h"
#include "fake_xen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xen/io/xenbus.h>

#include "common/ring_status.h"

#define PAGE 4096

void back_init(struct back *back)
{
	memset(back, 0, sizeof(*back));
	back->nr_sectors = 8192;
	back->max_ring_order = 4;
	back->sector_size = 512;
	back->flush = back->discard = back->persistent = true;
	back->seed = 42;
}

uint32_t back_random(struct back *back)
{
	back->seed = back->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(back->seed >> 33);
}

static void set_state(enum xenbus_state state)
{
	fake_store_write(BACK_PATH "/state", "%d", state);
}

static int front_state(void)
{
	return (int)fake_store_number(FRONT_PATH "/state");
}

/* ---- requests ---- */

static bool copy_segments(struct back *back, unsigned int operation, uint64_t sector,
	const struct blkif_request_segment *segs, unsigned int nr)
{
	uint8_t *at = back->disk + sector * 512;

	for (unsigned int i = 0; i < nr; i++) {
		const struct blkif_request_segment *seg = &segs[i];
		uint32_t len = (seg->last_sect - seg->first_sect + 1u) * 512;
		uint8_t *page = fake_map(seg->gref);

		if (!page || seg->last_sect > 7 || seg->first_sect > seg->last_sect ||
			at + len > back->disk + back->nr_sectors * 512)
			return false;
		if (operation == BLKIF_OP_READ)
			memcpy(page + seg->first_sect * 512, at, len);
		else
			memcpy(at, page + seg->first_sect * 512, len);
		at += len;
	}
	back->nr_segments += nr;
	return true;
}

static bool serve_indirect(struct back *back, const blkif_request_t *req, blkif_response_t *rsp)
{
	const blkif_request_indirect_t *indirect = (const void *)req;
	const struct blkif_request_segment *segs = fake_map(indirect->indirect_grefs[0]);

	back->nr_indirect++;
	if (!back->outer_operation)
		rsp->operation = indirect->indirect_op;
	/* One page of segments is all that we ever offer to take. */
	return segs && indirect->nr_segments <= back->max_indirect && indirect->nr_segments > 0 &&
	       (indirect->indirect_op == BLKIF_OP_READ || indirect->indirect_op == BLKIF_OP_WRITE) &&
	       copy_segments(back, indirect->indirect_op, indirect->sector_number, segs,
		       indirect->nr_segments);
}

void back_serve(struct back *back, const blkif_request_t *req, blkif_response_t *rsp)
{
	bool ok = true;

	memset(rsp, 0, sizeof(*rsp));
	rsp->id = req->id;
	rsp->operation = req->operation;
	if (req->operation == BLKIF_OP_DISCARD) {
		const blkif_request_discard_t *discard = (const void *)req;

		memset(back->disk + discard->sector_number * 512, 0, discard->nr_sectors * 512);
	} else if (req->operation == BLKIF_OP_INDIRECT) {
		ok = serve_indirect(back, req, rsp);
	} else if (req->operation == BLKIF_OP_READ || req->operation == BLKIF_OP_WRITE) {
		ok = req->nr_segments >= 1 && req->nr_segments <= 11 &&
		     copy_segments(back, req->operation, req->sector_number, req->seg,
			     req->nr_segments);
	}
	rsp->status = ok ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR;
}

void back_put(struct back *back, const blkif_response_t *rsp)
{
	blkif_back_ring_t *ring = &back->q->ring;

	ring_copy_to(RING_GET_RESPONSE(ring, ring->rsp_prod_pvt++), rsp, sizeof(*rsp));
}

static bool wants_event(struct back *back, RING_IDX old, RING_IDX new)
{
	blkif_sring_t *sring = back->q->ring.sring;

	if (back->by_status)
		return old != new && ring_status_sleeps(sring, RING_RSP_STATUS_OFFSET);
	return new - ring_load_event(&sring->rsp_event) < new - old;
}

void back_push(struct back *back)
{
	blkif_sring_t *sring = back->q->ring.sring;
	RING_IDX old = __atomic_load_n(&sring->rsp_prod, __ATOMIC_RELAXED);
	RING_IDX new = back->q->ring.rsp_prod_pvt;

	ring_store_prod(&sring->rsp_prod, new);
	xen_mb();
	if (wants_event(back, old, new))
		fake_notify(back->q->port);
}

static void answer(struct back *back, const blkif_request_t *req)
{
	blkif_response_t rsp;

	if (back->hook) {
		memset(&rsp, 0, sizeof(rsp));
		if (back->hook(back, req, &rsp))
			back_put(back, &rsp);
	} else if (!back->mute) {
		back_serve(back, req, &rsp);
		back_put(back, &rsp);
	}
}

static void answer_held(struct back *back, struct back_queue *q)
{
	if (back->max_delay_us && back_random(back) % 2)
		usleep(back_random(back) % back->max_delay_us);
	while (q->nr_held) {
		unsigned int i = back->shuffle ? back_random(back) % q->nr_held : 0;

		answer(back, &q->held[i]);
		q->nr_held--;
		memmove(&q->held[i], &q->held[i + 1], (q->nr_held - i) * sizeof(q->held[0]));
		if (back->shuffle && back_random(back) % 4 == 0)
			back_push(back);
	}
	back_push(back);
}

static bool take_requests(struct back *back, struct back_queue *q)
{
	RING_IDX prod = ring_load_prod(&q->ring.sring->req_prod);
	unsigned int nr = prod - q->ring.req_cons;

	if (nr > back->max_batch)
		back->max_batch = nr;
	while (q->ring.req_cons != prod && q->nr_held < BACK_BATCH) {
		ring_copy_from(&q->held[q->nr_held++],
			RING_GET_REQUEST(&q->ring, q->ring.req_cons), sizeof(blkif_request_t));
		q->ring.req_cons++;
		q->nr_requests++;
		back->nr_requests++;
	}
	return nr != 0;
}

/* One round over the queues. True if there was anything. */
static bool serve_queues(struct back *back)
{
	bool any = false;

	for (unsigned int i = 0; i < back->nr_queues; i++) {
		back->q = &back->queues[i];
		if (take_requests(back, back->q)) {
			answer_held(back, back->q);
			any = true;
		}
	}
	return any;
}

static void set_status(struct back *back, struct back_queue *q, enum ring_status status)
{
	if (back->status)
		ring_status_set(q->ring.sring, RING_REQ_STATUS_OFFSET, status);
}

/* Asks for events, one way or the other. True if something came in the meantime. */
static bool arm_queues(struct back *back)
{
	bool any = false;

	for (unsigned int i = 0; i < back->nr_queues; i++) {
		struct back_queue *q = &back->queues[i];

		if (!back->status)
			ring_store_event(&q->ring.sring->req_event, q->ring.req_cons + 1);
		set_status(back, q, RING_SLEEPING);
		xen_mb();
		any |= ring_load_prod(&q->ring.sring->req_prod) != q->ring.req_cons;
	}
	return any;
}

static void serve(struct back *back)
{
	uint32_t ports[BACK_MAX_QUEUES];

	for (unsigned int i = 0; i < back->nr_queues; i++)
		ports[i] = back->queues[i].port;
	while (!back->stop && front_state() < XenbusStateClosing) {
		if (!serve_queues(back) && !arm_queues(back))
			fake_wait_events(ports, back->nr_queues, 2);
		for (unsigned int i = 0; i < back->nr_queues; i++)
			set_status(back, &back->queues[i], RING_RUNNING);
	}
}

/* ---- the handshake ---- */

/* Of a queue's directory, which is the front end's own for a lone queue. */
static long long queue_number(struct back *back, unsigned int nr, const char *node)
{
	char path[128];

	if (back->nr_queues > 1)
		snprintf(path, sizeof(path), FRONT_PATH "/queue-%u/%s", nr, node);
	else
		snprintf(path, sizeof(path), FRONT_PATH "/%s", node);
	return fake_store_number(path);
}

static void map_ring(struct back *back, unsigned int nr)
{
	long long order = fake_store_number(FRONT_PATH "/ring-page-order");
	long long ref = queue_number(back, nr, order > 0 ? "ring-ref0" : "ring-ref");
	struct back_queue *q = &back->queues[nr];
	blkif_sring_t *sring = fake_map((uint32_t)ref);

	/* One share call made all its pages, so they lie side by side here. */
	q->nr = nr;
	q->port = (uint32_t)queue_number(back, nr, "event-channel");
	BACK_RING_INIT(&q->ring, sring, (size_t)PAGE << (order > 0 ? order : 0));
	q->nr_held = 0;
	q->ring_page = sring;
}

static void map_rings(struct back *back)
{
	long long nr = fake_store_number(FRONT_PATH "/multi-queue-num-queues");

	back->nr_queues = nr > 0 ? (unsigned int)nr : 1;
	if (back->nr_queues > 1 && back->nr_queues > back->max_queues)
		abort();
	for (unsigned int i = 0; i < back->nr_queues; i++)
		map_ring(back, i);
	back->by_status = back->status && fake_store_number(FRONT_PATH "/" RING_STATUS_NODE) == 1;
}

/* What a front end has to know before it can publish rings. */
static void publish_limits(struct back *back)
{
	fake_store_write(BACK_PATH "/max-ring-page-order", "%u", back->max_ring_order);
	if (back->max_queues)
		fake_store_write(BACK_PATH "/multi-queue-max-queues", "%u", back->max_queues);
}

static void publish_disk(struct back *back)
{
	if (back->sectors_text)
		fake_store_write(BACK_PATH "/sectors", "%s", back->sectors_text);
	else
		fake_store_write(BACK_PATH "/sectors", "%llu",
			(unsigned long long)back->nr_sectors);
	fake_store_write(BACK_PATH "/sector-size", "%u", back->sector_size);
	fake_store_write(BACK_PATH "/info", "%d", back->read_only ? VDISK_READONLY : 0);
	fake_store_write(BACK_PATH "/feature-flush-cache", "%d", back->flush);
	fake_store_write(BACK_PATH "/feature-discard", "%d", back->discard);
	fake_store_write(BACK_PATH "/feature-persistent", "%d", back->persistent);
	if (back->status)
		fake_store_write(BACK_PATH "/" RING_STATUS_NODE, "1");
	if (back->max_indirect)
		fake_store_write(BACK_PATH "/feature-max-indirect-segments", "%u",
			back->max_indirect);
}

static bool await_front(struct back *back, int state)
{
	while (!back->stop && front_state() != state)
		fake_store_wait(2);
	return !back->stop;
}

static void *back_thread(void *arg)
{
	struct back *back = arg;

	while (!back->stop) {
		publish_limits(back);
		if (back->early)
			publish_disk(back);
		set_state(XenbusStateInitWait);
		while (!back->stop && front_state() < XenbusStateInitialised)
			fake_store_wait(2);
		if (back->stop)
			break;
		/* It may have given up before we looked. */
		if (!back->refuse && !back->stop_before_connected &&
			front_state() == XenbusStateInitialised) {
			map_rings(back);
			if (!back->early)
				publish_disk(back);
			back->nr_connections++;
			set_state(XenbusStateConnected);
			serve(back);
		}
		if (back->stop)
			break;
		if (back->refuse)
			set_state(XenbusStateClosing);
		while (!back->stop && front_state() < XenbusStateClosing)
			fake_store_wait(2);
		set_state(XenbusStateClosing);
		if (!await_front(back, XenbusStateClosed))
			break;
		for (unsigned int i = 0; i < back->nr_queues; i++)
			back->queues[i].ring_page = NULL;
		set_state(XenbusStateClosed);
		await_front(back, XenbusStateInitialising);
	}
	return NULL;
}

void back_start(struct back *back)
{
	back->disk = calloc(back->nr_sectors, 512);
	fake_store_write(FRONT_PATH "/backend", "%s", BACK_PATH);
	fake_store_write(FRONT_PATH "/backend-id", "0");
	fake_store_write(FRONT_PATH "/virtual-device", "51712");
	fake_store_write(FRONT_PATH "/state", "1");
	set_state(XenbusStateInitialising);
	if (pthread_create(&back->thread, NULL, back_thread, back) != 0)
		abort();
}

void back_stop(struct back *back)
{
	back->stop = true;
	pthread_join(back->thread, NULL);
	free(back->disk);
}
