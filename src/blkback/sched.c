/* SPDX-License-Identifier: MIT */
/* Deficit round robin (Shreedhar and Varghese, SIGCOMM '95) over domains. Worker's thread. */
#include "blkback/sched.h"

#include <errno.h>
#include <stdlib.h>

#define QUANTUM 4	  /* units of 4 KiB a turn at the default weight, while domains compete */
#define QUANTUM_ALONE 64
#define EPOCH 64	  /* requests of a domain over which its peak is taken */
#define BATCH 64	  /* requests a run: then completions and answers get their turn */

void sched_init(struct sched *sched, unsigned int window)
{
	list_init(&sched->images);
	sched->window = window;
}

static struct sched_image *find_image(struct sched *sched, struct image *image)
{
	struct sched_image *si;

	list_for_each(si, &sched->images, link) {
		if (si->image == image)
			return si;
	}
	si = calloc(1, sizeof(*si));
	if (!si)
		return NULL;
	si->image = image;
	list_init(&si->active);
	list_init(&si->clients);
	list_add_tail(&sched->images, &si->link);
	return si;
}

static void put_image(struct sched_image *si)
{
	if (si->nr_clients)
		return;
	list_del(&si->link);
	free(si);
}

static struct sched_client *find_client(struct sched_image *si, unsigned int domid)
{
	struct sched_client *client;

	list_for_each(client, &si->clients, link) {
		if (client->domid == domid)
			return client;
	}
	client = calloc(1, sizeof(*client));
	if (!client)
		return NULL;
	client->domain = image_domain_get(si->image, domid);
	if (!client->domain) {
		free(client);
		return NULL;
	}
	client->image = si;
	client->domid = domid;
	client->weight = SCHED_WEIGHT_DEFAULT;
	list_init(&client->queues);
	list_init(&client->active_link);
	list_add_tail(&si->clients, &client->link);
	si->nr_clients++;
	return client;
}

int sched_add(struct sched *sched, struct queue *queue)
{
	struct sched_image *si = find_image(sched, queue->config.image);
	struct sched_client *client;

	if (!si)
		return -ENOMEM;
	client = find_client(si, queue->config.domid);
	if (!client) {
		put_image(si);
		return -ENOMEM;
	}
	queue->client = client;
	list_add_tail(&client->queues, &queue->client_link);
	client->nr_queues++;
	return 0;
}

void sched_remove(struct queue *queue)
{
	struct sched_client *client = queue->client;
	struct sched_image *si = client->image;

	list_del(&queue->client_link);
	queue->client = NULL;
	if (--client->nr_queues)
		return;
	list_del(&client->link);
	image_domain_put(si->image, client->domain);
	free(client);
	si->nr_clients--;
	put_image(si);
}

/* Adds the active client to the image's count of sparse ones, or takes it off. */
static void count_sparse(struct sched_client *client, bool sparse)
{
	atomic_uint *nr = &client->image->image->nr_sparse;

	if (sparse == client->sparse)
		return;
	client->sparse = sparse;
	if (sparse)
		atomic_fetch_add_explicit(nr, 1, memory_order_relaxed);
	else
		atomic_fetch_sub_explicit(nr, 1, memory_order_relaxed);
}

static bool is_sparse(const struct sched_client *client)
{
	return client->peak <= SCHED_SPARSE_MAX && client->last_peak <= SCHED_SPARSE_MAX;
}

/*
 * The client has requests now, or no more; its domain competes once, however many workers serve its
 * queues.
 */
static void count_active(struct sched_client *client, bool active)
{
	struct image_domain *domain = client->domain;
	atomic_uint *nr = &client->image->image->nr_active;

	if (active && atomic_fetch_add_explicit(&domain->nr_active, 1, memory_order_relaxed) == 0)
		atomic_fetch_add_explicit(nr, 1, memory_order_relaxed);
	if (!active && atomic_fetch_sub_explicit(&domain->nr_active, 1, memory_order_relaxed) == 1)
		atomic_fetch_sub_explicit(nr, 1, memory_order_relaxed);
}

void sched_polled(struct queue *queue)
{
	struct sched_client *client = queue->client;

	if (client->nr_polled++)
		return;
	count_sparse(client, is_sparse(client));
	/* It had no work, so it goes first now; the turn that this gives it is paid for. */
	list_insert(&client->image->active, &client->active_link);
	client->deficit = 0;
	count_active(client, true);
}

