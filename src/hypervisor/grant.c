/* SPDX-License-Identifier: MIT */
/*
 * Grant tables: sharing, mapping, and the unmap notification of xengnttab.h. Main thread only.
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
#include "hypervisor/hypercall.h"

#define PAGE_SIZE 4096u
#define FIRST_GREF 8u /* the first eight are reserved, as in Xen */
#define GRANT_SLOTS_MIN 64u

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* "When this page is unmapped, clear this byte and notify this port." */
struct notify {
	struct list link;
	uint32_t page;
	uint32_t offset; /* or HYPERCALL_NO_NOTIFY */
	uint32_t port;	 /* or HYPERCALL_NO_NOTIFY */
};

struct share {
	struct list hash_link;
	struct list conn_link;	     /* in the owner's connection; empty once that is closed */
	struct hypercall_conn *conn; /* the owner's; it and `owner` are NULL once all grants ended */
	struct domain *owner;
	uint64_t id;
	unsigned int peer;	     /* who may map it */
	uint64_t peer_serial;	     /* which domain of that id; 0: none existed yet */
	bool writable, ready;
	int memfd;
	uint32_t nr_pages, nr_granted;
	struct notify *notify;	     /* the owner's, for page 0; NULL when none */
	uint8_t *notify_page;	     /* page 0 mapped writable, where the owner seals it */
	struct list uses;
	uint32_t grefs[];	     /* by page; 0: ended */
};

struct share_use {
	struct list share_link, conn_link;
	struct share *share;
	struct hypercall_conn *conn;
	struct list notifies;
	uint32_t nr_maps;
	uint16_t counts[]; /* maps by page */
};

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

static struct share *find_share(struct hypervisor *hv, uint64_t id)
{
	struct share *share;

	list_for_each(share, &hv->share_hash[id % SHARE_HASH_SIZE], hash_link) {
		if (share->id == id)
			return share;
	}
	return NULL;
}

