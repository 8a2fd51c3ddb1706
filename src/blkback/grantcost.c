/* SPDX-License-Identifier: MIT */
/* The cheaper way to granted pages, by measurement. */
#include "blkback/grantcost.h"

#define AVERAGE_SHIFT 3 /* a new figure counts for an eighth */
#define OUTLIER 8u	/* and at most for so many times the average: we may have lost the processor */

static struct grantcost_size *size_of(struct grantcost *cost, unsigned int nr_pages)
{
	return &cost->sizes[nr_pages > GRANTCOST_SMALL_PAGES];
}

enum grant_mode grantcost_choose(struct grantcost *cost, unsigned int nr_pages)
{
	struct grantcost_size *size = size_of(cost, nr_pages);
	uint32_t n = size->nr_chosen;

	size->nr_chosen = (n + 1) % GRANTCOST_PERIOD;
	/* What is in flight has taught nothing yet, and what failed never will. */
	if (n < GRANTCOST_TRIALS || !size->nr_learned[GRANTCOST_MAP] ||
		!size->nr_learned[GRANTCOST_COPY])
		return n & 1 ? GRANT_COPY : GRANT_MAP;
	return size->page_ns[GRANTCOST_COPY] < size->page_ns[GRANTCOST_MAP] ? GRANT_COPY : GRANT_MAP;
}

void grantcost_learn(
	struct grantcost *cost, enum grant_mode mode, unsigned int nr_pages, uint64_t took_ns)
{
	enum grantcost_way way = mode == GRANT_COPY ? GRANTCOST_COPY : GRANTCOST_MAP;
	struct grantcost_size *size = size_of(cost, nr_pages);
	uint64_t sample = took_ns / nr_pages + 1, average = size->page_ns[way];

	/* The first request also pays for what is done once: the second one's figure replaces its. */
	if (size->nr_learned[way] < 2) {
		size->nr_learned[way]++;
		average = sample;
	} else {
		if (sample > average * OUTLIER)
			sample = average * OUTLIER;
		average = average + (sample >> AVERAGE_SHIFT) - (average >> AVERAGE_SHIFT);
	}
	size->page_ns[way] = average < UINT32_MAX ? (uint32_t)average : UINT32_MAX;
}
