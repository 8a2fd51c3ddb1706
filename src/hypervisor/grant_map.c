/* SPDX-License-Identifier: MIT */
/*
 * Grant tables: mapping what others granted. Main thread only. As in grant.c, an operation that
 * fails leaves no trace.
 */
#include <errno.h>
#include <stdlib.h>

#include "hypervisor/grant_internal.h"

/* Shares that a domain may have mapped; a process cannot have more mappings (vm.max_map_count). */
#define USES_MAX 65536u

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

static int get_use(struct hypercall_conn *conn, struct share *share, struct share_use **out)
{
	struct share_use *use = find_use(conn, share);

	*out = use;
	if (use)
		return 0;
	if (conn->dom->nr_uses == USES_MAX)
		return -ENOSPC;
	use = calloc(1, sizeof(*use) + share->nr_pages * sizeof(use->counts[0]));
	if (!use)
		return -ENOMEM;
	conn->dom->nr_uses++;
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
	use->conn->dom->nr_uses--;
	free(use);
	grant_release_share(share);
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
		if (notify->page == page) {
			use->share->nr_bytes -= notify->nr_paid;
			grant_fire_notify(use->share, use->conn->dom, notify);
		}
	}
	grant_close_memfd(use->share);
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
		share = grant_find_share(conn->dom->hv, mapped[i].share_id);
		use = find_use(conn, share);
		uncount_map(use, mapped[i].page);
		put_use(use);
	}
	return rc;
}

/*
 * A byte can be cleared only in a page that is mapped writable (Linux, gntdev.c). For its sake the
 * memfd may have to stay open when its owner is gone, so it is charged. 0 or -errno.
 */
static int check_notify(
	struct domain *dom, const struct hypercall_request *req, struct notify *notify)
{
	int rc;

	if (req->map.nr_grefs != 1)
		return -EINVAL;
	if (notify->offset == HYPERCALL_NO_NOTIFY)
		return 0;
	if (!(req->flags & HYPERCALL_WRITABLE))
		return -EINVAL;
	rc = domain_take_fds(dom, 1);
	if (rc == 0)
		notify->nr_paid = 1;
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
	rc = grant_make_notify(dom, 0, req->map.notify_offset, req->map.notify_port, &notify);
	if (rc)
		return rc;
	if (notify)
		rc = check_notify(dom, req, notify);
	if (rc == 0)
		rc = map_all(conn, req, grefs, mapped);
	if (rc) {
		grant_free_notify(dom, notify);
		return rc;
	}
	if (notify) {
		share = grant_find_share(dom->hv, mapped[0].share_id);
		share->nr_bytes += notify->nr_paid;
		notify->page = mapped[0].page;
		list_add_tail(&find_use(conn, share)->notifies, &notify->link);
	}
	return 0;
}

int grant_map_fd(struct hypercall_conn *conn, uint64_t id)
{
	struct share *share = grant_find_share(conn->dom->hv, id);

	/* Once its grants have ended it must not depend on others' notifications. */
	return share && share->owner && find_use(conn, share) ? share->memfd : -ENOENT;
}

int grant_unmap(struct hypercall_conn *conn, uint64_t id, uint32_t page, uint32_t nr_pages)
{
	struct share *share = grant_find_share(conn->dom->hv, id);
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

void grant_drop_uses(struct hypercall_conn *conn)
{
	while (!list_empty(&conn->uses))
		drop_use(list_first(&conn->uses, struct share_use, conn_link));
}
