/* SPDX-License-Identifier: MIT */
/*
 * Permission lists. The first entry names the owner, and gives what every domain may do that has
 * no entry of its own. Domain 0 and the owner may do everything.
 */
#ifndef RF_XENSTORE_PERMS_H
#define RF_XENSTORE_PERMS_H

#include "xenstore/internal.h"

/*
 * A new list. Entries behind the first that name domains which do not exist are kept but void if
 * `by` is unprivileged: a later domain with that id must not find doors open for it. NULL without
 * memory.
 */
struct perms *perms_create(struct store *store, const struct store_perm *entries, unsigned int nr,
	const struct domain *by);
struct perms *perms_get(struct perms *perms);
void perms_put(struct store *store, struct perms *perms); /* NULL is legal */

/*
 * What a node that `creator` makes below one with `parent` gets: the same, owned by the creator if
 * that one is unprivileged. Returns a reference, NULL without memory.
 */
struct perms *perms_inherit(struct perms *parent, struct domain *creator);

/* PERM_ bits that a domain, or the domain that it targets, has. */
unsigned int perms_access(const struct perms *perms, const struct domain *dom);

static inline struct domain *perms_owner(const struct perms *perms)
{
	return perms->entry[0].dom;
}

/* "n0" and the like. 0 or -EINVAL. */
int perm_parse(const char *text, struct store_perm *perm);

/* Room for any list's text: "b65535" with its NUL per entry. */
#define PERM_TEXT_BYTES 7
/* Writes the entries as NUL-terminated strings; returns the bytes. */
size_t perms_format(const struct perms *perms, char *text);

/* Voids every entry of a domain; domain 0 becomes the owner where it was. */
void perms_forget(struct store *store, struct domain *dom);

#endif
