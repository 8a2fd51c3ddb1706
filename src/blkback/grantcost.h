/* SPDX-License-Identifier: MIT */
/*
 * Mapping or copying granted pages, whichever costs less here: unmapping flushes TLBs, copying
 * moves every byte, and which of them is cheaper differs between machines, hypervisors and sizes.
 * Both are tried in turn at first, and again from time to time. One thread.
 */
#ifndef RF_BLKBACK_GRANTCOST_H
#define RF_BLKBACK_GRANTCOST_H

#include <stdint.h>

#include "blkback/grantmap.h"

#define GRANTCOST_SMALL_PAGES 4u /* requests of so many pages are judged apart from larger ones */
#define GRANTCOST_TRIALS 32u	 /* requests of a period that try both in turn */
#define GRANTCOST_PERIOD 4096u	 /* requests */

enum grantcost_way { GRANTCOST_MAP, GRANTCOST_COPY, GRANTCOST_NR_WAYS };

/* All zero at first. */
struct grantcost {
	struct grantcost_size {
		uint32_t nr_chosen;			/* in this period */
		uint32_t nr_learned[GRANTCOST_NR_WAYS]; /* 0, 1, or more (2) */
		uint32_t page_ns[GRANTCOST_NR_WAYS];	/* moving averages, at least 1 */
	} sizes[2]; /* small, large */
};

/* GRANT_MAP or GRANT_COPY, for the next request of so many pages. */
enum grant_mode grantcost_choose(struct grantcost *cost, unsigned int nr_pages);

/* What the mapping and unmapping, or the copying, of a request took. */
void grantcost_learn(
	struct grantcost *cost, enum grant_mode mode, unsigned int nr_pages, uint64_t took_ns);

#endif
