/* SPDX-License-Identifier: MIT */
/* Event channels between two domains, as xenevtchn.h describes them, and peers that abuse them. */
#include "domain_check.h"

#include <linux/aio_abi.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static struct party a, b;
static int port_a, port_b;

static void enter_both(void)
{
	party_enter(&a, "events-a");
	party_enter(&b, "events-b");
}

static void enter_bound(void)
{
	enter_both();
	bind_pair(&a, &b, &port_a, &port_b);
}

static void leave_both(void)
{
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port_a) == 0);
	CHECK(xenevtchn_unbind(b.ev, (evtchn_port_t)port_b) == 0);
	expect_holdings(a.id, 0, 0, 0);
	expect_holdings(b.id, 0, 0, 0);
	party_leave(&b);
	party_leave(&a);
}

static void notify(struct party *party, int port)
{
	CHECK(xenevtchn_notify(party->ev, (evtchn_port_t)port) == 0);
}

static void unmask(struct party *party, int port)
{
	CHECK(xenevtchn_unmask(party->ev, (evtchn_port_t)port) == 0);
}

static void both_ways(void)
{
	enter_bound();
	for (int i = 0; i < 100; i++) {
		notify(&a, port_a);
		expect_event(b.ev, port_b);
		unmask(&b, port_b);
		notify(&b, port_b);
		expect_event(a.ev, port_a);
		unmask(&a, port_a);
	}
	expect_silence(a.ev);
	expect_silence(b.ev);
	leave_both();
}

static void interdomain_starts_pending(void)
{
	enter_both();
	port_a = xenevtchn_bind_unbound_port(a.ev, b.id);
	CHECK(port_a > 0);
	expect_silence(a.ev);
	port_b = xenevtchn_bind_interdomain(b.ev, a.id, (evtchn_port_t)port_a);
	CHECK(port_b > 0);
	expect_silence(a.ev);
	expect_event(b.ev, port_b);
	unmask(&b, port_b);
	expect_silence(b.ev);
	leave_both();
}

/* As the header says: masked from pending to unmask; what comes meanwhile is delivered then. */
static void masked_until_unmask(void)
{
	enter_bound();
	notify(&a, port_a);
	expect_event(b.ev, port_b);
	expect_silence(b.ev);
	notify(&a, port_a);
	expect_silence(b.ev);
	unmask(&b, port_b);
	expect_event(b.ev, port_b);
	unmask(&b, port_b);
	expect_silence(b.ev);
	/* Unmasking again makes nothing up. */
	unmask(&b, port_b);
	expect_silence(b.ev);
	leave_both();
}

static void events_coalesce(void)
{
	enter_bound();
	for (int i = 0; i < 5000; i++)
		notify(&a, port_a);
	expect_event(b.ev, port_b);
	/* A socket port hands out what it queued in portions; it must end soon. */
	for (int i = 0; i < 20; i++) {
		unmask(&b, port_b);
		if (!readable(b.ev, 0))
			break;
		expect_event(b.ev, port_b);
	}
	expect_silence(b.ev);
	notify(&a, port_a);
	expect_event(b.ev, port_b);
	leave_both();
}

static void pending_does_not_block_if_told(void)
{
	enter_bound();
	CHECK(fcntl(xenevtchn_fd(b.ev), F_SETFL, O_NONBLOCK) == 0);
	CHECK_FAILS(xenevtchn_pending(b.ev) < 0, EAGAIN);
	notify(&a, port_a);
	expect_event(b.ev, port_b);
	CHECK_FAILS(xenevtchn_pending(b.ev) < 0, EAGAIN);
	leave_both();
}

static void set_nonblock(xenevtchn_handle *ev, bool nonblock)
{
	CHECK(fcntl(xenevtchn_fd(ev), F_SETFL, nonblock ? O_NONBLOCK : 0) == 0);
}

