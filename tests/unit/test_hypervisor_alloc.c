/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of memory, and every call that makes a descriptor or a mapping, fails once, in
 * each request that a domain or a toolstack may make: the answer is an error, nothing has changed,
 * the same request succeeds afterwards, and in the end nothing is left. Linked with --wrap
 * (tests/tests.mk).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "common/control.h"
#include "test_hypervisor_fixture.h"

/* ---- calls that fail ---- */

static long good = -1; /* calls that still succeed; negative: all */
static bool failed;    /* one did not */

static bool must_fail(int error)
{
	if (good < 0 || good-- > 0)
		return false;
	failed = true;
	errno = error;
	return true;
}

#define WRAP(type, name, failure, error, parameters, arguments)                                    \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return must_fail(error) ? (failure) : __real_##name arguments;                     \
	}

WRAP(void *, malloc, NULL, ENOMEM, (size_t size), (size))
WRAP(void *, calloc, NULL, ENOMEM, (size_t nr, size_t size), (nr, size))
WRAP(void *, realloc, NULL, ENOMEM, (void *ptr, size_t size), (ptr, size))
WRAP(FILE *, open_memstream, NULL, ENOMEM, (char **text, size_t *size), (text, size))
WRAP(void *, mmap, MAP_FAILED, ENOMEM,
	(void *addr, size_t len, int prot, int flags, int fd, off_t offset),
	(addr, len, prot, flags, fd, offset))
WRAP(int, memfd_create, -1, EMFILE, (const char *name, unsigned int flags), (name, flags))
WRAP(int, eventfd, -1, EMFILE, (unsigned int value, int flags), (value, flags))
WRAP(int, epoll_create1, -1, EMFILE, (int flags), (flags))
WRAP(int, socket, -1, EMFILE, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, bind, -1, ENOMEM, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
WRAP(int, listen, -1, ENOMEM, (int fd, int backlog), (fd, backlog))
WRAP(int, socketpair, -1, EMFILE, (int domain, int type, int protocol, int fds[2]),
	(domain, type, protocol, fds))

/* Only what adds to a set needs memory. */
int __real_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	return op == EPOLL_CTL_ADD && must_fail(ENOMEM) ? -1 : __real_epoll_ctl(epfd, op, fd, ev);
}

/* The hypervisor has no use for it that creates a file. */
int __real_openat(int dir_fd, const char *path, int flags, ...);
int __wrap_openat(int dir_fd, const char *path, int flags, ...);
int __wrap_openat(int dir_fd, const char *path, int flags, ...)
{
	return must_fail(EMFILE) ? -1 : __real_openat(dir_fd, path, flags);
}

/* ---- a small world: two domains with a handle of each kind, and a toolstack ---- */

static struct {
	struct domain *one, *two;
	int shr, tab, ev, ev2, control;
	uint32_t grefs[3], port;
} world;

/* Sends one packet, lets the hypervisor work, takes the answer. Its length, or -errno. */
static ssize_t ask(int fd, const void *packet, size_t len, void *reply, size_t size)
{
	int fds[2];
	unsigned int nr_fds = 0;
	ssize_t n;

	if (unixsock_send(fd, packet, len, NULL, 0, MSG_DONTWAIT))
		return -ECONNRESET;
	hv_turn();
	n = unixsock_recv(fd, reply, size, fds, 2, &nr_fds, MSG_DONTWAIT);
	for (unsigned int i = 0; i < nr_fds; i++)
		close(fds[i]);
	return n == 0 ? -ECONNRESET : n;
}

static int hypercall(int fd, const void *packet, size_t len, void *payload, size_t payload_len)
{
	static char in[HYPERCALL_REPLY_MAX];
	struct hypercall_reply head;
	ssize_t n = ask(fd, packet, len, in, sizeof(in));

	if (n < 0)
		return (int)n;
	memcpy(&head, in, sizeof(head));
	if (head.status == 0 && payload) {
		memcpy(payload, in + sizeof(head), payload_len);
		world.port = head.evtchn.port;
	}
	return head.status;
}

static int connect_path(int dir_fd, const char *name)
{
	long kept = good;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d%s", dir_fd, name);
	good = -1; /* ours does not fail */
	fd = unixsock_connect(path, SOCK_SEQPACKET);
	good = kept;
	assert_true(fd >= 0);
	return fd;
}

