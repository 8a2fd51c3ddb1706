/* SPDX-License-Identifier: MIT */
/*
 * domain_lives NUMBER: so many short lives of domains, one after the other, beside one that stays.
 * Each is a process that shares and maps pages, binds ports, writes nodes and sets a watch. Every
 * other one is killed, the others part in order. Prints how long they took. What they leave behind
 * in the hypervisor is for the caller to look at (tests/system/lifecycle.bats).
 */
#include <xenstore.h>

#include "domain_check.h"

static struct party stays, lives;

/* Left open, with a watch, an event and a transaction. */
static struct xs_handle *use_store(void)
{
	static const char *const paths[] = {"data/a", "data/b/c", "device/x", "error/y"};
	struct xs_handle *xs = xs_open(0);

	CHECK(xs);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		CHECK(xs_write(xs, XBT_NULL, paths[i], "value", 5));
	CHECK(xs_watch(xs, "data", "token"));
	CHECK(xs_transaction_start(xs) != XBT_NULL);
	return xs;
}

/* In a process of its own. */
static void live(struct child *parent, int i)
{
	uint32_t refs[4], ref, port;
	struct xs_handle *xs;
	int own_port, to_self;
	char name[32];

	snprintf(name, sizeof(name), "life-%d", i);
	party_enter(&lives, name);
	say(parent, lives.id);
	ref = hear(parent);
	port = hear(parent);
	CHECK(map(&lives, &stays, ref, PROT_READ | PROT_WRITE));
	own_port = xenevtchn_bind_interdomain(lives.ev, stays.id, port);
	CHECK(own_port > 0);
	to_self = xenevtchn_bind_unbound_port(lives.ev, lives.id);
	CHECK(to_self > 0);
	share(&lives, &stays, 4, refs, 0);
	CHECK(xengntshr_share_page_notify(
		lives.shr, stays.id, refs, 1, 3, (evtchn_port_t)own_port));
	xs = use_store();
	say(parent, 0);
	hear(parent);
	party_leave(&lives);
	xs_close(xs);
}

static void one_life(int i)
{
	struct child child;
	uint32_t id, ref;
	void *page;
	int port;

	if (child_start(&child)) {
		live(&child, i);
		_exit(0);
	}
	id = hear(&child);
	page = xengntshr_share_pages(stays.shr, id, 1, &ref, 1);
	port = xenevtchn_bind_unbound_port(stays.ev, id);
	CHECK(page && port > 0);
	say(&child, ref);
	say(&child, (uint32_t)port);
	hear(&child);
	if (i % 2) {
		child_kill(&child);
	} else {
		say(&child, 0);
		child_join(&child);
	}
	/* Its end is noticed here: the page that it shared with a notification is gone. */
	expect_event(stays.ev, port);
	CHECK(xenevtchn_unbind(stays.ev, (evtchn_port_t)port) == 0);
	CHECK(xengntshr_unshare(stays.shr, page, 1) == 0);
}

int main(int argc, char **argv)
{
	int nr = argc == 2 ? atoi(argv[1]) : 0;
	uint64_t start_ns;

	if (nr < 1) {
		fprintf(stderr, "usage: %s NUMBER\n", argv[0]);
		return 2;
	}
	party_enter(&stays, "stays");
	start_ns = clock_ns();
	for (int i = 0; i < nr; i++) {
		alarm(120); /* a hanging call ends the test, too */
		one_life(i);
	}
	printf("%d lives, %.2f ms each\n", nr,
		(double)(clock_ns() - start_ns) / NSEC_PER_MSEC / nr);
	party_leave(&stays);
	return 0;
}
