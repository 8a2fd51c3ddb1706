/* SPDX-License-Identifier: MIT */
/*
 * What the programs that play domains share. A program is called with the name of one scenario and
 * ends with status 0 if everything was as it should be; the first thing that was not is printed.
 *
 * A party is a domain with a handle of each interface. One process can play several: a handle
 * belongs to the domain that the environment named when it was opened.
 */
#ifndef RF_TESTS_HOSTILE_DOMAIN_CHECK_H
#define RF_TESTS_HOSTILE_DOMAIN_CHECK_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ringfence/domain.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xentoollog.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/hypercall.h"
#include "common/rundir.h"
#include "common/unixsock.h"

#define PAGE 4096u
#define BOUND_MS 20000 /* says that something hangs, not that it is slow */
#define NONE UINT32_MAX

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not true: %s (errno: %s)\n", __FILE__, __LINE__,   \
				#condition, strerror(errno));                                      \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* The call fails with this errno value. */
#define CHECK_FAILS(failed, error)                                                                 \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK(failed);                                                                     \
		CHECK(errno == (error));                                                           \
	} while (0)

struct party {
	struct rf_domain *domain;
	unsigned int id;
	xengntshr_handle *shr;
	xengnttab_handle *tab;
	xenevtchn_handle *ev;
};

/* Expected errors are many; the libraries shall not print them. */
static inline xentoollog_logger *quiet(void)
{
	static xentoollog_logger_stdiostream *logger;

	if (!logger)
		logger = xtl_createlogger_stdiostream(stderr, XTL_CRITICAL, 0);
	return (xentoollog_logger *)logger;
}

static inline void party_open(struct party *party)
{
	party->shr = xengntshr_open(quiet(), 0);
	party->tab = xengnttab_open(quiet(), 0);
	party->ev = xenevtchn_open(quiet(), 0);
	CHECK(party->shr && party->tab && party->ev);
}

static inline void party_enter(struct party *party, const char *name)
{
	char error[256] = "";

	if (rf_domain_enter(name, &party->domain, error, sizeof(error))) {
		fprintf(stderr, "cannot become domain %s: %s\n", name, error);
		_exit(1);
	}
	party->id = rf_domain_id(party->domain);
	party_open(party);
}

static inline void party_close(struct party *party)
{
	CHECK(xengnttab_close(party->tab) == 0);
	CHECK(xengntshr_close(party->shr) == 0);
	CHECK(xenevtchn_close(party->ev) == 0);
}

static inline void party_leave(struct party *party)
{
	party_close(party);
	rf_domain_leave(party->domain);
}

static inline void *share(
	struct party *from, struct party *to, int count, uint32_t *refs, int writable)
{
	void *page = xengntshr_share_pages(from->shr, to->id, count, refs, writable);

	CHECK(page);
	return page;
}

static inline void *map(struct party *by, struct party *from, uint32_t ref, int prot)
{
	return xengnttab_map_grant_ref(by->tab, from->id, ref, prot);
}

/* ---- events ---- */

static inline bool readable(xenevtchn_handle *ev, int timeout_ms)
{
	struct pollfd pfd = {.fd = xenevtchn_fd(ev), .events = POLLIN};

	return poll(&pfd, 1, timeout_ms) == 1;
}

/* The next event is this port's. */
static inline void expect_event(xenevtchn_handle *ev, int port)
{
	CHECK(readable(ev, BOUND_MS));
	CHECK(xenevtchn_pending(ev) == port);
}

static inline void expect_silence(xenevtchn_handle *ev)
{
	CHECK(!readable(ev, 0));
}

/* Binds two parties; the events that a bind makes are taken. */
static inline void bind_pair(struct party *a, struct party *b, int *port_a, int *port_b)
{
	*port_a = xenevtchn_bind_unbound_port(a->ev, b->id);
	CHECK(*port_a > 0);
	*port_b = xenevtchn_bind_interdomain(b->ev, a->id, (evtchn_port_t)*port_a);
	CHECK(*port_b > 0);
	expect_event(b->ev, *port_b);
	CHECK(xenevtchn_unmask(b->ev, (evtchn_port_t)*port_b) == 0);
	expect_silence(a->ev);
	expect_silence(b->ev);
}

