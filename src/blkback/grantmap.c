/* SPDX-License-Identifier: MIT */
/*
 * Mapping of granted pages. The grefs come from the guest; a wrong one fails that request only.
 */
#include "blkback/grantmap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MIN_BUCKETS 64u
#define MAX_BUCKETS 1024u

struct grantmap_entry {
	struct grantmap_entry *next;
	struct list unused_link;
	struct aio_page page; /* lasting if it is kept and mapped writable */
	uint32_t gref;
	uint32_t nr_users;
	bool writable;
	bool kept; /* found by its gref; else of one request only */
};

int grantmap_init(struct grantmap *map, xengnttab_handle *xgt, struct aio *aio, uint32_t domid,
	bool persistent, uint32_t max_kept)
{
	*map = (struct grantmap){.xgt = xgt, .aio = aio, .domid = domid, .persistent = persistent,
		.max_kept = max_kept};
	list_init(&map->unused);
	if (!persistent)
		return 0;
	map->nr_buckets = MIN_BUCKETS;
	while (map->nr_buckets < max_kept && map->nr_buckets < MAX_BUCKETS)
		map->nr_buckets *= 2;
	map->buckets = calloc(map->nr_buckets, sizeof(struct grantmap_entry *));
	return map->buckets ? 0 : -ENOMEM;
}

static void free_entry(struct grantmap *map, struct grantmap_entry *entry)
{
	/* Before the page goes back to its guest: the kernel must not keep a hold on it. */
	aio_unpin(map->aio, &entry->page);
	xengnttab_unmap(map->xgt, entry->page.addr, 1);
	free(entry);
}

static struct grantmap_entry **bucket_of(struct grantmap *map, uint32_t gref)
{
	return &map->buckets[gref & (map->nr_buckets - 1)];
}

/* Unmaps the page that is the longest unused. False if all are in use. */
static bool evict_one(struct grantmap *map)
{
	struct grantmap_entry *entry, **link;

	if (list_empty(&map->unused))
		return false;
	entry = list_first(&map->unused, struct grantmap_entry, unused_link);
	list_del(&entry->unused_link);
	for (link = bucket_of(map, entry->gref); *link != entry;)
		link = &(*link)->next;
	*link = entry->next;
	free_entry(map, entry);
	map->nr_kept--;
	return true;
}

bool grantmap_unpin(struct grantmap *map, unsigned int nr)
{
	struct grantmap_entry *entry;

	if (!map->aio->nr_pinned)
		return true;
	for (; nr && map->nr_unpinned < map->nr_kept; nr--, map->nr_unpinned++) {
		entry = list_first(&map->unused, struct grantmap_entry, unused_link);
		list_del(&entry->unused_link);
		list_add_tail(&map->unused, &entry->unused_link);
		aio_unpin(map->aio, &entry->page);
	}
	return map->nr_unpinned == map->nr_kept;
}

void grantmap_fini(struct grantmap *map)
{
	while (evict_one(map))
		continue;
	free(map->buckets);
	map->buckets = NULL;
}

static void keep(struct grantmap *map, struct grantmap_entry *entry)
{
	struct grantmap_entry **bucket = bucket_of(map, entry->gref);

	entry->kept = true;
	/* A buffer for reads must be writable, and so one that is registered for both. */
	if (entry->writable)
		entry->page.state = AIO_PAGE_LASTING;
	entry->next = *bucket;
	*bucket = entry;
	map->nr_kept++;
}

/* What mapping a read-only grant writable may fail with; gntdev says EINVAL whatever it is. */
static bool perhaps_readonly(int error)
{
	return error == EACCES || error == EPERM || error == EINVAL;
}

/*
 * A persistent grant is mapped writable, since the same page may carry a read next time; a front
 * end that grants a write's page read-only is served, too.
 */
static struct grantmap_entry *map_persistent(struct grantmap *map, uint32_t gref, bool writable)
{
	struct grantmap_entry *entry = calloc(1, sizeof(*entry));
	void *addr;

	if (!entry) {
		errno = ENOMEM;
		return NULL;
	}
	addr = xengnttab_map_grant_ref(map->xgt, map->domid, gref, PROT_READ | PROT_WRITE);
	entry->writable = addr != NULL;
	if (!addr && !writable && perhaps_readonly(errno))
		addr = xengnttab_map_grant_ref(map->xgt, map->domid, gref, PROT_READ);
	if (!addr) {
		free(entry);
		return NULL;
	}
	entry->page.addr = addr;
	entry->gref = gref;
	list_init(&entry->unused_link);
	return entry;
}

/* A page that is not mapped yet, or not so. */
static __attribute__((noinline)) int add_persistent(struct grantmap *map, uint32_t gref,
	bool writable, const struct grantmap_entry *known, struct grantref *ref)
{
	struct grantmap_entry *entry;
	bool room;

	if (known)
		return -EACCES;
	room = map->nr_kept < map->max_kept || evict_one(map);
	entry = map_persistent(map, gref, writable);
	if (!entry)
		return -errno;
	if (room)
		keep(map, entry);
	entry->nr_users = 1;
	*ref = (struct grantref){&entry->page, entry->page.addr};
	return 0;
}

static void put_persistent(struct grantmap *map, struct grantmap_entry *entry)
{
	if (--entry->nr_users)
		return;
	if (entry->kept)
		list_add_tail(&map->unused, &entry->unused_link);
	else
		free_entry(map, entry);
}

/* All in one call, for one request. Not inlined: its array would cost the persistent ones time. */
static __attribute__((noinline)) int get_mapped(struct grantmap *map,
	const struct blkif_request_segment *segs, unsigned int nr, bool writable,
	struct grantref *refs)
{
	uint32_t grefs[GRANTMAP_MAX];
	char *addr;

	for (unsigned int i = 0; i < nr; i++)
		grefs[i] = segs[i].gref;
	addr = xengnttab_map_domain_grant_refs(map->xgt, nr, map->domid, grefs,
		writable ? PROT_READ | PROT_WRITE : PROT_READ);
	if (!addr)
		return -errno;
	for (unsigned int i = 0; i < nr; i++)
		refs[i] = (struct grantref){NULL, addr + (size_t)i * GRANT_PAGE_SIZE};
	return 0;
}

int grantmap_get(struct grantmap *map, const struct blkif_request_segment *segs, unsigned int nr,
	bool writable, struct grantref *refs)
{
	if (!map->persistent)
		return get_mapped(map, segs, nr, writable, refs);
	for (unsigned int i = 0; i < nr; i++) {
		struct grantmap_entry *entry = *bucket_of(map, segs[i].gref);
		int rc;

		while (entry && entry->gref != segs[i].gref)
			entry = entry->next;
		if (entry && (entry->writable || !writable)) {
			if (entry->nr_users++ == 0)
				list_del(&entry->unused_link);
			refs[i] = (struct grantref){&entry->page, entry->page.addr};
			continue;
		}
		rc = add_persistent(map, segs[i].gref, writable, entry, &refs[i]);
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
		put_persistent(map, container_of(refs[i].page, struct grantmap_entry, page));
}