/* Who does not block is told in vain at most once that something came to a masked port. */
static void masked_without_blocking(void)
{
	enter_bound();
	set_nonblock(b.ev, true);
	for (int i = 0; i < 3; i++) {
		notify(&a, port_a);
		expect_event(b.ev, port_b);
		CHECK_FAILS(xenevtchn_pending(b.ev) < 0, EAGAIN);
		notify(&a, port_a);
		notify(&a, port_a);
		CHECK_FAILS(xenevtchn_pending(b.ev) < 0, EAGAIN);
		expect_silence(b.ev);
		notify(&a, port_a);
		expect_silence(b.ev);
		unmask(&b, port_b);
		expect_event(b.ev, port_b);
		unmask(&b, port_b);
		expect_silence(b.ev);
		unmask(&b, port_b);
		expect_silence(b.ev);
	}
	leave_both();
}

/* The unmasked port is heard though nobody took what came to the masked one. */
static void masked_beside_another(void)
{
	int other_a, other_b;

	enter_bound();
	set_nonblock(b.ev, true);
	bind_pair(&a, &b, &other_a, &other_b);
	notify(&a, port_a);
	expect_event(b.ev, port_b);
	unmask(&b, port_b);
	notify(&a, port_a);
	expect_event(b.ev, port_b);
	notify(&a, port_a);
	notify(&a, other_a);
	expect_event(b.ev, other_b);
	CHECK_FAILS(xenevtchn_pending(b.ev) < 0, EAGAIN);
	unmask(&b, port_b);
	expect_event(b.ev, port_b);
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)other_a) == 0);
	CHECK(xenevtchn_unbind(b.ev, (evtchn_port_t)other_b) == 0);
	leave_both();
}

/* Blocking, not blocking, blocking again: nothing is lost or made up on the way. */
static void blocking_changes(void)
{
	enter_bound();
	for (int i = 0; i < 6; i++) {
		set_nonblock(b.ev, i % 2);
		notify(&a, port_a);
		expect_event(b.ev, port_b);
		unmask(&b, port_b);
		notify(&a, port_a);
		expect_event(b.ev, port_b);
		if (i % 2)
			CHECK_FAILS(xenevtchn_pending(b.ev) < 0, EAGAIN);
		unmask(&b, port_b);
		expect_silence(b.ev);
	}
	leave_both();
}

static void many_ports(void)
{
	enum { NR = 100 };
	int ports_a[NR], ports_b[NR];
	bool seen[NR] = {false};

	enter_both();
	for (int i = 0; i < NR; i++)
		bind_pair(&a, &b, &ports_a[i], &ports_b[i]);
	for (int i = 0; i < NR; i += 2)
		notify(&a, ports_a[i]);
	for (int i = 0; i < NR; i += 2) {
		int port;

		CHECK(readable(b.ev, BOUND_MS));
		port = xenevtchn_pending(b.ev);
		for (int k = 0; k < NR; k++) {
			if (ports_b[k] == port) {
				CHECK(!seen[k] && k % 2 == 0);
				seen[k] = true;
			}
		}
	}
	expect_silence(b.ev);
	expect_holdings(a.id, 0, 0, NR);
	CHECK(xenevtchn_close(a.ev) == 0 && xenevtchn_close(b.ev) == 0);
	expect_holdings(a.id, 0, 0, 0);
	expect_holdings(b.id, 0, 0, 0);
}

