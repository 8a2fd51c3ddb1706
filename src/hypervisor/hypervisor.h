/* SPDX-License-Identifier: MIT */
/*
 * One instance of the hypervisor: what its parts share. Everything here belongs to the main
 * thread. The hypervisor trusts no domain; it is trusted by all of them.
 */
#ifndef RF_HYPERVISOR_HYPERVISOR_H
#define RF_HYPERVISOR_HYPERVISOR_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/hypercall.h"
#include "common/list.h"
#include "common/log.h"
#include "hypervisor/dmesg.h"
#include "hypervisor/loop.h"
#include "xenstore/store.h"

#define DOMAIN_FIRST_RESERVED 0x7ff0u /* xen.h, DOMID_FIRST_RESERVED */
#define SHARE_HASH_SIZE 4096u

struct domain;

/* What one domain may hold. The same for all; set on the command line of ringfenced. */
struct domain_limits {
	unsigned int nr_domains;
	unsigned int nr_grants;	     /* pages that a domain may have granted */
	unsigned int nr_maps;	     /* foreign pages that a domain may have mapped */
	unsigned int nr_ports;
	unsigned int nr_connections; /* hypercall and store connections, each */
};

struct hypervisor {
	struct loop loop;
	struct store *store;
	char run_dir[PATH_MAX];
	char lib_dir[PATH_MAX]; /* the user-mode libxengnttab and libxenevtchn */
	int run_dir_fd;
	int lock_fd;
	int notify_fd; /* the service manager's; -1: there is none */
	struct domain_limits limits;
	unsigned int max_fds, nr_fds; /* descriptors that domains may cost, and do */
	/* Guaranteed to the domains there are, used or not; and what they use beyond that. */
	unsigned int nr_guaranteed_fds, nr_extra_fds;
	struct dmesg dmesg;
	struct ratelimit log_limit;   /* of messages that dom0 can cause */
	struct ratelimit trace_limit; /* of the store's requests, while dom0 has them logged */
	enum hypercall_port_kind port_kind;
	uint64_t idle_timeout_ns; /* 0: none */
	uint64_t last_activity_ns;
	uint64_t start_ns;

	struct domain *domains[DOMAIN_FIRST_RESERVED];
	struct list domain_list;
	unsigned int nr_domains;
	unsigned int last_domid;
	uint64_t last_serial; /* of domains: never used twice */

	uint64_t last_share_id;
	struct list share_hash[SHARE_HASH_SIZE];

	struct shm_area *shm_areas;   /* by id, shm.c; NULL: none */
	struct list disks;	      /* struct disk, vbd.c */
	struct list vbds;	      /* struct vbd that have a back end directory, vbd.c */
	struct list drivers;	      /* struct driver, supervisor.c */
	struct list control_conns;    /* control_server.c */
	struct list dom0_conns;	      /* dom0's store connections, store_server.c */
	unsigned int nr_dom0_conns;
	struct list store_flush;      /* store connections with fresh output, store_server.c */
	struct loop_source control_source, store_source, signal_source;
	struct loop_timer idle_timer, shutdown_timer;
	bool shutting_down;
};

#endif
