/* SPDX-License-Identifier: MIT */
/*
 * A domain that speaks to the hypervisor itself, and badly; and a toolstack that does. Each time
 * the hypervisor and another domain must be none the worse for it.
 */
#include "domain_check.h"

#include <dirent.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static struct party other, self;

static void enter_both(void)
{
	party_enter(&other, "protocol-other");
	party_enter(&self, "protocol-self"); /* whom raw connections belong to */
}

/* The other domain can do everything. */
static void expect_unaffected(void)
{
	int port, port_self;
	uint32_t ref;
	char *page, *mapped;

	expect_alive();
	page = share(&other, &other, 1, &ref, 1);
	mapped = map(&other, &other, ref, PROT_READ | PROT_WRITE);
	CHECK(mapped);
	strcpy(page, "fine");
	CHECK(strcmp(mapped, "fine") == 0);
	CHECK(xengnttab_unmap(other.tab, mapped, 1) == 0);
	CHECK(xengntshr_unshare(other.shr, page, 1) == 0);
	port = xenevtchn_bind_unbound_port(other.ev, other.id);
	CHECK(port > 0);
	port_self = xenevtchn_bind_interdomain(other.ev, other.id, (evtchn_port_t)port);
	CHECK(port_self > 0);
	expect_event(other.ev, port_self);
	CHECK(xenevtchn_notify(other.ev, (evtchn_port_t)port_self) == 0);
	expect_event(other.ev, port);
	CHECK(xenevtchn_unbind(other.ev, (evtchn_port_t)port) == 0);
	CHECK(xenevtchn_unbind(other.ev, (evtchn_port_t)port_self) == 0);
	expect_holdings(other.id, 0, 0, 0);
}

/* The hypervisor ends this connection. */
static void expect_closed(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char byte;

	CHECK(poll(&pfd, 1, BOUND_MS) == 1);
	CHECK(recv(fd, &byte, 1, 0) <= 0);
	close(fd);
}

static void malformed_packets(void)
{
	static char packet[HYPERCALL_REQUEST_MAX + 100];
	struct hypercall_request *req = (struct hypercall_request *)packet;
	const size_t lens[] = {1, 4, sizeof(*req) - 1, sizeof(*req) + 1, HYPERCALL_REQUEST_MAX,
		HYPERCALL_REQUEST_MAX + 1, sizeof(packet)};
	int fd;

	enter_both();
	for (unsigned int opened = 0; opened < 2; opened++) {
		for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
			fd = opened ? raw_open(HYPERCALL_GNTTAB) : raw_connect();
			memset(packet, 0, sizeof(packet));
			req->op = HYPERCALL_UNMAP;
			CHECK(send(fd, packet, lens[i], 0) == (ssize_t)lens[i]);
			expect_closed(fd);
		}
		fd = opened ? raw_open(HYPERCALL_GNTTAB) : raw_connect();
		CHECK(send(fd, packet, 0, 0) == 0);
		expect_closed(fd);
	}
	/* The number of references does not match the length. */
	for (uint32_t nr = 1; nr; nr = nr < 8192 ? nr * 2 : nr == 8192 ? UINT32_MAX : 0) {
		fd = raw_open(HYPERCALL_GNTTAB);
		req->op = HYPERCALL_MAP;
		req->map.nr_grefs = nr;
		CHECK(send(fd, packet, sizeof(*req) + 8 * 3, 0) > 0);
		expect_closed(fd);
	}
	expect_unaffected();
}