static void wrong_ports(void)
{
	static struct party c;
	int port;

	enter_bound();
	party_enter(&c, "events-c");
	/* Taken; of nobody; not for us; our own. */
	CHECK_FAILS(xenevtchn_bind_interdomain(b.ev, a.id, (evtchn_port_t)port_a) < 0, EINVAL);
	CHECK_FAILS(xenevtchn_bind_interdomain(b.ev, a.id, 4000) < 0, EINVAL);
	CHECK_FAILS(xenevtchn_bind_interdomain(b.ev, a.id, 0) < 0, EINVAL);
	CHECK_FAILS(xenevtchn_bind_interdomain(b.ev, 30000, 1) < 0, ESRCH);
	port = xenevtchn_bind_unbound_port(a.ev, b.id);
	CHECK(port > 0);
	CHECK_FAILS(xenevtchn_bind_interdomain(c.ev, a.id, (evtchn_port_t)port) < 0, EINVAL);
	CHECK_FAILS(xenevtchn_bind_interdomain(a.ev, a.id, (evtchn_port_t)port) < 0, EINVAL);
	CHECK_FAILS(xenevtchn_bind_unbound_port(a.ev, 0x7ff0) < 0, ESRCH);
	/* Others' ports cannot be used. */
	CHECK_FAILS(xenevtchn_notify(c.ev, (evtchn_port_t)port_a) < 0, EINVAL);
	CHECK_FAILS(xenevtchn_unmask(c.ev, (evtchn_port_t)port_a) < 0, EINVAL);
	CHECK_FAILS(xenevtchn_unbind(c.ev, (evtchn_port_t)port_a) < 0, EINVAL);
	CHECK_FAILS(xenevtchn_notify(a.ev, 4000) < 0, EINVAL);
	CHECK_FAILS(xenevtchn_bind_virq(a.ev, 0) < 0, EOPNOTSUPP);
	CHECK_FAILS(!xenevtchn_fdopen(quiet(), 0, 0), EOPNOTSUPP);
	CHECK_FAILS(!xenevtchn_open(quiet(), 2), EINVAL);
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port) == 0);
	CHECK_FAILS(xenevtchn_unbind(a.ev, (evtchn_port_t)port) < 0, EINVAL);
	party_leave(&c);
	leave_both();
}

static void to_itself(void)
{
	enter_both();
	port_a = xenevtchn_bind_unbound_port(a.ev, a.id);
	CHECK(port_a > 0);
	port_b = xenevtchn_bind_interdomain(a.ev, a.id, (evtchn_port_t)port_a);
	CHECK(port_b > 0);
	expect_event(a.ev, port_b);
	unmask(&a, port_b);
	notify(&a, port_b);
	expect_event(a.ev, port_a);
	unmask(&a, port_a);
	notify(&a, port_a);
	expect_event(a.ev, port_b);
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port_a) == 0);
	notify(&a, port_b);
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port_b) == 0);
	expect_holdings(a.id, 0, 0, 0);
}

static void unbound_notify_is_dropped(void)
{
	enter_both();
	port_a = xenevtchn_bind_unbound_port(a.ev, b.id);
	CHECK(port_a > 0);
	for (int i = 0; i < 1000; i++)
		notify(&a, port_a);
	expect_silence(a.ev);
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port_a) == 0);
	bind_pair(&a, &b, &port_a, &port_b);
	/* Bound, and then not any more. */
	CHECK(xenevtchn_unbind(b.ev, (evtchn_port_t)port_b) == 0);
	for (int i = 0; i < 1000; i++)
		notify(&a, port_a);
	expect_silence(a.ev);
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port_a) == 0);
}

static void restricted(void)
{
	static struct party c;

	enter_both();
	party_enter(&c, "events-c");
	CHECK_FAILS(xenevtchn_restrict(b.ev, 0x7ff0) < 0, EINVAL);
	CHECK(xenevtchn_restrict(b.ev, (domid_t)a.id) == 0);
	CHECK_FAILS(xenevtchn_restrict(b.ev, (domid_t)c.id) < 0, EACCES);
	CHECK_FAILS(xenevtchn_bind_unbound_port(b.ev, c.id) < 0, EACCES);
	port_a = xenevtchn_bind_unbound_port(c.ev, b.id);
	CHECK_FAILS(xenevtchn_bind_interdomain(b.ev, c.id, (evtchn_port_t)port_a) < 0, EACCES);
	bind_pair(&a, &b, &port_a, &port_b);
	leave_both();
}

