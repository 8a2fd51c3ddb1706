/* SPDX-License-Identifier: MIT */
/*
 * Grant tables: references, shares, and the unmap notification of xengnttab.h. Main thread only.
 * All memory that an operation needs is allocated before anything is changed, so that a failed
 * operation leaves no trace (Xen's XSA-365 and XSA-371 are what happens otherwise).
 */
#include "hypervisor/grant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hypervisor/evtchn.h"
#include "hypervisor/grant_internal.h"

#define GRANT_SLOTS_MIN 64u

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

uint64_t share_id(const struct share *share)
{
	return share->id;
}

int share_memfd(const struct share *share)
{
	return share->memfd;
}

unsigned int share_grefs(const struct share *share, const uint32_t **grefs)
{
	*grefs = share->grefs;
	return share->nr_pages;
}

/* ---- grant references ---- */

static int grow_grants(struct domain *dom, unsigned int nr_more)
{
	unsigned int want = dom->nr_grants + nr_more + FIRST_GREF + 1;
	unsigned int slots = dom->nr_grant_slots ? dom->nr_grant_slots : GRANT_SLOTS_MIN;
	struct grant *grown;

	if (want <= dom->nr_grant_slots)
		return 0;
	while (slots < want)
		slots *= 2;
	grown = realloc(dom->grants, slots * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + dom->nr_grant_slots, 0, (slots - dom->nr_grant_slots) * sizeof(*grown));
	dom->grants = grown;
	for (unsigned int i = dom->nr_grant_slots > FIRST_GREF ? dom->nr_grant_slots : FIRST_GREF;
		i < slots; i++) {
		if (dom->free_grant_head == 0)
			dom->free_grant_head = i;
		else
			dom->grants[dom->free_grant_tail].page = i;
		dom->free_grant_tail = i;
	}
	dom->nr_grant_slots = slots;
	return 0;
}

/* grow_grants has made sure that there is one. */
static uint32_t take_gref(struct domain *dom, struct share *share, uint32_t page)
{
	uint32_t gref = dom->free_grant_head;

	dom->free_grant_head = dom->grants[gref].page;
	dom->grants[gref] = (struct grant){share, page};
	dom->nr_grants++;
	return gref;
}

static void free_gref(struct domain *dom, uint32_t gref)
{
	dom->grants[gref] = (struct grant){NULL, 0};
	if (dom->free_grant_head == 0)
		dom->free_grant_head = gref;
	else
		dom->grants[dom->free_grant_tail].page = gref;
	dom->free_grant_tail = gref;
	dom->nr_grants--;
}

/* ---- shares ---- */

struct share *grant_find_share(struct hypervisor *hv, uint64_t id)
{
	struct share *share;

	list_for_each(share, &hv->share_hash[id % SHARE_HASH_SIZE], hash_link) {
		if (share->id == id)
			return share;
	}
	return NULL;
}

void grant_close_memfd(struct share *share)
{
	if (share->owner || share->nr_bytes || share->memfd < 0)
		return;
	close(share->memfd);
	share->memfd = -1;
}

/* Gone once nobody grants it and nobody has it mapped. */
void grant_release_share(struct share *share)
{
	grant_close_memfd(share);
	if (share->owner || !list_empty(&share->uses))
		return;
	list_del(&share->hash_link);
	free(share);
}

static int open_memfd(uint32_t nr_pages, bool writable)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | (writable ? F_SEAL_SEAL : 0);
	int fd = memfd_create("grant", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	int rc;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("grant", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)nr_pages * PAGE_SIZE) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

/* Validates a requested notification. *out is NULL when none is wanted. 0 or -errno. */
int grant_make_notify(struct domain *dom, uint32_t page, uint32_t offset, uint32_t port,
	struct notify **out)
{
	struct notify *notify;

	*out = NULL;
	if (offset == HYPERCALL_NO_NOTIFY && port == HYPERCALL_NO_NOTIFY)
		return 0;
	if (offset != HYPERCALL_NO_NOTIFY && offset >= PAGE_SIZE)
		return -EINVAL;
	notify = calloc(1, sizeof(*notify));
	if (!notify)
		return -ENOMEM;
	if (port != HYPERCALL_NO_NOTIFY && !evtchn_hold(dom, port)) {
		free(notify);
		return -EINVAL;
	}
	list_init(&notify->link);
	notify->page = page;
	notify->offset = offset;
	notify->port = port;
	*out = notify;
	return 0;
}

void grant_free_notify(struct domain *dom, struct notify *notify)
{
	if (!notify)
		return;
	if (notify->port != HYPERCALL_NO_NOTIFY)
		evtchn_release(dom, notify->port);
	domain_return_fds(dom, notify->nr_paid);
	list_del(&notify->link);
	free(notify);
}

static uint8_t *map_page(const struct share *share, uint32_t page)
{
	void *addr = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, share->memfd,
		(off_t)page * PAGE_SIZE);

	return addr == MAP_FAILED ? NULL : addr;
}

/*
 * Through a mapping, since write(2) would wait for the inode's lock, which a domain can hold for
 * ever: by writing to the memfd from memory whose page faults it answers itself.
 */
static void clear_byte(struct share *share, uint32_t page, uint32_t offset)
{
	uint8_t *addr;

	if (share->notify_page && page == 0) {
		share->notify_page[offset] = 0;
		return;
	}
	addr = map_page(share, page);
	if (!addr)
		return; /* no memory: the event still tells */
	addr[offset] = 0;
	munmap(addr, PAGE_SIZE);
}

