/* SPDX-License-Identifier: MIT */
/*
 * libxengnttab's grant table interface, with the semantics of xengnttab.h. A share is mapped whole
 * and once for each protection, since a process has a limited number of maps; a map call then
 * returns an address inside. References that do not lie together get a mapping of their own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "xenlibs/gnt.h"

RF_EXPORT xengnttab_handle *xengnttab_open(xentoollog_logger *logger, unsigned open_flags)
{
	(void)open_flags;
	return gnt_open(logger, HYPERCALL_GNTTAB);
}

RF_EXPORT int xengnttab_close(xengnttab_handle *xgt)
{
	return gnt_close(xgt);
}

RF_EXPORT int xengnttab_fd(xengnttab_handle *xgt)
{
	return xgt->link.fd;
}

RF_EXPORT int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr_grants)
{
	struct hypercall_request req = {
		.op = HYPERCALL_SET_MAX_GRANTS, .max = {.nr_grants = nr_grants}};
	struct hypercall_reply reply;

	return link_call(&xgt->link, &req, NULL, 0, &reply, NULL, 0, NULL, 0);
}

/* ---- mapping ---- */

static int unmap_call(xengnttab_handle *xgt, uint64_t share_id, uint32_t page, uint32_t nr_pages)
{
	struct hypercall_request req = {.op = HYPERCALL_UNMAP,
		.range = {.share_id = share_id, .page = page, .nr_pages = nr_pages}};
	struct hypercall_reply reply;

	return link_call(&xgt->link, &req, NULL, 0, &reply, NULL, 0, NULL, 0);
}

static int share_fd(xengnttab_handle *xgt, uint64_t share_id)
{
	struct hypercall_request req = {.op = HYPERCALL_MAP_FD, .range = {.share_id = share_id}};
	struct hypercall_reply reply;
	int fd;

	return link_call(&xgt->link, &req, NULL, 0, &reply, NULL, 0, &fd, 1) < 0 ? -1 : fd;
}

/* The region that holds the whole share with this protection, mapped now if it was not. */
static struct gnt_region *share_region(
	xengnttab_handle *xgt, const struct hypercall_mapped *mapped, int prot)
{
	struct gnt_region region = {.nr_pages = mapped->nr_pages, .share_id = mapped->share_id,
		.writable = prot & PROT_WRITE};
	int fd;

	for (unsigned int i = 0; i < xgt->nr_regions; i++) {
		struct gnt_region *known = &xgt->regions[i];

		if (known->share_id == region.share_id && known->writable == region.writable)
			return known;
	}
	fd = share_fd(xgt, mapped->share_id);
	if (fd < 0)
		return NULL;
	region.addr = gnt_mmap(NULL, region.nr_pages, prot, fd, 0);
	int saved = errno;
	close(fd);
	errno = saved;
	if (!region.addr)
		return NULL;
	if (!gnt_region_add(xgt, &region)) {
		munmap(region.addr, (size_t)region.nr_pages * GNT_PAGE_SIZE);
		errno = ENOMEM;
		return NULL;
	}
	return gnt_region_find(xgt, region.addr);
}

/* True if the pages follow each other within one share. */
static bool contiguous(const struct hypercall_mapped *mapped, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		if (mapped[i].share_id != mapped[0].share_id ||
			mapped[i].page != mapped[0].page + i)
			return false;
	}
	return true;
}

static int map_one_page(
	xengnttab_handle *xgt, char *at, const struct hypercall_mapped *mapped, int prot)
{
	int fd = share_fd(xgt, mapped->share_id);
	void *addr;

	if (fd < 0)
		return -1;
	addr = gnt_mmap(at, 1, prot, fd, mapped->page);
	int saved = errno;
	close(fd);
	errno = saved;
	return addr ? 0 : -1;
}

static void *map_scattered(
	xengnttab_handle *xgt, const struct hypercall_mapped *mapped, uint32_t count, int prot)
{
	size_t len = (size_t)count * GNT_PAGE_SIZE;
	struct gnt_region region = {.nr_pages = count, .writable = prot & PROT_WRITE};
	int saved;

	region.addr = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region.addr == MAP_FAILED)
		return NULL;
	region.pages = calloc(count, sizeof(*region.pages));
	if (!region.pages)
		goto err;
	for (uint32_t i = 0; i < count; i++) {
		if (map_one_page(xgt, region.addr + (size_t)i * GNT_PAGE_SIZE, &mapped[i], prot) < 0)
			goto err;
		region.pages[i] = (struct gnt_page){mapped[i].share_id, mapped[i].page};
	}
	if (gnt_region_add(xgt, &region))
		return region.addr;
	errno = ENOMEM;
