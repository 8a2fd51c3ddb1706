/* SPDX-License-Identifier: MIT */
/*
 * Domains: their identity, their sockets, what they hold, and their end. A domain's identity is
 * the pair of listening sockets made for it; who can connect there is the domain.
 */
#ifndef RF_HYPERVISOR_DOMAIN_H
#define RF_HYPERVISOR_DOMAIN_H

#include "common/log.h"
#include "hypervisor/hypervisor.h"

#define DOMAIN_NAME_MAX 63

enum domain_kind { DOMAIN_GUEST, DOMAIN_DRIVER };

struct grant {
	struct share *share; /* NULL: free, then `page` is the next free reference or 0 */
	uint32_t page;
};

struct domain {
	struct hypervisor *hv;
	struct list link;
	unsigned int id;
	uint64_t serial; /* distinguishes domains that had the same id one after the other */
	char name[DOMAIN_NAME_MAX + 1];
	enum domain_kind kind;
	pid_t pid; /* for the toolstack; 0 if unknown */
	bool has_keeper; /* that process keeps the domain for others, and is not part of it */
	bool paused;
	unsigned int nr_fds; /* of our descriptors that it costs; see domain_take_fds */
	struct ratelimit log_limit; /* of messages that it can cause */

	struct loop_source hypercall_source, store_source; /* listening */
	int hypercall_path_fd, store_path_fd; /* O_PATH, for the domain to inherit; -1: it has them */

	struct list hypercall_conns, store_conns;
	unsigned int nr_hypercall_conns, nr_store_conns;
	struct list channels; /* event channels that it pays for, evtchn.c */

	struct grant *grants; /* indexed by reference; 0..7 are reserved as in Xen */
	unsigned int nr_grant_slots, nr_grants;
	uint32_t free_grant_head, free_grant_tail; /* FIFO, so that references are reused late */
	unsigned int nr_maps, nr_uses; /* foreign pages mapped, and shares that they are of */

	struct port **ports; /* indexed by port; 0 is never used */
	unsigned int nr_port_slots, nr_ports;

	struct shm_mapping *shm_mappings; /* shared areas that it has, shm.c */
};

/* True for 1 to 63 characters of A-Z a-z 0-9 . _ - that begin with a letter or a digit. */
bool domain_name_valid(const char *name);

/*
 * Creates a domain: id, sockets, store nodes. 0, -EINVAL bad name, -EEXIST name taken, -ENOSPC no
 * more domains, -ENOMEM, -EMFILE. On error nothing is left.
 */
int domain_create(struct hypervisor *hv, const char *name, enum domain_kind kind, pid_t pid,
	struct domain **out) __attribute__((warn_unused_result));

/*
 * Makes domain 0, that of whoever can reach RUNDIR/hypercall: tools that use grants and event
 * channels, as they use dom0's store socket. Not in the list of domains. 0 or -errno.
 */
int domain_create_dom0(struct hypervisor *hv) __attribute__((warn_unused_result));

/*
 * Lets processes of this user, instead of the hypervisor's, connect as the domain. 0 or -errno
 * (-EPERM: only root may give away).
 */
int domain_set_user(struct domain *dom, uid_t uid) __attribute__((warn_unused_result));

/*
 * Gives a domain another name, in its node too. 0, -EINVAL bad name, -EEXIST name taken, or what the
 * store said; then it has the old one.
 */
int domain_rename(struct domain *dom, const char *name) __attribute__((warn_unused_result));

/* The domain, or who makes it, has its two O_PATH descriptors: closes ours. */
void domain_handed_over(struct domain *dom);

/*
 * Ends a domain (domain 0 too): its connections (and with them its ports, maps and grants; peers are notified),
 * its store connections and nodes, and its part in devices. Does not kill its process.
 */
void domain_destroy(struct domain *dom);

/*
 * Charges a domain for descriptors that are opened here for it. A small number is set aside for each
 * domain when it is created, and can always be had. What it has beyond must not be more than half of
 * what is left for that; and half of all descriptors is left for new domains. So whatever some take,
 * others can be created and work. 0 or -EMFILE.
 */
#define DOMAIN_FDS_GUARANTEED 16u /* a guest with a disk costs 13 */
int domain_take_fds(struct domain *dom, unsigned int nr) __attribute__((warn_unused_result));
void domain_return_fds(struct domain *dom, unsigned int nr);

/* Domain 0 included. */
struct domain *domain_by_id(struct hypervisor *hv, unsigned int id);
struct domain *domain_by_name(struct hypervisor *hv, const char *name);

#endif
