/* SPDX-License-Identifier: MIT */
/*
 * Front ends that get the handshake wrong:
 *	blkfront_handshake MODE DISK [NUMBER]
 *
 * nonsense  every node missing or wrong in turn: the device must be closed, with the error told
 * states    NUMBER random states, also such as do not exist, without waiting; then it must connect
 * cycle     connects NUMBER times and parts with the ring full, not waiting for answers (XSA-350)
 * hurry     the same, but is back in Initialising without waiting for the back end to part
 * rewrite   rewrites its nodes NUMBER times
 * orders    every ring size with and without persistent grants, and more of them than are kept
 */
#include "front.h"

#include <unistd.h>

static struct front f;

static void good_read(void)
{
	blkif_request_t req = front_request(&f, BLKIF_OP_READ, 8, 3, 0);

	if (front_call(&f, &req) != BLKIF_RSP_OKAY)
		die("a good request failed");
}

static void fill_ring(uint8_t op)
{
	for (unsigned int i = 0; i < RING_SIZE(&f.ring); i++) {
		blkif_request_t req = front_request(&f, op, i * 8, 1 + i % 11, i);

		front_put(&f, &req);
	}
	front_push(&f);
}

/* ---- nonsense ---- */

/* A ring with one node as given (NULL: without it); it must be refused. */
static void refused(unsigned int order, const char *node, const char *value)
{
	char *error;

	front_wait_back(&f, STATE(InitWait));
	front_make_ring(&f, order);
	front_publish(&f, true);
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
	front_set_state(&f, XenbusStateClosed);
	front_wait_back(&f, STATE(Closed));
	front_drop_ring(&f);
	front_set_state(&f, XenbusStateInitialising);
}

static void run_nonsense(void)
{
	static const char *const bad_numbers[] = {"", "x", "-1", "1x", " 1", "0x1",
		"99999999999999999999999", "4294967296"};
	uint32_t foreign_ref;
	void *foreign;
	char text[16];

	for (unsigned int i = 0; i < sizeof(bad_numbers) / sizeof(bad_numbers[0]); i++) {
		refused(0, "ring-ref", bad_numbers[i]);
		refused(0, "event-channel", bad_numbers[i]);
		refused(1, "ring-page-order", bad_numbers[i]);
		refused(1, "ring-ref1", bad_numbers[i]);
	}
	refused(0, "ring-ref", NULL);
	refused(0, "event-channel", NULL);
	refused(2, "ring-ref3", NULL);
	refused(0, "ring-page-order", "1");  /* then ring-ref0 is missing */
	refused(1, "ring-page-order", "5");
	refused(0, "ring-ref", "31999");
	refused(0, "ring-ref", "4294967295");
	refused(0, "event-channel", "0");
	refused(0, "event-channel", "4000");
	refused(0, "event-channel", "2147483647");
	refused(0, "protocol", "x86_32");
	refused(0, "protocol", "");
	refused(0, "protocol", "arm-abi");
	/* Granted, but to somebody else. */
	foreign = xengntshr_share_pages(f.xgs, f.back_domid + 1, 1, &foreign_ref, 1);
	if (!foreign)
		die("cannot share: %s", strerror(errno));
	snprintf(text, sizeof(text), "%u", foreign_ref);
	refused(0, "ring-ref", text);
	xengntshr_unshare(f.xgs, foreign, 1);
	/* Granted, but not to be written. */
	foreign = xengntshr_share_pages(f.xgs, f.back_domid, 1, &foreign_ref, 0);
	snprintf(text, sizeof(text), "%u", foreign_ref);
	refused(0, "ring-ref", text);
	xengntshr_unshare(f.xgs, foreign, 1);
	front_connect(&f, 0, true);
	good_read();
}

/* A single page's gref goes by either name. */
static void run_names(void)
{
	front_wait_back(&f, STATE(InitWait));
	front_make_ring(&f, 0);
	front_publish(&f, true);
	front_remove(&f, "ring-ref");
	front_write(&f, "ring-ref0", "%u", f.ring_refs[0]);
	front_write(&f, "ring-page-order", "0");
	front_remove(&f, "protocol");
	front_remove(&f, "feature-persistent");
	front_set_state(&f, XenbusStateConnected);
	front_wait_back(&f, STATE(Connected));
	good_read();
	front_disconnect(&f);
	front_remove(&f, "ring-ref0");
}

/* ---- states ---- */