/* Gone once nobody grants it and nobody has it mapped. */
static void release_share(struct share *share)
{
	if (share->owner || !list_empty(&share->uses))
		return;
	list_del(&share->hash_link);
	if (share->notify_page)
		munmap(share->notify_page, PAGE_SIZE);
	close(share->memfd);
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
static int make_notify(struct domain *dom, uint32_t page, uint32_t offset, uint32_t port,
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

static void free_notify(struct domain *dom, struct notify *notify)
{
	if (!notify)
		return;
	if (notify->port != HYPERCALL_NO_NOTIFY)
		evtchn_release(dom, notify->port);
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
static void fire_notify(struct share *share, struct domain *dom, struct notify *notify)
{
	if (notify->offset != HYPERCALL_NO_NOTIFY)
		clear_byte(share, notify->page, notify->offset);
	if (notify->port != HYPERCALL_NO_NOTIFY)
		evtchn_send(dom, notify->port);
	free_notify(dom, notify);
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
	rc = make_notify(
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
	free_notify(dom, share->notify);
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
	struct share *share = find_share(conn->dom->hv, id);

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
		fire_notify(share, share->owner, share->notify);
		share->notify = NULL;
	}
	if (share->nr_granted == 0) {
		list_del(&share->conn_link);
		domain_return_fds(share->owner, 1);
		share->conn = NULL;
		share->owner = NULL;
		release_share(share);
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

/* ---- maps ---- */

/* The share and page behind a reference, if this domain may map it so. 0 or -errno. */
static int lookup_gref(struct domain *dom, const struct hypercall_gref *ref, bool writable,
	struct share **share, uint32_t *page)
{
	struct domain *granter = domain_by_id(dom->hv, ref->domid);
	struct share *found;

	if (!granter)
		return -ESRCH;
	if (ref->gref < FIRST_GREF || ref->gref >= granter->nr_grant_slots)
		return -ENOENT;
	found = granter->grants[ref->gref].share;
	if (!found || !found->ready)
		return -ENOENT;
	if (found->peer != dom->id)
		return -EPERM;
	/* A grant to a domain that is gone is not one to its successor of the same id. */
	if (found->peer_serial && found->peer_serial != dom->serial)
		return -EPERM;
	if (writable && !found->writable)
		return -EACCES;
	*share = found;
	*page = granter->grants[ref->gref].page;
	return 0;
}

static struct share_use *find_use(struct hypercall_conn *conn, struct share *share)
{
	struct share_use *use;

	list_for_each(use, &share->uses, share_link) {
		if (use->conn == conn)
			return use;
	}
	return NULL;
}

/* The memfd outlives its owner for whoever has it mapped, who is charged for it as well. */
static int get_use(struct hypercall_conn *conn, struct share *share, struct share_use **out)
{
	struct share_use *use = find_use(conn, share);
	int rc;

	*out = use;
	if (use)
		return 0;
	rc = domain_take_fds(conn->dom, 1);
	if (rc)
		return rc;
	use = calloc(1, sizeof(*use) + share->nr_pages * sizeof(use->counts[0]));
	if (!use) {
		domain_return_fds(conn->dom, 1);
		return -ENOMEM;
	}
	use->share = share;
	use->conn = conn;
	list_init(&use->notifies);
	list_add_tail(&share->uses, &use->share_link);
	list_add_tail(&conn->uses, &use->conn_link);
	*out = use;
	return 0;
}

/* Drops an empty use, and with it perhaps the share. */
static void put_use(struct share_use *use)
{
	struct share *share = use->share;

	if (use->nr_maps)
		return;
	list_del(&use->share_link);
	list_del(&use->conn_link);
	domain_return_fds(use->conn->dom, 1);
	free(use);
	release_share(share);
}

static int count_map(struct share_use *use, uint32_t page)
{
	if (use->counts[page] == UINT16_MAX)
		return -ENOSPC;
	use->counts[page]++;
	use->nr_maps++;
	use->conn->nr_mapped++;
	use->conn->dom->nr_maps++;
	return 0;
}

static void uncount_map(struct share_use *use, uint32_t page)
{
	struct notify *notify, *tmp;

	use->nr_maps--;
	use->conn->nr_mapped--;
	use->conn->dom->nr_maps--;
	if (--use->counts[page])
		return;
	list_for_each_safe(notify, tmp, &use->notifies, link) {
		if (notify->page == page)
			fire_notify(use->share, use->conn->dom, notify);
	}
}

/* Maps the references one after the other; undoes what it did if one of them cannot be mapped. */
static int map_all(struct hypercall_conn *conn, const struct hypercall_request *req,
	const struct hypercall_gref *grefs, struct hypercall_mapped *mapped)
{
	bool writable = req->flags & HYPERCALL_WRITABLE;
	struct share_use *use;
	struct share *share;
	uint32_t i, page;
	int rc = 0;

	for (i = 0; i < req->map.nr_grefs; i++) {
		rc = lookup_gref(conn->dom, &grefs[i], writable, &share, &page);
		if (rc)
			break;
		rc = get_use(conn, share, &use);
		if (rc)
			break;
		rc = count_map(use, page);
		if (rc) {
			put_use(use);
			break;
		}
		mapped[i] = (struct hypercall_mapped){share->id, page, share->nr_pages};
	}
	if (rc == 0)
		return 0;
	while (i-- > 0) {
		share = find_share(conn->dom->hv, mapped[i].share_id);
		use = find_use(conn, share);
		uncount_map(use, mapped[i].page);
		put_use(use);
	}
	return rc;
}

int grant_map(struct hypercall_conn *conn, const struct hypercall_request *req,
	const struct hypercall_gref *grefs, struct hypercall_mapped *mapped)
{
	struct domain *dom = conn->dom;
	uint32_t nr = req->map.nr_grefs;
	struct notify *notify;
	struct share *share;
	int rc;

	if (nr == 0)
		return -EINVAL;
	if (nr > dom->hv->limits.nr_maps - dom->nr_maps)
		return -ENOSPC;
	if (conn->max_grants && nr > conn->max_grants - (conn->nr_mapped < conn->max_grants
							? conn->nr_mapped : conn->max_grants))
		return -ENOSPC;
	rc = make_notify(dom, 0, req->map.notify_offset, req->map.notify_port, &notify);
	if (rc)
		return rc;
	/* A byte can be cleared only in a page that is mapped writable (Linux, gntdev.c). */
	if (notify && (nr != 1 || (notify->offset != HYPERCALL_NO_NOTIFY &&
					  !(req->flags & HYPERCALL_WRITABLE)))) {
		free_notify(dom, notify);
		return -EINVAL;
	}
	rc = map_all(conn, req, grefs, mapped);
	if (rc) {
		free_notify(dom, notify);
		return rc;
	}
	if (notify) {
		share = find_share(dom->hv, mapped[0].share_id);
		notify->page = mapped[0].page;
		list_add_tail(&find_use(conn, share)->notifies, &notify->link);
	}
	return 0;
}

int grant_map_fd(struct hypercall_conn *conn, uint64_t id)
{
	struct share *share = find_share(conn->dom->hv, id);

	return share && find_use(conn, share) ? share->memfd : -ENOENT;
}

int grant_unmap(struct hypercall_conn *conn, uint64_t id, uint32_t page, uint32_t nr_pages)
{
	struct share *share = find_share(conn->dom->hv, id);
	struct share_use *use = share ? find_use(conn, share) : NULL;

	if (!use)
		return -ENOENT;
	if (page >= share->nr_pages || nr_pages == 0 || nr_pages > share->nr_pages - page)
		return -EINVAL;
	for (uint32_t i = page; i < page + nr_pages; i++) {
		if (use->counts[i] == 0)
			return -EINVAL;
	}
	for (uint32_t i = page; i < page + nr_pages; i++)
		uncount_map(use, i);
	put_use(use);
	return 0;
}

static void drop_use(struct share_use *use)
{
	for (uint32_t page = 0; page < use->share->nr_pages; page++) {
		while (use->counts[page])
			uncount_map(use, page);
	}
	put_use(use);
}

void grant_conn_closed(struct hypercall_conn *conn)
{
	while (!list_empty(&conn->uses))
		drop_use(list_first(&conn->uses, struct share_use, conn_link));
	while (!list_empty(&conn->shares)) {
		struct share *share = list_first(&conn->shares, struct share, conn_link);

		end_grants(share, 0, share->nr_pages);
	}
}