/* The peer's process dies; a new one of the same domain binds the same port again, and is told. */
static void rebind_after_kill(void)
{
	struct child child;

	enter_both();
	port_a = xenevtchn_bind_unbound_port(a.ev, b.id);
	for (int round = 0; round < 3; round++) {
		if (child_start(&child)) {
			xenevtchn_handle *ev = xenevtchn_open(quiet(), 0); /* b's */
			int port = xenevtchn_bind_interdomain(ev, a.id, (evtchn_port_t)port_a);

			CHECK(port > 0);
			expect_event(ev, port);
			CHECK(xenevtchn_unmask(ev, (evtchn_port_t)port) == 0);
			CHECK(xenevtchn_notify(ev, (evtchn_port_t)port) == 0);
			say(&child, 1);
			expect_event(ev, port);
			say(&child, 2);
			pause();
		}
		CHECK(hear(&child) == 1);
		expect_event(a.ev, port_a);
		unmask(&a, port_a);
		notify(&a, port_a);
		CHECK(hear(&child) == 2);
		child_kill(&child);
		expect_holdings(b.id, 0, 0, 0);
		/* Lost; but the next one starts out pending. */
		notify(&a, port_a);
		expect_silence(a.ev);
	}
	port_b = xenevtchn_bind_interdomain(b.ev, a.id, (evtchn_port_t)port_a);
	CHECK(port_b > 0);
	expect_event(b.ev, port_b);
	leave_both();
}

/* A port that waits for a domain that died waits for it, not for another one. */
static void rebind_is_for_the_same_domain(void)
{
	unsigned int dead;
	static struct party c;

	enter_bound();
	dead = b.id;
	party_leave(&b);
	expect_gone(dead);
	party_enter(&c, "events-c");
	CHECK_FAILS(xenevtchn_bind_interdomain(c.ev, a.id, (evtchn_port_t)port_a) < 0, EINVAL);
	notify(&a, port_a);
	expect_silence(a.ev);
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port_a) == 0);
	expect_holdings(a.id, 0, 0, 0);
}

/* ---- peers that do with their descriptors what they like ---- */

/* Binds as the domain that the environment names, and returns the descriptors. */
static unsigned int raw_bind(int raw, unsigned int domid, int remote_port, int fds[2])
{
	struct hypercall_request req = {.op = HYPERCALL_BIND_INTERDOMAIN,
		.evtchn = {.domid = domid, .port = (uint32_t)remote_port}};
	struct hypercall_reply reply;
	unsigned int nr = 0;

	CHECK(send(raw, &req, sizeof(req), 0) == sizeof(req));
	CHECK(unixsock_recv(raw, &reply, sizeof(reply), fds, 2, &nr, 0) == sizeof(reply));
	CHECK(reply.status == 0 && nr == (reply.evtchn.kind == HYPERCALL_PORT_EVENTFD ? 2 : 1));
	return nr;
}

/* Drives an eventfd's counter to its very end, where even writing 0 blocks. */
static void wedge_eventfd(int efd)
{
	const uint64_t most = UINT64_MAX - 1;
	int memfd = memfd_create("wedge", MFD_CLOEXEC);
	aio_context_t ctx = 0;
	char byte;

	CHECK(fcntl(efd, F_SETFL, O_NONBLOCK) == 0);
	if (write(efd, &most, sizeof(most)) < 0) {
		uint64_t left = most - 1;

		while (left && write(efd, &left, sizeof(left)) < 0)
			left /= 2;
	}
	CHECK(fcntl(efd, F_SETFL, 0) == 0);
	CHECK(memfd >= 0 && ftruncate(memfd, PAGE) == 0);
	if (syscall(SYS_io_setup, 128, &ctx) < 0)
		return; /* a kernel without */
	for (int i = 0; i < 100; i++) {
		struct iocb iocb = {.aio_lio_opcode = IOCB_CMD_PREAD,
			.aio_fildes = (uint32_t)memfd,
			.aio_buf = (uintptr_t)&byte,
			.aio_nbytes = 1,
			.aio_flags = IOCB_FLAG_RESFD,
			.aio_resfd = (uint32_t)efd};
		struct iocb *list = &iocb;

		CHECK(syscall(SYS_io_submit, ctx, 1, &list) == 1);
	}
	syscall(SYS_io_destroy, ctx);
	close(memfd);
}

