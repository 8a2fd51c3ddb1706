/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's event loop: descriptors and timers, one thread. A callback may add and remove
 * any source or timer, its own and others included.
 */
#ifndef RF_HYPERVISOR_LOOP_H
#define RF_HYPERVISOR_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "common/list.h"

#define LOOP_BATCH 64

struct loop_source {
	int fd;
	void (*ready)(struct loop_source *source, uint32_t events);
};

struct loop_timer {
	struct list link;
	uint64_t deadline_ns;
	void (*expired)(struct loop_timer *timer);
};

struct loop {
	int epoll_fd;
	int spare_fd; /* given up for a moment when there is no descriptor left; see loop_accept */
	bool stopping;
	struct list timers; /* by deadline; few at a time */
	struct epoll_event batch[LOOP_BATCH];
	int batch_next, batch_len;
	/* Called after every batch of events, before the next wait; may be NULL. */
	void (*after_batch)(void *data);
	void *after_batch_data;
};

int loop_init(struct loop *loop) __attribute__((warn_unused_result));
void loop_fini(struct loop *loop);

/* Watches source->fd for `events` (EPOLLIN, EPOLLOUT; level-triggered). 0 or -errno. */
int loop_add(struct loop *loop, struct loop_source *source, uint32_t events)
	__attribute__((warn_unused_result));
void loop_modify(struct loop *loop, struct loop_source *source, uint32_t events);

/* Forgets the source and drops an event of it that is still to be delivered. Before close(). */
void loop_remove(struct loop *loop, struct loop_source *source);

/*
 * Accepts a connection (non-blocking, close-on-exec). Returns the descriptor or -errno. Without a
 * free descriptor the connection is closed, since it would be reported for ever if it stayed.
 */
int loop_accept(struct loop *loop, int listen_fd) __attribute__((warn_unused_result));

/* A timer must be initialised once (loop_timer_init) and may be set again at any time. */
void loop_timer_init(struct loop_timer *timer, void (*expired)(struct loop_timer *));
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);
void loop_timer_cancel(struct loop_timer *timer);

/* Runs until loop_stop. 0, or -errno when waiting itself fails. */
int loop_run(struct loop *loop) __attribute__((warn_unused_result));
void loop_stop(struct loop *loop);

#endif
