/* SPDX-License-Identifier: MIT */
/*
 * Hypercall connections: takes a request apart, calls grant.c or evtchn.c, sends the reply. A peer
 * that breaks the protocol or does not take its reply loses the connection, nothing else.
 */
#include "hypervisor/hypercall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/unixsock.h"
#include "hypervisor/evtchn.h"
#include "hypervisor/grant.h"

/* One request being answered: the reply grows here. */
struct call {
	struct hypercall_request req;
	struct hypercall_gref grefs[HYPERCALL_MAX_PAGES];
	struct {
		struct hypercall_reply head;
		union {
			uint32_t grefs[HYPERCALL_MAX_PAGES];
			struct hypercall_mapped mapped[HYPERCALL_MAX_PAGES];
		};
	} reply;
	size_t reply_len;
	int fds[HYPERCALL_MAX_FDS];
	unsigned int nr_fds;
	int temporary_fd; /* closed once it is sent; -1: none */
};

static void conn_close(struct hypercall_conn *conn)
{
	struct domain *dom = conn->dom;

	loop_remove(&dom->hv->loop, &conn->source);
	/* Grants first: an unmap notification may go through a port of the same process. */
	grant_conn_closed(conn);
	evtchn_conn_closed(conn);
	close(conn->source.fd);
	list_del(&conn->link);
	dom->nr_hypercall_conns--;
	domain_return_fds(dom, 1);
	free(conn);
}

static int call_open(struct hypercall_conn *conn, struct call *call)
{
	if (conn->interface)
		return -EBUSY;
	if (call->req.open.version != HYPERCALL_VERSION)
		return -EPROTONOSUPPORT;
	if (call->req.open.interface < HYPERCALL_GNTSHR ||
		call->req.open.interface > HYPERCALL_EVTCHN)
		return -EINVAL;
	conn->interface = call->req.open.interface;
	call->reply.head.open.domid = conn->dom->id;
	return 0;
}

static int call_share(struct hypercall_conn *conn, struct call *call)
{
	struct share *share;
	const uint32_t *grefs;
	unsigned int nr;
	int rc = grant_share(conn, &call->req, &share);

	if (rc)
		return rc;
	nr = share_grefs(share, &grefs);
	memcpy(call->reply.grefs, grefs, nr * sizeof(grefs[0]));
	call->reply.head.count = nr;
	call->reply.head.share.share_id = share_id(share);
	call->reply_len += nr * sizeof(grefs[0]);
	call->fds[call->nr_fds++] = share_memfd(share);
	return 0;
}

static int call_map(struct hypercall_conn *conn, struct call *call)
{
	uint32_t nr = call->req.map.nr_grefs;
	int rc = grant_map(conn, &call->req, call->grefs, call->reply.mapped);

	if (rc)
		return rc;
	call->reply.head.count = nr;
	call->reply_len += nr * sizeof(struct hypercall_mapped);
	return 0;
}

static int call_map_fd(struct hypercall_conn *conn, struct call *call)
{
	int fd = grant_map_fd(conn, call->req.range.share_id);

	if (fd < 0)
		return fd;
	call->fds[call->nr_fds++] = fd;
	return 0;
}

static int call_bind(struct hypercall_conn *conn, struct call *call)
{
	uint32_t port;
	int rc;

	if (conn->only_domid != HYPERCALL_DOMID_ANY && conn->only_domid != call->req.evtchn.domid)
		return -EACCES;
	if (call->req.op == HYPERCALL_BIND_UNBOUND)
		rc = evtchn_bind_unbound(conn, call->req.evtchn.domid, &port);
	else
		rc = evtchn_bind_interdomain(
			conn, call->req.evtchn.domid, call->req.evtchn.port, &port);
	if (rc)
		return rc;
	rc = evtchn_port_fds(conn->dom, port, call->fds, &call->nr_fds);
	if (rc)
		return evtchn_unbind(conn, port) ? -EINVAL : rc;
	if (call->nr_fds == 2)
		call->temporary_fd = call->fds[0];
	call->reply.head.evtchn.port = port;
	call->reply.head.evtchn.kind = conn->dom->hv->port_kind;
	return 0;
}

static int call_restrict(struct hypercall_conn *conn, uint32_t domid)
{
	if (conn->only_domid != HYPERCALL_DOMID_ANY)
		return -EACCES;
	if (domid >= DOMAIN_FIRST_RESERVED)
		return -EINVAL;
	conn->only_domid = domid;
	return 0;
}

/* Each operation and the interface that has it. */
static uint32_t op_interface(uint32_t op)
{
	switch (op) {
	case HYPERCALL_SHARE:
	case HYPERCALL_SHARE_READY:
	case HYPERCALL_UNSHARE:
		return HYPERCALL_GNTSHR;
	case HYPERCALL_MAP:
	case HYPERCALL_MAP_FD:
	case HYPERCALL_UNMAP:
	case HYPERCALL_SET_MAX_GRANTS:
		return HYPERCALL_GNTTAB;
	case HYPERCALL_BIND_UNBOUND:
	case HYPERCALL_BIND_INTERDOMAIN:
	case HYPERCALL_UNBIND:
	case HYPERCALL_RESTRICT:
		return HYPERCALL_EVTCHN;
	default:
		return 0;
	}
}

