/* SPDX-License-Identifier: MIT */
/*
 * What the verbs of the control socket share: control_server.c receives, a file for each noun carries
 * out. Main thread only.
 */
#ifndef RF_HYPERVISOR_CONTROL_INTERNAL_H
#define RF_HYPERVISOR_CONTROL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "common/control.h"
#include "hypervisor/control_server.h"

struct control_conn {
	struct loop_source source;
	struct list link;
	struct hypervisor *hv;
	unsigned int domid; /* of the domain that it holds, or 0 */
	uint64_t dom_serial;
	pid_t peer_pid;
	bool waits_for_shutdown;
};

/* A request's words; args[i] are "key=value". */
struct control_request {
	const char *verb;
	const char *args[CONTROL_MAX_WORDS];
	unsigned int nr_args;
};

/* `run` replies exactly once, before it returns or later. */
struct control_verb {
	const char *name; /* NULL ends a table */
	void (*run)(struct control_conn *conn, const struct control_request *req);
};

extern const struct control_verb control_disk_verbs[], control_domain_verbs[],
	control_driver_verbs[], control_hypervisor_verbs[], control_shm_verbs[];

/* ---- replies ---- */

/* One line of text: the result with status 0, else what is wrong with a negative errno value. */
void control_reply(struct control_conn *conn, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* In as many packets as it takes; at most CONTROL_MAX_FDS descriptors go with the first. */
void control_reply_text(struct control_conn *conn, int status, const char *text, size_t len,
	const int *fds, unsigned int nr_fds);

/* Replies with what `print` writes. */
void control_reply_printed(
	struct control_conn *conn, void (*print)(struct hypervisor *hv, FILE *out));

/* ---- arguments ---- */

/* The value of `key=`, or NULL. */
const char *control_argument(const struct control_request *req, const char *key);

/* The same, but replies with an error when it is missing. */
const char *control_required(
	struct control_conn *conn, const struct control_request *req, const char *key);

/* A number from 1 to max that may be given; 0 if not. False, and answered, if it is not one. */
bool control_optional_number(struct control_conn *conn, const struct control_request *req,
	const char *key, uint64_t max, uint64_t *value);

#endif
