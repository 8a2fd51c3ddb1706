/* SPDX-License-Identifier: MIT */
/*
 * A domain's shared memory areas on their way from its configuration into its program: read with
 * shm_config.h, checked, taken from the hypervisor, and mapped with inject.h.
 */
#ifndef RF_TOOLSTACK_SHM_H
#define RF_TOOLSTACK_SHM_H

#include "toolstack/inject.h"
#include "toolstack/shm_config.h"

/* What a domain has been given; zeroed: nothing. */
struct shm_maps {
	struct inject_map maps[SHM_PER_DOMAIN_MAX];
	unsigned int nr_maps;
};

/*
 * Whether a new domain could have the areas now, and there is memory for those that it is to own.
 * 0, or -1 and standard error says why not.
 */
int shm_ask(int control_fd, const struct shm_config *config) __attribute__((warn_unused_result));

/*
 * Takes them for the domain that the connection holds; the memory of those that it owns is
 * allocated then. A domain that is `restarted` may have areas back that others have kept meanwhile.
 * 0, or -1 with the reason on standard error and nothing taken that the end of the domain would not
 * give back.
 */
int shm_take(int control_fd, const struct shm_config *config, bool restarted,
	struct shm_maps *maps) __attribute__((warn_unused_result));

/* Closes the descriptors: what is mapped stays. Legal when nothing was taken. */
void shm_close(struct shm_maps *maps);

/* Bytes of address space that they take. */
uint64_t shm_total(const struct shm_maps *maps);

#endif