/* ---- the raw protocol ---- */

/* A connection as the domain that the environment names. */
static inline int raw_connect(void)
{
	int fd = unixsock_connect(getenv(HYPERCALL_ENV), SOCK_SEQPACKET);

	CHECK(fd >= 0);
	return fd;
}

/* One request, its status; *reply and a descriptor if they are wanted. */
static inline int raw_call(int fd, const struct hypercall_request *req, const void *extra,
	size_t extra_len, struct hypercall_reply *reply, int *received)
{
	char out[HYPERCALL_REQUEST_MAX], in[HYPERCALL_REPLY_MAX];
	int fds[HYPERCALL_MAX_FDS] = {-1, -1};
	struct hypercall_reply head;
	unsigned int nr = 0;
	ssize_t n;

	memcpy(out, req, sizeof(*req));
	if (extra_len)
		memcpy(out + sizeof(*req), extra, extra_len);
	CHECK(unixsock_send(fd, out, sizeof(*req) + extra_len, NULL, 0, 0) == 0);
	n = unixsock_recv(fd, in, sizeof(in), fds, HYPERCALL_MAX_FDS, &nr, 0);
	CHECK(n >= (ssize_t)sizeof(head));
	memcpy(&head, in, sizeof(head));
	if (reply)
		*reply = head;
	if (received)
		*received = fds[0];
	for (unsigned int i = received ? 1 : 0; i < nr; i++)
		close(fds[i]);
	return head.status;
}

static inline int raw_open(uint32_t interface)
{
	struct hypercall_request req = {.op = HYPERCALL_OPEN,
		.open = {.version = HYPERCALL_VERSION, .interface = interface}};
	int fd = raw_connect();

	CHECK(raw_call(fd, &req, NULL, 0, NULL, NULL) == 0);
	return fd;
}

/* Maps one reference; returns the status and, on success, the share's id. */
static inline int raw_map(int fd, uint32_t domid, uint32_t ref, uint32_t flags, uint64_t *share_id)
{
	struct hypercall_request req = {.op = HYPERCALL_MAP,
		.flags = flags,
		.map = {.nr_grefs = 1, .notify_offset = NONE, .notify_port = NONE}};
	struct hypercall_gref gref = {domid, ref};
	char in[sizeof(struct hypercall_reply) + sizeof(struct hypercall_mapped)];
	char out[sizeof(req) + sizeof(gref)];
	struct hypercall_mapped mapped;
	struct hypercall_reply reply;

	memcpy(out, &req, sizeof(req));
	memcpy(out + sizeof(req), &gref, sizeof(gref));
	CHECK(send(fd, out, sizeof(out), 0) == sizeof(out));
	CHECK(recv(fd, in, sizeof(in), 0) >= (ssize_t)sizeof(reply));
	memcpy(&reply, in, sizeof(reply));
	memcpy(&mapped, in + sizeof(reply), sizeof(mapped));
	if (reply.status == 0 && share_id)
		*share_id = mapped.share_id;
	return reply.status;
}

/* The memfd behind a mapped share, as only a domain that ignores the library gets it. */
static inline int raw_map_fd(int fd, uint64_t share_id)
{
	struct hypercall_request req = {.op = HYPERCALL_MAP_FD, .range = {.share_id = share_id}};
	int memfd = -1;

	CHECK(raw_call(fd, &req, NULL, 0, NULL, &memfd) == 0);
	CHECK(memfd >= 0);
	return memfd;
}

/* ---- asking the hypervisor ---- */

static inline int control_open(void)
{
	char run_dir[256];
	int fd;

	CHECK(rundir_path(run_dir, sizeof(run_dir)) == 0);
	fd = control_connect(run_dir);
	CHECK(fd >= 0);
	return fd;
}

/* The hypervisor answers, within a bound. */
static inline void expect_alive(void)
{
	static const char *const words[] = {"ping", NULL};
	char *text;
	int fd = control_open();

	CHECK(control_call(fd, words, BOUND_MS, &text, NULL, NULL) == 0);
	free(text);
	close(fd);
}

struct holdings {
	unsigned int grants, maps, ports, connections;
};

