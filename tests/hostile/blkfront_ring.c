/* SPDX-License-Identifier: MIT */
/*
 * Front ends that do not keep to the rules of the ring:
 *	blkfront_ring MODE DISK PERSISTENT(0|1) [NUMBER]
 *
 * index    producers that overflow the ring or go back: the device must be closed, and come again
 * toctou   a thread rewrites the requests' slots all the time (XSA-155): all are answered
 * scribble a thread rewrites the whole ring page, with its indices
 * storm    NUMBER notifications without a request (XSA-332, XSA-391)
 * mute     keeps asking without taking an answer, says "ready", and stays until its input ends
 * unshare  takes pages back while requests on them are in flight
 * failing  says "ready", waits for a line, and then expects reads behind 2 MiB to fail
 * busy     keeps the ring full until it is killed; says "ready" when it is
 */
#include "front.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

static struct front f;
static bool persistent;
static uint64_t random_state = 88172645463325252ull;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void good_read(void)
{
	blkif_request_t req = front_request(&f, BLKIF_OP_READ, 8, 3, 0);

	if (front_call(&f, &req) != BLKIF_RSP_OKAY)
		die("a good request failed");
}

/* The back end has closed the device: follow, and connect anew. */
static void come_again(void)
{
	front_wait_back(&f, STATE(Closing) | STATE(Closed));
	front_set_state(&f, XenbusStateClosed);
	front_wait_back(&f, STATE(Closed));
	front_drop_ring(&f);
	front_set_state(&f, XenbusStateInitialising);
	front_connect(&f, 0, persistent);
}

static void say_ready(void)
{
	puts("ready");
	fflush(stdout);
}

static void kick(void)
{
	xenevtchn_notify(f.xce, (evtchn_port_t)f.port);
}

/* ---- index ---- */

static void break_index(uint32_t ahead)
{
	good_read();
	ring_store_prod(&f.sring->req_prod, f.ring.req_prod_pvt + ahead);
	kick();
	come_again();
	good_read();
}

static void run_index(void)
{
	const uint32_t size = RING_SIZE(&f.ring);
	const uint32_t wrong[] = {size + 1, 2 * size, 1000, 1u << 30, 1u << 31, (1u << 31) + 1,
		UINT32_MAX, UINT32_MAX - size};

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		break_index(wrong[i]);
	/* Indices that make no sense from the beginning. */
	front_disconnect(&f);
	front_wait_back(&f, STATE(InitWait));
	front_make_ring(&f, 0);
	front_publish(&f, persistent);
	ring_store_prod(&f.sring->req_prod, 1000);
	front_set_state(&f, XenbusStateInitialised);
	come_again();
	good_read();
}

/* ---- toctou, scribble ---- */

struct mutator {
	pthread_t thread;
	atomic_bool stop;
	bool indices;
};

static void mutate_slot(void)
{
	static const uint32_t grefs[] = {0, 8, 9, 100, UINT32_MAX};
	blkif_request_t *req = RING_GET_REQUEST(&f.ring, (uint32_t)next_random());
	volatile struct blkif_request_segment *seg =
		&req->seg[next_random() % BLKIF_MAX_SEGMENTS_PER_REQUEST];
	uint64_t r = next_random();

	switch (r % 7) {
	case 0:
		*(volatile uint8_t *)&req->nr_segments = (uint8_t)(r >> 8);
		break;
	case 1:
		*(volatile uint64_t *)&req->sector_number = r >> (r >> 8 & 63);
		break;
	case 2:
		seg->gref = r & 256 ? grefs[r >> 9 & 3] : f.data_refs[r >> 9 & 15];
		break;
	case 3:
		seg->first_sect = (uint8_t)(r >> 8);
		break;
	case 4:
		seg->last_sect = (uint8_t)(r >> 8);
		break;
	case 5:
		*(volatile uint8_t *)&req->operation = (uint8_t)(r >> 8 & 7);
		break;
	default:
		*(volatile uint8_t *)&req->nr_segments = (uint8_t)(r >> 8 & 15);
		*(volatile uint64_t *)&req->sector_number = r >> 16 & 1023;
	}
}

static void *mutator_main(void *data)
{
	struct mutator *m = data;
	volatile uint64_t *words = (volatile uint64_t *)f.sring;
	unsigned int first = m->indices ? 0 : 8;

	while (!atomic_load_explicit(&m->stop, memory_order_relaxed)) {
		if (m->indices && next_random() % 16 == 0)
			words[first + next_random() % (FRONT_PAGE / 8 - first)] = next_random();
		else
			mutate_slot();
	}
	return NULL;
}

static void mutator_start(struct mutator *m, bool indices)
{
	*m = (struct mutator){.indices = indices};
	if (pthread_create(&m->thread, NULL, mutator_main, m))
		die("no thread");
}

static void mutator_stop(struct mutator *m)
{
	atomic_store(&m->stop, true);
	pthread_join(m->thread, NULL);
}

