/* SPDX-License-Identifier: MIT */
/*
 * The table of shared memory areas. The hypervisor makes the memory and hands out descriptors; it
 * never touches what is in it. The toolstack puts the mappings into the domain's address space.
 */
#include "hypervisor/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hypervisor/shm_nodes.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

static struct shm_area *area_find(struct hypervisor *hv, uint32_t id)
{
	struct shm_area *area;

	for (area = hv->shm_areas; area && area->id < id; area = area->next)
		;
	return area && area->id == id ? area : NULL;
}

static unsigned int nr_areas(const struct hypervisor *hv)
{
	unsigned int nr = 0;

	for (const struct shm_area *area = hv->shm_areas; area; area = area->next)
		nr++;
	return nr;
}

/* ---- checks ---- */

/* The area has lost its owner: who may not be given what is in it is told who keeps it. */
static int refuse_orphan(const struct shm_area *area, char *error, size_t error_size)
{
	const struct domain *dom = list_first(&area->mappings, struct shm_mapping, area_link)->dom;

	return shm_fail(error, error_size, -ESTALE,
		"area %" PRIu32 ": its owner has ended, and %s (domain %u)%s still uses its memory; "
		"it can be had again when that has ended",
		area->id, dom->name, dom->id, area->nr_mappings > 1 ? ", among others," : "");
}

static int check_borrower(const struct shm_area *area, const struct shm_spec *spec, bool whole,
	char *error, size_t error_size)
{
	if (!area->owner)
		return refuse_orphan(area, error, error_size);
	if (whole && spec->size != area->size)
		return shm_fail(error, error_size, -EINVAL,
			"area %" PRIu32 ": the range has 0x%" PRIx64
			" bytes, but the area, which %s (domain %u) owns, has 0x%" PRIx64,
			area->id, spec->size, area->owner->name, area->owner->id, area->size);
	if (spec->offset > area->size || spec->size > area->size - spec->offset)
		return shm_fail(error, error_size, -EINVAL,
			"area %" PRIu32 ": 0x%" PRIx64 " bytes at offset 0x%" PRIx64
			" are beyond its end; %s (domain %u), its owner, made it 0x%" PRIx64
			" bytes long",
			area->id, spec->size, spec->offset, area->owner->name, area->owner->id,
			area->size);
	if (spec->writable && !area->lends_writable)
		return shm_fail(error, error_size, -EACCES,
			"area %" PRIu32 ": %s (domain %u), its owner, permits others only to read; "
			"ask for prot=ro",
			area->id, area->owner->name, area->owner->id);
	return 0;
}

/* Its owner has ended, and this is to be the next one. */
static int check_adopter(const struct shm_area *area, const struct shm_spec *spec, char *error,
	size_t error_size)
{
	if (area->memfd < 0)
		return refuse_orphan(area, error, error_size);
	if (spec->size == area->size)
		return 0;
	return shm_fail(error, error_size, -EINVAL,
		"area %" PRIu32 ": the range has 0x%" PRIx64
		" bytes, but the area, which has lost its owner, has 0x%" PRIx64,
		area->id, spec->size, area->size);
}

static int check_one(const struct shm_area *area, const struct shm_spec *spec, bool adopt,
	char *error, size_t error_size)
{
	if (area && !area->owner && adopt && spec->role != SHM_BORROWER)
		return check_adopter(area, spec, error, error_size);
	if (area && spec->role != SHM_OWNER)
		return check_borrower(area, spec, spec->role == SHM_FIRST_OWNS, error, error_size);
	if (area && !area->owner)
		return refuse_orphan(area, error, error_size);
	if (area)
		return shm_fail(error, error_size, -EEXIST,
			"area %" PRIu32 " has an owner already: %s (domain %u)", area->id,
			area->owner->name, area->owner->id);
	if (spec->role == SHM_BORROWER)
		return shm_fail(error, error_size, -ENOENT,
			"area %" PRIu32 " has no owner yet: create the domain that owns it first",
			spec->id);
	return 0;
}