static void abuse(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);
	uint64_t value;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0) {
		for (int i = 0; i < 2000; i++)
			(void)!send(fd, &value, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)!send(fd, "a very long notification indeed", 31, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)!send(fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	(void)!read(fd, &value, sizeof(value));
	wedge_eventfd(fd);
}

/*
 * Whatever the peer does with what it holds of the channel, our notify returns, our other ports
 * work, and so does the hypervisor, also when it notifies on the peer's behalf.
 */
static void hostile_peer(void)
{
	int port_x, port_y, fds[2], raw;
	unsigned int nr;
	static struct party c;
	uint32_t ref;

	party_enter(&a, "events-a");
	party_enter(&c, "events-c");
	bind_pair(&a, &c, &port_x, &port_y);
	party_enter(&b, "events-b");
	port_a = xenevtchn_bind_unbound_port(a.ev, b.id);
	CHECK(port_a > 0);
	raw = raw_open(HYPERCALL_EVTCHN);
	nr = raw_bind(raw, a.id, port_a, fds);
	/* Of two, the first is an epoll set, through which nothing in it can be reached. */
	abuse(fds[nr - 1]);
	for (int i = 0; i < 1000; i++)
		notify(&a, port_a);
	/* The storm is bounded, and the neighbour is heard. */
	for (int i = 0; i < 200 && readable(a.ev, 0); i++) {
		CHECK(xenevtchn_pending(a.ev) == port_a);
		unmask(&a, port_a);
	}
	notify(&c, port_y);
	expect_event(a.ev, port_x);
	unmask(&a, port_x);

	/* The hypervisor notifies for b: it must not wait for what b did to its end. */
	CHECK(xengntshr_share_page_notify(a.shr, b.id, &ref, 1, 0, (evtchn_port_t)port_a));
	struct hypercall_request req = {.op = HYPERCALL_SHARE,
		.flags = HYPERCALL_WRITABLE,
		.share = {.domid = a.id, .nr_pages = 1, .notify_offset = 0}};
	char reply[sizeof(struct hypercall_reply) + sizeof(uint32_t)];
	int shr = raw_open(HYPERCALL_GNTSHR), memfd = -1;
	unsigned int nr_fds = 0;

	for (uint32_t port = 1; port < 4; port++) {
		req.share.notify_port = port;
		CHECK(send(shr, &req, sizeof(req), 0) == sizeof(req));
		CHECK(unixsock_recv(shr, reply, sizeof(reply), &memfd, 1, &nr_fds, 0) > 0);
		if (nr_fds)
			close(memfd);
	}
	close(shr);
	expect_alive();
	expect_holdings(b.id, 0, 0, 1);
	CHECK(xengntshr_close(a.shr) == 0);
	expect_alive();

	/* Shutting a socket down must not keep our descriptor readable for ever. */
	shutdown(fds[0], SHUT_RDWR);
	for (int i = 0; i < 200 && readable(a.ev, 0); i++) {
		CHECK(xenevtchn_pending(a.ev) == port_a);
		unmask(&a, port_a);
	}
	expect_silence(a.ev);
	notify(&a, port_a);
	notify(&c, port_y);
	expect_event(a.ev, port_x);
	close(raw);
	expect_holdings(b.id, 0, 0, 0);
	CHECK(xenevtchn_close(a.ev) == 0);
	expect_holdings(a.id, 0, 0, 0);
	expect_alive();
}

/* A storm from one peer does not keep the events of another away. */
static void storm_beside_a_neighbour(void)
{
	struct child child;
	static struct party c;
	int port_x, port_y;

	enter_bound();
	party_enter(&c, "events-c");
	bind_pair(&a, &c, &port_x, &port_y);
	if (child_start(&child)) {
		for (;;)
			notify(&b, port_b);
	}
	for (int i = 0; i < 200; i++) {
		bool heard = false;

		notify(&c, port_y);
		while (!heard) {
			int port;

			CHECK(readable(a.ev, BOUND_MS));
			port = xenevtchn_pending(a.ev);
			CHECK(port == port_a || port == port_x);
			heard = port == port_x;
			unmask(&a, port);
		}
	}
	child_kill(&child);
}

/* ---- unmap notifications ---- */

#define BYTE 17

/* Which side registers, which way it ends, and whether the event channel closes first. */
enum side { OWNER, MAPPER };
enum ending { UNMAP, CLOSE, EXIT, KILL, EVENTS_FIRST };

static void register_and_end(const struct child *child, enum side side, enum ending ending,
	unsigned int peer_id, int remote_port, uint32_t ref, int writable)
{
	xenevtchn_handle *ev = xenevtchn_open(quiet(), 0);
	xengnttab_handle *tab = xengnttab_open(quiet(), 0);
	xengntshr_handle *shr = xengntshr_open(quiet(), 0);
	int port = xenevtchn_bind_interdomain(ev, peer_id, (evtchn_port_t)remote_port);
	uint32_t made = 0;
	char *page;

	CHECK(port > 0);
	if (side == OWNER)
		page = xengntshr_share_page_notify(
			shr, peer_id, &made, writable, BYTE, (evtchn_port_t)port);
	else
		page = xengnttab_map_grant_ref_notify(
			tab, peer_id, ref, PROT_READ | PROT_WRITE, BYTE, (evtchn_port_t)port);
	CHECK(page);
	page[BYTE] = 1;
	page[BYTE + 1] = 1;
	say(child, made);
	hear(child);
	if (ending == EVENTS_FIRST) {
		CHECK(xenevtchn_close(ev) == 0);
		say(child, 0);
		hear(child);
		CHECK((side == OWNER ? xengntshr_unshare(shr, page, 1)
				     : xengnttab_unmap(tab, page, 1)) == 0);
	} else if (ending == UNMAP) {
		CHECK((side == OWNER ? xengntshr_unshare(shr, page, 1)
				     : xengnttab_unmap(tab, page, 1)) == 0);
	} else if (ending == CLOSE) {
		CHECK((side == OWNER ? xengntshr_close(shr) : xengnttab_close(tab)) == 0);
	} else if (ending == KILL) {
		kill(getpid(), SIGKILL);
	} else {
		_exit(0);
	}
	hear(child);
	_exit(0);
}

static void one_notification(enum side side, enum ending ending, int writable)
{
	volatile char *page = NULL;
	uint32_t ref = 0, made;
	struct child child;

	party_enter(&a, "events-a");
	party_enter(&b, "events-b"); /* the child opens handles of the one that entered last */
	if (side == MAPPER)
		page = share(&a, &b, 1, &ref, 1);
	port_a = xenevtchn_bind_unbound_port(a.ev, b.id);
	CHECK(port_a > 0);
	if (child_start(&child))
		register_and_end(&child, side, ending, a.id, port_a, ref, writable);
	made = hear(&child);
	if (side == OWNER) {
		page = map(&a, &b, made, writable ? PROT_READ | PROT_WRITE : PROT_READ);
		CHECK(page);
	}
	CHECK(page[BYTE] == 1);
	expect_silence(a.ev);
	say(&child, 0);
	if (ending == EVENTS_FIRST) {
		CHECK(hear(&child) == 0);
		expect_silence(a.ev);
		CHECK(page[BYTE] == 1);
		say(&child, 0);
	}
	expect_event(a.ev, port_a);
	unmask(&a, port_a);
	CHECK(page[BYTE] == 0 && page[BYTE + 1] == 1);
	if (ending != EXIT && ending != KILL)
		say(&child, 0);
	CHECK(waitpid(child.pid, NULL, 0) == child.pid);
	expect_holdings(b.id, 0, 0, 0);
	party_leave(&b);
	party_leave(&a);
}

static void notify_on_unmap(void)
{
	one_notification(MAPPER, UNMAP, 1);
	one_notification(OWNER, UNMAP, 1);
	one_notification(OWNER, UNMAP, 0);
}

static void notify_on_close(void)
{
	one_notification(MAPPER, CLOSE, 1);
	one_notification(OWNER, CLOSE, 1);
	one_notification(OWNER, CLOSE, 0);
}

static void notify_on_exit(void)
{
	one_notification(MAPPER, EXIT, 1);
	one_notification(OWNER, EXIT, 1);
	one_notification(OWNER, EXIT, 0);
}

static void notify_on_kill(void)
{
	one_notification(MAPPER, KILL, 1);
	one_notification(OWNER, KILL, 1);
	one_notification(OWNER, KILL, 0);
}

static void notify_after_the_events_handle(void)
{
	one_notification(MAPPER, EVENTS_FIRST, 1);
	one_notification(OWNER, EVENTS_FIRST, 1);
	one_notification(OWNER, EVENTS_FIRST, 0);
}

static void notify_arguments(void)
{
	uint32_t ref, ref_ro;
	void *page;

	enter_bound();
	CHECK_FAILS(!xengntshr_share_page_notify(a.shr, b.id, &ref, 1, PAGE, NONE), EINVAL);
	CHECK_FAILS(!xengntshr_share_page_notify(a.shr, b.id, &ref, 1, 0, 4000), EINVAL);
	CHECK_FAILS(!xengntshr_share_page_notify(a.shr, b.id, &ref, 0, 0, 0), EINVAL);
	expect_holdings(a.id, 0, 0, 1);
	page = xengntshr_share_page_notify(a.shr, b.id, &ref, 1, PAGE - 1, NONE);
	CHECK(page);
	CHECK(share(&a, &b, 1, &ref_ro, 0));
	/* Clearing a byte of a page that is mapped read-only is not for the mapper to ask. */
	CHECK_FAILS(!xengnttab_map_grant_ref_notify(b.tab, a.id, ref, PROT_READ, 5, NONE), EINVAL);
	CHECK_FAILS(
		!xengnttab_map_grant_ref_notify(b.tab, a.id, ref, PROT_READ, PAGE, NONE), EINVAL);
	CHECK_FAILS(!xengnttab_map_grant_ref_notify(
			    b.tab, a.id, ref, PROT_READ, NONE, (evtchn_port_t)4000),
		EINVAL);
	expect_holdings(b.id, 0, 0, 1);
	page = xengnttab_map_grant_ref_notify(
		b.tab, a.id, ref_ro, PROT_READ, NONE, (evtchn_port_t)port_b);
	CHECK(page);
	CHECK(xengnttab_unmap(b.tab, page, 1) == 0);
	expect_event(a.ev, port_a);
	CHECK(xengntshr_close(a.shr) == 0);
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port_a) == 0);
	expect_holdings(a.id, 0, 0, 0);
}

