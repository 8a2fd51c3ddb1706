/* SPDX-License-Identifier: MIT */
/*
 * Front ends with several queues (xen/io/blkif.h, "Multiple hardware queues/rings"):
 *	blkfront_queues MODE DISK [NUMBER]
 *
 * serve     every number of queues that is offered, with rings of one and of four pages; the same
 *           sectors are read and, if the disk can be written, written through each of them
 * nonsense  numbers of queues that were not offered, and nodes of a queue missing or wrong in turn:
 *           the device must be closed, with the error told
 * broken    one queue of several breaks its ring while all are full: the device must be closed, and
 *           can come again (NUMBER times)
 * cycle     connects NUMBER times with varying queues and parts with all rings full (XSA-350)
 */
#include "front.h"

#include <unistd.h>

#define MAX_QUEUES 16u

static struct front f;		      /* the domain; its own ring is not used */
static struct front queues[MAX_QUEUES]; /* the same domain, each with a ring of its own */
static unsigned int nr_queues, max_queues;

/* ---- connecting ---- */

static unsigned int offered(const char *node)
{
	char *text = front_read(&f, f.back, node);
	unsigned int value = text ? (unsigned int)atoi(text) : 0;

	free(text);
	return value;
}

static void write_queue(unsigned int i)
{
	const struct front *q = &queues[i];
	char node[40];

	for (unsigned int page = 0; page < q->nr_ring_pages; page++) {
		if (q->nr_ring_pages == 1)
			snprintf(node, sizeof(node), "queue-%u/ring-ref", i);
		else
			snprintf(node, sizeof(node), "queue-%u/ring-ref%u", i, page);
		front_write(&f, node, "%u", q->ring_refs[page]);
	}
	snprintf(node, sizeof(node), "queue-%u/event-channel", i);
	front_write(&f, node, "%d", q->port);
}

/* Makes the rings and writes their nodes; the state is the caller's. */
static void publish(unsigned int nr, unsigned int order)
{
	front_wait_back(&f, STATE(InitWait));
	for (nr_queues = 0; nr_queues < nr; nr_queues++) {
		queues[nr_queues] = f;
		front_make_ring(&queues[nr_queues], order);
		write_queue(nr_queues);
	}
	front_write(&f, "multi-queue-num-queues", "%u", nr);
	front_write(&f, "ring-page-order", "%u", order);
	front_write(&f, "protocol", "x86_64-abi");
	front_write(&f, "feature-persistent", "1");
}

static void connect_queues(unsigned int nr, unsigned int order)
{
	publish(nr, order);
	front_set_state(&f, XenbusStateInitialised);
	if (front_wait_back(&f, STATE(Connected) | STATE(Closing) | STATE(Closed)) !=
		XenbusStateConnected)
		die("%u queues were refused", nr);
	front_set_state(&f, XenbusStateConnected);
}