err:
	saved = errno;
	munmap(region.addr, len);
	free(region.pages);
	errno = saved;
	return NULL;
}

static void *place(
	xengnttab_handle *xgt, const struct hypercall_mapped *mapped, uint32_t count, int prot)
{
	struct gnt_region *region;

	if (!contiguous(mapped, count))
		return map_scattered(xgt, mapped, count, prot);
	region = share_region(xgt, mapped, prot);
	if (!region)
		return NULL;
	region->nr_maps += count;
	return region->addr + (size_t)mapped[0].page * GNT_PAGE_SIZE;
}

/* `mapped` is room for `count` entries. */
static void *map_grefs(xengnttab_handle *xgt, const struct hypercall_gref *grefs,
	struct hypercall_mapped *mapped, uint32_t count, int prot, uint32_t notify_offset,
	evtchn_port_t notify_port)
{
	struct hypercall_request req = {.op = HYPERCALL_MAP,
		.flags = prot & PROT_WRITE ? HYPERCALL_WRITABLE : 0,
		.map = {.nr_grefs = count, .notify_offset = notify_offset,
			.notify_port = notify_port}};
	struct hypercall_reply reply;
	void *addr;

	pthread_mutex_lock(&xgt->lock);
	if (link_call(&xgt->link, &req, grefs, count * sizeof(*grefs), &reply, mapped,
		    count * sizeof(*mapped), NULL, 0) < 0) {
		pthread_mutex_unlock(&xgt->lock);
		return NULL;
	}
	addr = place(xgt, mapped, count, prot);
	if (!addr) {
		int saved = errno;

		for (uint32_t i = 0; i < count; i++) {
			if (unmap_call(xgt, mapped[i].share_id, mapped[i].page, 1) < 0)
				break; /* the hypervisor is gone */
		}
		errno = saved;
	}
	pthread_mutex_unlock(&xgt->lock);
	return addr;
}

/* domids[i] for every reference, or domids[0] for all. */
static void *map_refs(xengnttab_handle *xgt, uint32_t count, const uint32_t *domids,
	bool one_domid, const uint32_t *refs, int prot, uint32_t notify_offset,
	evtchn_port_t notify_port)
{
	/* Not on the stack: thousands of references are legal, small stacks too. */
	struct hypercall_mapped *mapped = NULL;
	struct hypercall_gref *grefs = NULL;
	void *addr = NULL;

	if (count == 0 || count > HYPERCALL_MAX_PAGES) {
		errno = EINVAL;
	} else {
		mapped = calloc(count, sizeof(*mapped));
		grefs = calloc(count, sizeof(*grefs));
	}
	if (mapped && grefs) {
		for (uint32_t i = 0; i < count; i++)
			grefs[i] = (struct hypercall_gref){domids[one_domid ? 0 : i], refs[i]};
		addr = map_grefs(xgt, grefs, mapped, count, prot, notify_offset, notify_port);
	}
	free(mapped);
	free(grefs);
	if (!addr)
		link_log_error(&xgt->link, "xengnttab", "cannot map grant references");
	return addr;
}

RF_EXPORT void *xengnttab_map_grant_ref(
	xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot)
{
	return map_refs(
		xgt, 1, &domid, true, &ref, prot, HYPERCALL_NO_NOTIFY, HYPERCALL_NO_NOTIFY);
}

RF_EXPORT void *xengnttab_map_grant_refs(
	xengnttab_handle *xgt, uint32_t count, uint32_t *domids, uint32_t *refs, int prot)
{
	return map_refs(xgt, count, domids, false, refs, prot, HYPERCALL_NO_NOTIFY,
		HYPERCALL_NO_NOTIFY);
}

RF_EXPORT void *xengnttab_map_domain_grant_refs(
	xengnttab_handle *xgt, uint32_t count, uint32_t domid, uint32_t *refs, int prot)
{
	return map_refs(
		xgt, count, &domid, true, refs, prot, HYPERCALL_NO_NOTIFY, HYPERCALL_NO_NOTIFY);
}

