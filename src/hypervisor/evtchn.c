/* SPDX-License-Identifier: MIT */
/* Event channel ports. Main thread only; the data path (notify, wait) never comes here. */
#include "hypervisor/evtchn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/unixsock.h"
#include "hypervisor/evtchn_internal.h"
#include "hypervisor/hypercall.h"

#define PORT_SLOTS_MIN 16u

/* The set through which a side waits: its two eventfds, edge-triggered. Or -errno. */
static int open_wait_set(const struct channel *channel, unsigned int side)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	int set = epoll_create1(EPOLL_CLOEXEC);
	int rc = 0;

	if (set < 0)
		return -errno;
	if (epoll_ctl(set, EPOLL_CTL_ADD, channel->fd[side], &ev) < 0 ||
		epoll_ctl(set, EPOLL_CTL_ADD, channel->wake_fd[side], &ev) < 0)
		rc = -errno;
	if (rc)
		close(set);
	return rc ? rc : set;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_side(struct channel *channel, unsigned int side)
{
	close_fd(&channel->fd[side]);
	close_fd(&channel->wake_fd[side]);
}

static void pay(struct channel *channel, struct domain *payer, unsigned int nr)
{
	channel->payer = payer;
	channel->nr_paid = nr;
	list_add_tail(&payer->channels, &channel->payer_link);
}

static void stop_paying(struct channel *channel)
{
	if (!channel->payer)
		return;
	domain_return_fds(channel->payer, channel->nr_paid);
	list_del(&channel->payer_link);
	channel->payer = NULL;
}

static void channel_close(struct channel *channel)
{
	close_side(channel, 0);
	close_side(channel, 1);
	stop_paying(channel);
	free(channel);
}

static int open_ends(struct channel *channel, enum hypercall_port_kind kind)
{
	if (kind == HYPERCALL_PORT_SEQPACKET) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			    channel->fd) < 0)
			return -errno;
		unixsock_refuse_fds(channel->fd[0]);
		unixsock_refuse_fds(channel->fd[1]);
		return 0;
	}
	for (unsigned int side = 0; side < 2; side++) {
		channel->fd[side] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
		if (channel->fd[side] < 0)
			return -errno;
		channel->wake_fd[side] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
		if (channel->wake_fd[side] < 0)
			return -errno;
	}
	return 0;
}

/* Nobody pays for it yet. */
static int channel_create(enum hypercall_port_kind kind, struct channel **out)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	int rc;

	if (!channel)
		return -ENOMEM;
	list_init(&channel->payer_link);
	channel->fd[0] = channel->fd[1] = channel->wake_fd[0] = channel->wake_fd[1] = -1;
	rc = open_ends(channel, kind);
	if (rc) {
		channel_close(channel);
		return rc;
	}
	*out = channel;
	return 0;
}

static unsigned int fds_of_channel(enum hypercall_port_kind kind)
{
	return kind == HYPERCALL_PORT_EVENTFD ? 4 : 2;
}

static void raise_event(int efd)
{
	const uint64_t one = 1;

	/* A counter at its end wakes nobody, but nobody counts that far. */
	if (write(efd, &one, sizeof(one)) < 0)
		return;
}

/*
 * A set waited for by another one: each write makes that ready. edge: also if what made the set
 * ready before was never taken.
 */
static bool set_can_be_waited_for(const struct channel *channel, int set, bool edge)
{
	struct epoll_event ev[HYPERCALL_WAIT_EVENTS];
	int outer = epoll_create1(EPOLL_CLOEXEC);
	bool ok;

	ev[0] = (struct epoll_event){.events = edge ? EPOLLIN | EPOLLET : EPOLLIN};
	ok = outer >= 0 && epoll_ctl(outer, EPOLL_CTL_ADD, set, ev) == 0;
	for (int i = 0; ok && i < 4; i++) {
		ok = epoll_wait(outer, ev, 1, 0) == 0;
		raise_event(i < 2 ? channel->fd[0] : channel->wake_fd[0]);
		ok = ok && epoll_wait(outer, ev, 1, 0) == 1 &&
			(edge || epoll_wait(set, ev, HYPERCALL_WAIT_EVENTS, 0) == 1);
	}
	if (outer >= 0)
		close(outer);
	return ok;
}

