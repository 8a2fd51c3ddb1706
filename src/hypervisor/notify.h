/* SPDX-License-Identifier: MIT */
/*
 * Telling the service manager that started us how we are (sd_notify(3)): "READY=1", "STOPPING=1".
 * Main thread. The service manager is trusted.
 */
#ifndef RF_HYPERVISOR_NOTIFY_H
#define RF_HYPERVISOR_NOTIFY_H

/*
 * Connects to the socket that $NOTIFY_SOCKET names, and removes that variable, so that driver
 * domains cannot speak for us. Returns a descriptor for notify_send, to be closed by the caller;
 * -1 if there is no such variable, or nothing to reach behind it, which is logged.
 */
int notify_open(void) __attribute__((warn_unused_result));

/*
 * Sends one assignment, such as "READY=1"; for a descriptor of -1 nothing. Waits no more than a few
 * seconds; a failure is logged, since nobody could do anything about it.
 */
void notify_send(int fd, const char *state);

#endif