static int check_all(struct hypervisor *hv, struct shm_spec *specs, unsigned int nr_specs,
	bool adopt, char *error, size_t error_size)
{
	unsigned int nr_new = 0;

	for (unsigned int i = 0; i < nr_specs; i++) {
		const struct shm_area *area = area_find(hv, specs[i].id);
		int rc = shm_spec_check(specs, i, &specs[i], error, error_size);

		if (rc == 0)
			rc = check_one(area, &specs[i], adopt, error, error_size);
		if (rc)
			return rc;
		if (specs[i].role == SHM_FIRST_OWNS)
			specs[i].role = area && area->owner ? SHM_BORROWER : SHM_OWNER;
		nr_new += !area;
	}
	if (nr_new && nr_new + nr_areas(hv) > SHM_AREAS_MAX)
		return shm_fail(error, error_size, -ENOSPC,
			"there are too many shared areas: %u are the limit of all domains together",
			SHM_AREAS_MAX);
	return 0;
}

int shm_check(struct hypervisor *hv, struct shm_spec *specs, unsigned int nr_specs, char *error,
	size_t error_size)
{
	return check_all(hv, specs, nr_specs, false, error, error_size);
}

/* ---- memory ---- */

/*
 * Nobody can make it shorter or longer, or seal it. It cannot be sealed against writing, since
 * others may write: so who may only read gets a descriptor that is open for reading alone, and the
 * mode keeps other users from opening that again.
 */
static int make_memory(uint64_t size)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int fd = memfd_create("shared_mem", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	int rc;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("shared_mem", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)size) < 0 ||
		fcntl(fd, F_ADD_SEALS, seals) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static struct shm_mapping *mapping_find(const struct domain *dom, uint32_t id)
{
	struct shm_mapping *mapping;

	for (mapping = dom->shm_mappings; mapping && mapping->area->id != id;
		mapping = mapping->next)
		;
	return mapping;
}

bool shm_is_owner(const struct domain *dom, uint32_t id)
{
	const struct shm_mapping *mapping = mapping_find(dom, id);

	return mapping && mapping->owner;
}