static void wrong_operations(void)
{
	struct hypercall_request req = {.op = HYPERCALL_OPEN, .open = {HYPERCALL_VERSION + 1, 1}};
	int fd = -1;

	enter_both();
	fd = raw_connect();
	CHECK(raw_call(fd, &req, NULL, 0, NULL, NULL) == -EPROTONOSUPPORT);
	req.open.version = HYPERCALL_VERSION;
	req.open.interface = 0;
	CHECK(raw_call(fd, &req, NULL, 0, NULL, NULL) == -EINVAL);
	req.open.interface = HYPERCALL_EVTCHN + 1;
	CHECK(raw_call(fd, &req, NULL, 0, NULL, NULL) == -EINVAL);
	/* Nothing works before OPEN, or of another interface. */
	for (uint32_t op = 0; op < 70; op++) {
		req = (struct hypercall_request){.op = op};
		if (op != HYPERCALL_OPEN)
			CHECK(raw_call(fd, &req, NULL, 0, NULL, NULL) == -ENOSYS);
	}
	req = (struct hypercall_request){
		.op = HYPERCALL_OPEN, .open = {HYPERCALL_VERSION, HYPERCALL_EVTCHN}};
	CHECK(raw_call(fd, &req, NULL, 0, NULL, NULL) == 0);
	CHECK(raw_call(fd, &req, NULL, 0, NULL, NULL) == -EBUSY);
	for (uint32_t op = HYPERCALL_SHARE; op < HYPERCALL_BIND_UNBOUND; op++) {
		req = (struct hypercall_request){.op = op};
		CHECK(raw_call(fd, &req, NULL, 0, NULL, NULL) == -ENOSYS);
	}
	req = (struct hypercall_request){.op = UINT32_MAX};
	CHECK(raw_call(fd, &req, NULL, 0, NULL, NULL) == -ENOSYS);
	close(fd);

	/* What is named must be one's own. */
	fd = raw_open(HYPERCALL_GNTTAB);
	req = (struct hypercall_request){.op = HYPERCALL_MAP_FD, .range = {.share_id = 1}};
	CHECK(raw_call(fd, &req, NULL, 0, NULL, NULL) == -ENOENT);
	req = (struct hypercall_request){.op = HYPERCALL_UNMAP, .range = {1, 0, 1}};
	CHECK(raw_call(fd, &req, NULL, 0, NULL, NULL) == -ENOENT);
	close(fd);
	expect_unaffected();
}

/* Ranges at and over the edges of 32 bits, on a share of three pages. */
static void wrong_ranges(void)
{
	const uint32_t values[] = {
		0, 1, 2, 3, 4, 0x7fffffff, 0x80000000, UINT32_MAX - 1, UINT32_MAX};
	struct hypercall_request req;
	uint64_t share_id;
	uint32_t refs[3];
	char *page;
	int fd;

	enter_both();
	page = share(&self, &self, 3, refs, 1);
	fd = raw_open(HYPERCALL_GNTTAB);
	CHECK(raw_map(fd, self.id, refs[1], 0, &share_id) == 0);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
			req = (struct hypercall_request){
				.op = HYPERCALL_UNMAP, .range = {share_id, values[i], values[k]}};
			if (values[i] == 1 && values[k] == 1)
				continue;
			CHECK(raw_call(fd, &req, NULL, 0, NULL, NULL) == -EINVAL);
		}
	}
	/* Another connection's share cannot be unshared or made ready. */
	int shr = raw_open(HYPERCALL_GNTSHR);
	req = (struct hypercall_request){.op = HYPERCALL_UNSHARE, .range = {share_id, 0, 3}};
	CHECK(raw_call(shr, &req, NULL, 0, NULL, NULL) == -ENOENT);
	req.op = HYPERCALL_SHARE_READY;
	CHECK(raw_call(shr, &req, NULL, 0, NULL, NULL) == -ENOENT);
	close(shr);
	expect_holdings(self.id, 3, 1, 0);
	close(fd);
	CHECK(xengntshr_unshare(self.shr, page, 3) == 0);
	expect_holdings(self.id, 0, 0, 0);
	expect_unaffected();
}

