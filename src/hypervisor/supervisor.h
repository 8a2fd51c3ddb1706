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

/* The one that waits for a start went away. */
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
