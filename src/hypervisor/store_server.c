/* SPDX-License-Identifier: MIT */
/*
 * Moves bytes between sockets and the store library. A connection that does not read is not read
 * from either once the store says so; its output is bounded there.
 */
#include "hypervisor/store_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/unixsock.h"
#include "hypervisor/supervisor.h"
#include "hypervisor/vbd.h"

#define INPUT_SIZE 8192u
#define DOM0_CONNECTIONS_MAX 1024u
#define TRACE_LINES_PER_S 1000

struct server_conn {
	struct loop_source source;
	struct list link;	/* in the domain's or dom0's list */
	struct list flush_link; /* in hv->store_flush while there is fresh output */
	struct hypervisor *hv;
	struct domain *dom; /* NULL: dom0 */
	struct store_conn *conn;
	uint32_t events;
	size_t nr_pending; /* bytes received that the store did not take yet */
	char pending[INPUT_SIZE];
};

static void conn_close(struct server_conn *sc)
{
	loop_remove(&sc->hv->loop, &sc->source);
	store_conn_close(sc->conn);
	close(sc->source.fd);
	list_del(&sc->link);
	list_del(&sc->flush_link);
	if (sc->dom) {
		sc->dom->nr_store_conns--;
		domain_return_fds(sc->dom, 1);
	} else {
		sc->hv->nr_dom0_conns--;
	}
	free(sc);
}

