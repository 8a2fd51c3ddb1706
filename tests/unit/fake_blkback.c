/* SPDX-License-Identifier: MIT */
/* The scripted back end. One thread, which owns everything but the atomics. */
#include "fake_blkback.h"
#include "fake_xen.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xen/io/xenbus.h>

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

static bool copy_segments(struct back *back, const blkif_request_t *req)
{
	uint8_t *at = back->disk + req->sector_number * 512;

	for (unsigned int i = 0; i < req->nr_segments; i++) {
		const struct blkif_request_segment *seg = &req->seg[i];
		uint32_t len = (seg->last_sect - seg->first_sect + 1u) * 512;
		uint8_t *page = fake_map(seg->gref);

		if (!page || seg->last_sect > 7 || seg->first_sect > seg->last_sect ||
			at + len > back->disk + back->nr_sectors * 512)
			return false;
		if (req->operation == BLKIF_OP_READ)
			memcpy(page + seg->first_sect * 512, at, len);
		else
			memcpy(at, page + seg->first_sect * 512, len);
		at += len;
	}
	back->nr_segments += req->nr_segments;
	return true;
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
	} else if (req->operation == BLKIF_OP_READ || req->operation == BLKIF_OP_WRITE) {
		ok = req->nr_segments >= 1 && req->nr_segments <= 11 && copy_segments(back, req);
	}
	rsp->status = ok ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR;
}

void back_put(struct back *back, const blkif_response_t *rsp)
{
	ring_copy_to(RING_GET_RESPONSE(&back->ring, back->ring.rsp_prod_pvt++), rsp, sizeof(*rsp));
}

void back_push(struct back *back)
{
	blkif_sring_t *sring = back->ring.sring;
	RING_IDX old = __atomic_load_n(&sring->rsp_prod, __ATOMIC_RELAXED);
	RING_IDX new = back->ring.rsp_prod_pvt;

	ring_store_prod(&sring->rsp_prod, new);
	xen_mb();
	if (new - ring_load_event(&sring->rsp_event) < new - old)
		fake_notify(back->port);
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

static void answer_held(struct back *back)
{
	if (back->max_delay_us && back_random(back) % 2)
		usleep(back_random(back) % back->max_delay_us);
	while (back->nr_held) {
		unsigned int i = back->shuffle ? back_random(back) % back->nr_held : 0;

		answer(back, &back->held[i]);
		back->nr_held--;
		memmove(&back->held[i], &back->held[i + 1],
			(back->nr_held - i) * sizeof(back->held[0]));
		if (back->shuffle && back_random(back) % 4 == 0)
			back_push(back);
	}
	back_push(back);
}

static bool take_requests(struct back *back)
{
	RING_IDX prod = ring_load_prod(&back->ring.sring->req_prod);
	unsigned int nr = prod - back->ring.req_cons;

	if (nr > back->max_batch)
		back->max_batch = nr;
	while (back->ring.req_cons != prod && back->nr_held < BACK_BATCH) {
		ring_copy_from(&back->held[back->nr_held++],
			RING_GET_REQUEST(&back->ring, back->ring.req_cons),
			sizeof(blkif_request_t));
		back->ring.req_cons++;
		back->nr_requests++;
	}
	return nr != 0;
}

static void serve(struct back *back)
{
	while (!back->stop && front_state() < XenbusStateClosing) {
		if (take_requests(back)) {
			answer_held(back);
			continue;
		}
		ring_store_event(&back->ring.sring->req_event, back->ring.req_cons + 1);
		xen_mb();
		if (ring_load_prod(&back->ring.sring->req_prod) == back->ring.req_cons)
			fake_wait_event(back->port, 2);
	}
}

/* ---- the handshake ---- */

static void map_ring(struct back *back)
{
	long long order = fake_store_number(FRONT_PATH "/ring-page-order");
	long long ref = fake_store_number(
		order > 0 ? FRONT_PATH "/ring-ref0" : FRONT_PATH "/ring-ref");
	blkif_sring_t *sring = fake_map((uint32_t)ref);

	/* One share call made all its pages, so they lie side by side here. */
	back->port = (uint32_t)fake_store_number(FRONT_PATH "/event-channel");
	BACK_RING_INIT(&back->ring, sring, (size_t)PAGE << (order > 0 ? order : 0));
	back->nr_held = 0;
	back->ring_page = sring;
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
		set_state(XenbusStateInitWait);
		while (!back->stop && front_state() < XenbusStateInitialised)
			fake_store_wait(2);
		if (back->stop)
			break;
		/* It may have given up before we looked. */
		if (!back->refuse && !back->stop_before_connected &&
			front_state() == XenbusStateInitialised) {
			map_ring(back);
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
		back->ring_page = NULL;
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
	fake_store_write(BACK_PATH "/max-ring-page-order", "%u", back->max_ring_order);
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
