/* SPDX-License-Identifier: MIT */
/*
 * On which processor a waiting thread polls. Where more threads poll than there are processors, the
 * kernel sees nothing wrong in the back end and one of its front ends sharing one, but then each
 * request waits for a turn of the other. Two front ends had better share one: their turns are long,
 * and while one has its turn the back end answers it at once.
 */
#include "blkfront/internal.h"

#include <sched.h>

#include "common/clock.h"

#define AWAY_MAX 64 /* answers that others' turns brought, more than came by looking */
#define MOVE_EVERY_NS (20 * NSEC_PER_MSEC)

void blk_place_move(void)
{
	cpu_set_t allowed, others;
	int cpu = sched_getcpu();

	if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return;
	others = allowed;
	CPU_CLR((unsigned int)cpu, &others);
	if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof(others), &others) < 0)
		return;
	/* It was allowed a moment ago; should it be forbidden now, somebody has just said so. */
	(void)sched_setaffinity(0, sizeof(allowed), &allowed);
}

/* Several threads may do this at once. Relaxed: an estimate. */
void blk_place_note(struct blk_queue *queue, bool was_away)
{
	uint32_t nr = atomic_load_explicit(&queue->nr_away, memory_order_relaxed);
	uint64_t now;

	if (!was_away) {
		if (nr)
			atomic_store_explicit(&queue->nr_away, nr - 1, memory_order_relaxed);
		return;
	}
	atomic_store_explicit(&queue->nr_away, nr + 2, memory_order_relaxed);
	if (nr < AWAY_MAX || queue->blk->options.wait_policy != RF_BLK_WAIT_ADAPTIVE)
		return;
	atomic_store_explicit(&queue->nr_away, 0, memory_order_relaxed);
	now = clock_ns();
	if (now < atomic_load_explicit(&queue->move_after_ns, memory_order_relaxed))
		return;
	atomic_store_explicit(&queue->move_after_ns, now + MOVE_EVERY_NS, memory_order_relaxed);
	blk_place_move();
}
