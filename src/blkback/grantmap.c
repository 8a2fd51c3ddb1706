/* SPDX-License-Identifier: MIT */
/*
 * Mapping of granted pages. The grefs come from the guest; a wrong one fails that request only.
 */
#include "blkback/grantmap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct grantmap_entry {
	struct grantmap_entry *next;
	void *addr;
	uint32_t gref;
	uint32_t nr_users;
	bool writable;
	bool used; /* since the eviction last passed */
};

int grantmap_init(struct grantmap *map, xengnttab_handle *xgt, uint32_t domid, bool persistent,
	uint32_t max_entries)
{
	uint32_t nr_buckets = 64;

	while (nr_buckets < max_entries && nr_buckets < 1024)
		nr_buckets *= 2;
	*map = (struct grantmap){.xgt = xgt, .domid = domid, .persistent = persistent,
		.nr_buckets = nr_buckets, .max_entries = max_entries};
	map->buckets = calloc(nr_buckets, sizeof(*map->buckets));
	return map->buckets ? 0 : -ENOMEM;
}

static void free_entry(struct grantmap *map, struct grantmap_entry *entry)
{
	xengnttab_unmap(map->xgt, entry->addr, 1);
	free(entry);
	map->nr_entries--;
}

void grantmap_fini(struct grantmap *map)
{
	for (uint32_t i = 0; map->buckets && i < map->nr_buckets; i++) {
		while (map->buckets[i]) {
			struct grantmap_entry *entry = map->buckets[i];

			map->buckets[i] = entry->next;
			free_entry(map, entry);
		}
	}
	free(map->buckets);
	map->buckets = NULL;
}

static struct grantmap_entry **bucket_of(struct grantmap *map, uint32_t gref)
{
	return &map->buckets[gref & (map->nr_buckets - 1)];
}

/* Unmaps one page that no request uses, clock-wise. False if all are in use. */
static bool evict_one(struct grantmap *map)
{
	for (uint32_t n = 0; n < 2 * map->nr_buckets; n++) {
		struct grantmap_entry **link =
			&map->buckets[map->evict_bucket++ & (map->nr_buckets - 1)];

		for (; *link; link = &(*link)->next) {
			struct grantmap_entry *entry = *link;

			if (entry->nr_users)
				continue;
			if (entry->used) {
				entry->used = false;
				continue;
			}
			*link = entry->next;
			free_entry(map, entry);
			return true;
		}
	}
	return false;
}

/*
 * A persistent grant is mapped writable, since the same page may carry a read next time; a front
 * end that grants a write's page read-only is served, too.
 */
static struct grantmap_entry *map_persistent(struct grantmap *map, uint32_t gref, bool writable)
{
	struct grantmap_entry *entry, **bucket = bucket_of(map, gref);

	entry = calloc(1, sizeof(*entry));
	if (!entry) {
		errno = ENOMEM;
		return NULL;
	}
	entry->addr = xengnttab_map_grant_ref(map->xgt, map->domid, gref, PROT_READ | PROT_WRITE);
	entry->writable = entry->addr != NULL;
	if (!entry->addr && !writable && errno == EACCES)
		entry->addr = xengnttab_map_grant_ref(map->xgt, map->domid, gref, PROT_READ);
	if (!entry->addr) {
		free(entry);
		return NULL;
	}
	entry->gref = gref;
	entry->next = *bucket;
	*bucket = entry;
	map->nr_entries++;
	return entry;
}

static int get_persistent(
	struct grantmap *map, uint32_t gref, bool writable, struct grantref *ref)
{
	struct grantmap_entry *entry = *bucket_of(map, gref);

	while (entry && entry->gref != gref)
		entry = entry->next;
	if (!entry) {
		if (map->nr_entries >= map->max_entries && !evict_one(map))
			return -ENOSPC;
		entry = map_persistent(map, gref, writable);
		if (!entry)
			return -errno;
	}
	if (writable && !entry->writable)
		return -EACCES;
	entry->used = true;
	entry->nr_users++;
	*ref = (struct grantref){entry, entry->addr};
	return 0;
}

int grantmap_get(struct grantmap *map, const uint32_t *grefs, unsigned int nr, bool writable,
	struct grantref *refs)
{
	char *addr;
	int rc;

	if (!map->persistent) {
		addr = xengnttab_map_domain_grant_refs(map->xgt, nr, map->domid, (uint32_t *)grefs,
			writable ? PROT_READ | PROT_WRITE : PROT_READ);
		if (!addr)
			return -errno;
		for (unsigned int i = 0; i < nr; i++)
			refs[i] = (struct grantref){NULL, addr + (size_t)i * GRANT_PAGE_SIZE};
		return 0;
	}
	for (unsigned int i = 0; i < nr; i++) {
		rc = get_persistent(map, grefs[i], writable, &refs[i]);
		if (rc) {
			grantmap_put(map, refs, i);
			return rc;
		}
	}
	return 0;
}

void grantmap_put(struct grantmap *map, struct grantref *refs, unsigned int nr)
{
	if (nr == 0)
		return;
	if (!map->persistent) {
		xengnttab_unmap(map->xgt, refs[0].addr, nr);
		return;
	}
	for (unsigned int i = 0; i < nr; i++)
		refs[i].entry->nr_users--;
}
