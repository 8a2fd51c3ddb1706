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
	uint64_t changing; /* the serial of the domain that it pauses or unpauses, or 0 */
	/* The rest of a reply, which the socket has no room for yet. */
	char *unsent;
	size_t unsent_at, unsent_len;
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

/* The same for what there is to say about one domain. */
void control_reply_printed_of(struct control_conn *conn, const struct domain *dom,
	void (*print)(struct hypervisor *hv, const struct domain *dom, FILE *out));

/* ---- arguments ---- */

/* The value of `key=`, or NULL. */
const char *control_argument(const struct control_request *req, const char *key);

/* The same, but replies with an error when it is missing. */
const char *control_required(
	struct control_conn *conn, const struct control_request *req, const char *key);

/* A number from 1 to max that may be given; 0 if not. False, and answered, if it is not one. */
bool control_optional_number(struct control_conn *conn, const struct control_request *req,
	const char *key, uint64_t max, uint64_t *value);

/* The domain that `text` means, an id or a name as xl takes them: what is all digits is an id. */
struct domain *control_find_domain(struct hypervisor *hv, const char *text);

/* The same, but answers if there is none. Domain 0 is one only for control_any_domain. */
struct domain *control_domain(struct control_conn *conn, const char *text);
struct domain *control_any_domain(struct control_conn *conn, const char *text);

/* control_domain of the argument `domain=`. */
struct domain *control_domain_argument(
	struct control_conn *conn, const struct control_request *req);

/* Ends a guest at once: closes the connection that it lives by. */
void control_end_domain(struct control_conn *conn, struct domain *dom);

/* A driver_started_fn for driver_stop, `data` being the connection that asked: answers it. */
void control_driver_ended(void *data, int status, unsigned int domid, const char *text);

/* True if another connection pauses or unpauses the domain at this moment. */
bool control_is_changing(const struct control_conn *conn, const struct domain *dom);

#endif
