/* SPDX-License-Identifier: MIT */
/*
 * Driver domains: programs that the hypervisor starts as domains, watches and, after a crash,
 * starts again.
 */
#ifndef RF_HYPERVISOR_SUPERVISOR_H
#define RF_HYPERVISOR_SUPERVISOR_H

#include <stdio.h>

#include "hypervisor/domain.h"

/*
 * How a start ended, told once: status 0 and the domain id, or -errno with one line of text.
 * `data` is what driver_start was given.
 */
typedef void driver_started_fn(void *data, int status, unsigned int domid, const char *text);

/*
 * Starts `argv` (NULL-terminated, argv[0] the program's path) as driver domain `name`. Returns 0
 * and calls `started` later, once the program wrote data/ready into xenstore, ended, or took too
 * long; or returns -errno and does not call it.
 */
int driver_start(struct hypervisor *hv, const char *name, char *const *argv,
	driver_started_fn *started, void *data) __attribute__((warn_unused_result));

/*
 * Ends the program of a driver domain (SIGTERM, and SIGKILL if it takes too long; at once: SIGKILL) and
 * starts it again, as a new domain, or for good. The callback tells the end of that; `domid` is 0 after
 * a stop. 0, -ENOENT there is no such driver domain, -EBUSY somebody else waits for a start or end of
 * it: then the callback is not called. It may be called before they return.
 */
int driver_restart(struct hypervisor *hv, const char *name, driver_started_fn *started, void *data)
	__attribute__((warn_unused_result));
int driver_stop(struct hypervisor *hv, const char *name, bool at_once, driver_started_fn *ended,
	void *data) __attribute__((warn_unused_result));

/* True if a driver domain that runs or will run again, another than `except`, has the name. */
bool driver_name_is_taken(
	struct hypervisor *hv, const char *name, const struct domain *except);

/* The domain of a driver domain has another name now. */
void driver_renamed(struct hypervisor *hv, const struct domain *dom);

/* The one that waits for a start or an end went away. */
void driver_forget_waiter(struct hypervisor *hv, void *data);

/* Asks every driver domain to end (SIGTERM); kills those that have not after a while. */
void drivers_stop(struct hypervisor *hv);

/* True when no driver domain's process exists any more. */
bool drivers_stopped(const struct hypervisor *hv);

/* Writes the statistics of every driver domain, those that have ended included. */
void drivers_print_stats(struct hypervisor *hv, FILE *out);

/* Frees all records; the processes must have ended, those that have not are killed. */
void drivers_fini(struct hypervisor *hv);

/* xenstore changed: readiness and activity of driver domains. */
void supervisor_store_changed(struct hypervisor *hv, const char *path);

#endif
