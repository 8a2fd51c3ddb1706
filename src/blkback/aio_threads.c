/* SPDX-License-Identifier: MIT */
/*
 * A pool of threads that do blocking I/O, for kernels and sandboxes without io_uring. The worker
 * queues I/Os, the pool's threads carry them out and hand them back through a list and an eventfd.
 */
#include "blkback/aio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/list.h"

#define MAX_THREADS 16

struct aio_threads {
	struct aio aio;
	pthread_t threads[MAX_THREADS];
	unsigned int nr_threads;
	int event_fd; /* readable while `finished` is not empty */
	pthread_mutex_t lock;
	pthread_cond_t work;
	bool stopping;
	struct driver_io *queued, **queued_tail; /* lock */
	struct driver_io *finished;		 /* lock */
};

static struct aio_threads *to_threads(struct aio *aio)
{
	return container_of(aio, struct aio_threads, aio);
}

static ssize_t move_once(const struct driver_io *io)
{
	off_t offset = (off_t)(io->offset + io->moved);

	return io->op == DRIVER_READ ? preadv(io->fd, io->iov, (int)io->nr_iov, offset)
				     : pwritev(io->fd, io->iov, (int)io->nr_iov, offset);
}

static int move_all(struct driver_io *io)
{
	ssize_t n;

	while (io->moved < io->len) {
		n = move_once(io);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		aio_advance(io, (size_t)n);
	}
	return 0;
}

static int carry_out(struct driver_io *io)
{
	switch (io->op) {
	case DRIVER_FLUSH:
		return fdatasync(io->fd) < 0 ? -errno : 0;
	case DRIVER_DISCARD:
		if (io->is_block_device)
			return ioctl(io->fd, BLKDISCARD, (uint64_t[]){io->offset, io->len}) < 0
				? -errno : 0;
		return fallocate(io->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (off_t)io->offset, (off_t)io->len) < 0 ? -errno : 0;
	default:
		return move_all(io);
	}
}

static void *pool_thread(void *data)
{
	struct aio_threads *t = data;
	const uint64_t one = 1;
	struct driver_io *io;

	pthread_mutex_lock(&t->lock);
	for (;;) {
		while (!t->queued && !t->stopping)
			pthread_cond_wait(&t->work, &t->lock);
		if (t->stopping)
			break;
		io = t->queued;
		t->queued = io->next;
		if (!t->queued)
			t->queued_tail = &t->queued;
		pthread_mutex_unlock(&t->lock);
		io->result = carry_out(io);
		pthread_mutex_lock(&t->lock);
		io->next = t->finished;
		t->finished = io;
		if (write(t->event_fd, &one, sizeof(one)) < 0)
			continue; /* the counter is full: readable all the same */
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static enum driver_status threads_submit(struct aio *aio, struct driver_io *io)
{
	struct aio_threads *t = to_threads(aio);

	io->next = NULL;
	pthread_mutex_lock(&t->lock);
	*t->queued_tail = io;
	t->queued_tail = &io->next;
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->lock);
	return DRIVER_QUEUED;
}

static void threads_kick(struct aio *aio)
{
	(void)aio; /* they run at once */
}

/* Polls the pool's eventfd and the watches. Returns how many are readable. */
static int poll_all(struct aio_threads *t, struct pollfd *fds, const struct timespec *timeout)
{
	fds[0] = (struct pollfd){.fd = t->event_fd, .events = POLLIN};
	for (unsigned int i = 0; i < t->aio.nr_watches; i++)
		fds[1 + i] = (struct pollfd){.fd = t->aio.watches[i].fd, .events = POLLIN};
	return ppoll(fds, 1 + t->aio.nr_watches, timeout, NULL);
}

static unsigned int threads_reap(struct aio *aio)
{
	struct aio_threads *t = to_threads(aio);
	struct pollfd fds[1 + AIO_MAX_WATCHES];
	static const struct timespec now = {0, 0};
	struct driver_io *io, *next;
	unsigned int nr = 0;
	uint64_t count;

	if (poll_all(t, fds, &now) <= 0)
		return 0;
	if (fds[0].revents && read(t->event_fd, &count, sizeof(count)) == sizeof(count)) {
		pthread_mutex_lock(&t->lock);
		io = t->finished;
		t->finished = NULL;
		pthread_mutex_unlock(&t->lock);
		for (; io; io = next, nr++) {
			next = io->next;
			aio_complete(aio, io, io->result);
		}
	}
	for (unsigned int i = 0; i < aio->nr_watches; i++) {
		if (fds[1 + i].revents) {
			aio->watches[i].readable(aio->watches[i].data);
			nr++;
		}
	}
	return nr;
}

static void threads_wait(struct aio *aio, int64_t timeout_ns)
{
	struct pollfd fds[1 + AIO_MAX_WATCHES];
	struct timespec ts = {.tv_sec = timeout_ns / (int64_t)NSEC_PER_SEC,
		.tv_nsec = timeout_ns % (int64_t)NSEC_PER_SEC};

	poll_all(to_threads(aio), fds, timeout_ns < 0 ? NULL : &ts);
}

static int threads_watch(struct aio *aio, unsigned int index)
{
	(void)aio, (void)index;
	return 0;
}

static int threads_start(struct aio *aio)
{
	(void)aio;
	return 0;
}

static void threads_destroy(struct aio *aio)
{
	struct aio_threads *t = to_threads(aio);

	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
	for (unsigned int i = 0; i < t->nr_threads; i++)
		pthread_join(t->threads[i], NULL);
	close(t->event_fd);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static const struct aio_ops threads_ops = {.name = "threads", .submit = threads_submit,
	.kick = threads_kick, .reap = threads_reap, .wait = threads_wait, .watch = threads_watch,
	.start = threads_start, .destroy = threads_destroy};

int aio_threads_fd(const struct aio *aio)
{
	return container_of(aio, const struct aio_threads, aio)->event_fd;
}

int aio_threads_create(unsigned int nr_threads, struct aio **out)
{
	struct aio_threads *t = calloc(1, sizeof(*t));
	int rc = 0;

	if (!t)
		return -ENOMEM;
	t->aio.ops = &threads_ops;
	t->queued_tail = &t->queued;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	t->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->event_fd < 0) {
		rc = -errno;
		pthread_cond_destroy(&t->work);
		pthread_mutex_destroy(&t->lock);
		free(t);
		return rc;
	}
	while (rc == 0 && t->nr_threads < nr_threads && t->nr_threads < MAX_THREADS) {
		rc = -pthread_create(&t->threads[t->nr_threads], NULL, pool_thread, t);
		if (rc == 0)
			t->nr_threads++;
	}
	/* Fewer threads than wanted still serve the disk. */
	if (t->nr_threads == 0) {
		threads_destroy(&t->aio);
		return rc;
	}
	*out = &t->aio;
	return 0;
}