void sched_unpolled(struct queue *queue)
{
	struct sched_client *client = queue->client;

	if (--client->nr_polled)
		return;
	list_del(&client->active_link);
	count_sparse(client, false);
	count_active(client, false);
}

void sched_io_begins(struct queue *queue)
{
	queue->client->nr_in_flight++;
	queue->client->image->nr_in_flight++;
	atomic_fetch_add_explicit(&queue->config.image->nr_in_flight, 1, memory_order_relaxed);
}

void sched_io_ended(struct queue *queue)
{
	queue->client->nr_in_flight--;
	queue->client->image->nr_in_flight--;
	atomic_fetch_sub_explicit(&queue->config.image->nr_in_flight, 1, memory_order_relaxed);
}

/* Notes how much the client has outstanding, before a request of the queue is taken. */
static void note_outstanding(struct sched_client *client, struct queue *queue)
{
	unsigned int nr = queue_outstanding(queue);

	if (nr > client->peak)
		client->peak = nr;
	if (++client->nr_in_epoch == EPOCH) {
		client->nr_in_epoch = 0;
		client->last_peak = client->peak;
		client->peak = 0;
	}
	count_sparse(client, is_sparse(client));
}

/* One request of the client, its queues in rotation. Returns its cost, 0 if there is none. */
static unsigned int take_one(struct sched_client *client)
{
	struct queue *queue;
	unsigned int cost;

	for (unsigned int i = 0; i < client->nr_queues; i++) {
		queue = list_first(&client->queues, struct queue, client_link);
		if (client->nr_queues > 1) {
			list_del(&queue->client_link);
			list_add_tail(&client->queues, &queue->client_link);
		}
		if (!queue->polled || !queue_has_work(queue))
			continue;
		note_outstanding(client, queue);
		cost = queue_take(queue);
		if (cost)
			return cost;
	}
	return 0;
}

static bool window_full(const struct sched *sched, const struct sched_image *si)
{
	unsigned int window = sched->window;

	/* Workers share the window; none of them can keep another out altogether. */
	if (si->nr_in_flight == 0)
		return false;
	if (atomic_load_explicit(&si->image->nr_sparse, memory_order_relaxed))
		window >>= SCHED_SPARSE_SHIFT;
	return atomic_load_explicit(&si->image->nr_in_flight, memory_order_relaxed) >=
		(window ? window : 1);
}

/* Sparse domains with nothing at the device: one request each, whatever the window says. */
static unsigned int run_sparse(struct sched_image *si)
{
	struct sched_client *client;
	unsigned int nr = 0, cost;

	list_for_each(client, &si->active, active_link) {
		if (client->nr_in_flight || !client->sparse)
			continue;
		cost = take_one(client);
		client->deficit -= (int)cost;
		nr += cost > 0;
	}
	return nr;
}

/* The head's turn, until its deficit or its requests are used up or the window is full. */
static unsigned int run_turn(
	const struct sched *sched, struct sched_client *client, bool competing, unsigned int max)
{
	int quantum = competing ? (int)(QUANTUM * client->weight / SCHED_WEIGHT_DEFAULT)
				: QUANTUM_ALONE;
	unsigned int nr = 0, cost;

	if (client->deficit <= 0)
		client->deficit += quantum > 0 ? quantum : 1;
	while (client->deficit > 0 && nr < max) {
		if (competing && window_full(sched, client->image))
			return nr;
		cost = take_one(client);
		if (cost == 0) {
			client->deficit = 0;
			break;
		}
		client->deficit -= (int)cost;
		nr++;
	}
	return nr;
}

static unsigned int run_image(struct sched *sched, struct sched_image *si)
{
	bool competing =
		atomic_load_explicit(&si->image->nr_active, memory_order_relaxed) > 1;
	unsigned int nr = 0, turns = si->nr_clients;
	struct sched_client *client;

	if (competing)
		nr += run_sparse(si);
	while (turns-- && !list_empty(&si->active) && nr < BATCH) {
		if (competing && window_full(sched, si))
			break;
		client = list_first(&si->active, struct sched_client, active_link);
		nr += run_turn(sched, client, competing, BATCH - nr);
		if (client->deficit > 0)
			break; /* its turn goes on when the window has room */
		if (!list_empty(&client->active_link)) {
			list_del(&client->active_link);
			list_add_tail(&si->active, &client->active_link);
		}
	}
	return nr;
}

unsigned int sched_run(struct sched *sched)
{
	struct sched_image *si;
	unsigned int nr = 0;

	list_for_each(si, &sched->images, link)
		nr += run_image(sched, si);
	return nr;
}
