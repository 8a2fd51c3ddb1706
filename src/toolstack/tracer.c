/* SPDX-License-Identifier: MIT */
/*
 * The areas and disks that there are (docs/protocol/trace.md), kept up to date by looking again.
 * Everything that a domain can announce is bounded: pages of an area, areas of a domain; disks by
 * the store's quota.
 */
#include "toolstack/tracer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/parse.h"

#define PAGE_BYTES 4096u
#define AREA_MAX_PAGES 64u
#define AREAS_PER_DOMAIN 32u /* a domain has a disk or a few */
#define RECORDS_AT_ONCE 64u
#define FRONT_NODE "vbd-"
#define PATH_SIZE 192

struct area {
	struct list link;
	unsigned int domid, device; /* device: of a front end's */
	char name[48];
	char *refs; /* as announced */
	void *pages;
	uint32_t nr_pages;
	struct stamps_reader reader;
	struct trace_disk *disk; /* a front end's */
	bool seen;
};

/* ---- xenstore ---- */

static char *read_path(struct tracer *tracer, const char *fmt, va_list ap)
{
	char path[PATH_SIZE];

	if (vsnprintf(path, sizeof(path), fmt, ap) >= (int)sizeof(path))
		return NULL;
	return xs_read(tracer->dom0->xs, XBT_NULL, path, NULL);
}

char *tracer_read(struct tracer *tracer, const char *fmt, ...)
{
	va_list ap;
	char *value;

	va_start(ap, fmt);
	value = read_path(tracer, fmt, ap);
	va_end(ap);
	return value;
}

