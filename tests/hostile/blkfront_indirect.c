/* SPDX-License-Identifier: MIT */
/*
 * Front ends with indirect requests, and with many:
 *	blkfront_indirect MODE DISK PERSISTENT(0|1) [NUMBER]
 *
 * toctou   a thread rewrites the descriptors all the time (XSA-155): all requests are answered
 * many     NUMBER times a ring full of the largest requests: more than a back end has memory for
 * idle     uses all of 512 slots and their pages once, says "ready", and stays until it is killed
 */
#include "front.h"

#include <pthread.h>
#include <unistd.h>

static struct front f;
static atomic_bool stop;

static void take_all(unsigned int nr, bool good)
{
	blkif_response_t rsp;

	for (unsigned int i = 0; i < nr; i++) {
		if (!front_take(&f, &rsp, FRONT_BOUND_MS))
			die("request %u of %u was never answered", i, nr);
		if (good && rsp.status)
			die("a good request has status %d", rsp.status);
	}
	if (front_has_response(&f))
		die("more answers than requests");
}

/* ---- toctou ---- */

static void *rewrite(void *data)
{
	uint64_t *words = (uint64_t *)(void *)f.descs, state = 88172645463325252ull;

	(void)data;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		/* Now a good descriptor, now any. */
		__atomic_store_n(&words[state % FRONT_MAX_SEGMENTS],
			state >> 63 ? state * 31 : f.data_refs[state >> 8 & 63] | 7ull << 40,
			__ATOMIC_RELAXED);
	}
	return NULL;
}

static void run_toctou(unsigned long nr)
{
	blkif_request_t req = front_indirect(&f, BLKIF_OP_READ, 0, FRONT_MAX_SEGMENTS, 0);
	pthread_t thread;

	if (pthread_create(&thread, NULL, rewrite, NULL))
		die("cannot start a thread");
	for (unsigned long i = 0; i < nr; i++) {
		for (unsigned int s = 0; s < RING_SIZE(&f.ring); s++) {
			req = front_indirect_header(BLKIF_OP_READ, s * 8, 1 + (s * 9) % 256, f.descs_ref);
			front_put(&f, &req);
		}
		front_push(&f);
		take_all(RING_SIZE(&f.ring), false);
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	req = front_request(&f, BLKIF_OP_READ, 8, 3, 0);
	if (front_call(&f, &req) != BLKIF_RSP_OKAY)
		die("a good request failed");
}

/* ---- many, idle ---- */

static void run_many(unsigned long nr)
{
	blkif_request_t req = front_indirect(&f, BLKIF_OP_READ, 0, FRONT_MAX_SEGMENTS, 0);

	for (unsigned long i = 0; i < nr; i++) {
		for (unsigned int s = 0; s < RING_SIZE(&f.ring); s++)
			front_put(&f, &req);
		front_push(&f);
		take_all(RING_SIZE(&f.ring), true);
	}
}

static void run_idle(void)
{
	for (unsigned int s = 0; s < RING_SIZE(&f.ring); s++) {
		blkif_request_t req = front_request(&f, BLKIF_OP_READ, s * 8, 11, s * 11);

		front_put(&f, &req);
	}
	front_push(&f);
	take_all(RING_SIZE(&f.ring), true);
	run_many(1);
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	unsigned long nr = argc > 4 ? strtoul(argv[4], NULL, 10) : 10;
	bool persistent;

	if (argc < 4)
		die("usage: blkfront_indirect MODE DISK 0|1 [NUMBER]");
	persistent = argv[3][0] == '1';
	front_enter(&f, argv[2]);
	front_connect(&f, strcmp(argv[1], "toctou") == 0 ? 0 : 4, persistent);
	if (strcmp(argv[1], "toctou") == 0)
		run_toctou(nr);
	else if (strcmp(argv[1], "many") == 0)
		run_many(nr);
	else if (strcmp(argv[1], "idle") == 0)
		run_idle();
	else
		die("no such mode: %s", argv[1]);
	front_disconnect(&f);
	front_leave(&f);
	return 0;
}