/*
 * Eventfds qualify if every write to one wakes an edge-triggered waiter, although nobody ever
 * reads its counter, and if the set that waits for it can itself be waited for.
 */
static bool wait_set_works(const struct channel *channel)
{
	struct epoll_event ev[HYPERCALL_WAIT_EVENTS];
	int set = open_wait_set(channel, 0);
	bool ok;

	if (set < 0)
		return false;
	ok = epoll_wait(set, ev, HYPERCALL_WAIT_EVENTS, 0) == HYPERCALL_WAIT_EVENTS &&
		set_can_be_waited_for(channel, set, false) &&
		set_can_be_waited_for(channel, set, true);
	close(set);
	return ok;
}

enum hypercall_port_kind evtchn_probe(void)
{
	struct channel *channel;
	bool ok;

	if (channel_create(HYPERCALL_PORT_EVENTFD, &channel))
		return HYPERCALL_PORT_SEQPACKET;
	ok = wait_set_works(channel);
	channel_close(channel);
	return ok ? HYPERCALL_PORT_EVENTFD : HYPERCALL_PORT_SEQPACKET;
}

/* The port that this one is bound to, or NULL. */
static struct port *peer_of(const struct port *port)
{
	return port->channel->ports[!port->side];
}

static struct port *find_port(const struct domain *dom, uint32_t number)
{
	return number < dom->nr_port_slots ? dom->ports[number] : NULL;
}