static char **list_children(struct tracer *tracer, unsigned int *nr, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static char **list_children(struct tracer *tracer, unsigned int *nr, const char *fmt, ...)
{
	char path[PATH_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	*nr = 0;
	return xs_directory(tracer->dom0->xs, XBT_NULL, path, nr);
}

static bool parse_number(const char *text, uint32_t max, unsigned int *out)
{
	uint64_t value;

	if (!text || parse_u64(text, 0, max, &value))
		return false;
	*out = (unsigned int)value;
	return true;
}

static void read_name(struct tracer *tracer, unsigned int domid, char *name)
{
	char *value = tracer_read(tracer, "/local/domain/%u/name", domid);

	snprintf(name, DOMAIN_NAME_SIZE, "%s", value ? value : "?");
	free(value);
	/* For terminals and JSON. */
	for (; *name; name++) {
		if (*name <= ' ' || *name > '~' || *name == '"' || *name == '\\')
			*name = '?';
	}
}

/* ---- disks ---- */

static struct trace_disk **bucket_of(
	struct tracer *tracer, unsigned int domid, unsigned int device)
{
	return &tracer->buckets[(domid * 31u + device / 16u) % TRACE_BUCKETS];
}

struct trace_disk *tracer_disk(
	struct tracer *tracer, unsigned int domid, unsigned int device, unsigned int back_domid)
{
	struct trace_disk *disk = *bucket_of(tracer, domid, device);

	while (disk && (disk->domid != domid || disk->device != device ||
			       disk->back_domid != back_domid))
		disk = disk->next_in_bucket;
	return disk;
}

static struct trace_disk *see_disk(
	struct tracer *tracer, unsigned int domid, unsigned int device, unsigned int back_domid)
{
	struct trace_disk *disk = tracer_disk(tracer, domid, device, back_domid);

	if (!disk) {
		disk = calloc(1, sizeof(*disk));
		if (!disk)
			return NULL;
		disk->domid = domid;
		disk->device = device;
		disk->back_domid = back_domid;
		read_name(tracer, domid, disk->name);
		read_name(tracer, back_domid, disk->back_name);
		list_add_tail(&tracer->disks, &disk->link);
		disk->next_in_bucket = *bucket_of(tracer, domid, device);
		*bucket_of(tracer, domid, device) = disk;
	}
	disk->seen = true;
	return disk;
}

static void free_disk(struct tracer *tracer, struct trace_disk *disk)
{
	struct trace_disk **link = bucket_of(tracer, disk->domid, disk->device);

	while (*link != disk)
		link = &(*link)->next_in_bucket;
	*link = disk->next_in_bucket;
	if (tracer->sink)
		tracer->sink->gone(disk);
	list_del(&disk->link);
	free(disk->match);
	free(disk);
}

/* All that a back end serves. */
static void see_disks_of(struct tracer *tracer, unsigned int back_domid)
{
	unsigned int nr_fronts, nr_devices, domid, device;
	char **devices, **fronts = list_children(
		tracer, &nr_fronts, "/local/domain/%u/backend/vbd", back_domid);

	for (unsigned int i = 0; i < nr_fronts; i++) {
		if (!parse_number(fronts[i], UINT16_MAX, &domid))
			continue;
		devices = list_children(tracer, &nr_devices, "/local/domain/%u/backend/vbd/%u",
			back_domid, domid);
		for (unsigned int j = 0; j < nr_devices; j++) {
			if (parse_number(devices[j], UINT32_MAX, &device) &&
				!see_disk(tracer, domid, device, back_domid))
				break;
		}
		free(devices);
	}
	free(fronts);
}

/* A front end's area is of one disk, whose back end is named beside it. */
static void see_disk_of(struct tracer *tracer, struct area *area)
{
	char *value = tracer_read(tracer, "/local/domain/%u/device/vbd/%u/backend-id",
		area->domid, area->device);
	unsigned int back_domid;

	area->disk = parse_number(value, UINT16_MAX, &back_domid)
			     ? see_disk(tracer, area->domid, area->device, back_domid)
			     : NULL;
	free(value);
}

/* ---- areas ---- */

static void free_area(struct tracer *tracer, struct area *area)
{
	list_del(&area->link);
	if (area->pages)
		xengnttab_unmap(tracer->dom0->xgt, area->pages, area->nr_pages);
	free(area->refs);
	free(area);
}

static struct area *find_area(struct tracer *tracer, unsigned int domid, const char *name)
{
	struct area *area;

	list_for_each(area, &tracer->areas, link) {
		if (area->domid == domid && strcmp(area->name, name) == 0)
			return area;
	}
	return NULL;
}

/* Grant references, separated by blanks. Their number, or 0 if it is nothing of the kind. */
static uint32_t parse_refs(const char *text, uint32_t *refs)
{
	char *copy = strdup(text), *rest, *word;
	uint32_t nr = 0;

	word = copy ? strtok_r(copy, " ", &rest) : NULL;
	while (word && nr < AREA_MAX_PAGES && parse_number(word, UINT32_MAX, &refs[nr])) {
		nr++;
		word = strtok_r(NULL, " ", &rest);
	}
	if (word)
		nr = 0;
	free(copy);
	return nr;
}

static bool map_area(struct tracer *tracer, struct area *area)
{
	uint32_t refs[AREA_MAX_PAGES];

	area->nr_pages = parse_refs(area->refs, refs);
	if (!area->nr_pages)
		return false;
	area->pages = xengnttab_map_domain_grant_refs(
		tracer->dom0->xgt, area->nr_pages, area->domid, refs, PROT_READ);
	if (!area->pages ||
		stamps_reader_init(&area->reader, area->pages, area->nr_pages * PAGE_BYTES))
		return false;
	/* Which disk's a front end's is says its name. */
	return area->reader.side == STAMPS_BACK ||
	       (strncmp(area->name, FRONT_NODE, strlen(FRONT_NODE)) == 0 &&
		       parse_number(area->name + strlen(FRONT_NODE), UINT32_MAX, &area->device));
}

static struct area *new_area(
	struct tracer *tracer, unsigned int domid, const char *name, const char *refs)
{
	struct area *area = calloc(1, sizeof(*area));

	if (!area)
		return NULL;
	area->domid = domid;
	snprintf(area->name, sizeof(area->name), "%s", name);
	list_add_tail(&tracer->areas, &area->link);
	area->refs = strdup(refs);
	if (area->refs && map_area(tracer, area))
		return area;
	free_area(tracer, area);
	return NULL;
}

static void see_area(struct tracer *tracer, unsigned int domid, const char *name)
{
	char *refs = tracer_read(tracer, "/local/domain/%u/data/trace/%s", domid, name);
	struct area *area = refs ? find_area(tracer, domid, name) : NULL;

	/* Other pages: its owner has begun anew. */
	if (area && strcmp(area->refs, refs) != 0) {
		free_area(tracer, area);
		area = NULL;
	}
	if (!area && refs && strlen(name) < sizeof(area->name))
		area = new_area(tracer, domid, name, refs);
	free(refs);
	if (!area)
		return;
	area->seen = true;
	if (area->reader.side == STAMPS_BACK)
		see_disks_of(tracer, domid);
	else
		see_disk_of(tracer, area);
}

static void see_domain(struct tracer *tracer, unsigned int domid)
{
	unsigned int nr;
	char **names = list_children(tracer, &nr, "/local/domain/%u/data/trace", domid);

	for (unsigned int i = 0; i < nr && i < AREAS_PER_DOMAIN; i++)
		see_area(tracer, domid, names[i]);
	free(names);
}

/* What was not seen is gone. */
static void sweep(struct tracer *tracer, bool all)
{
	struct trace_disk *disk, *next_disk;
	struct area *area, *next_area;

	list_for_each_safe(area, next_area, &tracer->areas, link) {
		if (all || !area->seen)
			free_area(tracer, area);
		else
			area->seen = false;
	}
	list_for_each_safe(disk, next_disk, &tracer->disks, link) {
		if (all || (!disk->seen && !tracer->keep))
			free_disk(tracer, disk);
		else
			disk->seen = false;
	}
}

int tracer_scan(struct tracer *tracer)
{
	unsigned int nr, domid;
	char **domains = list_children(tracer, &nr, "/local/domain");

	/* Domain 0 is always there, unless nothing is. */
	if (!domains)
		return errno == ENOENT ? 0 : -errno;
	for (unsigned int i = 0; i < nr; i++) {
		if (parse_number(domains[i], UINT16_MAX, &domid))
			see_domain(tracer, domid);
	}
	free(domains);
	sweep(tracer, false);
	return 0;
}

/* ---- reading ---- */

static void take_records(struct tracer *tracer, struct area *area)
{
	uint32_t most = area->reader.nr_records;
	struct stamps_record records[RECORDS_AT_ONCE];
	unsigned int nr;

	do {
		nr = stamps_read(&area->reader, records, RECORDS_AT_ONCE);
		for (unsigned int i = 0; i < nr; i++) {
			struct trace_disk *disk = area->disk;

			if (area->reader.side == STAMPS_BACK)
				disk = tracer_disk(tracer, records[i].domid, records[i].device,
					area->domid);
			if (!disk)
				continue;
			memcpy(disk->hosts[area->reader.side - 1], area->reader.host,
				STAMPS_HOST_BYTES);
			trace_take(tracer, disk, area->reader.side, &records[i]);
		}
		/* A writer that is always faster must not keep us. */
		most -= nr < most ? nr : most;
	} while (nr == RECORDS_AT_ONCE && most);
}

void tracer_poll(struct tracer *tracer)
{
	struct area *area;

	list_for_each(area, &tracer->areas, link)
		take_records(tracer, area);
}

void tracer_init(struct tracer *tracer, struct domain0 *dom0, const struct tracer_sink *sink,
	void *data, bool keep)
{
	*tracer = (struct tracer){.dom0 = dom0, .sink = sink, .data = data, .keep = keep};
	list_init(&tracer->areas);
	list_init(&tracer->disks);
}

void tracer_fini(struct tracer *tracer)
{
	sweep(tracer, true);
}
