/* SPDX-License-Identifier: MIT */
/*
 * Stamps: when a sampled request passed each stage of its way. A process that has rings owns an
 * area of pages, which it shares read-only with domain 0 (docs/protocol/trace.md has the layout,
 * docs/design/tracing.md the reasons). A request is sampled if the free-running index of its ring
 * slot is a multiple of 64, which both ends know without being told.
 *
 * The owner's threads write, and never wait. Whoever reads an area trusts nothing in it.
 */
#ifndef RF_COMMON_STAMPS_H
#define RF_COMMON_STAMPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAMPS_INTERVAL 64u /* of requests on a ring one is sampled */
#define STAMPS_SETS 8u	    /* sampled requests of a ring that can be under way at a time */

/* For what is called for sampled requests only: it keeps out of the way of the others. */
#define STAMPS_SELDOM __attribute__((noinline))

enum stamps_side { STAMPS_FRONT = 1, STAMPS_BACK = 2 };

/* Places in stamps_record.ns, by side. */
enum { FRONT_SUBMITTED, FRONT_REAPED, FRONT_AWAKE, NR_FRONT_STAMPS };
enum {
	BACK_DEQUEUED,
	BACK_VALIDATED,
	BACK_DRIVER_SUBMITTED,
	BACK_DRIVER_COMPLETED,
	BACK_PUBLISHED,
	NR_BACK_STAMPS
};

#define STAMPS_NO_DRIVER 1u /* flag: answered without the driver, from the cache as a rule */

/* One finished request. */
struct stamps_record {
	uint32_t index;	   /* the request's, on its ring */
	uint32_t device;   /* virtual device number */
	uint16_t domid;	   /* the front end's; a front end leaves it 0 */
	uint8_t queue;
	uint8_t operation; /* BLKIF_OP_* */
	uint32_t flags;
	uint64_t ns[NR_BACK_STAMPS]; /* CLOCK_MONOTONIC; unused ones are 0 */
};

#define STAMPS_RECORD_WORDS (sizeof(struct stamps_record) / sizeof(uint64_t))

/* ---- the area ---- */

#define STAMPS_MAGIC 0x504d5453u /* "STMP" */
#define STAMPS_VERSION 1u
#define STAMPS_HOST_BYTES 16

struct stamps_header {
	uint32_t magic, version;
	uint32_t side;	     /* enum stamps_side */
	uint32_t nr_records; /* slots behind this header */
	uint8_t host[STAMPS_HOST_BYTES]; /* the kernel's boot id: areas of one have one clock */
	_Atomic uint64_t nr_written;	 /* record n is in slot n % nr_records */
	uint64_t reserved[3];
};

struct stamps_slot {
	_Atomic uint64_t seq; /* n + 1 if record n is here and whole, 0 while it is written */
	_Atomic uint64_t words[STAMPS_RECORD_WORDS];
};

/* ---- the owner's side ---- */

struct stamps_area {
	struct stamps_header *header; /* NULL: tracing is off */
	uint64_t nr_written;	      /* our own count: the shared one is for readers only */
	uint32_t nr_records;
	atomic_flag busy;
};

/* Sampled requests of one ring on their way. */
struct stamps_sets {
	struct stamps_area *area;
	_Atomic uint32_t free; /* a bit for each set */
	struct stamps_record records[STAMPS_SETS];
};

/* Begins an area in zeroed pages of ours. One thread, before any other uses it. */
void stamps_area_init(
	struct stamps_area *area, void *pages, size_t size_bytes, enum stamps_side side);

/* Adds a record; drops it if another thread is just adding one. Any thread. */
void stamps_put(struct stamps_area *area, const struct stamps_record *record);

/* The sets of a ring; without an area (NULL, or one that is off) nothing is sampled. */
void stamps_sets_init(struct stamps_sets *sets, struct stamps_area *area);

static inline bool stamps_is_sampled(uint32_t index)
{
	return __builtin_expect(index % STAMPS_INTERVAL == 0, 0);
}

/*
 * A set for the request at `index`, with its first stamp. Returns a handle, or 0 if there is none
 * free: then this one is not sampled. A handle belongs to one thread at a time; handing it on is
 * the caller's business.
 */
unsigned int stamps_begin(struct stamps_sets *sets, uint32_t index) STAMPS_SELDOM;

/* Takes the time for one of the record's stamps; the last time counts. */
void stamps_mark(struct stamps_sets *sets, unsigned int handle, unsigned int stamp) STAMPS_SELDOM;

static inline struct stamps_record *stamps_record_of(
	struct stamps_sets *sets, unsigned int handle)
{
	return &sets->records[handle - 1];
}

/* Puts the record into the area, and frees the set. */
void stamps_end(struct stamps_sets *sets, unsigned int handle);

/* Frees the set: the request came to nothing. */
void stamps_drop(struct stamps_sets *sets, unsigned int handle);

/* ---- the reader's side ---- */

struct stamps_reader {
	const struct stamps_header *header;
	enum stamps_side side;
	uint32_t nr_records;
	uint8_t host[STAMPS_HOST_BYTES];
	uint64_t next;
};

/*
 * Reads an area of somebody else's from now on: what is in it already is passed over. The pages
 * must stay mapped. 0, or -EPROTO if it is none, or does not fit its pages.
 */
int stamps_reader_init(struct stamps_reader *reader, const void *pages, size_t size_bytes)
	__attribute__((warn_unused_result));

/*
 * Copies at most `max` new records, whole ones only. Their contents are what the owner wrote, that
 * is, anything. Returns how many; fewer than `max`: there are no more now.
 */
unsigned int stamps_read(
	struct stamps_reader *reader, struct stamps_record *records, unsigned int max);

/* True if nr stamps come one after the other, none of them 0. */
bool stamps_in_order(const uint64_t *ns, unsigned int nr);

/* The kernel's boot id, of which any two processes on one kernel have the same; else zeroes. */
void stamps_host(uint8_t host[STAMPS_HOST_BYTES]);

#endif