RF_EXPORT void *xengnttab_map_grant_ref_notify(xengnttab_handle *xgt, uint32_t domid, uint32_t ref,
	int prot, uint32_t notify_offset, evtchn_port_t notify_port)
{
	return map_refs(xgt, 1, &domid, true, &ref, prot, notify_offset, notify_port);
}

/* ---- unmapping ---- */

static int unmap_share(
	xengnttab_handle *xgt, struct gnt_region *region, uint32_t page, uint32_t count)
{
	if (count > region->nr_pages - page || count > region->nr_maps) {
		errno = EINVAL;
		return -1;
	}
	if (unmap_call(xgt, region->share_id, page, count) < 0)
		return -1;
	region->nr_maps -= count;
	if (region->nr_maps == 0) {
		munmap(region->addr, (size_t)region->nr_pages * GNT_PAGE_SIZE);
		gnt_region_remove(xgt, region);
	}
	return 0;
}

/* A scattered mapping goes as a whole, as it came. */
static int unmap_scattered(
	xengnttab_handle *xgt, struct gnt_region *region, uint32_t page, uint32_t count)
{
	int rc = 0;

	if (page != 0 || count != region->nr_pages) {
		errno = EINVAL;
		return -1;
	}
	munmap(region->addr, (size_t)count * GNT_PAGE_SIZE);
	for (uint32_t i = 0; i < count; i++) {
		if (unmap_call(xgt, region->pages[i].share_id, region->pages[i].page, 1) < 0)
			rc = -1;
	}
	gnt_region_remove(xgt, region);
	return rc;
}

RF_EXPORT int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count)
{
	struct gnt_region *region;
	int rc = -1;

	pthread_mutex_lock(&xgt->lock);
	region = gnt_region_find(xgt, start_address);
	size_t offset = region ? (size_t)((char *)start_address - region->addr) : 0;
	uint32_t page = (uint32_t)(offset / GNT_PAGE_SIZE);

	if (!region || offset % GNT_PAGE_SIZE || count == 0)
		errno = EINVAL;
	else if (region->pages)
		rc = unmap_scattered(xgt, region, page, count);
	else
		rc = unmap_share(xgt, region, page, count);
	pthread_mutex_unlock(&xgt->lock);
	return rc;
}

/* ---- copying ---- */

#define COPY_TOGETHER 64u /* segments; on the stack */

/* The address of one side of a copy; a foreign page is mapped for the moment (*mapped). */
static char *copy_address(xengnttab_handle *xgt, const union xengnttab_copy_ptr *ptr, bool foreign,
	uint16_t len, int prot, void **mapped)
{
	struct hypercall_gref gref = {ptr->foreign.domid, ptr->foreign.ref};
	struct hypercall_mapped where;

	*mapped = NULL;
	if (!foreign)
		return ptr->virt;
	if (ptr->foreign.offset > GNT_PAGE_SIZE || len > GNT_PAGE_SIZE - ptr->foreign.offset) {
		errno = EINVAL;
		return NULL;
	}
	*mapped = map_grefs(
		xgt, &gref, &where, 1, prot, HYPERCALL_NO_NOTIFY, HYPERCALL_NO_NOTIFY);
	return *mapped ? (char *)*mapped + ptr->foreign.offset : NULL;
}

static int16_t copy_status(void)
{
	switch (errno) {
	case EINVAL:
		return GNTST_bad_copy_arg;
	case ENOENT:
		return GNTST_bad_gntref;
	case ESRCH:
		return GNTST_bad_domain;
	case EPERM:
	case EACCES:
		return GNTST_permission_denied;
	default:
		return GNTST_general_error;
	}
}

static void copy_segment(xengnttab_handle *xgt, xengnttab_grant_copy_segment_t *seg)
{
	void *source_map = NULL, *dest_map = NULL;
	char *source = copy_address(xgt, &seg->source, seg->flags & GNTCOPY_source_gref, seg->len,
		PROT_READ, &source_map);
	char *dest = source ? copy_address(xgt, &seg->dest, seg->flags & GNTCOPY_dest_gref,
				      seg->len, PROT_READ | PROT_WRITE, &dest_map)
			    : NULL;

	seg->status = dest ? GNTST_okay : copy_status();
	if (dest)
		memcpy(dest, source, seg->len);
	if (source_map)
		xengnttab_unmap(xgt, source_map, 1);
	if (dest_map)
		xengnttab_unmap(xgt, dest_map, 1);
}