/* Gives rings and ports back; the back end has let go. */
static void drop_queues(void)
{
	static const char *const nodes[] = {"multi-queue-num-queues", "ring-page-order", "protocol",
		"feature-persistent"};
	char node[24];

	while (nr_queues) {
		struct front *q = &queues[--nr_queues];

		xenevtchn_unbind(f.xce, (evtchn_port_t)q->port);
		xengntshr_unshare(f.xgs, q->sring, q->nr_ring_pages);
		snprintf(node, sizeof(node), "queue-%u", nr_queues);
		front_remove(&f, node);
	}
	for (unsigned int i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		front_remove(&f, nodes[i]);
}

static void part(void)
{
	front_set_state(&f, XenbusStateClosing);
	front_wait_back(&f, STATE(Closing) | STATE(Closed));
	front_set_state(&f, XenbusStateClosed);
	front_wait_back(&f, STATE(Closed));
	drop_queues();
	front_set_state(&f, XenbusStateInitialising);
}

/* ---- requests ---- */

static void fill_ring(struct front *q)
{
	for (unsigned int i = 0; i < RING_SIZE(&q->ring); i++) {
		blkif_request_t req = front_request(q, BLKIF_OP_READ, i * 8, 1 + i % 11, i);

		req.id = i;
		front_put(q, &req);
	}
	front_push(q);
}

static void drain_ring(struct front *q, unsigned int index)
{
	blkif_response_t rsp;

	for (unsigned int i = 0; i < RING_SIZE(&q->ring); i++) {
		if (!front_take(q, &rsp, FRONT_BOUND_MS))
			die("queue %u: only %u of its requests were answered", index, i);
		if (rsp.status)
			die("queue %u: request %u failed", index, (unsigned int)rsp.id);
	}
}

static void call(unsigned int i, uint8_t op, uint64_t sector, unsigned int page)
{
	blkif_request_t req = front_request(&queues[i], op, sector, 1, page);

	if (front_call(&queues[i], &req) != BLKIF_RSP_OKAY)
		die("queue %u: operation %u at sector %llu failed", i, op,
			(unsigned long long)sector);
}

static char *data_page(unsigned int page)
{
	return f.data + page * FRONT_PAGE;
}

/* What any queue reads is what the first one reads. */
static void compare_reads(uint64_t sector)
{
	call(0, BLKIF_OP_READ, sector, 0);
	for (unsigned int i = 1; i < nr_queues; i++) {
		memset(data_page(1), 0xa5, FRONT_PAGE);
		call(i, BLKIF_OP_READ, sector, 1);
		if (memcmp(data_page(0), data_page(1), FRONT_PAGE) != 0)
			die("queue %u reads other data at sector %llu", i,
				(unsigned long long)sector);
	}
}

/* What one queue writes, the next one reads. */
static void pass_on(unsigned int i)
{
	memset(data_page(2), (int)(i * 17 + 1), FRONT_PAGE);
	call(i, BLKIF_OP_WRITE, 64, 2);
	call((i + 1) % nr_queues, BLKIF_OP_READ, 64, 3);
	if (memcmp(data_page(2), data_page(3), FRONT_PAGE) != 0)
		die("what queue %u wrote is not what the next one reads", i);
}

/* ---- modes ---- */

static void use_queues(bool writable)
{
	for (unsigned int i = 0; i < nr_queues; i++)
		fill_ring(&queues[i]);
	for (unsigned int i = 0; i < nr_queues; i++)
		drain_ring(&queues[i], i);
	for (uint64_t sector = 0; sector < 80; sector += 8)
		compare_reads(sector);
	for (unsigned int i = 0; writable && i < nr_queues; i++)
		pass_on(i);
}

static void run_serve(void)
{
	bool writable = !(offered("info") & VDISK_READONLY);

	for (unsigned int order = 0; order <= 2; order += 2) {
		for (unsigned int nr = 2; nr <= max_queues; nr++) {
			connect_queues(nr, order);
			use_queues(writable);
			part();
		}
	}
	/* One queue has its nodes in the directory itself, whether the number is said or not. */
	for (unsigned int i = 0; i < 2; i++) {
		blkif_request_t req = front_request(&f, BLKIF_OP_READ, 8, 3, 0);

		if (i)
			front_write(&f, "multi-queue-num-queues", "1");
		front_connect(&f, 1, true);
		if (front_call(&f, &req) != BLKIF_RSP_OKAY)
			die("a single queue does not serve");
		front_disconnect(&f);
	}
	front_remove(&f, "multi-queue-num-queues");
}

/* `max_queues` queues with one node as given (NULL: without it); it must be refused. */
static void refused(const char *node, const char *value)
{
	char *error;

	publish(max_queues, 0);
	if (value)
		front_write(&f, node, "%s", value);
	else
		front_remove(&f, node);
	front_set_state(&f, XenbusStateInitialised);
	if (front_wait_back(&f, STATE(Connected) | STATE(Closing) | STATE(Closed)) ==
		XenbusStateConnected)
		die("%s=%s was accepted", node, value ? value : "(none)");
	error = front_read(&f, f.back, "error");
	if (!error || !*error)
		die("%s=%s: no error node", node, value ? value : "(none)");
	free(error);
	part();
}

static void run_nonsense(void)
{
	static const char *const bad_numbers[] = {"0", "-1", "x", "", "1x", "65536", "4294967298",
		"99999999999999999999999"};
	char node[40], text[16];

	for (unsigned int i = 0; i < sizeof(bad_numbers) / sizeof(bad_numbers[0]); i++)
		refused("multi-queue-num-queues", bad_numbers[i]);
	snprintf(text, sizeof(text), "%u", max_queues + 1);
	refused("multi-queue-num-queues", text);
	/* Then the flat nodes are missing. */
	refused("multi-queue-num-queues", "1");
	refused("multi-queue-num-queues", NULL);
	for (unsigned int i = 0; i < max_queues; i++) {
		snprintf(node, sizeof(node), "queue-%u", i);
		refused(node, NULL);
		snprintf(node, sizeof(node), "queue-%u/ring-ref", i);
		refused(node, "31999");
		refused(node, NULL);
		snprintf(node, sizeof(node), "queue-%u/event-channel", i);
		refused(node, "4000");
		refused(node, NULL);
	}
	connect_queues(max_queues, 0);
	use_queues(false);
	/* Two queues cannot have one port. */
	part();
	publish(2, 0);
	front_write(&f, "queue-1/event-channel", "%d", queues[0].port);
	front_set_state(&f, XenbusStateInitialised);
	front_wait_back(&f, STATE(Closing) | STATE(Closed));
	part();
}

static void run_broken(unsigned long nr)
{
	for (unsigned long i = 0; i < nr; i++) {
		struct front *bad = &queues[i % max_queues];

		connect_queues(max_queues, i % 2 ? 2 : 0);
		for (unsigned int q = 0; q < nr_queues; q++)
			fill_ring(&queues[q]);
		ring_store_prod(&bad->sring->req_prod, bad->ring.req_prod_pvt + 1000);
		xenevtchn_notify(f.xce, (evtchn_port_t)bad->port);
		front_wait_back(&f, STATE(Closing) | STATE(Closed));
		part();
	}
	connect_queues(max_queues, 0);
	use_queues(false);
	part();
}

static void run_cycle(unsigned long nr)
{
	for (unsigned long i = 0; i < nr; i++) {
		connect_queues(2 + (unsigned int)(i % (max_queues - 1)), (unsigned int)(i % 5));
		for (unsigned int q = 0; q < nr_queues; q++)
			fill_ring(&queues[q]);
		part();
	}
}

int main(int argc, char **argv)
{
	unsigned long nr = argc > 3 ? strtoul(argv[3], NULL, 10) : 10;
	const char *mode;

	if (argc < 3)
		die("usage: blkfront_queues MODE DISK [NUMBER]");
	mode = argv[1];
	front_enter(&f, argv[2]);
	front_wait_back(&f, STATE(InitWait));
	max_queues = offered("multi-queue-max-queues");
	if (max_queues < 2 || max_queues > MAX_QUEUES)
		die("%u queues are offered", max_queues);
	if (strcmp(mode, "serve") == 0)
		run_serve();
	else if (strcmp(mode, "nonsense") == 0)
		run_nonsense();
	else if (strcmp(mode, "broken") == 0)
		run_broken(nr);
	else if (strcmp(mode, "cycle") == 0)
		run_cycle(nr);
	else
		die("no mode %s", mode);
	front_leave(&f);
	return 0;
}
