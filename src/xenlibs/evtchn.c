/* SPDX-License-Identifier: MIT */
/*
 * libxenevtchn with the semantics of xenevtchn.h. The handle's descriptor is an epoll set with an
 * entry for each port. Where the descriptor blocks, entries are one-shot: one that fired is silent
 * until unmask re-arms it, which is the masking that the header describes. Where it does not, ports
 * are masked here, and an event costs one system call instead of three.
 *
 * An eventfd port is waited for through an epoll set of its own, made by the hypervisor, which is
 * ready from a notification until we take its events. docs/design/event-channels.md explains why.
 */
#include <xenevtchn.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xenlibs/link.h"

#define DRAIN_MAX 64 /* bytes taken from a socket port at a time: more than that is a storm */

/* What the port's entry in the handle's set does. */
enum arming {
	ARMED_ONCE, /* fires once and is disarmed; what made it fire is then taken */
	ARMED_EDGE, /* fires with every notification, and nothing is taken */
	DISARMED,
};

struct port {
	bool bound;
	bool dead; /* the peer shut its end down: nothing will ever come */
	bool masked;
	uint32_t kind;
	enum arming arming;
	int rx, tx;   /* the port's set and the peer's eventfd; or the same socket twice */
};

struct xenevtchn_handle {
	struct link link;
	int epoll_fd;
	atomic_bool asked;    /* whether epoll_fd has O_NONBLOCK; relaxed: who asks twice loses nothing */
	pthread_mutex_t lock; /* what follows */
	bool nonblock;	      /* it had when we asked */
	struct port *ports;   /* by number */
	uint32_t nr_slots;
};

#define LINK_DATA 0u /* epoll data of the hypervisor's connection; ports start at 1 */

RF_EXPORT xenevtchn_handle *xenevtchn_open(xentoollog_logger *logger, unsigned int flags)
{
	/* Only the end of the connection is an event; replies are read by link_call. */
	struct epoll_event ev = {.events = EPOLLRDHUP, .data.u32 = LINK_DATA};
	xenevtchn_handle *xce;

	if (flags & ~XENEVTCHN_NO_CLOEXEC) {
		errno = EINVAL;
		return NULL;
	}
	xce = calloc(1, sizeof(*xce));
	if (!xce)
		return NULL;
	if (link_open(&xce->link, logger, HYPERCALL_EVTCHN) < 0)
		goto err_free;
	pthread_mutex_init(&xce->lock, NULL);
	xce->epoll_fd = epoll_create1(flags & XENEVTCHN_NO_CLOEXEC ? 0 : EPOLL_CLOEXEC);
	if (xce->epoll_fd < 0)
		goto err_link;
	if (epoll_ctl(xce->epoll_fd, EPOLL_CTL_ADD, xce->link.fd, &ev) < 0)
		goto err_epoll;
	return xce;
err_epoll:
	close(xce->epoll_fd);
err_link:
	pthread_mutex_destroy(&xce->lock);
	link_close(&xce->link);
err_free:
	free(xce);
	return NULL;
}

RF_EXPORT xenevtchn_handle *xenevtchn_fdopen(
	xentoollog_logger *logger, int fd, unsigned open_flags)
{
	(void)logger, (void)fd, (void)open_flags;
	/* A handle is more than one descriptor here (docs/protocol/hypercall.md, deviations). */
	errno = EOPNOTSUPP;
	return NULL;
}

/* Closes the descriptors of a port. Lock held, or no other thread. */
static void port_close(struct port *port)
{
	if (port->tx != port->rx)
		close(port->tx);
	close(port->rx);
	memset(port, 0, sizeof(*port));
}

RF_EXPORT int xenevtchn_close(xenevtchn_handle *xce)
{
	if (!xce)
		return 0;
	for (uint32_t i = 0; i < xce->nr_slots; i++) {
		if (xce->ports[i].bound)
			port_close(&xce->ports[i]);
	}
	free(xce->ports);
	close(xce->epoll_fd);
	pthread_mutex_destroy(&xce->lock);
	link_close(&xce->link);
	free(xce);
	return 0;
}

RF_EXPORT int xenevtchn_fd(xenevtchn_handle *xce)
{
	return xce->epoll_fd;
}

/* The bound port of that number, or NULL with errno EINVAL. Lock held. */
static struct port *find_port(xenevtchn_handle *xce, evtchn_port_t number)
{
	if (number < xce->nr_slots && xce->ports[number].bound)
		return &xce->ports[number];
	errno = EINVAL;
	return NULL;
}

/*
 * Takes the event. For a socket, a bounded number of bytes: what is left makes the port pending
 * again, which is harmless.
 */