/* Sends what the socket takes. False when the connection is lost. */
static bool flush_output(struct server_conn *sc)
{
	const void *bytes;
	size_t len;
	ssize_t n;

	while ((len = store_conn_output(sc->conn, &bytes)) > 0) {
		n = send(sc->source.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		store_conn_consume(sc->conn, (size_t)n);
	}
	return true;
}

/* Offers the received bytes to the store. False when the peer broke the protocol. */
static bool feed_input(struct server_conn *sc)
{
	long taken;

	while (sc->nr_pending) {
		taken = store_conn_input(sc->conn, sc->pending, sc->nr_pending);
		if (taken < 0) {
			if (ratelimit_pass(sc->dom ? &sc->dom->log_limit : &sc->hv->log_limit, 5,
				    NSEC_PER_SEC))
				log_warn("domain %u: store protocol violation, connection closed",
					sc->dom ? sc->dom->id : 0);
			return false;
		}
		if (taken == 0)
			break;
		sc->nr_pending -= (size_t)taken;
		memmove(sc->pending, sc->pending + taken, sc->nr_pending);
	}
	return true;
}

/*
 * One turn of a connection: at most as many requests as may have unread replies, and what the
 * socket takes of its output. Then waits for input only while it could be taken, for room only
 * while there is output, or to have another turn. False when the connection is lost.
 */
static bool serve(struct server_conn *sc)
{
	const void *bytes;
	uint32_t events = 0;

	if (!flush_output(sc) || !feed_input(sc) || !flush_output(sc))
		return false;
	list_del(&sc->flush_link);
	if (store_conn_can_take(sc->conn))
		events |= sc->nr_pending ? EPOLLOUT : EPOLLIN;
	if (store_conn_output(sc->conn, &bytes) > 0)
		events |= EPOLLOUT;
	if (events != sc->events) {
		loop_modify(&sc->hv->loop, &sc->source, events);
		sc->events = events;
	}
	return true;
}

static void conn_ready(struct loop_source *source, uint32_t events)
{
	struct server_conn *sc = container_of(source, struct server_conn, source);
	bool ok = true;
	ssize_t n;

	if ((events & EPOLLIN) && sc->nr_pending < INPUT_SIZE) {
		n = recv(source->fd, sc->pending + sc->nr_pending, INPUT_SIZE - sc->nr_pending,
			MSG_DONTWAIT);
		if (n > 0)
			sc->nr_pending += (size_t)n;
		else
			ok = n < 0 && (errno == EAGAIN || errno == EINTR);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		ok = false;
	}
	if (!ok || !serve(sc))
		conn_close(sc);
}

void store_server_flush(struct hypervisor *hv)
{
	struct server_conn *sc;

	while (!list_empty(&hv->store_flush)) {
		sc = list_first(&hv->store_flush, struct server_conn, flush_link);
		if (!serve(sc))
			conn_close(sc);
	}
}

static void want_write(void *conn_data)
{
	struct server_conn *sc = conn_data;

	if (list_empty(&sc->flush_link))
		list_add_tail(&sc->hv->store_flush, &sc->flush_link);
}

static void changed(void *store_data, const char *path)
{
	struct hypervisor *hv = store_data;

	vbd_store_changed(hv, path);
	supervisor_store_changed(hv, path);
}

static void log_line(void *store_data, bool trace, const char *text)
{
	struct hypervisor *hv = store_data;

	/* Guests cause the trace: it must not fill the disk faster than somebody can look. */
	if (!trace || ratelimit_pass(&hv->trace_limit, TRACE_LINES_PER_S, NSEC_PER_SEC))
		log_info("xenstore: %s", text);
}

static void accept_conn(struct hypervisor *hv, struct domain *dom, int listen_fd)
{
	int fd = loop_accept(&hv->loop, listen_fd);
	unsigned int *nr = dom ? &dom->nr_store_conns : &hv->nr_dom0_conns;
	struct server_conn *sc;

	if (fd < 0)
		return;
	sc = *nr < (dom ? hv->limits.nr_connections : DOM0_CONNECTIONS_MAX) ? calloc(1, sizeof(*sc))
									    : NULL;
	if (!sc || (dom && domain_take_fds(dom, 1))) {
		free(sc);
		close(fd);
		return;
	}
	unixsock_refuse_fds(fd);
	sc->source = (struct loop_source){fd, conn_ready};
	sc->hv = hv;
	sc->dom = dom;
	sc->events = EPOLLIN;
	list_init(&sc->flush_link);
	if (store_conn_open(hv->store, dom ? dom->id : 0, sc, &sc->conn)) {
		if (dom)
			domain_return_fds(dom, 1);
		close(fd);
		free(sc);
		return;
	}
	list_add_tail(dom ? &dom->store_conns : &hv->dom0_conns, &sc->link);
	(*nr)++;
	if (loop_add(&hv->loop, &sc->source, EPOLLIN))
		conn_close(sc);
}

void store_server_accept_domain(struct loop_source *source, uint32_t events)
{
	struct domain *dom = container_of(source, struct domain, store_source);

	(void)events;
	accept_conn(dom->hv, dom, source->fd);
}

static void accept_dom0(struct loop_source *source, uint32_t events)
{
	(void)events;
	accept_conn(container_of(source, struct hypervisor, store_source), NULL, source->fd);
}

void store_server_close_all(struct domain *dom)
{
	while (!list_empty(&dom->store_conns))
		conn_close(list_first(&dom->store_conns, struct server_conn, link));
}

int store_server_init(struct hypervisor *hv)
{
	static const struct store_ops ops = {
		.want_write = want_write, .changed = changed, .log = log_line};
	struct store_limits limits;
	int dir_fd, rc;

	list_init(&hv->dom0_conns);
	store_limits_default(&limits);
	rc = store_create(&limits, &ops, hv, &hv->store);
	if (rc)
		return rc;
	if (mkdirat(hv->run_dir_fd, "xenstored", 0700) < 0 && errno != EEXIST) {
		rc = -errno;
		goto err;
	}
	dir_fd = openat(hv->run_dir_fd, "xenstored", O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir_fd < 0) {
		rc = -errno;
		goto err;
	}
	hv->store_source = (struct loop_source){
		unixsock_listen(dir_fd, "socket", SOCK_STREAM), accept_dom0};
	close(dir_fd);
	rc = hv->store_source.fd < 0 ? hv->store_source.fd
				     : loop_add(&hv->loop, &hv->store_source, EPOLLIN);
	if (rc == 0)
		return 0;
	if (hv->store_source.fd >= 0)
		close(hv->store_source.fd);
err:
	store_destroy(hv->store);
	return rc;
}

void store_server_fini(struct hypervisor *hv)
{
	while (!list_empty(&hv->dom0_conns))
		conn_close(list_first(&hv->dom0_conns, struct server_conn, link));
	loop_remove(&hv->loop, &hv->store_source);
	close(hv->store_source.fd);
	unlinkat(hv->run_dir_fd, "xenstored/socket", 0);
	unlinkat(hv->run_dir_fd, "xenstored", AT_REMOVEDIR);
	store_destroy(hv->store);
}
