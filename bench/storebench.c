/* SPDX-License-Identifier: MIT */
/*
 * storebench: a load on a xenstore daemon through the system's libxenstore, and the barest server
 * to compare it with. XENSTORED_PATH says which daemon. The load prints operations per second.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xenstore.h>
#include <xen/io/xs_wire.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/fdlimit.h"
#include "common/parse.h"
#include "common/rundir.h"
#include "common/unixsock.h"

#define VALUE "0123456789abcdef"
#define VALUE_BYTES (sizeof(VALUE) - 1)
#define PATH_SIZE 32
#define TOKEN "token"
#define DOMAINS_MAX 4096
#define CONTROL_TIMEOUT_MS 10000
#define CHECK_EVERY 16 /* operations between two looks at the clock */

static const char usage[] =
	"Usage: storebench echo SOCKET          answer every request with a fixed reply\n"
	"       storebench fill NODES           make the nodes that a load uses\n"
	"       storebench hold DOMAINS         idle domains with a watch each, until end of "
	"input\n"
	"       storebench OPERATION NODES MS   read, write, txn or watch at random nodes\n";

__attribute__((noreturn)) static void die(const char *what, int err)
{
	fprintf(stderr, "storebench: %s: %s\n", what, strerror(err));
	exit(1);
}

/* ---- the bare server: one receive, one send a request ---- */

struct echo_conn {
	int fd;
	bool watching;
	size_t have;
	unsigned char in[2 * (sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX)];
};

static void echo_send(int fd, const struct xsd_sockmsg *hdr, const char *body, size_t len)
{
	unsigned char out[sizeof(*hdr) + 128];
	struct xsd_sockmsg reply = *hdr;

	reply.len = (uint32_t)len;
	memcpy(out, &reply, sizeof(reply));
	memcpy(out + sizeof(reply), body, len);
	if (send(fd, out, sizeof(reply) + len, MSG_NOSIGNAL) < 0 && errno != EPIPE)
		die("send", errno);
}

static void echo_answer(struct echo_conn *conn, const struct xsd_sockmsg *hdr, const char *payload)
{
	struct xsd_sockmsg event = {.type = XS_WATCH_EVENT};
	char body[PATH_SIZE + sizeof(TOKEN)] = "";
	size_t len = strnlen(payload, hdr->len < PATH_SIZE ? hdr->len : PATH_SIZE - 1) + 1;

	if (hdr->type == XS_READ)
		echo_send(conn->fd, hdr, VALUE, VALUE_BYTES);
	else if (hdr->type == XS_TRANSACTION_START)
		echo_send(conn->fd, hdr, "1", 2);
	else
		echo_send(conn->fd, hdr, "OK", 3);
	conn->watching |= hdr->type == XS_WATCH;
	if (hdr->type == XS_WRITE && conn->watching) {
		memcpy(body, payload, len - 1);
		memcpy(body + len, TOKEN, sizeof(TOKEN));
		echo_send(conn->fd, &event, body, len + sizeof(TOKEN));
	}
}

/* False at the end of the connection. */
static bool echo_serve(struct echo_conn *conn)
{
	struct xsd_sockmsg hdr;
	size_t at = 0;
	ssize_t n = recv(conn->fd, conn->in + conn->have, sizeof(conn->in) - conn->have, 0);

	if (n <= 0)
		return false;
	conn->have += (size_t)n;
	while (conn->have - at >= sizeof(hdr)) {
		memcpy(&hdr, conn->in + at, sizeof(hdr));
		if (hdr.len > XENSTORE_PAYLOAD_MAX)
			return false;
		if (conn->have - at < sizeof(hdr) + hdr.len)
			break;
		echo_answer(conn, &hdr, (const char *)conn->in + at + sizeof(hdr));
		at += sizeof(hdr) + hdr.len;
	}
	conn->have -= at;
	memmove(conn->in, conn->in + at, conn->have);
	return true;
}

static int echo_listen(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		die(path, ENAMETOOLONG);
	memcpy(addr.sun_path, path, strlen(path));
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 16) < 0)
		die(path, errno);
	return fd;
}

__attribute__((noreturn)) static void echo(const char *path)
{
	int listen_fd = echo_listen(path), epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = {.events = EPOLLIN};
	struct echo_conn *conn;

	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) < 0)
		die("epoll", errno);
	/* Whoever started us may end before it can end us. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	for (;;) {
		if (epoll_wait(epoll_fd, &ev, 1, -1) < 1)
			continue;
		conn = ev.data.ptr;
		if (!conn) {
			conn = calloc(1, sizeof(*conn));
			if (!conn)
				die("connection", ENOMEM);
			conn->fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
			ev = (struct epoll_event){.events = EPOLLIN, .data.ptr = conn};
			if (conn->fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, conn->fd, &ev) < 0)
				die("accept", errno);
		} else if (!echo_serve(conn)) {
			close(conn->fd);
			free(conn);
		}
	}
}

/* ---- idle domains ---- */

