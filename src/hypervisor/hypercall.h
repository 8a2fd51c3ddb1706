/* SPDX-License-Identifier: MIT */
/*
 * The hypercall server: connections of domains, one for each open handle of a Xen library
 * (docs/protocol/hypercall.md).
 */
#ifndef RF_HYPERVISOR_HYPERCALL_H
#define RF_HYPERVISOR_HYPERCALL_H

#include "hypervisor/domain.h"

struct hypercall_conn {
	struct loop_source source;
	struct domain *dom;
	struct list link;
	uint32_t interface; /* enum hypercall_interface; 0 before OPEN */
	struct list shares, uses, ports;
	uint32_t max_grants; /* set_max_grants: pages that may be mapped at once; 0: no limit */
	uint32_t nr_mapped;
	uint32_t only_domid; /* restrict: the one domain to bind with, or HYPERCALL_DOMID_ANY */
};

/* Loop callback of a domain's hypercall socket. */
void hypercall_accept(struct loop_source *source, uint32_t events);

/* Closes all connections of a domain. */
void hypercall_close_all(struct domain *dom);

#endif