static uint64_t random_next(void)
{
	static uint64_t x = UINT64_C(0x9e3779b97f4a7c15);

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

/* Small numbers mostly, so that some of it is valid. */
static uint32_t random_field(void)
{
	uint64_t r = random_next();

	switch (r % 8) {
	case 0:
		return (uint32_t)(r >> 32);
	case 1:
		return NONE;
	default:
		return (uint32_t)(r >> 32) % 12;
	}
}

static void random_request(int fd)
{
	static const uint32_t ops[] = {HYPERCALL_SHARE, HYPERCALL_SHARE_READY, HYPERCALL_UNSHARE,
		HYPERCALL_MAP, HYPERCALL_MAP_FD, HYPERCALL_UNMAP, HYPERCALL_SET_MAX_GRANTS,
		HYPERCALL_BIND_UNBOUND, HYPERCALL_BIND_INTERDOMAIN, HYPERCALL_UNBIND};
	struct hypercall_gref grefs[4];
	struct hypercall_request req = {.op = ops[random_next() % (sizeof(ops) / sizeof(ops[0]))]};
	uint32_t fields[4];

	for (unsigned int i = 0; i < 4; i++) {
		fields[i] = random_field();
		grefs[i] = (struct hypercall_gref){
			random_next() % 2 ? self.id : other.id, random_field()};
	}
	req.flags = random_field();
	memcpy(&req.share, fields, sizeof(fields));
	if (req.op == HYPERCALL_MAP)
		req.map.nr_grefs = (uint32_t)(random_next() % 5);
	else if (random_next() % 2)
		req.share.domid = self.id;
	else if (random_next() % 2)
		req.range.share_id = random_next() % 4000;
	raw_call(fd, &req, grefs, req.op == HYPERCALL_MAP ? req.map.nr_grefs * sizeof(grefs[0]) : 0,
		NULL, NULL);
}

/* Whatever is asked in whatever order, in the end everything is given back. */
static void random_requests(void)
{
	enum { NR = 9 };
	int fds[NR];

	enter_both();
	for (int i = 0; i < NR; i++)
		fds[i] = raw_open((uint32_t)(1 + i % 3));
	for (int i = 0; i < 30000; i++) {
		int at = (int)(random_next() % NR);

		if (random_next() % 200 == 0) {
			close(fds[at]);
			fds[at] = raw_open((uint32_t)(1 + at % 3));
		}
		random_request(fds[at]);
	}
	for (int i = 0; i < NR; i++)
		close(fds[i]);
	expect_holdings(self.id, 0, 0, 0);
	expect_unaffected();
}

/* Descriptors for the hypervisor: refused by the kernel or with the connection, never kept. */
static void descriptors_attached(void)
{
	struct hypercall_request req = {
		.op = HYPERCALL_OPEN, .open = {HYPERCALL_VERSION, HYPERCALL_GNTTAB}};
	int fds[2] = {0, 1}, fd;

	enter_both();
	for (int i = 0; i < 100; i++) {
		fd = raw_connect();
		if (unixsock_send(fd, &req, sizeof(req), fds, 2, 0) == 0)
			expect_closed(fd);
		else
			close(fd);
		fd = control_open();
		if (unixsock_send(fd, "ping", 5, fds, 2, 0) == 0)
			expect_closed(fd);
		else
			close(fd);
	}
	expect_unaffected();
}

/* A domain that does not read its replies loses the connection; nobody waits for it. */
static void replies_not_read(void)
{
	struct hypercall_request req = {.op = HYPERCALL_SHARE,
		.flags = HYPERCALL_WRITABLE,
		.share = {.nr_pages = 1, .notify_offset = NONE, .notify_port = NONE}};
	int fd, sent = 0;

	enter_both();
	fd = raw_open(HYPERCALL_GNTSHR);
	req.share.domid = self.id;
	while (sent < 200000 && send(fd, &req, sizeof(req), MSG_NOSIGNAL) == sizeof(req))
		sent++;
	CHECK(sent < 200000);
	close(fd);
	expect_holdings(self.id, 0, 0, 0);
	expect_unaffected();
}

/* Far more connections than a domain may have: the others are closed, and it goes on. */
static void thousands_of_connections(void)
{
	enum { NR = 3000 };
	static int fds[NR];
	int nr = 0;

	enter_both();
	for (; nr < NR; nr++) {
		fds[nr] = unixsock_connect(getenv(HYPERCALL_ENV), SOCK_SEQPACKET);
		if (fds[nr] < 0)
			break;
	}
	expect_unaffected();
	while (nr > 0)
		close(fds[--nr]);
	for (int i = 0; i < NR; i++)
		close(raw_connect());
	expect_unaffected();
	close(raw_open(HYPERCALL_GNTTAB));
}

/* Processes that die in the middle of it. */
static void connect_and_die(void)
{
	struct child child;

	enter_both();
	for (int i = 0; i < 50; i++) {
		if (child_start(&child)) {
			struct hypercall_request req = {.op = HYPERCALL_OPEN,
				.open = {HYPERCALL_VERSION, HYPERCALL_GNTSHR}};
			int fd = raw_connect();

			say(&child, 0);
			for (;;) {
				send(fd, &req, sizeof(req), MSG_DONTWAIT | MSG_NOSIGNAL);
				req = (struct hypercall_request){.op = HYPERCALL_SHARE,
					.flags = 1,
					.share = {self.id, 3, NONE, NONE}};
			}
		}
		hear(&child);
		child_kill(&child);
	}
	expect_holdings(self.id, 0, 0, 0);
	expect_unaffected();
}

/*
 * Run with few descriptors for the hypervisor. One domain takes what it can get of everything that
 * costs one; another can be created, and work.
 */
static void descriptors_exhausted(void)
{
	static struct party late;
	uint32_t ref;
	int nr[4] = {0};

	enter_both();
	while (nr[0] < 10000 && xengntshr_share_pages(self.shr, self.id, 1, &ref, 1))
		nr[0]++;
	CHECK(errno == EMFILE && nr[0] > 20);
	while (nr[1] < 10000 && xenevtchn_bind_unbound_port(self.ev, self.id) > 0)
		nr[1]++;
	CHECK(errno == EMFILE);
	/* What is mapped and unshared costs nobody anything, however much it is. */
	for (; nr[2] < 1000; nr[2]++) {
		void *page = xengntshr_share_pages(other.shr, self.id, 1, &ref, 1);

		CHECK(page && map(&self, &other, ref, PROT_READ));
		CHECK(xengntshr_unshare(other.shr, page, 1) == 0);
	}
	CHECK(xengntshr_close(other.shr) == 0);
	other.shr = NULL;
	while (nr[3] < 2000) {
		int fd = raw_connect();
		struct pollfd pfd = {.fd = fd, .events = POLLIN};

		nr[3]++;
		if (poll(&pfd, 1, 20) == 1)
			break;
	}
	CHECK(nr[3] < 2000);
	expect_alive();
	party_enter(&late, "protocol-late");
	CHECK(share(&late, &late, 1, &ref, 1));
	CHECK(map(&late, &late, ref, PROT_READ));
	CHECK(xenevtchn_bind_unbound_port(late.ev, late.id) > 0);
	party_leave(&late);
	/* And everything comes back. */
	party_leave(&self);
	party_enter(&self, "protocol-again");
	for (int i = 0; i < nr[0]; i++)
		CHECK(xengntshr_share_pages(self.shr, self.id, 1, &ref, 1));
}

/*
 * Holds the lock of a memfd's inode: a write(2) to it from memory whose page fault nobody answers.
 * Whatever the hypervisor does with that memfd must not need the lock.
 */
static void *write_for_ever(void *arg)
{
	void **args = arg;

	(void)!pwrite(*(int *)args[0], args[1], PAGE, 0);
	return NULL;
}

static void *memory_that_never_comes(void)
{
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING, .range = {.len = PAGE}};
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(page != MAP_FAILED);
	if (uffd < 0) {
		fprintf(stderr, "userfaultfd is not permitted\n");
		_exit(77);
	}
	reg.range.start = (uintptr_t)page;
	CHECK(ioctl(uffd, UFFDIO_API, &api) == 0);
	CHECK(ioctl(uffd, UFFDIO_REGISTER, &reg) == 0);
	return page;
}

