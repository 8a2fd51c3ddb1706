/* SPDX-License-Identifier: MIT */
/* Ring handling of the back end: one worker's thread. request.c carries the requests out. */
#include "blkback/queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "blkback/request.h"
#include "blkback/trace.h"
#include "blkback/worker.h"
#include "common/clock.h"
#include "common/ring_status.h"

/* Grants are persistent only if the front end offers that: it must keep them. */
static enum grant_mode grant_mode_of(const struct queue_config *config)
{
	bool persistent = config->front_persistent &&
		(config->grant_mode == GRANT_AUTO || config->grant_mode == GRANT_PERSISTENT);

	if (persistent)
		return GRANT_PERSISTENT;
	return config->grant_mode == GRANT_PERSISTENT ? GRANT_AUTO : config->grant_mode;
}

/* The indices continue where the front end says that answers stand. */
static int attach_ring(struct queue *queue)
{
	const struct queue_config *config = &queue->config;
	uint32_t rsp_prod = ring_load_prod(&config->sring->rsp_prod);
	uint32_t req_prod = ring_load_prod(&config->sring->req_prod);

	BACK_RING_ATTACH(&queue->ring, config->sring, rsp_prod,
		config->nr_ring_pages * GRANT_PAGE_SIZE);
	queue->ring.nr_ents = slot_count(config->abi, config->nr_ring_pages);
	return req_prod - rsp_prod > RING_SIZE(&queue->ring) ? -EPROTO : 0;
}

int queue_create(const struct queue_config *config, struct worker *worker, struct queue **out)
{
	struct queue *queue = calloc(1, sizeof(*queue));
	int rc;

	if (!queue)
		return -ENOMEM;
	queue->worker = worker;
	queue->config = *config;
	if (config->max_indirect_segments > QUEUE_MAX_INDIRECT_SEGMENTS)
		queue->config.max_indirect_segments = QUEUE_MAX_INDIRECT_SEGMENTS;
	rc = attach_ring(queue);
	if (rc)
		goto err_free;
	rc = -ENOMEM;
	queue->requests = calloc(RING_SIZE(&queue->ring), sizeof(*queue->requests));
	if (!queue->requests)
		goto err_free;
	queue->grant_mode = grant_mode_of(config);
	rc = grantmap_init(&queue->grants, worker_gnttab(worker), worker_aio(worker),
		config->domid, queue->grant_mode == GRANT_PERSISTENT,
		queue_max_persistent(RING_SIZE(&queue->ring)));
	if (rc)
		goto err_requests;
	stamps_sets_init(&queue->stamps, config->trace);
	queue->waiting_tail = &queue->waiting;
	list_init(&queue->polled_link);
	list_init(&queue->unpushed_link);
	list_init(&queue->client_link);
	*out = queue;
	return 0;
err_requests:
	free(queue->requests);
err_free:
	free(queue);
	return rc;
}

void queue_destroy(struct queue *queue)
{
	grantmap_fini(&queue->grants);
	free(queue->requests);
	free(queue);
}

const char *queue_describe(const struct queue *queue, char *text, size_t size)
{
	static const char *const grants[] = {
		[GRANT_AUTO] = "grants mapped or copied, whichever is cheaper",
		[GRANT_PERSISTENT] = "persistent grants",
		[GRANT_MAP] = "grants mapped for each request",
		[GRANT_COPY] = "grants copied",
	};

	snprintf(text, size, "%u slots, %s, %s, %u indirect segments", RING_SIZE(&queue->ring),
		slot_abi_name(queue->config.abi), grants[queue->grant_mode],
		queue->config.max_indirect_segments);
	return text;
}

static void ring_broken(struct queue *queue, const char *what)
{
	queue->broken = true;
	queue->why_broken = what;
	queue->broke(queue);
}

/*
 * How many requests the ring holds for us; 0 also when it is broken. Stricter than
 * RING_REQUEST_PROD_OVERFLOW: a producer that goes back behind what was taken is wrong, too.
 */
static uint32_t nr_available(struct queue *queue)
{
	uint32_t nr;

	if (queue->broken || queue->detaching)
		return 0;
	nr = ring_load_prod(&queue->ring.sring->req_prod) - queue->ring.req_cons;
	if (nr > RING_SIZE(&queue->ring) - queue->nr_in_flight) {
		ring_broken(queue, "its request producer makes no sense");
		return 0;
	}
	return nr;
}

bool queue_has_work(struct queue *queue)
{
	return queue->waiting || nr_available(queue) > 0;
}

unsigned int queue_outstanding(struct queue *queue)
{
	return queue->nr_in_flight + nr_available(queue);
}