static void run_states(unsigned long nr)
{
	front_wait_back(&f, STATE(InitWait));
	front_make_ring(&f, 0);
	front_publish(&f, true);
	for (unsigned long i = 0; i < nr; i++) {
		long r = random();

		if (r % 16 == 0)
			front_write(&f, "state", "nonsense");
		else if (r % 16 == 1)
			front_remove(&f, "state");
		else
			front_write(&f, "state", "%ld", r / 16 % 10);
		if (r % 64 == 2)
			xenevtchn_notify(f.xce, (evtchn_port_t)f.port);
	}
	front_set_state(&f, XenbusStateClosed);
	front_wait_back(&f, STATE(Closed));
	front_drop_ring(&f);
	front_set_state(&f, XenbusStateInitialising);
	front_connect(&f, 0, true);
	good_read();
}

static void run_cycle(unsigned long nr, bool hurry)
{
	for (unsigned long i = 0; i < nr; i++) {
		front_connect(&f, (unsigned int)(i % 5), i % 2);
		fill_ring(BLKIF_OP_READ);
		front_set_state(&f, XenbusStateClosing);
		front_wait_back(&f, STATE(Closing) | STATE(Closed));
		if (!hurry) {
			front_set_state(&f, XenbusStateClosed);
			front_wait_back(&f, STATE(Closed));
		} else {
			front_set_state(&f, XenbusStateInitialising);
			front_wait_back(&f, STATE(InitWait));
		}
		front_drop_ring(&f);
		front_set_state(&f, XenbusStateInitialising);
	}
	front_connect(&f, 0, true);
	good_read();
}

static void run_rewrite(unsigned long nr)
{
	front_connect(&f, 0, true);
	for (unsigned long i = 0; i < nr; i++) {
		front_set_state(&f, XenbusStateConnected);
		if (i % 8 == 0)
			front_write(&f, "sub/node", "%lu", i);
		if (i % 1000 == 0)
			good_read();
	}
	good_read();
}

/* ---- orders ---- */

/* More pages than a ring of one page keeps mapped persistently. */
static void many_grants(void)
{
	enum { NR = 3000 };
	static uint32_t refs[NR];
	char *pages = xengntshr_share_pages(f.xgs, f.back_domid, NR, refs, 1);

	if (!pages)
		die("cannot share %u pages: %s", NR, strerror(errno));
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < NR; i += 10) {
			blkif_request_t req = front_request(&f, BLKIF_OP_READ, 16, 10, 0);

			for (unsigned int s = 0; s < 10; s++)
				req.seg[s].gref = refs[i + s];
			memset(pages + i * FRONT_PAGE, 0xa5, 10 * FRONT_PAGE);
			if (front_call(&f, &req) != BLKIF_RSP_OKAY)
				die("page %u of many failed", i);
			if (memcmp(pages, pages + i * FRONT_PAGE, 10 * FRONT_PAGE))
				die("page %u of many has other data", i);
		}
	}
	xengntshr_unshare(f.xgs, pages, NR);
}

static void run_orders(void)
{
	blkif_response_t rsp;

	for (unsigned int i = 0; i < 10; i++) {
		front_connect(&f, i / 2, i & 1);
		/* Twice around the ring. */
		for (unsigned int round = 0; round < 2; round++) {
			fill_ring(BLKIF_OP_READ);
			for (unsigned int s = 0; s < RING_SIZE(&f.ring); s++) {
				if (!front_take(&f, &rsp, FRONT_BOUND_MS) || rsp.status)
					die("order %u: request %u failed", i / 2, s);
			}
		}
		many_grants();
		front_disconnect(&f);
	}
	front_connect(&f, 0, true);
}

int main(int argc, char **argv)
{
	unsigned long nr = argc > 3 ? strtoul(argv[3], NULL, 10) : 100;
	const char *mode;

	if (argc < 3)
		die("usage: blkfront_handshake MODE DISK [NUMBER]");
	mode = argv[1];
	srandom((unsigned int)getpid());
	front_enter(&f, argv[2]);
	if (strcmp(mode, "nonsense") == 0) {
		run_names();
		run_nonsense();
	} else if (strcmp(mode, "states") == 0) {
		run_states(nr);
	} else if (strcmp(mode, "cycle") == 0) {
		run_cycle(nr, false);
	} else if (strcmp(mode, "hurry") == 0) {
		run_cycle(nr, true);
	} else if (strcmp(mode, "rewrite") == 0) {
		run_rewrite(nr);
	} else if (strcmp(mode, "orders") == 0) {
		run_orders();
	} else {
		die("no mode %s", mode);
	}
	front_disconnect(&f);
	front_leave(&f);
	return 0;
}
