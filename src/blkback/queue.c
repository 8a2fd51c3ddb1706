/* SPDX-License-Identifier: MIT */
/* Ring handling of the back end: one worker's thread. request.c carries the requests out. */
#include "blkback/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "blkback/request.h"
#include "blkback/worker.h"

/* Persistent grants that a queue keeps: its requests' pages, and as many again for a front end
 * with buffers of its own. */
#define PERSISTENT_PER_SLOT (2 * BLKIF_MAX_SEGMENTS_PER_REQUEST)

int queue_create(const struct queue_config *config, struct worker *worker, struct queue **out)
{
	struct queue *queue = calloc(1, sizeof(*queue));
	uint32_t rsp_prod, req_prod;
	int rc = -ENOMEM;

	if (!queue)
		return rc;
	queue->worker = worker;
	queue->config = *config;
	rsp_prod = ring_load_prod(&config->sring->rsp_prod);
	BACK_RING_ATTACH(&queue->ring, config->sring, rsp_prod,
		config->nr_ring_pages * GRANT_PAGE_SIZE);
	req_prod = ring_load_prod(&config->sring->req_prod);
	if (req_prod - rsp_prod > RING_SIZE(&queue->ring)) {
		rc = -EPROTO;
		goto err_free;
	}
	queue->requests = calloc(RING_SIZE(&queue->ring), sizeof(*queue->requests));
	if (!queue->requests)
		goto err_free;
	for (unsigned int i = 0; i < RING_SIZE(&queue->ring); i++) {
		queue->requests[i].queue = queue;
		queue->requests[i].next = queue->free_requests;
		queue->free_requests = &queue->requests[i];
	}
	rc = grantmap_init(&queue->grants, worker_gnttab(worker), config->domid,
		config->persistent, RING_SIZE(&queue->ring) * PERSISTENT_PER_SLOT);
	if (rc)
		goto err_requests;
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

unsigned int queue_take(struct queue *queue)
{
	struct request *req = queue->waiting, *next;
	blkif_request_t copy;

	if (req) {
		/* It may be answered and free again when it comes back. */
		next = req->next;
		if (!request_retry(req))
			return 0;
		queue->waiting = next;
		if (!queue->waiting)
			queue->waiting_tail = &queue->waiting;
		return 1;
	}
	if (nr_available(queue) == 0 || !queue->free_requests)
		return 0;
	ring_copy_from(&copy, RING_GET_REQUEST(&queue->ring, queue->ring.req_cons), sizeof(copy));
	queue->ring.req_cons++;
	req = queue->free_requests;
	queue->free_requests = req->next;
	queue->nr_in_flight++;
	return request_start(req, &copy);
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
		blkif_response_t rsp;
		uint64_t words[sizeof(blkif_response_t) / sizeof(uint64_t)];
	} answer = {.words = {0}};

	answer.rsp.id = req->id;
	answer.rsp.operation = req->operation;
	answer.rsp.status = status;
	ring_copy_to(RING_GET_RESPONSE(&queue->ring, queue->ring.rsp_prod_pvt), &answer,
		sizeof(answer));
	queue->ring.rsp_prod_pvt++;
	req->next = queue->free_requests;
	queue->free_requests = req;
	queue->nr_in_flight--;
	worker_answered(queue->worker, queue);
}

void queue_push(struct queue *queue)
{
	blkif_sring_t *sring = queue->ring.sring;
	uint32_t prod = queue->ring.rsp_prod_pvt, old;

	/* Only we write rsp_prod, but the page is the guest's: our own copy would do as well, if
	 * it were wrong the guest would miss its notification and nobody else. */
	old = ring_load_event(&sring->rsp_prod);
	ring_store_prod(&sring->rsp_prod, prod);
	/*
	 * Orders: our store of rsp_prod before our load of rsp_event.
	 * Pairs with: the front end's fence between its store of rsp_event and its last look at rsp_prod.
	 * Without it: it could go to sleep on an answer that we do not notify.
	 */
	xen_mb();
	if (prod - ring_load_event(&sring->rsp_event) < prod - old)
		worker_notify(queue->worker, queue->config.port);
	queue->unpushed = false;
}

bool queue_arm(struct queue *queue)
{
	ring_store_event(&queue->ring.sring->req_event, queue->ring.req_cons + 1);
	/*
	 * Orders: our store of req_event before our last look at req_prod.
	 * Pairs with: the front end's fence between its store of req_prod and its load of req_event.
	 * Without it: a request could arrive unnoticed while we go to sleep.
	 */
	xen_mb();
	return nr_available(queue) > 0;
}
