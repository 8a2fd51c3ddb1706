/* SPDX-License-Identifier: MIT */
/* Lines of the hypervisor's shm-list (docs/protocol/control.md): one for each mapping of an area. */
#ifndef RF_TOOLSTACK_SHM_LINE_H
#define RF_TOOLSTACK_SHM_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "toolstack/lines.h"

struct shm_line {
	uint32_t id;
	unsigned int owner; /* 0: it has ended */
	unsigned int domid;
	char name[DOMAIN_NAME_SIZE];
	uint64_t size; /* of the area */
	uint64_t begin, length, offset; /* of the mapping */
	char role[16], prot[4];
};

/* False if it is no such line. */
bool shm_line_parse(const char *line, struct shm_line *out);

#endif