/* A new domain with a connection to its store and a watch. Nothing is ever closed: we end. */
static void hold_domain(const char *run_dir, unsigned int i)
{
	static const char payload[] = "name\0idle";
	struct xsd_sockmsg hdr = {.type = XS_WATCH, .len = sizeof(payload)};
	int control = control_connect(run_dir), fds[CONTROL_MAX_FDS], store, rc;
	unsigned int nr_fds = CONTROL_MAX_FDS;
	char name[32], path[PATH_SIZE], *text;

	if (control < 0)
		die(run_dir, -control);
	snprintf(name, sizeof(name), "name=idle%u", i);
	rc = control_call(control, (const char *const[]){"domain-create", name, NULL},
		CONTROL_TIMEOUT_MS, &text, fds, &nr_fds);
	if (rc)
		die(text ? text : "domain-create", -rc);
	free(text);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[1]);
	store = unixsock_connect(path, SOCK_STREAM);
	if (store < 0)
		die("store of a domain", -store);
	if (write(store, &hdr, sizeof(hdr)) < 0 || write(store, payload, sizeof(payload)) < 0)
		die("watch", errno);
	/* The reply and the first event are left unread: both are bounded and small. */
}

static int hold(unsigned int nr)
{
	char run_dir[PATH_MAX], byte;
	int rc = rundir_path(run_dir, sizeof(run_dir));

	if (rc)
		die("runtime directory", -rc);
	fdlimit_raise();
	for (unsigned int i = 0; i < nr; i++)
		hold_domain(run_dir, i);
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

/* ---- the load ---- */

struct load {
	struct xs_handle *xs;
	unsigned int nr_nodes;
	uint64_t rng;
};

/* splitmix64 */
static uint64_t rng_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void node_path(char *path, unsigned int i)
{
	snprintf(path, PATH_SIZE, "/bench/node-%06u", i);
}

static void pick_path(struct load *load, char *path)
{
	node_path(path, (unsigned int)(rng_next(&load->rng) % load->nr_nodes));
}

static bool do_read(struct load *load, xs_transaction_t tx)
{
	char path[PATH_SIZE], *value;
	unsigned int len;

	pick_path(load, path);
	value = xs_read(load->xs, tx, path, &len);
	free(value);
	return value && len == VALUE_BYTES;
}

static bool do_write(struct load *load, xs_transaction_t tx)
{
	char path[PATH_SIZE];

	pick_path(load, path);
	return xs_write(load->xs, tx, path, VALUE, VALUE_BYTES);
}

static bool op_read(struct load *load)
{
	return do_read(load, XBT_NULL);
}

static bool op_write(struct load *load)
{
	return do_write(load, XBT_NULL);
}

static bool op_txn(struct load *load)
{
	xs_transaction_t tx = xs_transaction_start(load->xs);

	return tx != XBT_NULL && do_read(load, tx) && do_write(load, tx) &&
	       xs_transaction_end(load->xs, tx, false);
}

static bool op_watch(struct load *load)
{
	unsigned int nr;
	char **event;

	if (!op_write(load))
		return false;
	event = xs_read_watch(load->xs, &nr);
	free(event);
	return event != NULL;
}

/* The watch fires once when it is set; the bare server's does not. */
static void begin_watching(struct load *load)
{
	struct timespec pause = {.tv_nsec = 100 * NSEC_PER_MSEC};
	char **event;

	if (!xs_watch(load->xs, "/bench", TOKEN))
		die("watch", errno);
	nanosleep(&pause, NULL);
	while ((event = xs_check_watch(load->xs)) != NULL)
		free(event);
}

static double run(struct load *load, bool (*op)(struct load *), uint64_t duration_ns)
{
	uint64_t start = clock_ns(), now = start;
	unsigned long nr = 0;

	do {
		for (int i = 0; i < CHECK_EVERY; i++, nr++)
			if (!op(load))
				die("operation", errno);
		now = clock_ns();
	} while (now - start < duration_ns);
	return (double)nr * 1e9 / (double)(now - start);
}

static int load_run(const char *name, unsigned int nr_nodes, uint64_t ms)
{
	static const struct {
		const char *name;
		bool (*op)(struct load *load);
	} ops[] = {{"read", op_read}, {"write", op_write}, {"txn", op_txn}, {"watch", op_watch}};
	struct load load = {.xs = xs_open(0), .nr_nodes = nr_nodes, .rng = clock_ns()};

	if (!load.xs)
		die("xs_open", errno);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(name, ops[i].name) != 0)
			continue;
		if (ops[i].op == op_watch)
			begin_watching(&load);
		run(&load, ops[i].op, ms * NSEC_PER_MSEC / 10); /* to warm up */
		printf("%.0f\n", run(&load, ops[i].op, ms * NSEC_PER_MSEC));
		xs_close(load.xs);
		return 0;
	}
	fputs(usage, stderr);
	return 2;
}

static int fill(unsigned int nr_nodes)
{
	struct xs_handle *xs = xs_open(0);
	char path[PATH_SIZE];

	if (!xs)
		die("xs_open", errno);
	for (unsigned int i = 0; i < nr_nodes; i++) {
		node_path(path, i);
		if (!xs_write(xs, XBT_NULL, path, VALUE, VALUE_BYTES))
			die(path, errno);
	}
	xs_close(xs);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t nr, ms;

	if (argc == 3 && strcmp(argv[1], "echo") == 0)
		echo(argv[2]);
	if (argc == 3 && parse_u64(argv[2], 1, 1000000, &nr) == 0) {
		if (strcmp(argv[1], "fill") == 0)
			return fill((unsigned int)nr);
		if (strcmp(argv[1], "hold") == 0 && nr <= DOMAINS_MAX)
			return hold((unsigned int)nr);
	}
	if (argc == 4 && parse_u64(argv[2], 1, 1000000, &nr) == 0 &&
		parse_u64(argv[3], 1, 1000000, &ms) == 0)
		return load_run(argv[1], (unsigned int)nr, ms);
	fputs(usage, stderr);
	return 2;
}