/* Goes on with the first of the waiting ones. False if it must wait on. */
static bool take_waiting(struct queue *queue)
{
	struct request *req = queue->waiting;

	/* Off the list first: it may be answered and free again when it comes back. */
	queue->waiting = req->next;
	if (!queue->waiting)
		queue->waiting_tail = &queue->waiting;
	if (request_advance(req))
		return true;
	req->next = queue->waiting;
	queue->waiting = req;
	if (!req->next)
		queue->waiting_tail = &req->next;
	return false;
}

static struct request *get_request(struct queue *queue)
{
	struct request *req = queue->free_requests;

	if (req) {
		queue->free_requests = req->next;
		return req;
	}
	if (queue->nr_requests == RING_SIZE(&queue->ring))
		return NULL;
	req = &queue->requests[queue->nr_requests++];
	req->queue = queue;
	return req;
}

static void put_request(struct queue *queue, struct request *req)
{
	req->next = queue->free_requests;
	queue->free_requests = req;
}

unsigned int queue_take(struct queue *queue)
{
	struct request *req;

	if (queue->waiting)
		return take_waiting(queue);
	if (nr_available(queue) == 0)
		return 0;
	req = get_request(queue);
	if (!req)
		return 0;
	slot_copy_request(queue->config.abi, &queue->ring, queue->ring.req_cons, &req->copy);
	/* What there is no memory for stays in the ring; it is copied anew, and checked, then. */
	if (!request_reserve(req)) {
		put_request(queue, req);
		return 0;
	}
	if (stamps_is_sampled(queue->ring.req_cons))
		req->stamps = (uint8_t)stamps_begin(&queue->stamps, queue->ring.req_cons);
	queue->ring.req_cons++;
	queue->nr_in_flight++;
	return request_start(req);
}

void queue_wait(struct queue *queue, struct request *req)
{
	req->next = NULL;
	*queue->waiting_tail = req;
	queue->waiting_tail = &req->next;
}

void queue_answer(struct queue *queue, struct request *req, int16_t status)
{
	/* Every byte of the slot's response is written (XSA-216). */
	union {
		uint64_t words[sizeof(blkif_response_t) / sizeof(uint64_t)];
		blkif_response_t rsp;
	} answer = {.words = {0}};

	answer.rsp.id = req->copy.id;
	answer.rsp.operation = req->operation;
	answer.rsp.status = status;
	slot_write_response(
		queue->config.abi, &queue->ring, queue->ring.rsp_prod_pvt, &answer.rsp);
	queue->ring.rsp_prod_pvt++;
	if (request_is_sampled(req))
		trace_answered(req, status);
	put_request(queue, req);
	queue->nr_in_flight--;
	worker_answered(queue->worker, queue);
}

/* After the fence: whether the front end asked to hear of the answers up to prod. */
static bool wants_event(const struct queue *queue, uint32_t old, uint32_t prod)
{
	blkif_sring_t *sring = queue->ring.sring;

	if (queue->config.front_status)
		return prod != old && ring_status_sleeps(sring, RING_RSP_STATUS_OFFSET);
	return prod - ring_load_event(&sring->rsp_event) < prod - old;
}

void queue_push(struct queue *queue)
{
	blkif_sring_t *sring = queue->ring.sring;
	uint32_t prod = queue->ring.rsp_prod_pvt, old;
	/* Before the front end can see the answers. */
	uint64_t published_ns = queue->answered_stamps ? clock_ns() : 0;

	/* Only we write rsp_prod, but the page is the guest's: our own copy would do as well, if
	 * it were wrong the guest would miss its notification and nobody else. */
	old = ring_load_event(&sring->rsp_prod);
	ring_store_prod(&sring->rsp_prod, prod);
	/*
	 * Orders: our store of rsp_prod before our load of rsp_event or rsp_status.
	 * Pairs with: the front end's fence between its store of these and its last look at rsp_prod.
	 * Without it: it could go to sleep on an answer that we do not notify.
	 */
	xen_mb();
	if (wants_event(queue, old, prod))
		worker_notify(queue->worker, queue->config.port);
	if (published_ns)
		trace_published(queue, published_ns);
	queue->unpushed = false;
}

static void set_status(struct queue *queue, enum ring_status status)
{
	if (queue->config.own_status)
		ring_status_set(queue->ring.sring, RING_REQ_STATUS_OFFSET, status);
}

bool queue_arm(struct queue *queue)
{
	/* The event index, too: the front end may know nothing of status words. */
	ring_store_event(&queue->ring.sring->req_event, queue->ring.req_cons + 1);
	set_status(queue, RING_SLEEPING);
	/*
	 * Orders: our stores of req_event and req_status before our last look at req_prod.
	 * Pairs with: the front end's fence between its store of req_prod and its load of these.
	 * Without it: a request could arrive unnoticed while we go to sleep.
	 */
	xen_mb();
	if (nr_available(queue) == 0)
		return false;
	set_status(queue, RING_RUNNING);
	return true;
}

void queue_disarm(struct queue *queue)
{
	/* An event index needs nothing: it is passed once. */
	set_status(queue, RING_RUNNING);
}
