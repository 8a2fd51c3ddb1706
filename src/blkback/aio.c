/* SPDX-License-Identifier: MIT */
/* Choice of the asynchronous I/O implementation, and what both have in common. */
#include "blkback/aio.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"

#define NR_THREADS 16

int aio_create(enum aio_kind kind, struct aio **out)
{
	int rc;

	if (kind == AIO_THREADS)
		return aio_threads_create(NR_THREADS, out);
	rc = aio_uring_create(out);
	if (rc == 0 || kind == AIO_URING)
		return rc;
	log_warn("io_uring is not available (%s); disks are served by a pool of threads, slower",
		strerror(-rc));
	return aio_threads_create(NR_THREADS, out);
}

void aio_allow_pins(struct aio *aio)
{
	if (aio->ops->pin)
		aio->max_pinned = AIO_MAX_PINNED;
}

int aio_start(struct aio *aio)
{
	return aio->ops->start(aio);
}

void aio_destroy(struct aio *aio)
{
	if (aio)
		aio->ops->destroy(aio);
}

int aio_watch(struct aio *aio, int fd, void (*readable)(void *data), void *data)
{
	unsigned int index = aio->nr_watches;
	int rc;

	if (index == AIO_MAX_WATCHES)
		return -ENOSPC;
	aio->watches[index] = (struct aio_watch){fd, readable, data};
	aio->nr_watches++;
	rc = aio->ops->watch(aio, index);
	if (rc)
		aio->nr_watches--;
	return rc;
}

void aio_advance(struct driver_io *io, size_t bytes)
{
	io->moved += bytes;
	while (bytes && io->nr_iov) {
		size_t part = bytes < io->iov->iov_len ? bytes : io->iov->iov_len;

		io->iov->iov_base = (char *)io->iov->iov_base + part;
		io->iov->iov_len -= part;
		bytes -= part;
		if (io->iov->iov_len == 0) {
			io->iov++;
			io->nr_iov--;
		}
	}
}

void aio_complete(struct aio *aio, struct driver_io *io, int result)
{
	aio->nr_in_flight--;
	io->result = result;
	io->done(io);
}