/* Everything that a killed process held is given back, and its peer's counts as well. */
static void killed_domain_holds_nothing(void)
{
	struct child child;
	uint32_t refs[10];
	unsigned int id;

	party_enter(&a, "events-a");
	share(&a, &a, 1, refs, 1);
	if (child_start(&child)) {
		struct party mine;
		uint32_t own[10];

		party_enter(&mine, "killed");
		say(&child, mine.id);
		for (int i = 0; i < 10; i++)
			own[i] = hear(&child);
		CHECK(xengnttab_map_domain_grant_refs(
			mine.tab, 10, a.id, own, PROT_READ | PROT_WRITE));
		CHECK(xengntshr_share_pages(mine.shr, a.id, 10, own, 1));
		CHECK(xenevtchn_bind_unbound_port(mine.ev, a.id) > 0);
		for (int i = 0; i < 10; i++)
			say(&child, own[i]);
		pause();
	}
	id = hear(&child);
	CHECK(xengntshr_share_pages(a.shr, id, 10, refs, 1));
	for (int i = 0; i < 10; i++)
		say(&child, refs[i]);
	for (int i = 0; i < 10; i++)
		refs[i] = hear(&child);
	char *theirs = xengnttab_map_domain_grant_refs(a.tab, 10, id, refs, PROT_READ | PROT_WRITE);
	CHECK(theirs);
	port_a = xenevtchn_bind_interdomain(a.ev, id, 1);
	CHECK(port_a > 0);
	expect_holdings(id, 10, 10, 1);
	expect_holdings(a.id, 11, 10, 1);
	child_kill(&child);
	expect_gone(id);
	theirs[9 * PAGE] = 1;
	notify(&a, port_a);
	CHECK(xengnttab_unmap(a.tab, theirs, 10) == 0);
	CHECK(xengntshr_close(a.shr) == 0);
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port_a) == 0);
	expect_holdings(a.id, 0, 0, 0);
}

