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
#include "hypervisor/hypercall.h"

#define PORT_SLOTS_MIN 16u

/* The two ends that bound ports share. Side s waits on fd[s]; see channel_fds. */
struct channel {
	unsigned int nr_ports;
	int fd[2];
};

struct port {
	struct list conn_link;
	struct domain *dom;
	uint32_t number;
	struct channel *channel;
	unsigned int side;
	struct port *peer;	    /* NULL: unbound */
	unsigned int remote_domid;  /* who may bind it while it is unbound */
	uint64_t remote_serial;	    /* which domain of that id; 0: any */
	unsigned int nr_holds;	    /* unmap notifications that still need it */
	bool closed;		    /* by its handle; it lives on for its holds only */
};

/*
 * Eventfds qualify if writing 0 to one whose counter is 1 wakes an edge-triggered waiter, again and
 * again, and leaves the counter alone: then a peer can neither fill the counter to make the write
 * block nor empty it to any effect but on its own notifications.
 */
static bool eventfd_zero_wakes(void)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	const uint64_t zero = 0;
	int efd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	bool ok = efd >= 0 && epfd >= 0 && epoll_ctl(epfd, EPOLL_CTL_ADD, efd, &ev) == 0;

	ok = ok && epoll_wait(epfd, &ev, 1, 0) == 1 && epoll_wait(epfd, &ev, 1, 0) == 0;
	for (int i = 0; ok && i < 3; i++)
		ok = write(efd, &zero, sizeof(zero)) == sizeof(zero) &&
			epoll_wait(epfd, &ev, 1, 0) == 1 && epoll_wait(epfd, &ev, 1, 0) == 0;
	if (efd >= 0)
		close(efd);
	if (epfd >= 0)
		close(epfd);
	return ok;
}

enum hypercall_port_kind evtchn_probe(void)
{
	return eventfd_zero_wakes() ? HYPERCALL_PORT_EVENTFD : HYPERCALL_PORT_SEQPACKET;
}

static struct channel *channel_create(enum hypercall_port_kind kind)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	int rc;

	if (!channel)
		return NULL;
	if (kind == HYPERCALL_PORT_EVENTFD) {
		channel->fd[0] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
		channel->fd[1] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
		rc = channel->fd[0] < 0 || channel->fd[1] < 0 ? -1 : 0;
		if (rc && channel->fd[0] >= 0)
			close(channel->fd[0]);
	} else {
		rc = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			channel->fd);
		if (rc == 0) {
			unixsock_refuse_fds(channel->fd[0]);
			unixsock_refuse_fds(channel->fd[1]);
		}
	}
	if (rc) {
		free(channel);
		return NULL;
	}
	return channel;
}

static void channel_put(struct channel *channel)
{
	if (--channel->nr_ports)
		return;
	close(channel->fd[0]);
	close(channel->fd[1]);
	free(channel);
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
	channel->nr_ports++;
	dom->ports[number] = port;
	dom->nr_ports++;
	list_add_tail(&conn->ports, &port->conn_link);
	*out = port;
	return 0;
}

static void port_close(struct port *port)
{
	struct domain *dom = port->dom;

	list_del(&port->conn_link);
	port->closed = true;
	if (port->nr_holds)
		return;
	if (port->peer) {
		/* The peer waits for the same domain again; what it sends meanwhile is lost. */
		port->peer->peer = NULL;
		port->peer->remote_domid = dom->id;
		port->peer->remote_serial = dom->serial;
	}
	dom->ports[port->number] = NULL;
	dom->nr_ports--;
	channel_put(port->channel);
	free(port);
}

int evtchn_bind_unbound(struct hypercall_conn *conn, unsigned int domid, uint32_t *number)
{
	struct domain *remote = domain_by_id(conn->dom->hv, domid);
	struct channel *channel;
	struct port *port;
	int rc;

	if (domid >= DOMAIN_FIRST_RESERVED)
		return -ESRCH;
	channel = channel_create(conn->dom->hv->port_kind);
	if (!channel)
		return -ENOMEM;
	rc = port_create(conn, channel, 0, &port);
	if (rc) {
		channel->nr_ports = 1;
		channel_put(channel);
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
	if (!remote || remote->peer || remote->remote_domid != dom->id)
		return -EINVAL;
	if (remote->remote_serial && remote->remote_serial != dom->serial)
		return -EINVAL;
	rc = port_create(conn, remote->channel, !remote->side, &port);
	if (rc)
		return rc;
	port->peer = remote;
	remote->peer = port;
	/* Notifications while nobody was bound are lost; so a new port starts out pending (Xen's
	 * evtchn_bind_interdomain). Watching a fresh eventfd does the same by itself. */
	if (dom->hv->port_kind == HYPERCALL_PORT_SEQPACKET)
		evtchn_send(remote_dom, remote_port);
	*number = port->number;
	return 0;
}

unsigned int evtchn_port_fds(struct domain *dom, uint32_t number, int fds[2])
{
	struct port *port = find_port(dom, number);

	fds[0] = port->channel->fd[port->side];
	fds[1] = port->channel->fd[!port->side];
	return dom->hv->port_kind == HYPERCALL_PORT_EVENTFD ? 2 : 1;
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
	const uint64_t zero = 0;
	ssize_t n;

	if (!port || !port->peer)
		return;
	if (dom->hv->port_kind == HYPERCALL_PORT_EVENTFD)
		n = write(port->channel->fd[!port->side], &zero, sizeof(zero));
	else
		n = send(port->channel->fd[port->side], &zero, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* A full socket is pending already; nothing else can fail. */
	(void)n;
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