/* A new handle. Or -errno. */
static int hypercall_open(const struct domain *dom, uint32_t interface)
{
	struct hypercall_request req = {
		.op = HYPERCALL_OPEN, .open = {HYPERCALL_VERSION, interface}};
	int fd = connect_path(dom->hypercall_path_fd, ""), rc;

	hv_turn();
	rc = hypercall(fd, &req, sizeof(req), NULL, 0);
	if (rc)
		close(fd);
	return rc ? rc : fd;
}

static int control(const char *words, size_t len)
{
	char in[CONTROL_PACKET_MAX];
	struct control_reply head;
	ssize_t n = ask(world.control, words, len, in, sizeof(in));

	if (n < 0)
		return (int)n;
	memcpy(&head, in, sizeof(head));
	return head.status;
}
#define CONTROL(words) control(words, sizeof(words))

static int share(uint32_t flags, uint32_t nr_pages, uint32_t offset, uint32_t port, uint32_t *gref)
{
	struct hypercall_request req = {.op = HYPERCALL_SHARE,
		.flags = flags,
		.share = {world.two->id, nr_pages, offset, port}};
	uint32_t kept = world.port;
	int rc = hypercall(world.shr, &req, sizeof(req), gref, gref ? sizeof(*gref) : 0);

	world.port = kept;
	return rc;
}

static int bind_unbound(void)
{
	struct hypercall_request req = {
		.op = HYPERCALL_BIND_UNBOUND, .evtchn = {.domid = world.two->id}};
	uint32_t none;

	return hypercall(world.ev, &req, sizeof(req), &none, 0);
}

