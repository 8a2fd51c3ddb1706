/* SPDX-License-Identifier: MIT */
/* epoll loop. Owned by the main thread; knows nothing about what it serves. */
#include "hypervisor/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

int loop_init(struct loop *loop)
{
	memset(loop, 0, sizeof(*loop));
	list_init(&loop->timers);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return 0;
}

void loop_fini(struct loop *loop)
{
	close(loop->epoll_fd);
	if (loop->spare_fd >= 0)
		close(loop->spare_fd);
}

int loop_accept(struct loop *loop, int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int rc = fd < 0 ? -errno : fd;

	if ((rc != -EMFILE && rc != -ENFILE) || loop->spare_fd < 0)
		return rc;
	close(loop->spare_fd);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		close(fd);
	loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return rc;
}

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &ev) < 0 ? -errno : 0;
}

void loop_modify(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = source};

	/* Cannot fail for a descriptor that is in the set. */
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &ev);
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	for (int i = loop->batch_next; i < loop->batch_len; i++) {
		if (loop->batch[i].data.ptr == source)
			loop->batch[i].data.ptr = NULL;
	}
}

void loop_timer_init(struct loop_timer *timer, void (*expired)(struct loop_timer *))
{
	list_init(&timer->link);
	timer->expired = expired;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
	struct list *at;

	list_del(&timer->link);
	at = loop->timers.prev;
	timer->deadline_ns = deadline_ns;
	while (at != &loop->timers &&
		container_of(at, struct loop_timer, link)->deadline_ns > deadline_ns)
		at = at->prev;
	list_insert(at, &timer->link);
}

void loop_timer_cancel(struct loop_timer *timer)
{
	list_del(&timer->link);
}

static void run_timers(struct loop *loop)
{
	struct loop_timer *timer;
	uint64_t now;

	if (list_empty(&loop->timers))
		return;
	now = clock_ns();
	while (!list_empty(&loop->timers)) {
		timer = list_first(&loop->timers, struct loop_timer, link);
		if (timer->deadline_ns > now)
			return;
		list_del(&timer->link);
		timer->expired(timer);
	}
}

/* How long to wait for events: until the first timer. */
static int wait_ms(const struct loop *loop)
{
	uint64_t now, deadline_ns, ms;

	if (list_empty(&loop->timers))
		return -1;
	now = clock_ns();
	deadline_ns = list_first(&loop->timers, struct loop_timer, link)->deadline_ns;
	if (deadline_ns <= now)
		return 0;
	ms = (deadline_ns - now) / NSEC_PER_MSEC + 1;
	return ms > 60000 ? 60000 : (int)ms;
}

int loop_run(struct loop *loop)
{
	while (!loop->stopping) {
		run_timers(loop);
		if (loop->after_batch)
			loop->after_batch(loop->after_batch_data);
		if (loop->stopping)
			break;
		loop->batch_next = 0;
		/* Asked only now: what runs after a batch may set timers, too. */
		loop->batch_len =
			epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, wait_ms(loop));
		if (loop->batch_len < 0) {
			if (errno != EINTR)
				return -errno;
			continue;
		}
		while (loop->batch_next < loop->batch_len) {
			struct epoll_event *ev = &loop->batch[loop->batch_next++];
			struct loop_source *source = ev->data.ptr;

			if (source)
				source->ready(source, ev->events);
		}
		loop->batch_len = 0;
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}
