/* SPDX-License-Identifier: MIT */
/*
 * The policy iddr: each end of a ring says in shared memory whether it sleeps, and who produces
 * notifies only one that does. After Shirole, "Performance analysis of driver domain" (Virginia
 * Tech, 2013), sections 4.2.2.1.7 and 4.2.2.1.8 (front end), 4.2.3.1.10 and 4.2.3.1.12 (back end).
 * docs/protocol/blkif.md has the words and the node that offers them.
 *
 * A word belongs to the end that waits; that end never reads it. What the other one makes of it, or
 * writes over it (the page is writable for both), concerns nothing but the notifications between
 * these two.
 */
#ifndef RF_COMMON_RING_STATUS_H
#define RF_COMMON_RING_STATUS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/ringmb.h"
#include <xen/io/blkif.h>

/* Below the directory of the end that keeps its word: 1 if it does. */
#define RING_STATUS_NODE "feature-ringfence-status"

/*
 * How long a side looks for work before it sleeps. The thesis has a THRESHOLD, a number of looks
 * since the last message, and does not say which. A wake-up from one processor to another costs
 * about this, so the two together are at most twice what the better of polling and sleeping costs.
 */
#define RING_STATUS_SPIN_NS (50 * NSEC_PER_USEC)

/* All values but RUNNING count as SLEEPING, as does a page that nobody wrote to. */
enum ring_status { RING_SLEEPING = 0, RING_RUNNING = 1 };

/* The last 8 bytes of the ring's header, which xen/io/ring.h leaves to nobody. */
#define RING_REQ_STATUS_OFFSET 56u /* of who waits for requests: the back end */
#define RING_RSP_STATUS_OFFSET 60u /* of who waits for responses: the front end */

static_assert(offsetof(blkif_sring_t, ring) == 64 &&
	offsetof(blkif_sring_t, __pad) <= RING_REQ_STATUS_OFFSET,
	"the words lie in the padding of the ring's header");

static inline uint32_t *ring_status_word(blkif_sring_t *sring, size_t offset)
{
	return (uint32_t *)(void *)((char *)sring + offset);
}

/*
 * The waiting end says what it does. Relaxed: before it sleeps, the xen_mb between this and its
 * last look orders it; that it runs again may be seen late, and costs a notification.
 */
static inline void ring_status_set(blkif_sring_t *sring, size_t offset, enum ring_status status)
{
	__atomic_store_n(ring_status_word(sring, offset), (uint32_t)status, __ATOMIC_RELAXED);
}

/* The producing end: whether to notify. Relaxed, after the xen_mb that follows its index. */
static inline bool ring_status_sleeps(blkif_sring_t *sring, size_t offset)
{
	return __atomic_load_n(ring_status_word(sring, offset), __ATOMIC_RELAXED) != RING_RUNNING;
}

#endif