static void locked_memfd(void)
{
	static int memfds[2];
	void *page = memory_that_never_comes();
	struct hypercall_request req = {.op = HYPERCALL_SHARE,
		.share = {.nr_pages = 1, .notify_offset = 5, .notify_port = NONE}};
	char packet[sizeof(struct hypercall_reply) + sizeof(uint32_t)];
	static void *args[2][2];
	struct hypercall_reply reply[2];
	struct timespec moment = {.tv_nsec = 50000000};
	pthread_t thread;
	unsigned int nr;
	int shr;

	enter_both();
	shr = raw_open(HYPERCALL_GNTSHR);
	for (uint32_t i = 0; i < 2; i++) {
		req.flags = i;
		req.share.domid = self.id;
		CHECK(send(shr, &req, sizeof(req), 0) == sizeof(req));
		CHECK(unixsock_recv(shr, packet, sizeof(packet), &memfds[i], 1, &nr, 0) > 0);
		CHECK(nr == 1);
		memcpy(&reply[i], packet, sizeof(reply[i]));
		args[i][0] = &memfds[i];
		args[i][1] = page;
		CHECK(pthread_create(&thread, NULL, write_for_ever, args[i]) == 0);
	}
	nanosleep(&moment, NULL);
	req = (struct hypercall_request){
		.op = HYPERCALL_SHARE_READY, .range = {.share_id = reply[0].share.share_id}};
	CHECK(send(shr, &req, sizeof(req), 0) == sizeof(req));
	expect_alive();
	for (uint32_t i = 0; i < 2; i++) {
		req = (struct hypercall_request){.op = HYPERCALL_UNSHARE,
			.range = {.share_id = reply[i].share.share_id, .nr_pages = 1}};
		CHECK(send(shr, &req, sizeof(req), 0) == sizeof(req));
	}
	expect_unaffected();
	close(shr);
	expect_unaffected();
	_exit(0); /* a leak check would wait for the threads */
}

