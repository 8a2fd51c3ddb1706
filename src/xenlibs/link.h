/* SPDX-License-Identifier: MIT */
/*
 * A library handle's connection to the hypervisor (common/hypercall.h). The hypervisor is trusted.
 */
#ifndef RF_XENLIBS_LINK_H
#define RF_XENLIBS_LINK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <xentoollog.h>

#include "common/hypercall.h"

#define RF_EXPORT __attribute__((visibility("default")))

struct link {
	int fd;
	pthread_mutex_t lock; /* one call at a time */
	unsigned int domid;   /* who we are */
	pid_t pid;	      /* who opened it: a forked child may only close */
	xentoollog_logger *logger, *own_logger;
};

/*
 * Connects to the hypervisor for one interface. `logger` may be NULL: errors then go to stderr, as
 * with the stock libraries. 0 or -1 with errno (ENOENT: this process is not a domain).
 */
int link_open(struct link *link, xentoollog_logger *logger, enum hypercall_interface interface)
	__attribute__((warn_unused_result));

/* Closes; legal in a forked child. */
void link_close(struct link *link);

/* True in a child that inherited the handle by fork. */
bool link_inherited(const struct link *link);

/*
 * One call: sends `req` followed by `extra` bytes, receives the reply and at most payload_size
 * bytes behind its head. `fds` has room for nr_fds descriptors; a successful reply must bring
 * exactly as many. 0 or -1 with errno (ENODEV: the hypervisor is gone). Any thread.
 */
int link_call(struct link *link, const struct hypercall_request *req, const void *extra,
	size_t extra_len, struct hypercall_reply *reply, void *payload, size_t payload_size,
	int *fds, unsigned int nr_fds) __attribute__((warn_unused_result));

/*
 * A call without payload whose reply brings 1 to *nr_fds descriptors; *nr_fds becomes their number.
 */
int link_call_any(struct link *link, const struct hypercall_request *req,
	struct hypercall_reply *reply, int *fds, unsigned int *nr_fds)
	__attribute__((warn_unused_result));

/* Logs `what`: errno's text, through the handle's logger. Keeps errno. */
void link_log_error(struct link *link, const char *context, const char *what);

#endif