/* Lowest free number, the table grown if there is none. 0 or -errno. */
static int pick_number(struct domain *dom, uint32_t *number)
{
	uint32_t slots = dom->nr_port_slots ? dom->nr_port_slots * 2 : PORT_SLOTS_MIN;
	struct port **grown;

	if (dom->nr_ports >= dom->hv->limits.nr_ports)
		return -ENOSPC;
	for (uint32_t i = 1; i < dom->nr_port_slots; i++) {
		if (!dom->ports[i]) {
			*number = i;
			return 0;
		}
	}
	grown = realloc(dom->ports, slots * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	for (uint32_t i = dom->nr_port_slots; i < slots; i++)
		grown[i] = NULL;
	*number = dom->nr_port_slots ? dom->nr_port_slots : 1;
	dom->ports = grown;
	dom->nr_port_slots = slots;
	return 0;
}

static int port_create(struct hypercall_conn *conn, struct channel *channel, unsigned int side,
	struct port **out)
{
	struct domain *dom = conn->dom;
	struct port *port;
	uint32_t number;
	int rc = pick_number(dom, &number);

	if (rc)
		return rc;
	port = calloc(1, sizeof(*port));
	if (!port)
		return -ENOMEM;
	port->dom = dom;
	port->number = number;
	port->channel = channel;
	port->side = side;
	channel->ports[side] = port;
	dom->ports[number] = port;
	dom->nr_ports++;
	list_add_tail(&conn->ports, &port->conn_link);
	*out = port;
	return 0;
}

static void port_close(struct port *port)
{
	struct domain *dom = port->dom;
	struct port *peer = peer_of(port);

	list_del(&port->conn_link);
	port->closed = true;
	if (port->nr_holds)
		return;
	port->channel->ports[port->side] = NULL;
	if (peer) {
		/* The peer waits for the same domain again; what it sends meanwhile is lost. */
		peer->remote_domid = dom->id;
		peer->remote_serial = dom->serial;
	} else {
		channel_close(port->channel);
	}
	dom->ports[port->number] = NULL;
	dom->nr_ports--;
	free(port);
}

int evtchn_bind_unbound(struct hypercall_conn *conn, unsigned int domid, uint32_t *number)
{
	struct domain *dom = conn->dom, *remote = domain_by_id(dom->hv, domid);
	unsigned int nr_fds = fds_of_channel(dom->hv->port_kind);
	struct channel *channel;
	struct port *port;
	int rc;

	if (domid >= DOMAIN_FIRST_RESERVED)
		return -ESRCH;
	rc = domain_take_fds(dom, nr_fds);
	if (rc)
		return rc;
	rc = channel_create(dom->hv->port_kind, &channel);
	if (rc) {
		domain_return_fds(dom, nr_fds);
		return rc;
	}
	pay(channel, dom, nr_fds);
	rc = port_create(conn, channel, 0, &port);
	if (rc) {
		channel_close(channel);
		return rc;
	}
	port->remote_domid = domid;
	port->remote_serial = remote ? remote->serial : 0;
	*number = port->number;
	return 0;
}

int evtchn_bind_interdomain(
	struct hypercall_conn *conn, unsigned int domid, uint32_t remote_port, uint32_t *number)
{
	struct domain *dom = conn->dom, *remote_dom = domain_by_id(dom->hv, domid);
	struct port *remote, *port;
	int rc;

	if (!remote_dom)
		return -ESRCH;
	remote = find_port(remote_dom, remote_port);
	if (!remote || peer_of(remote) || remote->remote_domid != dom->id)
		return -EINVAL;
	if (remote->remote_serial && remote->remote_serial != dom->serial)
		return -EINVAL;
	rc = port_create(conn, remote->channel, !remote->side, &port);
	if (rc)
		return rc;
	/* Notifications while nobody was bound are lost; so a new port starts out pending (Xen's
	 * evtchn_bind_interdomain). A fresh wait set is ready by itself. */
	if (dom->hv->port_kind == HYPERCALL_PORT_SEQPACKET)
		evtchn_send(remote_dom, remote_port);
	*number = port->number;
	return 0;
}

int evtchn_port_fds(struct domain *dom, uint32_t number, int fds[2], unsigned int *nr)
{
	struct port *port = find_port(dom, number);

	if (dom->hv->port_kind == HYPERCALL_PORT_SEQPACKET) {
		fds[0] = port->channel->fd[port->side];
		*nr = 1;
		return 0;
	}
	fds[0] = open_wait_set(port->channel, port->side);
	if (fds[0] < 0)
		return fds[0];
	fds[1] = port->channel->fd[!port->side];
	*nr = 2;
	return 0;
}

int evtchn_unbind(struct hypercall_conn *conn, uint32_t number)
{
	struct port *port;

	list_for_each(port, &conn->ports, conn_link) {
		if (port->number == number) {
			port_close(port);
			return 0;
		}
	}
	return -EINVAL;
}

void evtchn_send(struct domain *dom, uint32_t number)
{
	struct port *port = find_port(dom, number);

	if (!port || !peer_of(port))
		return;
	if (dom->hv->port_kind == HYPERCALL_PORT_EVENTFD)
		raise_event(port->channel->wake_fd[!port->side]);
	else if (send(port->channel->fd[port->side], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return; /* a full socket is pending already; nothing else can fail */
}

bool evtchn_hold(struct domain *dom, uint32_t number)
{
	struct port *port = find_port(dom, number);

	if (!port || port->closed)
		return false;
	port->nr_holds++;
	return true;
}

void evtchn_release(struct domain *dom, uint32_t number)
{
	struct port *port = find_port(dom, number);

	if (--port->nr_holds == 0 && port->closed)
		port_close(port);
}

void evtchn_conn_closed(struct hypercall_conn *conn)
{
	while (!list_empty(&conn->ports))
		port_close(list_first(&conn->ports, struct port, conn_link));
}

/*
 * Its maker has ended, and nobody can ever bind the other side again. What it sent last shall still
 * arrive; so the descriptors through which the port that is left learns of that stay, and its domain
 * pays for them, if it can. Else it hears nothing more.
 */
static void channel_inherit(struct channel *channel)
{
	unsigned int side = !channel->ports[0];
	struct domain *heir = channel->ports[side]->dom;
	bool eventfds = channel->wake_fd[side] >= 0;
	unsigned int nr = eventfds ? 2 : 1;

	stop_paying(channel);
	/* An eventfd is in the set of who waits; a socket's other end keeps it from an early end. */
	close_side(channel, eventfds ? !side : side);
	if (domain_take_fds(heir, nr) == 0)
		pay(channel, heir, nr);
	else
		close_side(channel, eventfds ? side : !side);
}

void evtchn_domain_gone(struct domain *dom)
{
	while (!list_empty(&dom->channels))
		channel_inherit(list_first(&dom->channels, struct channel, payer_link));
}