/* The granted side, if it is the same side as the first segment's and makes sense; or NULL. */
static const union xengnttab_copy_ptr *granted_side(
	const xengnttab_grant_copy_segment_t *first, const xengnttab_grant_copy_segment_t *seg)
{
	const uint16_t both = GNTCOPY_source_gref | GNTCOPY_dest_gref;
	const union xengnttab_copy_ptr *ptr =
		seg->flags & GNTCOPY_dest_gref ? &seg->dest : &seg->source;

	if ((seg->flags & both) == both || (seg->flags & both) != (first->flags & both))
		return NULL;
	if (ptr->foreign.offset > GNT_PAGE_SIZE || seg->len > GNT_PAGE_SIZE - ptr->foreign.offset)
		return NULL;
	return ptr;
}

/*
 * All of them with one mapping, for a message to the hypervisor costs more than moving a page.
 * False, with nothing done, if they are not alike, or one of the pages cannot be mapped: then each
 * is to be tried by itself, since the others are copied all the same.
 */
static bool copy_together(
	xengnttab_handle *xgt, xengnttab_grant_copy_segment_t *segs, uint32_t count)
{
	bool to_guest = segs[0].flags & GNTCOPY_dest_gref;
	struct hypercall_mapped where[COPY_TOGETHER];
	struct hypercall_gref grefs[COPY_TOGETHER];
	char *addr;

	for (uint32_t i = 0; i < count; i++) {
		const union xengnttab_copy_ptr *ptr = granted_side(&segs[0], &segs[i]);

		if (!ptr)
			return false;
		grefs[i] = (struct hypercall_gref){ptr->foreign.domid, ptr->foreign.ref};
	}
	addr = map_grefs(xgt, grefs, where, count,
		to_guest ? PROT_READ | PROT_WRITE : PROT_READ, HYPERCALL_NO_NOTIFY,
		HYPERCALL_NO_NOTIFY);
	if (!addr)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		char *page = addr + (size_t)i * GNT_PAGE_SIZE;

		if (to_guest)
			memcpy(page + segs[i].dest.foreign.offset, segs[i].source.virt, segs[i].len);
		else
			memcpy(segs[i].dest.virt, page + segs[i].source.foreign.offset, segs[i].len);
		segs[i].status = GNTST_okay;
	}
	xengnttab_unmap(xgt, addr, count);
	return true;
}

RF_EXPORT int xengnttab_grant_copy(
	xengnttab_handle *xgt, uint32_t count, xengnttab_grant_copy_segment_t *segs)
{
	uint32_t nr;

	/* As Linux has it: a copy without any grant is the caller's mistake, not a segment's. */
	for (uint32_t i = 0; i < count; i++) {
		if (!(segs[i].flags & (GNTCOPY_source_gref | GNTCOPY_dest_gref))) {
			errno = EINVAL;
			return -1;
		}
	}
	for (; count; segs += nr, count -= nr) {
		nr = count < COPY_TOGETHER ? count : COPY_TOGETHER;
		if (nr > 1 && copy_together(xgt, segs, nr))
			continue;
		for (uint32_t i = 0; i < nr; i++)
			copy_segment(xgt, &segs[i]);
	}
	return 0;
}

/* ---- dma-bufs: a process has no device memory to import or export ---- */

static int no_dmabuf(void)
{
	errno = EOPNOTSUPP;
	return -1;
}

RF_EXPORT int xengnttab_dmabuf_exp_from_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t flags,
	uint32_t count, const uint32_t *refs, uint32_t *fd)
{
	(void)xgt, (void)domid, (void)flags, (void)count, (void)refs, (void)fd;
	return no_dmabuf();
}

RF_EXPORT int xengnttab_dmabuf_exp_wait_released(
	xengnttab_handle *xgt, uint32_t fd, uint32_t wait_to_ms)
{
	(void)xgt, (void)fd, (void)wait_to_ms;
	return no_dmabuf();
}

RF_EXPORT int xengnttab_dmabuf_imp_to_refs(
	xengnttab_handle *xgt, uint32_t domid, uint32_t fd, uint32_t count, uint32_t *refs)
{
	(void)xgt, (void)domid, (void)fd, (void)count, (void)refs;
	return no_dmabuf();
}

RF_EXPORT int xengnttab_dmabuf_imp_release(xengnttab_handle *xgt, uint32_t fd)
{
	(void)xgt, (void)fd;
	return no_dmabuf();
}
