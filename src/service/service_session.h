/* SPDX-License-Identifier: MIT */
/* Conversations with the hypervisor over its control socket. */
#ifndef RF_SERVICE_SERVICE_SESSION_H
#define RF_SERVICE_SERVICE_SESSION_H

#include <stddef.h>

#include "service/service.h"

#define SESSION_TIMEOUT_MS 15000 /* longer than the hypervisor waits for a driver */

/* What is being served, from `disk-list`; an empty string if there is no answer in time. */
void session_get_image(int control_fd, int timeout_ms, char *image, size_t size);

/*
 * One request made of `verb` and up to 6 arguments (NULL ends them); *text, if asked for, is the
 * reply's text, to be freed. 0, or -errno after a message.
 */
int session_call(int control_fd, char **text, const char *verb, const char *const *args)
	__attribute__((warn_unused_result));

/*
 * Ends the hypervisor and all that it started: asks it to, and kills what has not ended within
 * timeout_ms. *text, if asked for, receives its last statistics, to be freed, or NULL.
 * 1: it ended in order, 0: none ran, -ETIME: it had to be killed, other -errno: it still runs;
 * messages for the last two.
 */
int session_end(const char *run_dir, int timeout_ms, char **text)
	__attribute__((warn_unused_result));

#endif