static int dispatch(struct hypercall_conn *conn, struct call *call)
{
	const struct hypercall_request *req = &call->req;

	if (req->op == HYPERCALL_OPEN)
		return call_open(conn, call);
	if (!conn->interface || op_interface(req->op) != conn->interface)
		return -ENOSYS;
	switch (req->op) {
	case HYPERCALL_SHARE:
		return call_share(conn, call);
	case HYPERCALL_SHARE_READY:
		return grant_share_ready(conn, req->range.share_id);
	case HYPERCALL_UNSHARE:
		return grant_unshare(
			conn, req->range.share_id, req->range.page, req->range.nr_pages);
	case HYPERCALL_MAP:
		return call_map(conn, call);
	case HYPERCALL_MAP_FD:
		return call_map_fd(conn, call);
	case HYPERCALL_UNMAP:
		return grant_unmap(conn, req->range.share_id, req->range.page, req->range.nr_pages);
	case HYPERCALL_SET_MAX_GRANTS:
		conn->max_grants = req->max.nr_grants;
		return 0;
	case HYPERCALL_UNBIND:
		return evtchn_unbind(conn, req->evtchn.port);
	case HYPERCALL_RESTRICT:
		return call_restrict(conn, req->evtchn.domid);
	default:
		return call_bind(conn, call);
	}
}

/* The packet must have exactly the length that its operation says. */
static bool request_complete(const struct call *call, size_t len)
{
	size_t expected = sizeof(call->req);

	if (len < sizeof(call->req))
		return false;
	if (call->req.op == HYPERCALL_MAP) {
		if (call->req.map.nr_grefs > HYPERCALL_MAX_PAGES)
			return false;
		expected += call->req.map.nr_grefs * sizeof(struct hypercall_gref);
	}
	return len == expected;
}

static void conn_ready(struct loop_source *source, uint32_t events)
{
	struct hypercall_conn *conn = container_of(source, struct hypercall_conn, source);
	static struct call call; /* large; the main thread answers one at a time */
	ssize_t n = -ECONNRESET;

	memset(&call.reply.head, 0, sizeof(call.reply.head));
	call.reply_len = sizeof(call.reply.head);
	call.nr_fds = 0;
	call.temporary_fd = -1;
	if (events & EPOLLIN)
		n = unixsock_recv(conn->source.fd, &call.req,
			sizeof(call.req) + sizeof(call.grefs), NULL, 0, NULL, MSG_DONTWAIT);
	if (n == -EAGAIN)
		return;
	if (n <= 0 || !request_complete(&call, (size_t)n)) {
		if ((n > 0 || n == -EMSGSIZE) &&
			ratelimit_pass(&conn->dom->log_limit, 5, NSEC_PER_SEC))
			log_warn("domain %u: malformed hypercall, connection closed", conn->dom->id);
		conn_close(conn);
		return;
	}
	call.reply.head.status = dispatch(conn, &call);
	if (call.reply.head.status)
		call.reply_len = sizeof(call.reply.head);
	if (unixsock_send(conn->source.fd, &call.reply, call.reply_len, call.fds, call.nr_fds,
		    MSG_DONTWAIT))
		conn_close(conn);
	if (call.temporary_fd >= 0)
		close(call.temporary_fd);
}

void hypercall_accept(struct loop_source *source, uint32_t events)
{
	struct domain *dom = container_of(source, struct domain, hypercall_source);
	struct hypercall_conn *conn;
	int fd = loop_accept(&dom->hv->loop, source->fd);

	(void)events;
	if (fd < 0)
		return;
	conn = dom->nr_hypercall_conns < dom->hv->limits.nr_connections ? calloc(1, sizeof(*conn))
									: NULL;
	if (!conn || domain_take_fds(dom, 1)) {
		free(conn);
		close(fd);
		return;
	}
	unixsock_refuse_fds(fd);
	conn->source = (struct loop_source){fd, conn_ready};
	conn->dom = dom;
	conn->only_domid = HYPERCALL_DOMID_ANY;
	list_init(&conn->shares);
	list_init(&conn->uses);
	list_init(&conn->ports);
	if (loop_add(&dom->hv->loop, &conn->source, EPOLLIN)) {
		domain_return_fds(dom, 1);
		close(fd);
		free(conn);
		return;
	}
	list_add_tail(&dom->hypercall_conns, &conn->link);
	dom->nr_hypercall_conns++;
}

void hypercall_close_all(struct domain *dom)
{
	while (!list_empty(&dom->hypercall_conns))
		conn_close(list_first(&dom->hypercall_conns, struct hypercall_conn, link));
}
