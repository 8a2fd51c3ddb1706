/* SPDX-License-Identifier: MIT */
/* Between the files of the example `disk`: the open disk, and one function for each command. */
#ifndef EXAMPLE_DISK_H
#define EXAMPLE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ringfence/blkfront.h>

#define EXIT_USAGE 2
#define EXIT_OPEN 3
#define EXIT_DIFFERS 4

struct disk {
	struct rf_blk *blk;
	struct rf_blk_info info;
	bool json;
};

/* One line on standard error. Returns 1, an exit status. */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What a negative errno value of the library means for a range of sectors. Returns 1. */
int fail_io(const char *what, uint64_t sector, uint64_t nr_sectors, int err);

/* `nr` buffers of len_bytes, side by side. */
struct buffers {
	uint8_t *base;
	size_t len_bytes;
	unsigned int nr;
	bool granted;
};

/*
 * Up to `most` buffers, but at least `least`, of memory that is granted to the back end, so that
 * nothing is copied; if there are not so many grants, `most` of ordinary memory. 0 or a status.
 */
int buffers_alloc(struct buffers *b, struct disk *disk, size_t len_bytes, unsigned int least,
	unsigned int most);
int buffers_alloc_ordinary(struct buffers *b, size_t len_bytes, unsigned int nr);

/* No request on them may be outstanding. */
void buffers_free(struct buffers *b, struct disk *disk);

static inline uint8_t *buffer(const struct buffers *b, unsigned int i)
{
	return b->base + i * b->len_bytes;
}

double seconds_now(void);

/* Each returns the exit status. */
int stream_out(struct disk *disk, uint64_t sector, uint64_t nr_sectors);
int stream_in(struct disk *disk, uint64_t sector);
int verify(struct disk *disk, uint64_t seed, uint64_t nr_writes);
int rate(struct disk *disk, bool writing, uint64_t len_bytes, unsigned int depth,
	unsigned int seconds);
int hold(struct disk *disk);

#endif
