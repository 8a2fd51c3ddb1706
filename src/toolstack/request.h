/* SPDX-License-Identifier: MIT */
/* Requests to the hypervisor, their arguments put together (docs/protocol/control.md). */
#ifndef RF_TOOLSTACK_REQUEST_H
#define RF_TOOLSTACK_REQUEST_H

/*
 * One request on a control connection: the verb, then keys and values in turn, ended by a NULL key; an
 * argument whose value is NULL is left out. The reply's text, to be freed, or NULL, and standard error
 * tells why. Waits at most timeout_s seconds.
 */
char *request(int control_fd, int timeout_s, const char *verb, ...)
	__attribute__((sentinel, warn_unused_result));

/* The same on a connection of its own; *status is the exit status if it fails. */
char *request_once(int *status, int timeout_s, const char *verb, ...)
	__attribute__((sentinel, warn_unused_result));

#define REQUEST_TIMEOUT_S 15

/* Puts text into JSON: in quotes, with what JSON wants escaped. */
void print_json_string(const char *text);

#endif
