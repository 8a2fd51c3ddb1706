/* SPDX-License-Identifier: MIT */
/* This process as domain 0: its handles of Xen's libraries. */
#ifndef RF_TOOLSTACK_DOMAIN0_H
#define RF_TOOLSTACK_DOMAIN0_H

#include <stdbool.h>

#include <xengnttab.h>
#include <xenstore.h>
#include <xentoollog.h>

struct domain0 {
	struct xs_handle *xs;
	xengnttab_handle *xgt;
	xentoollog_logger *logger;
};

/*
 * Becomes domain 0 of the runtime directory's instance; with `elsewhere`, of whatever the libraries
 * lead to by themselves: a Xen host, or an instance that the environment names. 0, or the exit
 * status, and standard error tells why.
 */
int domain0_enter(struct domain0 *dom0, bool elsewhere) __attribute__((warn_unused_result));

/* Legal after a failed enter, too. */
void domain0_leave(struct domain0 *dom0);

#endif