/* ---- the control socket ---- */

static int control_words(int fd, const char *packet, size_t len)
{
	struct control_reply head;
	char reply[CONTROL_PACKET_MAX];
	ssize_t n;

	CHECK(send(fd, packet, len, 0) == (ssize_t)len);
	n = recv(fd, reply, sizeof(reply), 0);
	if (n < (ssize_t)sizeof(head))
		return 1;
	memcpy(&head, reply, sizeof(head));
	return head.status;
}

#define WORDS(fd, text) control_words(fd, text, sizeof(text))

static void control_garbage_about_domains(int fd)
{
	CHECK(WORDS(fd, "domain-list\0domain=nobody") == -ENOENT);
	CHECK(WORDS(fd, "domain-list\0domain=") == -ENOENT);
	CHECK(WORDS(fd, "domain-rename") == -EINVAL);
	CHECK(WORDS(fd, "domain-rename\0domain=protocol-self") == -EINVAL);
	CHECK(WORDS(fd, "domain-rename\0domain=protocol-self\0name=a/b") == -EINVAL);
	CHECK(WORDS(fd, "domain-rename\0domain=protocol-self\0name=protocol-self") == -EEXIST);
	CHECK(WORDS(fd, "domain-rename\0domain=0\0name=zero") == -ENOENT);
	CHECK(WORDS(fd, "domain-pause") == -EINVAL);
	CHECK(WORDS(fd, "domain-pause\0domain=-1") == -ENOENT);
	CHECK(WORDS(fd, "domain-unpause\0domain=0") == -ENOENT);
	CHECK(WORDS(fd, "domain-destroy\0domain=0") == -ENOENT);
	CHECK(WORDS(fd, "driver-restart\0name=protocol-self") == -EINVAL);
	CHECK(WORDS(fd, "driver-restart\0name=") == -ENOENT);
	CHECK(WORDS(fd, "driver-stop\0name=nobody") == -ENOENT);
	CHECK(WORDS(fd, "block-attach\0domain=1\0vdev=xvda\0target=x\0backend=nobody") == -ENOENT);
	CHECK(WORDS(fd, "block-attach\0domain=1\0vdev=xvda\0target=x\0backend=0") == -ENOENT);
	CHECK(WORDS(fd, "block-attach\0domain=1\0vdev=0\0target=x\0backend=1") == -EINVAL);
	CHECK(WORDS(fd, "block-attach\0domain=1\0vdev=xvd\0target=x\0backend=1") == -EINVAL);
	CHECK(WORDS(fd, "block-attach\0domain=1\0vdev=xvda\0target=\0backend=1") == -EINVAL);
	CHECK(WORDS(fd, "block-attach\0domain=1\0vdev=xvda\0target=x\0mode=rw\0backend=1") == -EINVAL);
	CHECK(WORDS(fd, "block-attach\0domain=1\0vdev=xvda\0target=x\0weight=0\0backend=1") == -EINVAL);
	CHECK(WORDS(fd, "block-list\0domain=99999999999") == -ENOENT);
	CHECK(WORDS(fd, "block-detach\0domain=1") == -EINVAL);
	CHECK(WORDS(fd, "block-detach\0domain=1\0vdev=xvda") == -ENOENT);
	CHECK(WORDS(fd, "block-detach\0domain=1\0vdev=\0force=1") == -ENOENT);
}

