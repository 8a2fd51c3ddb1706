/* SPDX-License-Identifier: MIT */
/*
 * Grant tables. A *share* is what one share call made: a memfd and the grant references of its
 * pages. A *use* is one connection's hold on a share through map calls. A share's memfd is never
 * used for anything else, since whoever mapped it once may keep it.
 */
#ifndef RF_HYPERVISOR_GRANT_H
#define RF_HYPERVISOR_GRANT_H

#include "hypervisor/domain.h"

struct hypercall_conn;

/* Shares pages with another domain. On success *out is the new share. 0 or -errno. */
int grant_share(struct hypercall_conn *conn, const struct hypercall_request *req,
	struct share **out) __attribute__((warn_unused_result));

/*
 * The owner has mapped the pages of a read-only share writable and sealed the memfd against other
 * such mappings (FUTURE_WRITE and SEAL): lets the peer map it. -EPERM if the seals are missing.
 */
int grant_share_ready(struct hypercall_conn *conn, uint64_t share_id)
	__attribute__((warn_unused_result));

/* Ends the grants of a range of a share's pages: no new maps. Fires the owner's notification. */
int grant_unshare(struct hypercall_conn *conn, uint64_t share_id, uint32_t page,
	uint32_t nr_pages) __attribute__((warn_unused_result));

/*
 * Maps granted pages for the connection's domain: all of them, or none. `mapped` receives one
 * entry for each.
 */
int grant_map(struct hypercall_conn *conn, const struct hypercall_request *req,
	const struct hypercall_gref *grefs, struct hypercall_mapped *mapped)
	__attribute__((warn_unused_result));

/*
 * The memfd of a share that the connection has mapped pages of. Borrowed. Or -errno: -ENOENT also
 * when all grants of the share have ended since.
 */
int grant_map_fd(struct hypercall_conn *conn, uint64_t share_id)
	__attribute__((warn_unused_result));

/* Undoes one map of each page of the range. */
int grant_unmap(struct hypercall_conn *conn, uint64_t share_id, uint32_t page,
	uint32_t nr_pages) __attribute__((warn_unused_result));

/* Drops everything that the connection shared and mapped, with notifications. */
void grant_conn_closed(struct hypercall_conn *conn);

uint64_t share_id(const struct share *share);
int share_memfd(const struct share *share);
unsigned int share_grefs(const struct share *share, const uint32_t **grefs);

#endif
