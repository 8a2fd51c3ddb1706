/* SPDX-License-Identifier: MIT */
/* Deficit round robin (Shreedhar and Varghese, SIGCOMM '95) over domains. Worker's thread. */
#include "blkback/sched.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"

#define UNIT 256	  /* of a deficit: 4 KiB, so that weights count in fractions of it */
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
	si->place = image_worker_get(image);
	if (!si->place) {
		free(si);
		return NULL;
	}
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
	image_worker_put(si->image, si->place);
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
 * The client has requests now; its domain competes once, however many workers serve its queues. For
 * the time without requests it gets nothing in return.
 */
static void count_active(struct sched_client *client)
{
	struct image_domain *domain = client->domain;
	struct image *image = client->image->image;

	atomic_fetch_add_explicit(&image->nr_clients, 1, memory_order_relaxed);
	if (atomic_fetch_add_explicit(&domain->nr_active, 1, memory_order_relaxed))
		return;
	atomic_fetch_add_explicit(&image->nr_active, 1, memory_order_relaxed);
	service_raise(&domain->service, service_floor(&image->service));
}

static void count_idle(struct sched_client *client)
{
	struct image *image = client->image->image;

	atomic_fetch_sub_explicit(&image->nr_clients, 1, memory_order_relaxed);
	if (atomic_fetch_sub_explicit(&client->domain->nr_active, 1, memory_order_relaxed) == 1)
		atomic_fetch_sub_explicit(&image->nr_active, 1, memory_order_relaxed);
}

void sched_polled(struct queue *queue)
{
	struct sched_client *client = queue->client;

	if (client->nr_polled++)
		return;
	count_sparse(client, is_sparse(client));
	/* It had no work, so it goes first now; the turn that this gives it is paid for. */
	list_insert(&client->image->active, &client->active_link);
	client->image->nr_active++;
	client->deficit = 0;
	count_active(client);
}

