/* SPDX-License-Identifier: MIT */
/*
 * An intrusive hash table that never fails: it starts in memory of its own, and when it cannot get
 * memory to grow it merely becomes slower. Callers supply 61-bit keyed hashes (path.h) and compare
 * the keys themselves.
 */
#ifndef RF_XENSTORE_HTABLE_H
#define RF_XENSTORE_HTABLE_H

#include <stddef.h>
#include <stdint.h>

struct hlink {
	struct hlink *next;
	uint64_t hash;
};

#define HTABLE_INLINE 8

struct htable {
	struct hlink **buckets; /* `inline_buckets`, or allocated */
	size_t nr_buckets;	/* a power of two */
	size_t count;
	struct hlink *inline_buckets[HTABLE_INLINE];
};

/* The table must not move afterwards. */
void htable_init(struct htable *table);
/* Frees the buckets, not the entries. */
void htable_fini(struct htable *table);

void htable_insert(struct htable *table, struct hlink *link, uint64_t hash);
void htable_remove(struct htable *table, struct hlink *link);

/* The first entry with this hash, and the next one; NULL at the end. */
struct hlink *htable_first(const struct htable *table, uint64_t hash);
struct hlink *htable_next(const struct hlink *link);

#endif
