/* SPDX-License-Identifier: MIT */
/* The control socket: the toolstack's access to the hypervisor (docs/protocol/control.md). */
#ifndef RF_HYPERVISOR_CONTROL_SERVER_H
#define RF_HYPERVISOR_CONTROL_SERVER_H

#include "hypervisor/hypervisor.h"

int control_server_init(struct hypervisor *hv) __attribute__((warn_unused_result));

/* Closes all connections; the domains that hang on them end. */
void control_server_fini(struct hypervisor *hv);

/* Every driver domain has ended: answers those who asked for the shutdown. */
void control_server_shutdown_done(struct hypervisor *hv);

/* Begins to end this instance (also on SIGTERM and when idle for too long). main.c. */
void hypervisor_shutdown(struct hypervisor *hv, const char *reason);

#endif