static void drain(struct port *port)
{
	struct epoll_event ev[HYPERCALL_WAIT_EVENTS];
	char bytes[8];
	ssize_t n = 1;

	if (port->kind == HYPERCALL_PORT_EVENTFD) {
		epoll_wait(port->rx, ev, HYPERCALL_WAIT_EVENTS, 0);
		return;
	}
	for (int i = 0; i < DRAIN_MAX && n > 0; i++)
		n = recv(port->rx, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n == 0)
		port->dead = true;
}

/* ---- masking ---- */

static int set_entry(xenevtchn_handle *xce, uint32_t number, const struct port *port, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u32 = number};

	return epoll_ctl(xce->epoll_fd, EPOLL_CTL_MOD, port->rx, &ev);
}

/*
 * A masked port may make an edge-triggered set ready once more, for an event that is not handed out
 * yet. Who does not block is told EAGAIN then; somebody else would sleep, so there it is not done. A
 * socket has to be drained, so that its queue does not fill.
 */
static bool is_edge(const xenevtchn_handle *xce, const struct port *port)
{
	return xce->nonblock && port->kind == HYPERCALL_PORT_EVENTFD;
}

/* A notification that was not taken yet makes it fire at once. Lock held. */
static int arm(xenevtchn_handle *xce, uint32_t number, struct port *port)
{
	bool edge = is_edge(xce, port);

	if (set_entry(xce, number, port, EPOLLIN | (edge ? EPOLLET : EPOLLONESHOT)) < 0)
		return -1;
	port->arming = edge ? ARMED_EDGE : ARMED_ONCE;
	return 0;
}

/* Asks again whether who calls us wants to be blocked. */
static bool ask_nonblock(xenevtchn_handle *xce)
{
	int flags = fcntl(xce->epoll_fd, F_GETFL);
	bool nonblock = flags >= 0 && (flags & O_NONBLOCK);

	pthread_mutex_lock(&xce->lock);
	xce->nonblock = nonblock;
	pthread_mutex_unlock(&xce->lock);
	atomic_store_explicit(&xce->asked, true, memory_order_relaxed);
	return nonblock;
}

/* ---- binding ---- */

static int reserve_slot(xenevtchn_handle *xce, uint32_t number)
{
	uint32_t slots = xce->nr_slots ? xce->nr_slots : 8;
	struct port *grown;

	if (number < xce->nr_slots)
		return 0;
	while (slots <= number)
		slots *= 2;
	grown = realloc(xce->ports, slots * sizeof(*grown));
	if (!grown)
		return -1;
	memset(grown + xce->nr_slots, 0, (slots - xce->nr_slots) * sizeof(*grown));
	xce->ports = grown;
	xce->nr_slots = slots;
	return 0;
}

static int add_port(xenevtchn_handle *xce, uint32_t number, struct port *port, bool pending)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = number};
	int rc = -1;

	port->bound = true;
	port->arming = ARMED_ONCE;
	/* A fresh set starts out ready, as Xen wants it of an interdomain port only. */
	if (!pending)
		drain(port);
	pthread_mutex_lock(&xce->lock);
	if (reserve_slot(xce, number) == 0 &&
		epoll_ctl(xce->epoll_fd, EPOLL_CTL_ADD, port->rx, &ev) == 0) {
		xce->ports[number] = *port;
		rc = 0;
	}
	pthread_mutex_unlock(&xce->lock);
	if (rc < 0) {
		int saved = errno;

		port_close(port);
		errno = saved;
	}
	return rc;
}

static int unbind_call(xenevtchn_handle *xce, evtchn_port_t number)
{
	struct hypercall_request req = {.op = HYPERCALL_UNBIND, .evtchn = {.port = number}};
	struct hypercall_reply reply;

	return link_call(&xce->link, &req, NULL, 0, &reply, NULL, 0, NULL, 0);
}

static xenevtchn_port_or_error_t bind_port(
	xenevtchn_handle *xce, const struct hypercall_request *req, bool pending)
{
	struct hypercall_reply reply;
	struct port port = {0};
	unsigned int nr_fds;
	int fds[2], saved;

	/* How many descriptors come depends on the kind, which the reply tells. */
	nr_fds = 2;
	if (link_call_any(&xce->link, req, &reply, fds, &nr_fds) < 0)
		return -1;
	port.kind = reply.evtchn.kind;
	port.rx = fds[0];
	port.tx = nr_fds == 2 ? fds[1] : fds[0];
	if (add_port(xce, reply.evtchn.port, &port, pending) == 0)
		return (xenevtchn_port_or_error_t)reply.evtchn.port;
	saved = errno;
	if (unbind_call(xce, reply.evtchn.port) < 0)
		errno = saved;
	errno = saved;
	return -1;
}

