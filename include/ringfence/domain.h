/* SPDX-License-Identifier: MIT */
/*
 * libringfence: becoming a domain.
 *
 * A program that the hypervisor or `ringfence exec` started is a domain already, and so is any
 * program on real Xen. A program that a user started in a shell asks the hypervisor for a domain
 * of its own with rf_domain_enter.
 */
#ifndef RINGFENCE_DOMAIN_H
#define RINGFENCE_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* These are the library's interface; all else in it is built hidden. */
#pragma GCC visibility push(default)

struct rf_domain;

/*
 * Makes this process a guest domain called `name` (unique; NULL: one is made up from the process
 * id). Sets XENSTORED_PATH and RINGFENCE_HYPERCALL in the environment, so call it before other
 * threads run and before any Xen library is opened. The domain lives until rf_domain_leave or the
 * end of the process; then its grants, ports, disks and store nodes are cleaned up.
 *
 * Errors: -ECONNREFUSED or -ENOENT no hypervisor runs in the runtime directory (RINGFENCE_RUN),
 * -EACCES not permitted, -EEXIST the name is taken, -ENOSPC too many domains, -EPROTO versions
 * differ. `error`, if not NULL, receives one line that says what to do.
 */
int rf_domain_enter(const char *name, struct rf_domain **out, char *error, size_t error_size)
	__attribute__((warn_unused_result));

/* This domain's id. */
unsigned int rf_domain_id(const struct rf_domain *domain);

/*
 * Asks the toolstack to attach a disk that was defined there (see ringfenced(8), disk-define) as
 * `vdev` ("xvda"). Returns once the device nodes are in xenstore; rf_blk_open connects.
 * -ENOENT no such disk, -EEXIST the vdev is taken, -EIO. `error` as above.
 */
int rf_domain_attach_disk(struct rf_domain *domain, const char *disk, const char *vdev,
	char *error, size_t error_size) __attribute__((warn_unused_result));

/* Destroys the domain. Close what uses it first. NULL is legal. */
void rf_domain_leave(struct rf_domain *domain);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
