/* SPDX-License-Identifier: MIT */
/*
 * Static shared memory: areas that are mapped into domains when these start, and their nodes below
 * /local/shared_mem (docs/protocol/shared-memory.md). Main thread only.
 */
#ifndef RF_HYPERVISOR_SHM_H
#define RF_HYPERVISOR_SHM_H

#include <stdio.h>

#include "common/shm.h"
#include "hypervisor/domain.h"

/* All domains together. Each area costs its owner a descriptor. */
#define SHM_AREAS_MAX 1024u

/*
 * Whether a new domain could have all of these areas now. For SHM_FIRST_OWNS the role becomes the
 * one that it would have. 0 or -errno, and `error` says what is wrong: what shm_spec_check says,
 * -ENOENT borrower before owner, -EEXIST owned already, -ESTALE the owner ended and others use the
 * area still, -EINVAL sizes differ or beyond the area's end, -EACCES more than its owner permits,
 * -ENOSPC too many areas.
 */
int shm_check(struct hypervisor *hv, struct shm_spec *specs, unsigned int nr_specs, char *error,
	size_t error_size) __attribute__((warn_unused_result));

/*
 * Gives the domain all of these areas, or none: makes those that it is to own, zeroed, and the
 * nodes. With `adopt`, which is for domains that are restarted, an area whose owner has ended gets a
 * new one, with what is in it. Errors as shm_check, and -EBUSY (it has areas already), -ENOMEM,
 * -EMFILE.
 */
int shm_attach(struct domain *dom, struct shm_spec *specs, unsigned int nr_specs, bool adopt,
	char *error, size_t error_size) __attribute__((warn_unused_result));

/*
 * A descriptor of the memory of an area that the domain has, to map it: one that cannot be written
 * through if the domain may only read. The caller closes it. -ENOENT the domain has no such area,
 * -ESTALE its owner has ended and nobody could pay for the descriptor, or another -errno.
 */
int shm_open_memory(struct domain *dom, uint32_t id) __attribute__((warn_unused_result));

/* True if the domain has the area and owns it. */
bool shm_is_owner(const struct domain *dom, uint32_t id);

/*
 * The domain ends: its mappings vanish from the nodes. An area that it owned loses its owner and
 * lasts until its last mapping ends; an area without mappings is gone.
 */
void shm_domain_gone(struct domain *dom);

/* A line for each mapping, for the control protocol's shm-list. */
void shm_print(struct hypervisor *hv, FILE *out);

#endif