RF_EXPORT xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(
	xenevtchn_handle *xce, uint32_t domid)
{
	struct hypercall_request req = {
		.op = HYPERCALL_BIND_UNBOUND, .evtchn = {.domid = domid}};

	return bind_port(xce, &req, false);
}

RF_EXPORT xenevtchn_port_or_error_t xenevtchn_bind_interdomain(
	xenevtchn_handle *xce, uint32_t domid, evtchn_port_t remote_port)
{
	struct hypercall_request req = {.op = HYPERCALL_BIND_INTERDOMAIN,
		.evtchn = {.domid = domid, .port = remote_port}};

	return bind_port(xce, &req, true);
}

RF_EXPORT xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
	(void)xce, (void)virq;
	/* There are no virtual interrupts: a process has its own timers, consoles and debuggers. */
	errno = EOPNOTSUPP;
	return -1;
}

RF_EXPORT int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t number)
{
	struct port *port;

	pthread_mutex_lock(&xce->lock);
	port = find_port(xce, number);
	if (port) {
		epoll_ctl(xce->epoll_fd, EPOLL_CTL_DEL, port->rx, NULL);
		port_close(port);
	}
	pthread_mutex_unlock(&xce->lock);
	return port ? unbind_call(xce, number) : -1;
}

/* ---- notification ---- */

RF_EXPORT int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t number)
{
	static const uint64_t one = 1;
	struct port *port;
	ssize_t n = -1;

	pthread_mutex_lock(&xce->lock);
	port = find_port(xce, number);
	if (port && port->kind == HYPERCALL_PORT_EVENTFD) {
		n = write(port->tx, &one, sizeof(one));
	} else if (port) {
		n = send(port->tx, &one, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	/* A full queue is as pending as it gets; a peer that shut down or is gone does not care. */
	if (n < 0 && port &&
		(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET || errno == ENOBUFS))
		n = 0;
	pthread_mutex_unlock(&xce->lock);
	return n < 0 ? -1 : 0;
}

/*
 * The port's entry fired. True if that is an event for the caller, who has the port masked then.
 * Lock held.
 */
static bool fired(xenevtchn_handle *xce, uint32_t number, struct port *port)
{
	if (port->arming == ARMED_EDGE && !port->masked && is_edge(xce, port)) {
		port->masked = true;
		return true;
	}
	/* One-shot entries are disarmed by now. An edge that is not wanted is kept for unmask. */
	if (port->arming == ARMED_EDGE)
		set_entry(xce, number, port, 0);
	port->arming = DISARMED;
	if (port->masked)
		return false;
	port->masked = true;
	drain(port);
	if (port->dead)
		epoll_ctl(xce->epoll_fd, EPOLL_CTL_DEL, port->rx, NULL);
	return true;
}

/* The set reported a port. False if it is not bound any more, or masked. */
static bool take_event(xenevtchn_handle *xce, uint32_t number)
{
	struct port *port;
	bool taken;

	pthread_mutex_lock(&xce->lock);
	port = find_port(xce, number);
	taken = port && fired(xce, number, port);
	pthread_mutex_unlock(&xce->lock);
	return taken;
}

RF_EXPORT xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
	struct epoll_event ev;
	int timeout_ms = 0, n;

	if (!atomic_load_explicit(&xce->asked, memory_order_relaxed))
		ask_nonblock(xce);
	for (;;) {
		n = epoll_wait(xce->epoll_fd, &ev, 1, timeout_ms);
		if (n < 0)
			return -1;
		if (n == 0) {
			/* Asked only now: most calls come when there is an event. */
			if (ask_nonblock(xce)) {
				errno = EAGAIN;
				return -1;
			}
			timeout_ms = -1;
			continue;
		}
		if (ev.data.u32 == LINK_DATA) {
			errno = ENODEV; /* the hypervisor is gone */
			return -1;
		}
		if (take_event(xce, ev.data.u32))
			return (xenevtchn_port_or_error_t)ev.data.u32;
		timeout_ms = 0;
	}
}

RF_EXPORT int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t number)
{
	struct port *port;
	int rc = -1;

	pthread_mutex_lock(&xce->lock);
	port = find_port(xce, number);
	if (port) {
		port->masked = false;
		rc = port->dead || port->arming != DISARMED ? 0 : arm(xce, number, port);
	}
	pthread_mutex_unlock(&xce->lock);
	return rc;
}

RF_EXPORT int xenevtchn_restrict(xenevtchn_handle *xce, domid_t domid)
{
	struct hypercall_request req = {.op = HYPERCALL_RESTRICT, .evtchn = {.domid = domid}};
	struct hypercall_reply reply;

	return link_call(&xce->link, &req, NULL, 0, &reply, NULL, 0, NULL, 0);
}