int shm_open_memory(struct domain *dom, uint32_t id)
{
	const struct shm_mapping *mapping = mapping_find(dom, id);
	char path[40];
	int fd;

	if (!mapping)
		return -ENOENT;
	if (mapping->area->memfd < 0)
		return -ESTALE;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", mapping->area->memfd);
	fd = open(path, (mapping->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* ---- areas and mappings ---- */

static struct shm_area *area_create(struct domain *owner, const struct shm_spec *spec, int *rc)
{
	struct shm_area **at, *area = calloc(1, sizeof(*area));

	*rc = -ENOMEM;
	if (!area)
		return NULL;
	*rc = domain_take_fds(owner, 1);
	if (*rc == 0) {
		area->memfd = make_memory(spec->size);
		if (area->memfd >= 0)
			goto made;
		*rc = area->memfd;
		domain_return_fds(owner, 1);
	}
	free(area);
	return NULL;
made:
	area->id = spec->id;
	area->size = spec->size;
	area->owner = area->payer = owner;
	area->lends_writable = spec->writable;
	list_init(&area->mappings);
	for (at = &owner->hv->shm_areas; *at && (*at)->id < area->id; at = &(*at)->next)
		;
	area->next = *at;
	*at = area;
	return area;
}

/* Who pays for the memfd ends: somebody else who has the area does from now on, or it is closed. */
static void area_pass_on(struct shm_area *area)
{
	struct shm_mapping *mapping;

	domain_return_fds(area->payer, 1);
	area->payer = NULL;
	list_for_each(mapping, &area->mappings, area_link) {
		if (domain_take_fds(mapping->dom, 1) == 0) {
			area->payer = mapping->dom;
			return;
		}
	}
	close(area->memfd);
	area->memfd = -1;
}

static void area_destroy(struct hypervisor *hv, struct shm_area *area)
{
	struct shm_area **at;

	/* Nobody is left to pay. */
	if (area->payer)
		area_pass_on(area);
	for (at = &hv->shm_areas; *at != area; at = &(*at)->next)
		;
	*at = area->next;
	shm_nodes_remove_area(hv, area);
	free(area);
}

static int mapping_create(struct domain *dom, struct shm_area *area, const struct shm_spec *spec)
{
	struct shm_mapping *mapping = calloc(1, sizeof(*mapping));

	if (!mapping)
		return -ENOMEM;
	mapping->area = area;
	mapping->dom = dom;
	mapping->begin = spec->begin;
	mapping->size = spec->size;
	mapping->offset = spec->offset;
	mapping->owner = spec->role == SHM_OWNER;
	mapping->writable = mapping->owner || spec->writable;
	if (mapping->owner)
		area->owner = dom; /* also of an area that is adopted */
	mapping->next = dom->shm_mappings;
	dom->shm_mappings = mapping;
	list_add_tail(&area->mappings, &mapping->area_link);
	area->nr_mappings++;
	return shm_nodes_add_mapping(dom->hv, mapping);
}

static void mapping_destroy(struct hypervisor *hv, struct shm_mapping *mapping)
{
	struct shm_area *area = mapping->area;

	list_del(&mapping->area_link);
	area->nr_mappings--;
	if (area->nr_mappings == 0) {
		area_destroy(hv, area);
	} else {
		if (mapping->owner)
			area->owner = NULL;
		if (area->payer == mapping->dom)
			area_pass_on(area);
		shm_nodes_remove_mapping(hv, mapping);
	}
	free(mapping);
}

void shm_domain_gone(struct domain *dom)
{
	struct shm_mapping *mapping;

	while ((mapping = dom->shm_mappings)) {
		dom->shm_mappings = mapping->next;
		mapping_destroy(dom->hv, mapping);
	}
}

static int attach_one(struct domain *dom, const struct shm_spec *spec)
{
	struct shm_area *area = area_find(dom->hv, spec->id);
	int rc = 0;

	if (!area)
		area = area_create(dom, spec, &rc);
	if (!area)
		return rc;
	rc = mapping_create(dom, area, spec);
	if (rc && area->nr_mappings == 0)
		area_destroy(dom->hv, area);
	return rc;
}

int shm_attach(struct domain *dom, struct shm_spec *specs, unsigned int nr_specs, bool adopt,
	char *error, size_t error_size)
{
	int rc;

	if (dom->shm_mappings)
		return shm_fail(error, error_size, -EBUSY, "%s has its shared areas already", dom->name);
	rc = check_all(dom->hv, specs, nr_specs, adopt, error, error_size);
	for (unsigned int i = 0; rc == 0 && i < nr_specs; i++) {
		rc = attach_one(dom, &specs[i]);
		if (rc)
			shm_fail(error, error_size, rc, "area %" PRIu32 ": %s", specs[i].id,
				strerror(-rc));
	}
	if (rc)
		shm_domain_gone(dom);
	return rc;
}

void shm_print(struct hypervisor *hv, FILE *out)
{
	const struct shm_mapping *mapping;

	for (const struct shm_area *area = hv->shm_areas; area; area = area->next) {
		list_for_each(mapping, &area->mappings, area_link)
			fprintf(out,
				"id=%" PRIu32 " size=%" PRIu64 " owner=%u domid=%u name=%s begin=%" PRIu64
				" length=%" PRIu64 " offset=%" PRIu64 " role=%s prot=%s\n",
				area->id, area->size, area->owner ? area->owner->id : 0,
				mapping->dom->id, mapping->dom->name, mapping->begin, mapping->size,
				mapping->offset,
				shm_role_name(mapping->owner ? SHM_OWNER : SHM_BORROWER),
				mapping->writable ? "rw" : "ro");
	}
}
