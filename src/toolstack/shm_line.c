/* SPDX-License-Identifier: MIT */
/* The hypervisor's answer, taken apart; pure functions. */
#include "toolstack/shm_line.h"

#include <inttypes.h>
#include <stdio.h>

bool shm_line_parse(const char *line, struct shm_line *out)
{
	return sscanf(line,
		       "id=%" SCNu32 " size=%" SCNu64 " owner=%u domid=%u name=%63s begin=%" SCNu64
		       " length=%" SCNu64 " offset=%" SCNu64 " role=%15s prot=%3s",
		       &out->id, &out->size, &out->owner, &out->domid, out->name, &out->begin,
		       &out->length, &out->offset, out->role, out->prot) == 10;
}