/* Clears the byte and notifies the port, then forgets the notification. */
void grant_fire_notify(struct share *share, struct domain *dom, struct notify *notify)
{
	if (notify->offset != HYPERCALL_NO_NOTIFY)
		clear_byte(share, notify->page, notify->offset);
	if (notify->port != HYPERCALL_NO_NOTIFY)
		evtchn_send(dom, notify->port);
	grant_free_notify(dom, notify);
}

static int new_share(struct hypercall_conn *conn, const struct hypercall_request *req,
	struct share **out)
{
	struct domain *dom = conn->dom, *peer = domain_by_id(dom->hv, req->share.domid);
	uint32_t nr_pages = req->share.nr_pages;
	struct share *share = calloc(1, sizeof(*share) + nr_pages * sizeof(share->grefs[0]));
	int rc;

	if (!share)
		return -ENOMEM;
	rc = grant_make_notify(
		dom, 0, req->share.notify_offset, req->share.notify_port, &share->notify);
	if (rc)
		goto err_free;
	share->writable = share->ready = req->flags & HYPERCALL_WRITABLE;
	share->memfd = rc = open_memfd(nr_pages, share->writable);
	if (rc < 0)
		goto err_notify;
	/* Now, because nobody can map it writable once the owner has sealed it. */
	if (!share->writable && share->notify) {
		share->notify_page = map_page(share, 0);
		if (!share->notify_page) {
			rc = -ENOMEM;
			goto err_memfd;
		}
	}
	share->conn = conn;
	share->owner = dom;
	share->peer = req->share.domid;
	share->peer_serial = peer ? peer->serial : 0;
	share->nr_pages = share->nr_granted = nr_pages;
	list_init(&share->uses);
	*out = share;
	return 0;

err_memfd:
	close(share->memfd);
err_notify:
	grant_free_notify(dom, share->notify);
err_free:
	free(share);
	return rc;
}

int grant_share(
	struct hypercall_conn *conn, const struct hypercall_request *req, struct share **out)
{
	struct domain *dom = conn->dom;
	struct hypervisor *hv = dom->hv;
	struct share *share;
	int rc;

	if (req->share.domid >= DOMAIN_FIRST_RESERVED)
		return -ESRCH;
	if (req->share.nr_pages == 0 || req->share.nr_pages > HYPERCALL_MAX_PAGES)
		return -EINVAL;
	if (req->share.nr_pages > hv->limits.nr_grants - dom->nr_grants)
		return -ENOSPC;
	rc = domain_take_fds(dom, 1);
	if (rc)
		return rc;
	rc = grow_grants(dom, req->share.nr_pages);
	if (rc == 0)
		rc = new_share(conn, req, &share);
	if (rc) {
		domain_return_fds(dom, 1);
		return rc;
	}
	share->id = ++hv->last_share_id;
	list_add_tail(&hv->share_hash[share->id % SHARE_HASH_SIZE], &share->hash_link);
	list_add_tail(&conn->shares, &share->conn_link);
	for (uint32_t i = 0; i < share->nr_pages; i++)
		share->grefs[i] = take_gref(dom, share, i);
	*out = share;
	return 0;
}

/* A share that this very connection made, or NULL. */
static struct share *own_share(struct hypercall_conn *conn, uint64_t id)
{
	struct share *share = grant_find_share(conn->dom->hv, id);

	return share && share->conn == conn ? share : NULL;
}

int grant_share_ready(struct hypercall_conn *conn, uint64_t id)
{
	const int wanted = F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
	struct share *share = own_share(conn, id);
	int seals;

	if (!share)
		return -ENOENT;
	if (share->ready)
		return -EALREADY;
	/* The owner added them: adding takes the inode's lock (see clear_byte), looking does not. */
	seals = fcntl(share->memfd, F_GET_SEALS);
	if (seals < 0)
		return -errno;
	if ((seals & wanted) != wanted)
		return -EPERM;
	share->ready = true;
	return 0;
}

static void end_grants(struct share *share, uint32_t page, uint32_t nr_pages)
{
	for (uint32_t i = page; i < page + nr_pages; i++) {
		if (share->grefs[i]) {
			free_gref(share->owner, share->grefs[i]);
			share->grefs[i] = 0;
			share->nr_granted--;
		}
	}
	if (page == 0 && share->notify) {
		grant_fire_notify(share, share->owner, share->notify);
		share->notify = NULL;
		if (share->notify_page)
			munmap(share->notify_page, PAGE_SIZE);
		share->notify_page = NULL;
	}
	if (share->nr_granted == 0) {
		list_del(&share->conn_link);
		domain_return_fds(share->owner, 1);
		share->conn = NULL;
		share->owner = NULL;
		grant_release_share(share);
	}
}

int grant_unshare(struct hypercall_conn *conn, uint64_t id, uint32_t page, uint32_t nr_pages)
{
	struct share *share = own_share(conn, id);

	if (!share)
		return -ENOENT;
	if (page >= share->nr_pages || nr_pages == 0 || nr_pages > share->nr_pages - page)
		return -EINVAL;
	end_grants(share, page, nr_pages);
	return 0;
}

void grant_conn_closed(struct hypercall_conn *conn)
{
	grant_drop_uses(conn);
	while (!list_empty(&conn->shares)) {
		struct share *share = list_first(&conn->shares, struct share, conn_link);

		end_grants(share, 0, share->nr_pages);
	}
}
