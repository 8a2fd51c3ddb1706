/* SPDX-License-Identifier: MIT */
/* The keeper's domain: made, held and given back over one control connection. */
#ifndef RF_TOOLSTACK_KEEPER_DOMAIN_H
#define RF_TOOLSTACK_KEEPER_DOMAIN_H

#include <xenstore.h>

#include "toolstack/config.h"
#include "toolstack/shm.h"

struct kept_domain {
	int control_fd; /* readable: the domain has been destroyed, or the hypervisor is gone */
	unsigned int domid;
	int fds[2]; /* O_PATH: its hypercall and store sockets, for the program */
	struct shm_maps shm; /* shared areas, for the program */
	struct xs_handle *xs; /* as domain 0 */
};

enum shutdown_request { SHUTDOWN_NONE, SHUTDOWN_POWEROFF, SHUTDOWN_REBOOT };

/*
 * Creates the domain with all that the configuration gives it, but its program; `restarted`: once
 * more. 0 or the exit status, the reason being on standard error; then nothing is left.
 */
int kept_domain_make(struct kept_domain *dom, const struct domain_config *config, bool restarted)
	__attribute__((warn_unused_result));

/* Ends the domain if it still is, and waits until it is gone, so that its name is free. */
void kept_domain_leave(struct kept_domain *dom);

/* The program has its own descriptors: closes ours. */
void kept_domain_handed_over(struct kept_domain *dom);

/* Takes the events of dom->xs: what control/shutdown asks for, if it changed. */
enum shutdown_request kept_domain_shutdown_request(struct kept_domain *dom);

/*
 * What the domain is called now, into `name` of DOMAIN_NAME_SIZE; left as it is if that is not
 * known.
 */
void kept_domain_read_name(const struct kept_domain *dom, char *name);

/* Tells in xenstore how the program of a domain that stays has ended: control/ended. */
void kept_domain_ended(const struct kept_domain *dom, const char *how);

#endif