static void control_garbage(void)
{
	static char packet[CONTROL_PACKET_MAX + 1];
	int fd;

	enter_both();
	/* Closed: not words. */
	memset(packet, 'x', sizeof(packet));
	CHECK(control_words(control_open(), packet, 10) == 1);
	CHECK(control_words(control_open(), packet, CONTROL_PACKET_MAX) == 1);
	packet[sizeof(packet) - 1] = '\0';
	CHECK(control_words(control_open(), packet, sizeof(packet)) == 1);
	memset(packet, 0, sizeof(packet));
	CHECK(control_words(control_open(), packet, CONTROL_MAX_WORDS + 1) == 1);
	/* Answered. */
	fd = control_open();
	CHECK(control_words(fd, packet, CONTROL_MAX_WORDS) == -ENOSYS);
	CHECK(control_words(fd, packet, 1) == -ENOSYS);
	memset(packet, 'y', CONTROL_PACKET_MAX - 1);
	CHECK(control_words(fd, packet, CONTROL_PACKET_MAX) == -ENOSYS);
	CHECK(WORDS(fd, "no-such-verb") == -ENOSYS);
	CHECK(WORDS(fd, "PING") == -ENOSYS);
	CHECK(WORDS(fd, "domain-create") == -EINVAL);
	CHECK(WORDS(fd, "domain-create\0name") == -EINVAL);
	CHECK(WORDS(fd, "domain-create\0name=") == -EINVAL);
	CHECK(WORDS(fd, "domain-create\0name=../../etc") == -EINVAL);
	CHECK(WORDS(fd, "domain-create\0name=protocol-self") == -EEXIST);
	CHECK(WORDS(fd, "driver-start\0name=x") == -EINVAL);
	CHECK(WORDS(fd, "disk-define\0name=x\0target=y") == -EINVAL);
	CHECK(WORDS(fd, "disk-define\0name=x\0target=y\0backend=nobody") == -ENOENT);
	CHECK(WORDS(fd, "disk-define\0name=x\0target=\0backend=protocol-self") == -EINVAL);
	CHECK(WORDS(fd, "disk-define\0name=x\0target=y\0mode=z\0backend=protocol-self") == -EINVAL);
	CHECK(WORDS(fd, "block-attach\0domain=1\0disk=x") == -EINVAL);
	CHECK(WORDS(fd, "block-attach\0domain=99999999999\0disk=x\0vdev=xvda") == -ENOENT);
	CHECK(WORDS(fd, "block-attach\0domain=-1\0disk=x\0vdev=xvda") == -ENOENT);
	CHECK(WORDS(fd, "block-attach\0domain=1\0disk=nothing\0vdev=xvda") == -ENOENT);
	control_garbage_about_domains(fd);
	CHECK(WORDS(fd, "ping") == 0);
	expect_unaffected();
}

/* Replies that nobody reads; the connection is lost, the hypervisor is not. */
static void control_not_reading(void)
{
	int fd, sent = 0;

	enter_both();
	fd = control_open();
	while (sent < 200000 && send(fd, "domain-list", 12, MSG_NOSIGNAL) == 12)
		sent++;
	CHECK(sent < 200000);
	expect_unaffected();
	close(fd);
}

/* Who asked for a driver domain is gone before the answer, twice on one connection. */
static void control_waiter_gone(void)
{
	int fd;

	enter_both();
	for (int i = 0; i < 10; i++) {
		fd = control_open();
		CHECK(send(fd, "driver-start\0name=one\0program=/bin/sleep\0arg=0.1", 49, 0) == 49);
		CHECK(send(fd, "driver-start\0name=two\0program=/bin/sleep\0arg=0.3", 49, 0) == 49);
		if (i % 2) {
			char reply[256];

			CHECK(recv(fd, reply, sizeof(reply), 0) > 0);
		}
		close(fd);
		expect_alive();
		usleep(400000);
	}
	/* Neither is remembered. */
	fd = control_open();
	CHECK(WORDS(fd, "driver-start\0name=one\0program=/bin/true") == -ECHILD);
	CHECK(WORDS(fd, "driver-start\0name=two\0program=/bin/true") == -ECHILD);
	close(fd);
	expect_unaffected();
}

