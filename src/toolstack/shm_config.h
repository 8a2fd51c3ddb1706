/* SPDX-License-Identifier: MIT */
/*
 * Shared memory areas as a configuration file names them (ringfence.cfg(5)): the lists
 * static_shared_mem and static_shm, one string at a time. Pure functions; any thread.
 */
#ifndef RF_TOOLSTACK_SHM_CONFIG_H
#define RF_TOOLSTACK_SHM_CONFIG_H

#include "common/shm.h"

struct shm_config {
	struct shm_spec specs[SHM_PER_DOMAIN_MAX];
	unsigned int nr_specs;
};

/*
 * Adds the area of one string of static_shared_mem, "BEGIN-END = ID" or "BEGIN,SIZE = ID", to what
 * the domain has so far. 0, or -EINVAL, -ERANGE, -EEXIST, -E2BIG as shm_spec_check: nothing is
 * added, and `error` (SHM_ERROR_SIZE bytes are enough) says what is wrong.
 */
int shm_config_add_range(struct shm_config *config, const char *text, char *error,
	size_t error_size) __attribute__((warn_unused_result));

/* The same for static_shm: "id=ID, begin=ADDRESS, size=BYTES, role=owner|borrower, ...". */
int shm_config_add(struct shm_config *config, const char *text, char *error, size_t error_size)
	__attribute__((warn_unused_result));

#endif
