/* SPDX-License-Identifier: MIT */
/* Permission lists, indexed by the domains that they mention. */
#include "xenstore/perms.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "xenstore/mem.h"

static const char letters[] = "nrwb"; /* the index is PERM_READ | PERM_WRITE */

static void entry_init(struct perms *set, unsigned int i, struct domain *dom, unsigned int access)
{
	struct perm_entry *entry = &set->entry[i];

	entry->set = set;
	entry->dom = dom;
	entry->access = (unsigned char)access;
	list_init(&entry->mention);
	if (dom)
		list_add_tail(&dom->mentions, &entry->mention);
}

static struct perms *perms_alloc(unsigned int nr)
{
	struct perms *perms = store_alloc(sizeof(*perms) + nr * sizeof(perms->entry[0]));

	if (!perms)
		return NULL;
	perms->refs = 1;
	perms->nr = nr;
	return perms;
}

static unsigned int access_of(char letter)
{
	const char *at = letter ? strchr(letters, letter) : NULL;

	return at ? (unsigned int)(at - letters) : 0;
}

struct perms *perms_create(struct store *store, const struct store_perm *entries, unsigned int nr,
	const struct domain *by)
{
	struct perms *perms = perms_alloc(nr);
	struct domain *dom;
	unsigned int i;

	if (!perms)
		return NULL;
	for (i = 0; i < nr; i++) {
		dom = domain_obtain(store, entries[i].domid);
		if (!dom) {
			perms->nr = i;
			perms_put(store, perms);
			return NULL;
		}
		entry_init(perms, i, dom, access_of(entries[i].access));
		perms->entry[i].ignored = i && !domain_privileged(by) && !domain_exists(dom);
	}
	return perms;
}

struct perms *perms_get(struct perms *perms)
{
	perms->refs++;
	return perms;
}

void perms_put(struct store *store, struct perms *perms)
{
	unsigned int i;

	if (!perms || --perms->refs)
		return;
	for (i = 0; i < perms->nr; i++) {
		if (!perms->entry[i].dom)
			continue;
		list_del(&perms->entry[i].mention);
		domain_drop_unused(store, perms->entry[i].dom);
	}
	store_free(perms);
}

struct perms *perms_inherit(struct perms *parent, struct domain *creator)
{
	struct perms *perms;
	unsigned int i;

	if (domain_privileged(creator) || perms_owner(parent) == creator)
		return perms_get(parent);
	perms = perms_alloc(parent->nr);
	if (!perms)
		return NULL;
	for (i = 0; i < parent->nr; i++) {
		entry_init(perms, i, i ? parent->entry[i].dom : creator, parent->entry[i].access);
		perms->entry[i].ignored = parent->entry[i].ignored;
	}
	return perms;
}

static bool acts_as(const struct domain *dom, const struct domain *named)
{
	return named && (named == dom || named == dom->target);
}

unsigned int perms_access(const struct perms *perms, const struct domain *dom)
{
	unsigned int i;

	if (domain_privileged(dom) || acts_as(dom, perms_owner(perms)))
		return PERM_READ | PERM_WRITE | PERM_OWNER;
	for (i = 1; i < perms->nr; i++)
		if (!perms->entry[i].ignored && acts_as(dom, perms->entry[i].dom))
			return perms->entry[i].access;
	return perms->entry[0].access;
}

int perm_parse(const char *text, struct store_perm *perm)
{
	unsigned long domid = 0;
	const char *at;

	if (!text[0] || !strchr(letters, text[0]) || !text[1])
		return -EINVAL;
	for (at = text + 1; *at; at++) {
		if (*at < '0' || *at > '9')
			return -EINVAL;
		domid = 10 * domid + (unsigned long)(*at - '0');
		if (domid > DOMID_MAX)
			return -EINVAL;
	}
	perm->access = text[0];
	perm->domid = (unsigned int)domid;
	return 0;
}

size_t perms_format(const struct perms *perms, char *text)
{
	size_t len = 0;
	unsigned int i;

	for (i = 0; i < perms->nr; i++) {
		const struct perm_entry *entry = &perms->entry[i];

		if (!entry->dom)
			continue;
		len += (size_t)snprintf(text + len, PERM_TEXT_BYTES, "%c%u", letters[entry->access],
			       entry->dom->domid) +
		       1;
	}
	return len;
}

void perms_forget(struct store *store, struct domain *dom)
{
	struct perm_entry *entry, *tmp;

	list_for_each_safe(entry, tmp, &dom->mentions, mention) {
		list_del(&entry->mention);
		entry->dom = NULL;
		if (entry == &entry->set->entry[0]) {
			entry->dom = store->dom0;
			list_add_tail(&store->dom0->mentions, &entry->mention);
		}
	}
	store->dom0->nr_nodes += dom->nr_nodes;
	dom->nr_nodes = 0;
}
