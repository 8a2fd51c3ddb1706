/* SPDX-License-Identifier: MIT */
/* Records of domains: who exists, and the counters that quotas compare. */
#include <assert.h>
#include <errno.h>

#include "xenstore/fair.h"
#include "xenstore/internal.h"
#include "xenstore/mem.h"
#include "xenstore/perms.h"
#include "xenstore/watch.h"

static uint64_t domid_hash(unsigned int domid)
{
	return domid * UINT64_C(0x9e3779b97f4a7c15) >> 8;
}

struct domain *domain_find(const struct store *store, unsigned int domid)
{
	struct hlink *link = htable_first(&store->domains, domid_hash(domid));

	for (; link; link = htable_next(link)) {
		struct domain *dom = container_of(link, struct domain, link);

		if (dom->domid == domid)
			return dom;
	}
	return NULL;
}

struct domain *domain_obtain(struct store *store, unsigned int domid)
{
	struct domain *dom = domain_find(store, domid);

	if (dom)
		return dom;
	dom = store_alloc(sizeof(*dom));
	if (!dom)
		return NULL;
	dom->domid = domid;
	dom->factor = 1;
	list_init(&dom->mentions);
	list_init(&dom->target_link);
	list_init(&dom->targeters);
	list_init(&dom->fair_link);
	htable_insert(&store->domains, &dom->link, domid_hash(domid));
	return dom;
}

void domain_drop_unused(struct store *store, struct domain *dom)
{
	if (dom == store->dom0 || dom->introduced || dom->nr_conns || !list_empty(&dom->mentions))
		return;
	assert(dom->nr_nodes == 0); /* owning a node is a mention */
	assert(!dom->target && list_empty(&dom->targeters));
	htable_remove(&store->domains, &dom->link);
	store_free(dom);
}

bool domain_exists(const struct domain *dom)
{
	return dom && (dom->introduced || domain_privileged(dom));
}

void domain_set_target(struct domain *dom, struct domain *target)
{
	list_del(&dom->target_link);
	dom->target = target;
	if (target)
		list_add_tail(&target->targeters, &dom->target_link);
}

int store_introduce(struct store *store, unsigned int domid)
{
	struct domain *dom = domain_obtain(store, domid);

	if (!dom)
		return -ENOMEM;
	if (domain_exists(dom))
		return -EEXIST;
	dom->introduced = true;
	store->stats.nr_domains++;
	watch_fire_special(store, "@introduceDomain");
	return 0;
}

int store_scale_limits(struct store *store, unsigned int domid, unsigned int factor)
{
	struct domain *dom = domain_find(store, domid);

	if (!dom || !dom->introduced)
		return -ENOENT;
	dom->factor = factor;
	return 0;
}

void store_release(struct store *store, unsigned int domid)
{
	struct domain *dom = domain_find(store, domid), *other, *tmp;

	if (!dom || domain_privileged(dom))
		return;
	domain_set_target(dom, NULL);
	list_for_each_safe(other, tmp, &dom->targeters, target_link)
		domain_set_target(other, NULL);
	perms_forget(store, dom);
	fair_forget_domain(dom);
	if (dom->introduced) {
		dom->introduced = false;
		dom->factor = 1;
		store->stats.nr_domains--;
	}
	domain_drop_unused(store, dom);
	watch_fire_special(store, "@releaseDomain");
}