/* What domain-list says about a domain. False if it is not there. */
static inline bool holdings_of(unsigned int domid, struct holdings *h)
{
	static const char *const words[] = {"domain-list", NULL};
	char key[32], *text, *line;
	int fd = control_open(), n = 0;

	CHECK(control_call(fd, words, BOUND_MS, &text, NULL, NULL) == 0);
	close(fd);
	snprintf(key, sizeof(key), "domid=%u ", domid);
	line = strstr(text, key);
	if (line)
		line = strstr(line, "grants=");
	if (line)
		n = sscanf(line, "grants=%u maps=%u ports=%u connections=%u", &h->grants, &h->maps,
			&h->ports, &h->connections);
	free(text);
	return n == 4;
}

/* A domain comes to hold exactly this, soon. */
static inline void expect_holdings(
	unsigned int domid, unsigned int grants, unsigned int maps, unsigned int ports)
{
	uint64_t deadline_ns = clock_ns() + BOUND_MS * NSEC_PER_MSEC;
	struct holdings h = {0};

	do {
		CHECK(holdings_of(domid, &h));
		if (h.grants == grants && h.maps == maps && h.ports == ports)
			return;
		usleep(2000);
	} while (clock_ns() < deadline_ns);
	fprintf(stderr, "domain %u holds grants=%u maps=%u ports=%u, not %u %u %u\n", domid,
		h.grants, h.maps, h.ports, grants, maps, ports);
	_exit(1);
}

static inline void expect_gone(unsigned int domid)
{
	uint64_t deadline_ns = clock_ns() + BOUND_MS * NSEC_PER_MSEC;
	struct holdings h;

	while (holdings_of(domid, &h)) {
		CHECK(clock_ns() < deadline_ns);
		usleep(2000);
	}
}

/* ---- processes ---- */

/*
 * Forks a process that ends with its parent. Both ends of a pipe pair let them take turns:
 * say() and hear() one byte, or a number.
 */
struct child {
	pid_t pid;
	int in, out; /* ours */
};

static inline bool child_start(struct child *child)
{
	int down[2], up[2];

	CHECK(pipe(down) == 0 && pipe(up) == 0);
	child->pid = fork();
	CHECK(child->pid >= 0);
	if (child->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		child->in = down[0];
		child->out = up[1];
		close(down[1]);
		close(up[0]);
		return true;
	}
	child->in = up[0];
	child->out = down[1];
	close(down[0]);
	close(up[1]);
	return false;
}

static inline void say(const struct child *child, uint32_t value)
{
	CHECK(write(child->out, &value, sizeof(value)) == sizeof(value));
}

static inline uint32_t hear(const struct child *child)
{
	struct pollfd pfd = {.fd = child->in, .events = POLLIN};
	uint32_t value;

	CHECK(poll(&pfd, 1, BOUND_MS) == 1);
	CHECK(read(child->in, &value, sizeof(value)) == sizeof(value));
	return value;
}

static inline void child_kill(struct child *child)
{
	CHECK(kill(child->pid, SIGKILL) == 0);
	CHECK(waitpid(child->pid, NULL, 0) == child->pid);
	close(child->in);
	close(child->out);
}

/* The child ends by itself, satisfied. */
static inline void child_join(struct child *child)
{
	int status;

	CHECK(waitpid(child->pid, &status, 0) == child->pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(child->in);
	close(child->out);
}

/* ---- choosing a scenario ---- */

struct scenario {
	const char *name;
	void (*run)(void);
};

static inline int run_scenario(int argc, char **argv, const struct scenario *scenarios, size_t nr)
{
	for (size_t i = 0; argc == 2 && i < nr; i++) {
		if (strcmp(argv[1], scenarios[i].name) == 0) {
			/* A hanging call ends the test, too. */
			alarm(120);
			scenarios[i].run();
			return 0;
		}
	}
	fprintf(stderr, "usage: %s SCENARIO, one of:\n", argv[0]);
	for (size_t i = 0; i < nr; i++)
		fprintf(stderr, "  %s\n", scenarios[i].name);
	return 2;
}

#define RUN_SCENARIO(argc, argv, scenarios)                                                        \
	run_scenario(argc, argv, scenarios, sizeof(scenarios) / sizeof((scenarios)[0]))

#endif
