/* SPDX-License-Identifier: MIT */
/*
 * Event channels. Two ports that are bound share a *channel*: a pair of ends, each of which one
 * side waits on and the other notifies. The hypervisor keeps the channel for as long as either
 * port exists, so that a port whose peer went can be bound again (xen, evtchn_bind_interdomain).
 */
#ifndef RF_HYPERVISOR_EVTCHN_H
#define RF_HYPERVISOR_EVTCHN_H

#include "hypervisor/domain.h"

struct hypercall_conn;

/* Finds out which kind of ends this kernel supports (eventfds in epoll sets, or sockets). */
enum hypercall_port_kind evtchn_probe(void);

/* Allocates a port that `domid` may bind to. *port is the new port's number. 0 or -errno. */
int evtchn_bind_unbound(struct hypercall_conn *conn, unsigned int domid, uint32_t *port)
	__attribute__((warn_unused_result));

/* Allocates a port bound to `remote_port` of `domid`, which must wait for this domain. */
int evtchn_bind_interdomain(struct hypercall_conn *conn, unsigned int domid, uint32_t remote_port,
	uint32_t *port) __attribute__((warn_unused_result));

/*
 * The descriptors that a port's owner needs: *nr of them in fds. All are borrowed, except that of
 * two the first is made for the owner, and to be closed once it is sent. 0 or -errno.
 */
int evtchn_port_fds(struct domain *dom, uint32_t port, int fds[2], unsigned int *nr)
	__attribute__((warn_unused_result));

/* Closes a port of this connection's; its peer becomes unbound. 0 or -EINVAL. */
int evtchn_unbind(struct hypercall_conn *conn, uint32_t port) __attribute__((warn_unused_result));

/* Notifies the peer of a port on behalf of its domain. Unknown or unbound: nothing happens. */
void evtchn_send(struct domain *dom, uint32_t port);

/*
 * An unmap notification needs the port until it fires, also when the handle that made the port
 * closes first (Linux's gntdev takes such a reference too). Hold: false if there is no such port.
 */
bool evtchn_hold(struct domain *dom, uint32_t port);
void evtchn_release(struct domain *dom, uint32_t port);

/* Closes every port of the connection. */
void evtchn_conn_closed(struct hypercall_conn *conn);

/* The domain ends, and its ports are closed: it pays for no channel any more. */
void evtchn_domain_gone(struct domain *dom);

#endif
