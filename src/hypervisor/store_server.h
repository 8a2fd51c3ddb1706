/* SPDX-License-Identifier: MIT */
/*
 * xenstore over sockets: the connections of dom0 (RUNDIR/xenstored/socket) and of every domain,
 * handed to the store library.
 */
#ifndef RF_HYPERVISOR_STORE_SERVER_H
#define RF_HYPERVISOR_STORE_SERVER_H

#include "hypervisor/domain.h"

/* Creates the store and listens as dom0's. 0 or -errno. */
int store_server_init(struct hypervisor *hv) __attribute__((warn_unused_result));

/* Closes dom0's connections and the store. Every domain must have been destroyed. */
void store_server_fini(struct hypervisor *hv);

/* Loop callback of a domain's store socket. */
void store_server_accept_domain(struct loop_source *source, uint32_t events);

/* Closes all store connections of a domain. */
void store_server_close_all(struct domain *dom);

/* Sends what is queued on connections; called once after every batch of events. */
void store_server_flush(struct hypervisor *hv);

#endif
