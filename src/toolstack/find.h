/* SPDX-License-Identifier: MIT */
/* Domains by name or id, as the hypervisor lists them. */
#ifndef RF_TOOLSTACK_FIND_H
#define RF_TOOLSTACK_FIND_H

#include "toolstack/lines.h"

#define FIND_NO_DOMAIN \
	"ringfence: there is no domain %s; 'ringfence list' shows those that there are"

struct domains {
	char *text; /* domain-list's */
};

/* Asks for all domains. 0, or the exit status and the reason is on standard error. */
int domains_get(struct domains *domains) __attribute__((warn_unused_result));
void domains_put(struct domains *domains);

/* The domain at *at, first domains->text, which moves to the next one. False: there are no more. */
bool domains_next(const char **at, struct domain_line *row);

/* The domain of this name or, as xl takes it, of this id. False: there is none. */
bool domains_find(const struct domains *domains, const char *name, struct domain_line *row);

/* Both in one, and complains if there is none. 0 or the exit status. */
int domain_find(const char *name, struct domain_line *row) __attribute__((warn_unused_result));

#endif
