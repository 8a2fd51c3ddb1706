/* SPDX-License-Identifier: MIT */
/*
 * The client's two result files: sectors.PID, a decimal sector number per line, and read.PID, the
 * 512 bytes that were read from it. Record n of one belongs to record n of the other, at every
 * moment that a failure can leave behind, because both grow by the same records under one lock
 * and a failed append is taken back from both.
 *
 * Threads collect records in a batch of their own, without a lock, and append whole batches.
 */
#ifndef RF_SERVICE_CLIENT_OUTPUT_H
#define RF_SERVICE_CLIENT_OUTPUT_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#define OUTPUT_RECORD_SIZE 512
#define OUTPUT_LINE_MAX 21 /* 2^64 - 1 and a newline */

/* One of the two files. `size` is where the last complete append ended. */
struct output_file {
	int fd;
	char name[32];
	off_t size;
};

struct output {
	struct output_file sectors, contents;
	pthread_mutex_t lock; /* everything below, and the files' size */
	uint64_t nr_records;  /* that are in both files */
	int error;	      /* the first failure of an append; later ones are refused with it */
};

/*
 * Records of one thread on their way to the files: fill `contents` at batch_slot, then batch_push.
 */
struct batch {
	unsigned int nr, capacity;
	uint64_t *sectors;
	unsigned char *contents;
	char *text; /* scratch for the sector numbers in decimal */
};

/*
 * Creates both files, empty, in the current folder. Complains and returns -errno if that cannot be
 * done, and leaves nothing behind.
 */
int output_open(struct output *out, pid_t pid) __attribute__((warn_unused_result));

/* Appends the batch and empties it. Any thread. -errno: the disk is full, for instance. */
int output_append(struct output *out, struct batch *batch) __attribute__((warn_unused_result));

/* Closes the files. Returns -errno if the file system reports a late failure. */
int output_close(struct output *out);

/* Closes and removes the files: for a run that never began. */
void output_discard(struct output *out);

/* 0 or -ENOMEM. */
int batch_init(struct batch *batch, unsigned int capacity) __attribute__((warn_unused_result));
void batch_fini(struct batch *batch);

/* Where the next record's contents go; the batch must not be full. */
static inline unsigned char *batch_slot(const struct batch *batch)
{
	return batch->contents + (size_t)batch->nr * OUTPUT_RECORD_SIZE;
}

/* Makes what was written to batch_slot a record. Returns 1 when the batch is full now. */
static inline int batch_push(struct batch *batch, uint64_t sector)
{
	batch->sectors[batch->nr++] = sector;
	return batch->nr == batch->capacity;
}

#endif
