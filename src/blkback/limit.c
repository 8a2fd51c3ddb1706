/* SPDX-License-Identifier: MIT */
/* All relaxed: a word by itself, and a unit more or less at the moment of a change is no harm. */
#include "blkback/limit.h"

#include "common/clock.h"

#define COST_SHIFT 20
#define BURST_DEFAULT_NS (50 * NSEC_PER_MSEC)
#define TIME_MAX_NS (3600 * NSEC_PER_SEC)

void limit_set(struct limit *limit, uint64_t rate, uint64_t burst)
{
	uint64_t cost = rate ? (NSEC_PER_SEC << COST_SHIFT) / rate : 0;
	uint64_t burst_ns = BURST_DEFAULT_NS;

	if (rate && cost == 0)
		cost = 1; /* a rate beyond all measure */
	if (burst && cost) {
		burst_ns = burst < UINT64_MAX / cost ? burst * cost >> COST_SHIFT : TIME_MAX_NS;
		if (burst_ns > TIME_MAX_NS)
			burst_ns = TIME_MAX_NS;
	}
	atomic_store_explicit(&limit->burst_ns, burst_ns, memory_order_relaxed);
	atomic_store_explicit(&limit->cost, cost, memory_order_relaxed);
}

uint64_t limit_due(const struct limit *limit)
{
	if (!limit_is_set(limit))
		return 0;
	return atomic_load_explicit(&limit->due_ns, memory_order_relaxed);
}

void limit_charge(struct limit *limit, uint64_t units, uint64_t now)
{
	uint64_t cost = atomic_load_explicit(&limit->cost, memory_order_relaxed);
	uint64_t burst_ns = atomic_load_explicit(&limit->burst_ns, memory_order_relaxed);
	uint64_t due = atomic_load_explicit(&limit->due_ns, memory_order_relaxed);
	uint64_t oldest = now > burst_ns ? now - burst_ns : 0, price;

	if (!cost)
		return;
	price = units < UINT64_MAX / cost ? units * cost >> COST_SHIFT : TIME_MAX_NS;
	while (!atomic_compare_exchange_weak_explicit(&limit->due_ns, &due,
		(due > oldest ? due : oldest) + price, memory_order_relaxed, memory_order_relaxed))
		;
}
