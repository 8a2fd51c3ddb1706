/* SPDX-License-Identifier: MIT */
/* The nodes of shared areas. Every domain may read them, none may write. */
#include "hypervisor/shm_nodes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

#define BASE "/local/shared_mem"
#define PATH_SIZE 96

static int write_node(struct hypervisor *hv, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), warn_unused_result));

static int write_node(struct hypervisor *hv, const char *path, const char *fmt, ...)
{
	static const struct store_perm readable[] = {{0, 'r'}};
	char value[64];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	return store_write(hv->store, path, value, (size_t)len, readable, 1);
}

/* Missing parents would inherit what /local has: hidden. */
static int make_directory(struct hypervisor *hv, const char *path)
{
	return store_read(hv->store, path, NULL) ? 0 : write_node(hv, path, "%s", "");
}

static int write_owner(struct hypervisor *hv, const struct shm_area *area)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), BASE "/%" PRIu32 "/owner", area->id);
	return write_node(hv, path, "%u", area->owner->id);
}

static int add_area(struct hypervisor *hv, const struct shm_area *area)
{
	char base[PATH_SIZE / 2], path[PATH_SIZE];
	int rc;

	snprintf(base, sizeof(base), BASE "/%" PRIu32, area->id);
	rc = make_directory(hv, BASE);
	if (rc == 0)
		rc = make_directory(hv, base);
	if (rc == 0)
		rc = write_owner(hv, area);
	snprintf(path, sizeof(path), "%s/size", base);
	if (rc == 0)
		rc = write_node(hv, path, "0x%" PRIx64, area->size);
	snprintf(path, sizeof(path), "%s/prot", base);
	if (rc == 0)
		rc = write_node(hv, path, "%s", area->lends_writable ? "rw" : "ro");
	snprintf(path, sizeof(path), "%s/mappings", base);
	if (rc == 0)
		rc = make_directory(hv, path);
	snprintf(path, sizeof(path), "%s/domains", base);
	return rc ? rc : make_directory(hv, path);
}

static int write_count(struct hypervisor *hv, const struct shm_area *area)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), BASE "/%" PRIu32 "/count", area->id);
	return write_node(hv, path, "%u", area->nr_mappings);
}

static int add_domain(struct hypervisor *hv, const struct shm_mapping *mapping)
{
	char base[PATH_SIZE - 16], path[PATH_SIZE];
	int rc;

	snprintf(base, sizeof(base), BASE "/%" PRIu32 "/domains/%u", mapping->area->id,
		mapping->dom->id);
	rc = make_directory(hv, base);
	snprintf(path, sizeof(path), "%s/role", base);
	if (rc == 0)
		rc = write_node(hv, path, "%s", mapping->owner ? "owner" : "borrower");
	snprintf(path, sizeof(path), "%s/prot", base);
	if (rc == 0)
		rc = write_node(hv, path, "%s", mapping->writable ? "rw" : "ro");
	snprintf(path, sizeof(path), "%s/offset", base);
	return rc ? rc : write_node(hv, path, "0x%" PRIx64, mapping->offset);
}

int shm_nodes_add_mapping(struct hypervisor *hv, const struct shm_mapping *mapping)
{
	char path[PATH_SIZE];
	int rc = 0;

	if (mapping->area->nr_mappings == 1)
		rc = add_area(hv, mapping->area);
	else if (mapping->owner)
		rc = write_owner(hv, mapping->area);
	if (rc == 0)
		rc = add_domain(hv, mapping);
	if (rc == 0)
		rc = write_count(hv, mapping->area);
	snprintf(path, sizeof(path), BASE "/%" PRIu32 "/mappings/%u", mapping->area->id,
		mapping->dom->id);
	/* Last: who watches the mappings finds the rest. */
	return rc ? rc : write_node(hv, path, "0x%" PRIx64 "-0x%" PRIx64, mapping->begin,
		mapping->begin + mapping->size);
}

void shm_nodes_remove_mapping(struct hypervisor *hv, const struct shm_mapping *mapping)
{
	char path[PATH_SIZE];

	if (mapping->owner) {
		snprintf(path, sizeof(path), BASE "/%" PRIu32 "/owner", mapping->area->id);
		store_rm(hv->store, path);
	}
	snprintf(path, sizeof(path), BASE "/%" PRIu32 "/mappings/%u", mapping->area->id,
		mapping->dom->id);
	store_rm(hv->store, path);
	snprintf(path, sizeof(path), BASE "/%" PRIu32 "/domains/%u", mapping->area->id,
		mapping->dom->id);
	store_rm(hv->store, path);
	if (write_count(hv, mapping->area))
		log_warn("shared area %" PRIu32 ": no memory to count its mappings",
			mapping->area->id);
}

void shm_nodes_remove_area(struct hypervisor *hv, const struct shm_area *area)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), BASE "/%" PRIu32, area->id);
	store_rm(hv->store, path);
	if (!hv->shm_areas)
		store_rm(hv->store, BASE);
}
