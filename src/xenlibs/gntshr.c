/* SPDX-License-Identifier: MIT */
/* libxengnttab's grant sharing interface, with the semantics of xengnttab.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "xenlibs/gnt.h"

RF_EXPORT xengntshr_handle *xengntshr_open(xentoollog_logger *logger, unsigned open_flags)
{
	(void)open_flags;
	return gnt_open(logger, HYPERCALL_GNTSHR);
}

RF_EXPORT int xengntshr_close(xengntshr_handle *xgs)
{
	return gnt_close(xgs);
}

RF_EXPORT int xengntshr_fd(xengntshr_handle *xgs)
{
	return xgs->link.fd;
}

static void undo_share(xengntshr_handle *xgs, uint64_t share_id, uint32_t nr_pages)
{
	struct hypercall_request req = {.op = HYPERCALL_UNSHARE,
		.range = {.share_id = share_id, .page = 0, .nr_pages = nr_pages}};
	struct hypercall_reply reply;
	int saved = errno;

	/* Only a lost hypervisor can refuse it, and then there is nothing left to undo. */
	if (link_call(&xgs->link, &req, NULL, 0, &reply, NULL, 0, NULL, 0) < 0)
		errno = saved;
	errno = saved;
}

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/*
 * Now that our own writable mapping exists, nobody who holds the memfd of a read-only grant shall
 * be able to make another; then the hypervisor gives it to the peer.
 */
static int seal_share(xengntshr_handle *xgs, uint64_t share_id, int memfd)
{
	struct hypercall_request req = {
		.op = HYPERCALL_SHARE_READY, .range = {.share_id = share_id}};
	struct hypercall_reply reply;

	if (fcntl(memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0)
		return -1;
	return link_call(&xgs->link, &req, NULL, 0, &reply, NULL, 0, NULL, 0);
}

static void *map_share(
	xengntshr_handle *xgs, uint64_t share_id, uint32_t nr_pages, bool writable, int memfd)
{
	struct gnt_region region = {.nr_pages = nr_pages, .share_id = share_id, .writable = true};
	int saved;

	region.addr = gnt_mmap(NULL, nr_pages, PROT_READ | PROT_WRITE, memfd, 0);
	if (!region.addr)
		return NULL;
	region.nr_maps = nr_pages;
	if (!writable && seal_share(xgs, share_id, memfd) < 0)
		goto err;
	pthread_mutex_lock(&xgs->lock);
	bool added = gnt_region_add(xgs, &region);
	pthread_mutex_unlock(&xgs->lock);
	if (added)
		return region.addr;
	errno = ENOMEM;
err:
	saved = errno;
	munmap(region.addr, (size_t)nr_pages * GNT_PAGE_SIZE);
	errno = saved;
	return NULL;
}

static void *share(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs, int writable,
	uint32_t notify_offset, evtchn_port_t notify_port)
{
	struct hypercall_request req = {.op = HYPERCALL_SHARE,
		.flags = writable ? HYPERCALL_WRITABLE : 0,
		.share = {.domid = domid, .nr_pages = (uint32_t)count,
			.notify_offset = notify_offset, .notify_port = notify_port}};
	struct hypercall_reply reply;
	int memfd;
	void *addr;

	if (count <= 0 || count > HYPERCALL_MAX_PAGES) {
		errno = EINVAL;
		goto err;
	}
	if (link_call(&xgs->link, &req, NULL, 0, &reply, refs, (size_t)count * sizeof(*refs), &memfd,
		    1) < 0)
		goto err;
	addr = map_share(xgs, reply.share.share_id, (uint32_t)count, writable, memfd);
	if (!addr)
		undo_share(xgs, reply.share.share_id, (uint32_t)count);
	int saved = errno;
	close(memfd);
	errno = saved;
	if (addr)
		return addr;
err:
	link_log_error(&xgs->link, "xengntshr", "cannot share pages");
	return NULL;
}

RF_EXPORT void *xengntshr_share_pages(
	xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs, int writable)
{
	return share(xgs, domid, count, refs, writable, HYPERCALL_NO_NOTIFY, HYPERCALL_NO_NOTIFY);
}

RF_EXPORT void *xengntshr_share_page_notify(xengntshr_handle *xgs, uint32_t domid, uint32_t *ref,
	int writable, uint32_t notify_offset, evtchn_port_t notify_port)
{
	return share(xgs, domid, 1, ref, writable, notify_offset, notify_port);
}

RF_EXPORT int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count)
{
	struct hypercall_request req = {.op = HYPERCALL_UNSHARE};
	struct hypercall_reply reply;
	struct gnt_region *region;
	int rc = -1;

	pthread_mutex_lock(&xgs->lock);
	region = gnt_region_find(xgs, start_address);
	size_t offset = region ? (size_t)((char *)start_address - region->addr) : 0;
	uint32_t page = (uint32_t)(offset / GNT_PAGE_SIZE);
	if (!region || offset % GNT_PAGE_SIZE || count == 0 || count > region->nr_pages - page ||
		count > region->nr_maps) {
		errno = EINVAL;
		goto out;
	}
	req.range.share_id = region->share_id;
	req.range.page = page;
	req.range.nr_pages = count;
	/* Unmap before the grants end: the notification says that we are done with the page. */
	if (gnt_region_drop(xgs, region, page, count) < 0)
		goto out;
	rc = link_call(&xgs->link, &req, NULL, 0, &reply, NULL, 0, NULL, 0);
out:
	pthread_mutex_unlock(&xgs->lock);
	return rc;
}
