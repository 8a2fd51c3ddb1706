/* SPDX-License-Identifier: MIT */
/*
 * What xen/io/ring.h wants from its user: include this before it. The barriers, and accessors for
 * the indices in a shared ring page, which the header's own macros read and write plainly, as often
 * as the compiler likes. Both ends of a blkif ring use these.
 */
#ifndef RF_COMMON_RINGMB_H
#define RF_COMMON_RINGMB_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
/* ThreadSanitizer does not know fences; a read-modify-write is one, to it and to x86. */
static inline void xen_mb(void)
{
	static _Atomic int fence;

	atomic_fetch_add_explicit(&fence, 1, memory_order_seq_cst);
}
#define xen_rmb() xen_mb()
#define xen_wmb() xen_mb()
#else
#define xen_mb() atomic_thread_fence(memory_order_seq_cst)
#define xen_rmb() atomic_thread_fence(memory_order_acquire)
#define xen_wmb() atomic_thread_fence(memory_order_release)
#endif

/* The peer's producer index, read once. Bound it before use. */
static inline uint32_t ring_load_prod(const uint32_t *index)
{
	/*
	 * Orders: this load before the reads of the slots that the index covers.
	 * Pairs with: the peer's ring_store_prod (or its xen_wmb before the store).
	 * Without it: a slot's old contents would be taken for the new message.
	 */
	return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

/* Publishes our producer index. Producer only. */
static inline void ring_store_prod(uint32_t *index, uint32_t value)
{
	/*
	 * Orders: the slots' contents before the index that covers them.
	 * Pairs with: the peer's ring_load_prod (or its xen_rmb after the load).
	 * Without it: the peer would take a slot that is not written yet.
	 */
	__atomic_store_n(index, value, __ATOMIC_RELEASE);
}

/* An event index; relaxed, because the callers' xen_mb orders it against the producer index. */
static inline uint32_t ring_load_event(const uint32_t *index)
{
	return __atomic_load_n(index, __ATOMIC_RELAXED);
}

static inline void ring_store_event(uint32_t *index, uint32_t value)
{
	__atomic_store_n(index, value, __ATOMIC_RELAXED);
}

/*
 * Copies len_bytes (a multiple of 8; both 8-aligned) between a ring slot and private memory, each
 * word once. Relaxed: the index's ordering publishes the contents, and a peer that writes a slot
 * while we copy it gets us a torn copy, which the checks of the copy must bear anyway.
 */
static inline void ring_copy_from(void *to, const void *slot, size_t len_bytes)
{
	const uint64_t *from = slot;

	for (size_t i = 0; i < len_bytes / sizeof(uint64_t); i++) {
		uint64_t word = __atomic_load_n(&from[i], __ATOMIC_RELAXED);

		memcpy((char *)to + i * sizeof(word), &word, sizeof(word));
	}
}

static inline void ring_copy_to(void *slot, const void *from, size_t len_bytes)
{
	uint64_t *to = slot;

	for (size_t i = 0; i < len_bytes / sizeof(uint64_t); i++) {
		uint64_t word;

		memcpy(&word, (const char *)from + i * sizeof(word), sizeof(word));
		__atomic_store_n(&to[i], word, __ATOMIC_RELAXED);
	}
}

#endif