/* Every request is answered somehow, once. */
static void run_toctou(unsigned long nr)
{
	unsigned int size = RING_SIZE(&f.ring);
	struct mutator m;

	mutator_start(&m, false);
	for (unsigned long i = 0; i < nr; i++) {
		for (unsigned int s = 0; s < size; s++) {
			blkif_request_t req = front_request(&f,
				s & 1 ? BLKIF_OP_READ : BLKIF_OP_DISCARD, s, 1 + s % 11, s);

			front_put(&f, &req);
		}
		front_push(&f);
		/* The mutator writes responses as well, so only their number counts. */
		for (unsigned int s = 0; s < size; s++) {
			uint64_t end = clock_ns() + FRONT_BOUND_MS * NSEC_PER_MSEC;

			while (!front_has_response(&f)) {
				if (clock_ns() > end)
					die("round %lu: only %u answers", i, s);
				sched_yield();
			}
			f.ring.rsp_cons++;
		}
		if (ring_load_prod(&f.sring->rsp_prod) != f.ring.rsp_cons)
			die("more answers than requests");
	}
	mutator_stop(&m);
	/* The thread may have left anything in the slots, but the indices are right. */
	for (unsigned int i = 0; i < size; i++)
		good_read();
}

static void run_scribble(unsigned long nr)
{
	struct mutator m;

	for (unsigned long i = 0; i < nr; i++) {
		mutator_start(&m, true);
		for (unsigned int n = 0; n < 200 + next_random() % 800; n++) {
			ring_store_prod(&f.sring->req_prod, f.ring.req_prod_pvt += n & 3);
			kick();
		}
		mutator_stop(&m);
		/* Either it is closed already, or we close it. */
		front_set_state(&f, XenbusStateClosing);
		come_again();
		good_read();
	}
}

/* ---- the others ---- */

static void run_storm(unsigned long nr)
{
	for (unsigned long i = 0; i < nr; i++)
		kick();
	good_read();
}

static void run_mute(void)
{
	char c;

	for (unsigned int round = 0; round < 200; round++) {
		uint64_t end = clock_ns() + FRONT_BOUND_MS * NSEC_PER_MSEC;
		uint32_t want = f.ring.req_prod_pvt;

		while (ring_load_prod(&f.sring->rsp_prod) != want) {
			if (clock_ns() > end)
				die("answers stop without anybody to take them");
			sched_yield();
		}
		for (unsigned int s = 0; s < RING_SIZE(&f.ring); s++) {
			blkif_request_t req = front_request(&f, BLKIF_OP_READ, s * 8, 1, s);

			front_put(&f, &req);
		}
		front_push(&f);
	}
	say_ready();
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
}

/* Whether such a request succeeds depends on who was first. */
static void run_unshare(unsigned long nr)
{
	blkif_response_t rsp;

	for (unsigned long i = 0; i < nr; i++) {
		uint32_t refs[BLKIF_MAX_SEGMENTS_PER_REQUEST];
		void *pages = xengntshr_share_pages(
			f.xgs, f.back_domid, BLKIF_MAX_SEGMENTS_PER_REQUEST, refs, 1);

		if (!pages)
			die("cannot share: %s", strerror(errno));
		for (unsigned int s = 0; s < 8; s++) {
			blkif_request_t req = front_request(&f, BLKIF_OP_READ, s * 8, 11, 0);

			for (unsigned int g = 0; g < BLKIF_MAX_SEGMENTS_PER_REQUEST; g++)
				req.seg[g].gref = refs[g];
			front_put(&f, &req);
		}
		front_push(&f);
		for (uint64_t spin = next_random() % 3000; spin; spin--)
			__asm__ volatile("" ::: "memory");
		xengntshr_unshare(f.xgs, pages, BLKIF_MAX_SEGMENTS_PER_REQUEST);
		for (unsigned int s = 0; s < 8; s++) {
			if (!front_take(&f, &rsp, FRONT_BOUND_MS))
				die("round %lu: request %u was never answered", i, s);
		}
	}
	good_read();
}

static void run_failing(void)
{
	blkif_request_t req = front_request(&f, BLKIF_OP_READ, 6000, 11, 0);
	char c;

	say_ready();
	if (read(STDIN_FILENO, &c, 1) != 1)
		die("nobody says go");
	for (unsigned int i = 0; i < 50; i++) {
		if (front_call(&f, &req) != BLKIF_RSP_ERROR)
			die("a read behind the end of the file did not fail");
		good_read();
	}
}

static void run_busy(void)
{
	blkif_response_t rsp;
	unsigned long nr = 0;

	for (;;) {
		while (!RING_FULL(&f.ring)) {
			blkif_request_t req = front_request(
				&f, BLKIF_OP_READ, next_random() % 1024, 11, (unsigned int)nr);

			front_put(&f, &req);
		}
		front_push(&f);
		if (!front_take(&f, &rsp, FRONT_BOUND_MS))
			die("never answered");
		if (nr++ == 100)
			say_ready();
	}
}

int main(int argc, char **argv)
{
	unsigned long nr = argc > 4 ? strtoul(argv[4], NULL, 10) : 100;
	const char *mode;

	if (argc < 4)
		die("usage: blkfront_ring MODE DISK 0|1 [NUMBER]");
	mode = argv[1];
	persistent = argv[3][0] == '1';
	random_state ^= (uint64_t)getpid() << 20;
	front_enter(&f, argv[2]);
	front_connect(&f, 0, persistent);
	if (strcmp(mode, "index") == 0)
		run_index();
	else if (strcmp(mode, "toctou") == 0)
		run_toctou(nr);
	else if (strcmp(mode, "scribble") == 0)
		run_scribble(nr);
	else if (strcmp(mode, "storm") == 0)
		run_storm(nr);
	else if (strcmp(mode, "mute") == 0)
		run_mute();
	else if (strcmp(mode, "unshare") == 0)
		run_unshare(nr);
	else if (strcmp(mode, "failing") == 0)
		run_failing();
	else if (strcmp(mode, "busy") == 0)
		run_busy();
	else
		die("no mode %s", mode);
	front_disconnect(&f);
	front_leave(&f);
	return 0;
}