/* The hypervisor is killed (by us: its process id is the argument in the environment). */
static void hypervisor_gone(void)
{
	const char *pid = getenv("HYPERVISOR_PID");
	uint32_t ref, other;
	char *mine, *theirs;

	CHECK(pid);
	enter_bound();
	mine = share(&a, &b, 1, &ref, 1);
	theirs = map(&b, &a, ref, PROT_READ | PROT_WRITE);
	CHECK(theirs);
	CHECK(kill(atoi(pid), SIGKILL) == 0);
	CHECK(readable(a.ev, BOUND_MS) && readable(b.ev, BOUND_MS));
	CHECK_FAILS(xenevtchn_pending(a.ev) < 0, ENODEV);
	CHECK_FAILS(xenevtchn_bind_unbound_port(a.ev, b.id) < 0, ENODEV);
	CHECK_FAILS(!xengntshr_share_pages(a.shr, b.id, 1, &other, 1), ENODEV);
	CHECK_FAILS(!map(&b, &a, ref, PROT_READ), ENODEV);
	/* What was established goes on. */
	strcpy(mine, "still shared");
	CHECK(strcmp(theirs, "still shared") == 0);
	notify(&a, port_a);
	party_leave(&b);
	notify(&a, port_a);
	party_leave(&a);
}

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{"both-ways", both_ways},
		{"interdomain-starts-pending", interdomain_starts_pending},
		{"masked-until-unmask", masked_until_unmask},
		{"events-coalesce", events_coalesce},
		{"pending-does-not-block-if-told", pending_does_not_block_if_told},
		{"masked-without-blocking", masked_without_blocking},
		{"masked-beside-another", masked_beside_another},
		{"blocking-changes", blocking_changes},
		{"many-ports", many_ports},
		{"wrong-ports", wrong_ports},
		{"to-itself", to_itself},
		{"unbound-notify-is-dropped", unbound_notify_is_dropped},
		{"restricted", restricted},
		{"rebind-after-kill", rebind_after_kill},
		{"rebind-is-for-the-same-domain", rebind_is_for_the_same_domain},
		{"hostile-peer", hostile_peer},
		{"storm-beside-a-neighbour", storm_beside_a_neighbour},
		{"notify-on-unmap", notify_on_unmap},
		{"notify-on-close", notify_on_close},
		{"notify-on-exit", notify_on_exit},
		{"notify-on-kill", notify_on_kill},
		{"notify-after-the-events-handle", notify_after_the_events_handle},
		{"notify-arguments", notify_arguments},
		{"killed-domain-holds-nothing", killed_domain_holds_nothing},
		{"hypervisor-gone", hypervisor_gone},
	};

	return RUN_SCENARIO(argc, argv, scenarios);
}