/* A connection has one domain, and takes it along. */
static void control_owns_its_domain(void)
{
	int fd = control_open();

	CHECK(WORDS(fd, "domain-create\0name=first") == 0);
	CHECK(WORDS(fd, "domain-create\0name=second") == -EBUSY);
	close(fd);
	fd = control_open();
	for (int i = 0; i < 1000; i++) {
		int rc = WORDS(fd, "domain-create\0name=first");

		CHECK(rc == 0 || rc == -EEXIST);
		if (rc == 0)
			return;
		usleep(10000);
	}
	CHECK(!"the name is free again");
}

/* ---- lifetime ---- */

static unsigned int open_fds_of(const char *pid)
{
	char path[64];
	unsigned int nr = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	CHECK(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

/* After what was closed here was noticed there. */
static unsigned int settled_fds_of(const char *pid)
{
	unsigned int least = open_fds_of(pid), fds;

	for (int i = 0; i < 50; i++) {
		usleep(2000);
		fds = open_fds_of(pid);
		least = fds < least ? fds : least;
	}
	return least;
}

static unsigned long rss_kib_of(const char *pid)
{
	char path[64], line[256];
	unsigned long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	file = fopen(path, "r");
	CHECK(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "VmRSS: %lu", &kib);
	fclose(file);
	return kib;
}

/* What one domain may do in a short life, together with the one that stays. */
static void one_life(int i)
{
	char name[32];
	uint32_t refs[100];
	int port_x, port_y;
	void *page;

	snprintf(name, sizeof(name), "life-%d", i);
	party_enter(&self, name);
	page = share(&other, &self, 1, &refs[0], 1);
	CHECK(map(&self, &other, refs[0], PROT_READ | PROT_WRITE));
	share(&self, &other, 100, refs, 0);
	bind_pair(&other, &self, &port_x, &port_y);
	CHECK(xengntshr_share_page_notify(
		self.shr, other.id, &refs[1], 0, 3, (evtchn_port_t)port_y));
	CHECK(xengntshr_unshare(other.shr, page, 1) == 0);
	CHECK(xenevtchn_unbind(other.ev, (evtchn_port_t)port_x) == 0);
	party_leave(&self);
}

static void lifetimes(void)
{
	const char *pid = getenv("HYPERVISOR_PID");
	unsigned int fds;
	unsigned long kib;

	CHECK(pid);
	party_enter(&other, "life-other");
	for (int i = 0; i < 50; i++)
		one_life(i);
	expect_gone(self.id);
	fds = settled_fds_of(pid);
	kib = rss_kib_of(pid);
	for (int i = 0; i < 300; i++)
		one_life(i);
	expect_gone(self.id);
	CHECK(settled_fds_of(pid) == fds);
	/* A leak of one page a domain would show; sanitizers keep freed memory for a while. */
	if (!getenv("ASAN_OPTIONS"))
		CHECK(rss_kib_of(pid) < kib + 600);
	expect_unaffected();
}

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{"malformed-packets", malformed_packets},
		{"wrong-operations", wrong_operations},
		{"wrong-ranges", wrong_ranges},
		{"random-requests", random_requests},
		{"descriptors-attached", descriptors_attached},
		{"replies-not-read", replies_not_read},
		{"thousands-of-connections", thousands_of_connections},
		{"connect-and-die", connect_and_die},
		{"descriptors-exhausted", descriptors_exhausted},
		{"locked-memfd", locked_memfd},
		{"control-garbage", control_garbage},
		{"control-not-reading", control_not_reading},
		{"control-waiter-gone", control_waiter_gone},
		{"control-owns-its-domain", control_owns_its_domain},
		{"lifetimes", lifetimes},
	};

	return RUN_SCENARIO(argc, argv, scenarios);
}
