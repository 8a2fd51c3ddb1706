/* SPDX-License-Identifier: MIT */
/* Chained buckets, doubled at a load of one and halved at a load of an eighth. */
#include "xenstore/htable.h"

#include <string.h>

#include "xenstore/mem.h"

void htable_init(struct htable *table)
{
	memset(table, 0, sizeof(*table));
	table->buckets = table->inline_buckets;
	table->nr_buckets = HTABLE_INLINE;
}

void htable_fini(struct htable *table)
{
	if (table->buckets != table->inline_buckets)
		store_free(table->buckets);
	htable_init(table);
}

static struct hlink **bucket_of(const struct htable *table, uint64_t hash)
{
	return &table->buckets[hash & (table->nr_buckets - 1)];
}

static void htable_resize(struct htable *table, size_t nr_buckets)
{
	struct hlink **old = table->buckets, **bucket, *link, *next;
	size_t i, nr_old = table->nr_buckets;

	bucket = store_alloc(nr_buckets * sizeof(*bucket));
	if (!bucket)
		return;
	table->buckets = bucket;
	table->nr_buckets = nr_buckets;
	for (i = 0; i < nr_old; i++) {
		for (link = old[i]; link; link = next) {
			next = link->next;
			bucket = bucket_of(table, link->hash);
			link->next = *bucket;
			*bucket = link;
		}
	}
	if (old != table->inline_buckets)
		store_free(old);
}

void htable_insert(struct htable *table, struct hlink *link, uint64_t hash)
{
	struct hlink **bucket;

	if (table->count >= table->nr_buckets)
		htable_resize(table, 2 * table->nr_buckets);
	bucket = bucket_of(table, hash);
	link->hash = hash;
	link->next = *bucket;
	*bucket = link;
	table->count++;
}

void htable_remove(struct htable *table, struct hlink *link)
{
	struct hlink **it = bucket_of(table, link->hash);

	while (*it != link)
		it = &(*it)->next;
	*it = link->next;
	link->next = NULL;
	table->count--;
	if (table->nr_buckets > 64 && table->count < table->nr_buckets / 8)
		htable_resize(table, table->nr_buckets / 2);
}

static struct hlink *skip_others(struct hlink *link, uint64_t hash)
{
	while (link && link->hash != hash)
		link = link->next;
	return link;
}

struct hlink *htable_first(const struct htable *table, uint64_t hash)
{
	return skip_others(*bucket_of(table, hash), hash);
}

struct hlink *htable_next(const struct hlink *link)
{
	return skip_others(link->next, link->hash);
}
