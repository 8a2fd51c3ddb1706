/* SPDX-License-Identifier: MIT */
/*
 * A front end that keeps a status word (common/ring_status.h), and lies in it:
 *	blkfront_status DISK OFFERED(0|1)
 * OFFERED: whether the back end is to keep one of its own.
 *
 * It is notified when its word says that it sleeps, whatever the event index asks for; not when it
 * says that it runs; and what it writes into either word costs nobody but itself.
 */
#include "front.h"

#include <sched.h>

#include "common/ring_status.h"

#define ROUNDS 100

static struct front f;

static void say(uint32_t status)
{
	__atomic_store_n(ring_status_word(f.sring, RING_RSP_STATUS_OFFSET), status,
		__ATOMIC_RELAXED);
	/*
	 * Orders: the word before the request whose answer it is about.
	 * Pairs with: the back end's queue_push.
	 * Without it: it could answer before it sees the word.
	 */
	xen_mb();
}

static void ask(unsigned int i)
{
	blkif_request_t req = front_request(&f, BLKIF_OP_READ, i % 64, 1, i);

	front_put(&f, &req);
	front_push(&f);
	/* Even if nothing asks for it. */
	xenevtchn_notify(f.xce, (evtchn_port_t)f.port);
}

/* Without arming anything. */
static void take_polling(void)
{
	uint64_t end = clock_ns() + FRONT_BOUND_MS * NSEC_PER_MSEC;

	while (!front_has_response(&f)) {
		if (clock_ns() > end)
			die("never answered");
		sched_yield();
	}
	f.ring.rsp_cons++;
}

static void await_event(const char *what)
{
	struct pollfd pfd = {.fd = xenevtchn_fd(f.xce), .events = POLLIN};

	if (poll(&pfd, 1, FRONT_BOUND_MS) != 1)
		die("no event though its word says %s", what);
	front_take_events(&f);
}

static void expect_offer(bool offered)
{
	char *text = front_read(&f, f.back, RING_STATUS_NODE);

	if (!text || strcmp(text, offered ? "1" : "0") != 0)
		die("the back end offers %s", text ? text : "nothing");
	free(text);
}

/* Each answer would ask for an event by its index. */
static void runs_unnotified(void)
{
	front_take_events(&f);
	say(RING_RUNNING);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		ring_store_event(&f.sring->rsp_event, f.ring.rsp_cons + 1);
		ask(i);
		take_polling();
	}
	/* By the time of an answer, what was to be notified of the one before has been. */
	if (xenevtchn_pending(f.xce) >= 0)
		die("an event though its word says that it runs");
}

/* And here none would. */
static void sleeps_notified(uint32_t status, const char *what)
{
	front_take_events(&f);
	say(status);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		ring_store_event(&f.sring->rsp_event, f.ring.rsp_cons + 1000);
		ask(i);
		await_event(what);
		take_polling();
	}
}

/* A back end that keeps its word goes to sleep; one that does not leaves its word alone. */
static void await_sleeper(bool offered)
{
	uint64_t end = clock_ns() + FRONT_BOUND_MS * NSEC_PER_MSEC;
	uint32_t *word = ring_status_word(f.sring, RING_REQ_STATUS_OFFSET);

	__atomic_store_n(word, 77, __ATOMIC_RELAXED);
	ask(0);
	take_polling();
	while (offered && __atomic_load_n(word, __ATOMIC_RELAXED) != RING_SLEEPING) {
		if (clock_ns() > end)
			die("the back end never says that it sleeps");
		sched_yield();
	}
	if (!offered && __atomic_load_n(word, __ATOMIC_RELAXED) != 77)
		die("the back end wrote a word that it did not offer");
	/* It arms its event index as well, for those who do not know the word. */
	end = clock_ns() + FRONT_BOUND_MS * NSEC_PER_MSEC;
	while (ring_load_event(&f.sring->req_event) != f.ring.req_prod_pvt + 1) {
		if (clock_ns() > end)
			die("the back end sleeps without an event index");
		sched_yield();
	}
}

/* The back end's word is ours to overwrite; it does not believe it itself. */
static void lie_about_back_end(void)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		__atomic_store_n(ring_status_word(f.sring, RING_REQ_STATUS_OFFSET), i % 3,
			__ATOMIC_RELAXED);
		ask(i);
		take_polling();
	}
}

int main(int argc, char **argv)
{
	bool offered;

	if (argc != 3)
		die("usage: blkfront_status DISK 0|1");
	offered = argv[2][0] == '1';
	front_enter(&f, argv[1]);
	front_wait_back(&f, STATE(InitWait));
	expect_offer(offered);
	front_write(&f, RING_STATUS_NODE, "1");
	front_connect(&f, 0, true);
	sleeps_notified(RING_SLEEPING, "that it sleeps");
	runs_unnotified();
	sleeps_notified(0xffffffff, "nonsense");
	await_sleeper(offered);
	lie_about_back_end();
	front_disconnect(&f);
	front_remove(&f, RING_STATUS_NODE);
	front_leave(&f);
	return 0;
}
