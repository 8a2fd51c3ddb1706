/* SPDX-License-Identifier: MIT */
/*
 * disk read and disk write: a stream between the disk and a descriptor. Some chunks are always on
 * their way; they come back in any order, and are put in order here. One thread.
 */
#include "disk.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NR_CHUNKS 16u

struct chunk {
	struct rf_blk_io io;
	bool busy; /* with the back end */
};

struct stream {
	struct disk *disk;
	enum rf_blk_op op;
	unsigned int nr_chunks; /* chunk n is in chunks[n % nr_chunks] */
	uint32_t chunk_sectors;
	struct buffers buffers;
	struct chunk chunks[NR_CHUNKS];
};

static int stream_init(struct stream *s, struct disk *disk, enum rf_blk_op op)
{
	int status;

	*s = (struct stream){.disk = disk, .op = op};
	s->chunk_sectors = disk->info.max_request_sectors;
	status = buffers_alloc(&s->buffers, disk, (size_t)s->chunk_sectors * RF_BLK_SECTOR_SIZE, 4,
		NR_CHUNKS);
	if (status)
		return status;
	s->nr_chunks = s->buffers.nr;
	for (unsigned int i = 0; i < s->nr_chunks; i++) {
		s->chunks[i].io.buf = buffer(&s->buffers, i);
		s->chunks[i].io.cookie = &s->chunks[i];
	}
	return 0;
}

/* Takes what has finished, after waiting for something if that is wanted. 0 or a status. */
static int collect(struct stream *s)
{
	struct rf_blk_io *done[NR_CHUNKS];
	int nr = rf_blk_wait(s->disk->blk, done, NR_CHUNKS, -1);

	if (nr < 0)
		return fail("waiting: %s", strerror(-nr));
	for (int i = 0; i < nr; i++)
		((struct chunk *)done[i]->cookie)->busy = false;
	return 0;
}

/* A chunk that is not on its way any more, and what became of it. */
static int await(struct stream *s, struct chunk *chunk)
{
	int status = 0;

	while (chunk->busy && !status)
		status = collect(s);
	if (!status && chunk->io.result)
		status = fail_io(s->op == RF_BLK_READ ? "read" : "write", chunk->io.sector,
			chunk->io.nr_sectors, chunk->io.result);
	return status;
}

static int submit(struct stream *s, struct chunk *chunk, uint64_t sector, uint64_t nr_sectors)
{
	struct rf_blk_io *io = &chunk->io;
	int status = 0, rc;

	io->op = s->op;
	io->sector = sector;
	io->nr_sectors = nr_sectors;
	while ((rc = rf_blk_submit(s->disk->blk, &io, 1)) == 0 && !status)
		status = collect(s); /* the ring is full */
	if (rc < 0)
		return fail_io(s->op == RF_BLK_READ ? "read" : "write", sector, nr_sectors, rc);
	chunk->busy = true;
	return status;
}

/* Waits for what is on its way still, and returns the status of all. */
static int stream_end(struct stream *s, int status)
{
	for (unsigned int i = 0; i < s->nr_chunks; i++) {
		int late = s->chunks[i].busy ? await(s, &s->chunks[i]) : 0;

		status = status ? status : late;
	}
	buffers_free(&s->buffers, s->disk);
	return status;
}

/* ---- read ---- */

static int write_all(const uint8_t *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, bytes, len);

		if (n < 0 && errno != EINTR)
			return fail("cannot write to standard output: %s", strerror(errno));
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int stream_out(struct disk *disk, uint64_t sector, uint64_t nr_sectors)
{
	uint64_t size = disk->info.nr_sectors;
	uint64_t next = 0, out = 0, nr_chunks; /* chunks that were submitted, and written out */
	struct stream s;
	int status;

	/* Once for all, so that nothing is written of a range that is wrong. */
	if (sector > size || nr_sectors > size - sector)
		return fail_io("read", sector, nr_sectors, -ERANGE);
	status = stream_init(&s, disk, RF_BLK_READ);
	nr_chunks = status ? 0 : (nr_sectors + s.chunk_sectors - 1) / s.chunk_sectors;
	while (out < nr_chunks && !status) {
		struct chunk *oldest = &s.chunks[out % s.nr_chunks];

		if (next < nr_chunks && next - out < s.nr_chunks) {
			uint64_t at = next * s.chunk_sectors, left = nr_sectors - at;

			status = submit(&s, &s.chunks[next++ % s.nr_chunks], sector + at,
				left < s.chunk_sectors ? left : s.chunk_sectors);
			continue;
		}
		status = await(&s, oldest);
		if (!status)
			status = write_all(oldest->io.buf,
				oldest->io.nr_sectors * RF_BLK_SECTOR_SIZE);
		out++;
	}
	return stream_end(&s, status);
}

/* ---- write ---- */

/* Fills a buffer from standard input; less only at its end. Negative: an error. */
static ssize_t read_all(uint8_t *bytes, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = read(STDIN_FILENO, bytes + have, len - have);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			have += (size_t)n;
	}
	return (ssize_t)have;
}

/* Reads a chunk and sends it. *end: there was less than a chunk. */
static int send_chunk(struct stream *s, struct chunk *chunk, uint64_t *sector, bool *end)
{
	size_t len = (size_t)s->chunk_sectors * RF_BLK_SECTOR_SIZE;
	ssize_t have = read_all(chunk->io.buf, len);
	uint32_t unit = s->disk->info.sector_size;
	uint64_t nr_sectors;
	int status = 0;

	if (have < 0)
		return fail("cannot read standard input: %s", strerror(errno));
	*end = (size_t)have < len;
	nr_sectors = (uint64_t)have / unit * (unit / RF_BLK_SECTOR_SIZE);
	if (nr_sectors)
		status = submit(s, chunk, *sector, nr_sectors);
	*sector += nr_sectors;
	if (!status && have % unit)
		status = fail("standard input ends inside a sector of %u bytes: its last %u "
			"bytes were not written", unit, (unsigned int)(have % unit));
	return status;
}

int stream_in(struct disk *disk, uint64_t sector)
{
	struct stream s;
	int status = stream_init(&s, disk, RF_BLK_WRITE), err;
	bool end = status != 0;

	for (uint64_t next = 0; !end && !status; next++) {
		struct chunk *chunk = &s.chunks[next % s.nr_chunks];

		status = await(&s, chunk);
		if (!status)
			status = send_chunk(&s, chunk, &sector, &end);
	}
	/* Also after an error: what was written is to stay. */
	status = stream_end(&s, status);
	err = disk->info.can_flush ? rf_blk_flush(disk->blk) : 0;
	if (err && !status)
		status = fail("cannot flush: %s", strerror(-err));
	return status;
}
