/* SPDX-License-Identifier: MIT */
/* Areas, their mappings, and how xenstore tells of them. Only for shm.c and shm_nodes.c. */
#ifndef RF_HYPERVISOR_SHM_NODES_H
#define RF_HYPERVISOR_SHM_NODES_H

#include "hypervisor/domain.h"

/* Exists while a domain has it mapped. */
struct shm_area {
	struct shm_area *next; /* hv->shm_areas, by id */
	uint32_t id;
	uint64_t size;
	struct domain *owner; /* NULL: has ended */
	bool lends_writable;
	int memfd; /* -1: nobody could pay for it any more; what is mapped stays */
	struct domain *payer; /* of the memfd: the owner, or after its end another; NULL without one */
	struct list mappings;
	unsigned int nr_mappings;
};

struct shm_mapping {
	struct list area_link;
	struct shm_mapping *next; /* of the domain */
	struct shm_area *area;
	struct domain *dom;
	uint64_t begin, size, offset;
	bool owner, writable;
};

/* Makes the mapping's nodes, and with the first one those of the area. 0 or -errno. */
int shm_nodes_add_mapping(struct hypervisor *hv, const struct shm_mapping *mapping)
	__attribute__((warn_unused_result));

/* The mapping is no longer in its area's list, but others are. */
void shm_nodes_remove_mapping(struct hypervisor *hv, const struct shm_mapping *mapping);

void shm_nodes_remove_area(struct hypervisor *hv, const struct shm_area *area);

#endif