static void world_open(enum hypercall_port_kind kind)
{
	static const struct domain_limits limits = {10, 4096, 4096, 64, 16};

	hv_open(&limits, 1000, kind);
	assert_int_equal(control_server_init(&hv), 0);
	assert_int_equal(domain_create(&hv, "one", DOMAIN_GUEST, 0, &world.one), 0);
	assert_int_equal(domain_create(&hv, "two", DOMAIN_GUEST, 0, &world.two), 0);
	world.control = connect_path(hv.run_dir_fd, "/control");
	world.shr = hypercall_open(world.one, HYPERCALL_GNTSHR);
	world.ev = hypercall_open(world.one, HYPERCALL_EVTCHN);
	world.tab = hypercall_open(world.two, HYPERCALL_GNTTAB);
	world.ev2 = hypercall_open(world.two, HYPERCALL_EVTCHN);
	assert_true(world.shr >= 0 && world.ev >= 0 && world.tab >= 0 && world.ev2 >= 0);
	assert_int_equal(bind_unbound(), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(share(HYPERCALL_WRITABLE, 1, NONE, NONE, &world.grefs[i]), 0);
	assert_int_equal(CONTROL("disk-define\0name=disk\0target=/dev/null\0backend=one"), 0);
	/* The folders that all disks of a domain share stay once they are made. */
	assert_int_equal(CONTROL("block-attach\0domain=2\0disk=disk\0vdev=xvdb"), 0);
}

static void world_close(void)
{
	close(world.shr);
	close(world.ev);
	close(world.tab);
	close(world.ev2);
	close(world.control);
	hv_turn();
	control_server_fini(&hv);
	hv_close();
}

/* All that can be counted. */
struct counts {
	unsigned int grants[2], maps[2], ports[2], fds, domains, shares, disks, vbds, open_fds;
	unsigned int names; /* in the runtime directory */
	unsigned long nodes;
};

static struct counts count(void)
{
	struct store_stats stats;
	struct counts c;

	memset(&c, 0, sizeof(c));
	hv_check();
	store_get_stats(hv.store, &stats);
	for (int i = 0; i < 2; i++) {
		const struct domain *dom = i ? world.two : world.one;

		c.grants[i] = dom->nr_grants;
		c.maps[i] = dom->nr_maps;
		c.ports[i] = dom->nr_ports;
	}
	c.fds = hv.nr_fds;
	c.domains = hv.nr_domains;
	c.shares = nr_shares();
	c.disks = list_length(&hv.disks);
	c.vbds = list_length(&hv.vbds);
	c.open_fds = nr_open_fds();
	c.names = nr_names(hv.run_dir);
	c.nodes = stats.nr_nodes;
	return c;
}

/* Runs `request` with the k-th call failing, for every k. */
static void fail_each(int (*request)(void), enum hypercall_port_kind kind)
{
	unsigned int nr_fds = nr_open_fds();
	struct counts before, after;
	long k;
	int rc;

	failed = true;
	for (k = 0; failed; k++) {
		snprintf(hv_context, sizeof(hv_context), "(call %ld fails)", k);
		world_open(kind);
		before = count();
		failed = false;
		good = k;
		rc = request();
		good = -1;
		after = count();
		if (rc) {
			assert_true(failed);
			assert_true(rc == -ENOMEM || rc == -EMFILE || rc == -ECONNRESET);
			assert_memory_equal(&before, &after, sizeof(before));
			assert_int_equal(request(), 0);
			hv_check();
		}
		world_close();
		assert_int_equal(nr_open_fds(), nr_fds);
	}
	assert_true(k > 1);
}

static void fail_each_of_both_kinds(int (*request)(void))
{
	fail_each(request, HYPERCALL_PORT_SEQPACKET);
	if (evtchn_probe() == HYPERCALL_PORT_EVENTFD)
		fail_each(request, HYPERCALL_PORT_EVENTFD);
}

/* ---- requests of a domain ---- */

static int request_open(void)
{
	int fd = hypercall_open(world.one, HYPERCALL_GNTTAB);

	if (fd >= 0)
		close(fd);
	hv_turn();
	return fd < 0 ? fd : 0;
}

static int request_share(void)
{
	return share(HYPERCALL_WRITABLE, 3, NONE, NONE, NULL);
}

static int request_share_with_notification(void)
{
	return share(HYPERCALL_WRITABLE, 2, 7, world.port, NULL);
}

static int request_share_read_only_with_notification(void)
{
	return share(0, 2, 7, world.port, NULL);
}

static int request_share_many(void)
{
	return share(HYPERCALL_WRITABLE, 1000, NONE, NONE, NULL);
}

/* Three shares, and one of them twice. */
static int request_map(void)
{
	struct {
		struct hypercall_request req;
		struct hypercall_gref refs[4];
	} packet = {.req = {.op = HYPERCALL_MAP, .flags = 1, .map = {4, NONE, NONE}}};

	for (int i = 0; i < 4; i++)
		packet.refs[i] = (struct hypercall_gref){world.one->id, world.grefs[i % 3]};
	return hypercall(world.tab, &packet, sizeof(packet), NULL, 0);
}

static int request_map_with_notification(void)
{
	struct {
		struct hypercall_request req;
		struct hypercall_gref ref;
	} packet = {.req = {.op = HYPERCALL_MAP, .flags = 1, .map = {1, 9, NONE}},
		.ref = {world.one->id, world.grefs[0]}};

	return hypercall(world.tab, &packet, sizeof(packet), NULL, 0);
}

static int request_bind_interdomain(void)
{
	struct hypercall_request req = {.op = HYPERCALL_BIND_INTERDOMAIN,
		.evtchn = {.domid = world.one->id, .port = world.port}};

	return hypercall(world.ev2, &req, sizeof(req), NULL, 0);
}

/* More than there are slots at first. */
static int request_bind_unbound(void)
{
	struct hypercall_request req = {
		.op = HYPERCALL_BIND_UNBOUND, .evtchn = {.domid = world.two->id}};

	return hypercall(world.ev, &req, sizeof(req), NULL, 0);
}

static void a_handle_without_memory(void **state)
{
	(void)state;
	fail_each_of_both_kinds(request_open);
}

static void xsa_365_a_share_without_memory_leaves_no_grants(void **state)
{
	(void)state;
	fail_each_of_both_kinds(request_share);
	fail_each_of_both_kinds(request_share_with_notification);
	fail_each_of_both_kinds(request_share_read_only_with_notification);
	fail_each_of_both_kinds(request_share_many);
}

static void xsa_371_a_map_without_memory_leaves_no_maps(void **state)
{
	(void)state;
	fail_each_of_both_kinds(request_map);
	fail_each_of_both_kinds(request_map_with_notification);
}

static void a_bind_without_memory_leaves_no_port(void **state)
{
	(void)state;
	fail_each_of_both_kinds(request_bind_unbound);
	fail_each_of_both_kinds(request_bind_interdomain);
}

/* ---- requests of a toolstack, and the ends of domains ---- */

static int request_domain(void)
{
	struct domain *dom;

	return domain_create(&hv, "three", DOMAIN_GUEST, 0, &dom);
}

static int request_domain_create(void)
{
	return CONTROL("domain-create\0name=three");
}

static int request_disk_define(void)
{
	return CONTROL("disk-define\0name=more\0target=/dev/null\0backend=one");
}

static int request_block_attach(void)
{
	return CONTROL("block-attach\0domain=2\0disk=disk\0vdev=xvda");
}

static int request_domain_list(void)
{
	return CONTROL("domain-list");
}

static int request_disk_list(void)
{
	return CONTROL("disk-list");
}

static int request_specified_disk(void)
{
	return CONTROL("block-attach\0domain=2\0vdev=xvda\0target=/dev/null\0backend=one\0mode=w");
}

static int request_block_list(void)
{
	return CONTROL("block-list");
}

static int request_one_domain(void)
{
	return CONTROL("domain-list\0domain=two");
}

static int request_rename(void)
{
	return CONTROL("domain-rename\0domain=two\0name=a-longer-name-than-it-has");
}

static int request_info(void)
{
	return CONTROL("info");
}

static int request_dmesg(void)
{
	return CONTROL("dmesg\0clear=1");
}

static void a_domain_without_memory_leaves_nothing(void **state)
{
	(void)state;
	fail_each(request_domain, HYPERCALL_PORT_SEQPACKET);
	fail_each(request_domain_create, HYPERCALL_PORT_SEQPACKET);
	fail_each(request_rename, HYPERCALL_PORT_SEQPACKET);
}

static void a_disk_without_memory_leaves_nothing(void **state)
{
	(void)state;
	fail_each(request_disk_define, HYPERCALL_PORT_SEQPACKET);
	fail_each(request_block_attach, HYPERCALL_PORT_SEQPACKET);
	fail_each(request_specified_disk, HYPERCALL_PORT_SEQPACKET);
}

static void a_list_without_memory_is_refused(void **state)
{
	(void)state;
	fail_each(request_domain_list, HYPERCALL_PORT_SEQPACKET);
	fail_each(request_disk_list, HYPERCALL_PORT_SEQPACKET);
	fail_each(request_block_list, HYPERCALL_PORT_SEQPACKET);
	fail_each(request_one_domain, HYPERCALL_PORT_SEQPACKET);
	fail_each(request_info, HYPERCALL_PORT_SEQPACKET);
	fail_each(request_dmesg, HYPERCALL_PORT_SEQPACKET);
}

static int request_connection(void)
{
	int fd = connect_path(hv.run_dir_fd, "/control");
	char reply[256];
	ssize_t n = ask(fd, "ping", 5, reply, sizeof(reply));

	close(fd);
	hv_turn();
	return n < 0 ? (int)n : 0;
}

static void a_toolstack_without_memory(void **state)
{
	(void)state;
	fail_each(request_connection, HYPERCALL_PORT_SEQPACKET);
}

/* The end of a domain cannot be refused: it has to do with what memory there is. */
static int request_end(void)
{
	domain_destroy(world.two);
	world.two = world.one;
	return 0;
}

static void a_domain_ends_without_memory(void **state)
{
	unsigned int nr_fds = nr_open_fds();
	uint32_t kind = HYPERCALL_PORT_SEQPACKET;

	(void)state;
	failed = true;
	for (long k = 0; failed; k++) {
		snprintf(hv_context, sizeof(hv_context), "(call %ld fails)", k);
		world_open(kind);
		assert_int_equal(request_map_with_notification(), 0);
		assert_int_equal(request_bind_interdomain(), 0);
		assert_int_equal(request_block_attach(), 0);
		failed = false;
		good = k;
		assert_int_equal(request_end(), 0);
		good = -1;
		/* Checks that no count, no descriptor and no node is left. */
		world_close();
		assert_int_equal(nr_open_fds(), nr_fds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handle_without_memory),
		cmocka_unit_test(xsa_365_a_share_without_memory_leaves_no_grants),
		cmocka_unit_test(xsa_371_a_map_without_memory_leaves_no_maps),
		cmocka_unit_test(a_bind_without_memory_leaves_no_port),
		cmocka_unit_test(a_domain_without_memory_leaves_nothing),
		cmocka_unit_test(a_disk_without_memory_leaves_nothing),
		cmocka_unit_test(a_list_without_memory_is_refused),
		cmocka_unit_test(a_toolstack_without_memory),
		cmocka_unit_test(a_domain_ends_without_memory),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("hypervisor: without memory", tests, NULL, NULL);
}