void sched_unpolled(struct queue *queue)
{
	struct sched_client *client = queue->client;

	if (--client->nr_polled)
		return;
	list_del(&client->active_link);
	client->image->nr_active--;
	count_sparse(client, false);
	count_idle(client);
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

static bool is_limited(const struct sched_share *share)
{
	return share && (limit_is_set(&share->operations) || limit_is_set(&share->bytes));
}

/* True if the disk has used up its limit; then sched->due_ns says until when at least. */
static bool over_limit(struct sched *sched, const struct sched_share *share)
{
	uint64_t operations = limit_due(&share->operations), bytes = limit_due(&share->bytes);
	uint64_t due = operations > bytes ? operations : bytes;

	if (due <= clock_ns())
		return false;
	if (!sched->due_ns || due < sched->due_ns)
		sched->due_ns = due;
	return true;
}

static unsigned long counted(const atomic_ulong *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static unsigned long operations_of(const struct queue_stats *stats)
{
	return counted(&stats->reads) + counted(&stats->writes) + counted(&stats->flushes) +
		counted(&stats->discards);
}

static unsigned long sectors_of(const struct queue_stats *stats)
{
	return counted(&stats->read_sectors) + counted(&stats->written_sectors);
}

/* Takes a request and charges what it turns out to be: nothing for one that only waited. */
static unsigned int take_limited(struct queue *queue)
{
	struct sched_share *share = queue->config.share;
	unsigned long operations = operations_of(&queue->stats), sectors = sectors_of(&queue->stats);
	unsigned int cost = queue_take(queue);
	uint64_t now;

	if (cost) {
		now = clock_ns();
		limit_charge(&share->operations, operations_of(&queue->stats) - operations, now);
		limit_charge(&share->bytes, (sectors_of(&queue->stats) - sectors) * 512, now);
	}
	return cost;
}

/* True if the queue has a request that may be taken now. */
static bool is_ready(struct sched *sched, struct queue *queue)
{
	const struct sched_share *share = queue->config.share;

	return queue->polled && queue_has_work(queue) &&
		!(is_limited(share) && over_limit(sched, share));
}

/* One request of the client, its queues in rotation. Returns its cost, 0 if there is none. */
static unsigned int take_one(struct sched *sched, struct sched_client *client)
{
	struct queue *queue;
	unsigned int cost;

	client->stuck = false;
	for (unsigned int i = 0; i < client->nr_queues; i++) {
		queue = list_first(&client->queues, struct queue, client_link);
		if (client->nr_queues > 1) {
			list_del(&queue->client_link);
			list_add_tail(&client->queues, &queue->client_link);
		}
		if (!is_ready(sched, queue))
			continue;
		note_outstanding(client, queue);
		cost = is_limited(queue->config.share) ? take_limited(queue) : queue_take(queue);
		if (cost)
			return cost;
		client->stuck = true;
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
		window = window * SCHED_SPARSE_EIGHTHS / 8;
	return atomic_load_explicit(&si->image->nr_in_flight, memory_order_relaxed) >=
		(window ? window : 1);
}

/* What the client took is paid for. */
static void charge(struct sched_client *client, unsigned int cost)
{
	client->deficit -= (int)cost * UNIT;
	if (client->image->shared)
		atomic_fetch_add_explicit(
			&client->domain->service, cost * client->price, memory_order_relaxed);
}

/* True if others, on whatever worker, are to be served before the client's domain. */
static bool is_ahead(const struct sched_client *client)
{
	uint64_t service;

	if (!client->image->shared)
		return false;
	service = atomic_load_explicit(&client->domain->service, memory_order_relaxed);
	return service_lead(service, client->image->floor) >=
		(int64_t)(SERVICE_AHEAD * client->price);
}

/* Sparse domains with nothing at the device: one request each, whatever the window says. */
static unsigned int run_sparse(struct sched *sched, struct sched_image *si)
{
	struct sched_client *client;
	unsigned int nr = 0, cost;

	list_for_each(client, &si->active, active_link) {
		if (client->nr_in_flight || !client->sparse)
			continue;
		cost = take_one(sched, client);
		charge(client, cost);
		nr += cost > 0;
	}
	return nr;
}

/* The largest of its disks' weights. */
static uint32_t weight_of(const struct sched_client *client)
{
	const struct queue *queue;
	uint32_t weight = 0, w;

	list_for_each(queue, &client->queues, client_link) {
		w = queue->config.share ? atomic_load_explicit(&queue->config.share->weight,
						  memory_order_relaxed)
					: 0;
		if (w > weight)
			weight = w;
	}
	return weight ? weight : SCHED_WEIGHT_DEFAULT;
}

/* What a turn adds to the client's deficit. At least 1: UNIT is the default weight or more. */
static int quantum_of(const struct sched_client *client, bool competing)
{
	_Static_assert(QUANTUM * UNIT >= SCHED_WEIGHT_DEFAULT, "every weight counts");

	return competing ? (int)(QUANTUM * UNIT / SCHED_WEIGHT_DEFAULT * weight_of(client))
			 : QUANTUM_ALONE * UNIT;
}

/*
 * The head's turn, until its deficit or its requests are used up, the window is full or it is others'
 * turn on other workers.
 */
static unsigned int run_turn(
	struct sched *sched, struct sched_client *client, bool competing, unsigned int max)
{
	unsigned int nr = 0, cost;

	if (is_ahead(client))
		return 0;
	if (client->deficit <= 0)
		client->deficit += quantum_of(client, competing);
	while (client->deficit > 0 && nr < max) {
		if (competing && (window_full(sched, client->image) || is_ahead(client)))
			return nr;
		cost = take_one(sched, client);
		if (cost == 0) {
			client->deficit = 0;
			break;
		}
		charge(client, cost);
		nr++;
	}
	return nr;
}

/* One turn each. *in_debt: someone's turn has not come only because its last request was large. */
static unsigned int run_round(
	struct sched *sched, struct sched_image *si, bool competing, unsigned int max, bool *in_debt)
{
	unsigned int nr = 0, turns = si->nr_active; /* idle guests cost nothing */
	struct sched_client *client;

	*in_debt = false;
	while (turns-- && !list_empty(&si->active) && nr < max) {
		if (competing && window_full(sched, si)) {
			*in_debt = false;
			break;
		}
		client = list_first(&si->active, struct sched_client, active_link);
		nr += run_turn(sched, client, competing, max - nr);
		if (!is_ahead(client)) {
			if (client->deficit > 0)
				break; /* its turn goes on when the window has room */
			*in_debt |= client->deficit < 0;
		}
		if (!list_empty(&client->active_link)) {
			list_del(&client->active_link);
			list_add_tail(&si->active, &client->active_link);
		}
	}
	return nr;
}

/*
 * A round gave nobody anything: as many more as it takes until the next one does, all at once. A
 * small weight may need thousands for a large request.
 */
static void pass_rounds(struct sched_image *si, bool competing)
{
	const struct sched_client *first = NULL;
	struct sched_client *client;
	int nr = 0, needed;

	list_for_each(client, &si->active, active_link) {
		if (client->deficit >= 0 || is_ahead(client))
			continue;
		needed = -client->deficit / quantum_of(client, competing);
		if (!first || needed < nr)
			nr = needed;
		first = client;
	}
	list_for_each(client, &si->active, active_link) {
		if (client->deficit < 0)
			client->deficit += nr * quantum_of(client, competing);
	}
}

static bool client_is_ready(struct sched *sched, struct sched_client *client)
{
	struct queue *queue;

	list_for_each(queue, &client->queues, client_link) {
		if (is_ready(sched, queue))
			return !client->stuck;
	}
	return false;
}

/*
 * The least served of our clients that can go on, against those of other workers. Who cannot go on
 * holds nobody back, but keeps what it is behind, up to a bound.
 */
static void compare_with_others(struct sched *sched, struct sched_image *si)
{
	struct service *service = &si->image->service;
	uint64_t least = 0, got;
	struct sched_client *client;
	bool any = false;

	si->floor = service_floor(service);
	list_for_each(client, &si->active, active_link) {
		client->price = SERVICE_UNIT / weight_of(client);
		service_raise(&client->domain->service, si->floor - SERVICE_BEHIND * client->price);
		if (!client_is_ready(sched, client))
			continue;
		got = atomic_load_explicit(&client->domain->service, memory_order_relaxed);
		if (!any || service_lead(got, least) < 0)
			least = got;
		any = true;
	}
	if (any)
		si->floor = service_compare(service, si->place, least);
	else
		service_withdraw(si->place);
}

static unsigned int run_image(struct sched *sched, struct sched_image *si)
{
	bool competing =
		atomic_load_explicit(&si->image->nr_active, memory_order_relaxed) > 1;
	unsigned int nr, rounds = 0;
	bool in_debt;

	/* A worker that serves all of them needs no accounts that others can read. */
	si->shared = competing && atomic_load_explicit(&si->image->nr_clients,
					  memory_order_relaxed) > si->nr_active;
	if (si->shared)
		compare_with_others(sched, si);
	nr = competing ? run_sparse(sched, si) : 0;
	nr += run_round(sched, si, competing, BATCH - nr, &in_debt);
	/*
	 * Debts are paid off here and now: a round without a request would be taken for idleness.
	 * Each time at least one client takes a request or turns out to have none.
	 */
	while (nr == 0 && in_debt && rounds++ <= si->nr_active) {
		pass_rounds(si, competing);
		nr = run_round(sched, si, competing, BATCH, &in_debt);
	}
	/* Others need not wait for our next look to hear of it. */
	if (si->shared && nr)
		compare_with_others(sched, si);
	return nr;
}

unsigned int sched_run(struct sched *sched)
{
	struct sched_image *si;
	unsigned int nr = 0;

	sched->due_ns = 0;
	list_for_each(si, &sched->images, link)
		nr += run_image(sched, si);
	return nr;
}
