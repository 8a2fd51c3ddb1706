/* SPDX-License-Identifier: MIT */
/*
 * disk verify, disk rate and disk hold: loads on the disk, from several threads where that serves
 * the purpose.
 */
#include "disk.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* splitmix64; the modulo's bias does not matter here. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t random_below(uint64_t *state, uint64_t limit)
{
	return next_random(state) % limit;
}

/* ---- verify ---- */

/*
 * Each thread has a part of the disk for itself and one request outstanding, so an overlapping
 * write always comes after the answer to the one before. It remembers by number which of its writes
 * a sector got last; the contents follow from that.
 */
#define VERIFY_THREADS_PER_QUEUE 8u
#define VERIFY_MAX_SECTORS (UINT64_C(4) << 21) /* 4 GiB: a sector takes 4 bytes of memory */
#define VERIFY_IO_SECTORS 2048u
#define WRITES_PER_FLUSH 32u

struct verifier {
	struct disk *disk;
	pthread_t thread;
	uint64_t first, nr_sectors; /* its part */
	uint64_t seed, random;
	uint64_t nr_writes;
	uint32_t *last; /* by sector: number of the last write; 0: none */
	struct buffers buf;
	uint64_t nr_written; /* sectors */
	int status;
};

/* The contents of a sector after a write. */
static void fill_sector(const struct verifier *v, uint64_t sector, uint32_t write, uint8_t *to)
{
	uint64_t state = v->seed ^ sector << 24 ^ write;

	for (unsigned int i = 0; i < RF_BLK_SECTOR_SIZE; i += 8) {
		uint64_t word = next_random(&state);

		memcpy(to + i, &word, sizeof(word));
	}
}

static int write_once(struct verifier *v, uint32_t write)
{
	uint32_t unit = v->disk->info.sector_size / RF_BLK_SECTOR_SIZE;
	uint64_t nr_units = v->nr_sectors / unit, at, nr, most = VERIFY_IO_SECTORS / unit;
	int err;

	at = random_below(&v->random, nr_units);
	/* Small ones are as likely as large ones. */
	nr = UINT64_C(1) << random_below(&v->random, 12);
	most = nr < most ? nr : most;
	most = nr_units - at < most ? nr_units - at : most;
	nr = (1 + random_below(&v->random, most)) * unit;
	at *= unit;
	for (uint64_t i = 0; i < nr; i++) {
		fill_sector(v, v->first + at + i, write, v->buf.base + i * RF_BLK_SECTOR_SIZE);
		v->last[at + i] = write;
	}
	err = rf_blk_write(v->disk->blk, v->first + at, (uint32_t)nr, v->buf.base);
	v->nr_written += nr;
	return err ? fail_io("write", v->first + at, nr, err) : 0;
}

static int flush(struct disk *disk)
{
	int err = disk->info.can_flush ? rf_blk_flush(disk->blk) : 0;

	return err ? fail("cannot flush: %s", strerror(-err)) : 0;
}

/* Reads a piece of its part and compares the sectors that it has written. */
static int compare(struct verifier *v, uint64_t at, uint64_t nr)
{
	int err = rf_blk_read(v->disk->blk, v->first + at, (uint32_t)nr, v->buf.base);

	if (err)
		return fail_io("read", v->first + at, nr, err);
	for (uint64_t i = 0; i < nr; i++) {
		uint8_t wanted[RF_BLK_SECTOR_SIZE];

		if (!v->last[at + i])
			continue;
		fill_sector(v, v->first + at + i, v->last[at + i], wanted);
		if (memcmp(wanted, v->buf.base + i * RF_BLK_SECTOR_SIZE, sizeof(wanted)) == 0)
			continue;
		fail("sector %" PRIu64 " is not what write %" PRIu32 " put there",
			v->first + at + i, v->last[at + i]);
		return EXIT_DIFFERS;
	}
	return 0;
}

static void *verifier_main(void *arg)
{
	struct verifier *v = arg;

	for (uint32_t i = 1; i <= v->nr_writes && !v->status; i++) {
		v->status = write_once(v, i);
		if (!v->status && i % WRITES_PER_FLUSH == 0)
			v->status = flush(v->disk);
	}
	if (!v->status)
		v->status = flush(v->disk);
	for (uint64_t at = 0; at < v->nr_sectors && !v->status; at += VERIFY_IO_SECTORS) {
		uint64_t left = v->nr_sectors - at;

		v->status = compare(v, at, left < VERIFY_IO_SECTORS ? left : VERIFY_IO_SECTORS);
	}
	return NULL;
}

/* Half of the threads have granted memory, half have their data copied. */
static int verifier_start(struct verifier *v, unsigned int nr, struct disk *disk, uint64_t seed)
{
	size_t len = (size_t)VERIFY_IO_SECTORS * RF_BLK_SECTOR_SIZE;
	int status = nr % 2 ? buffers_alloc_ordinary(&v->buf, len, 1)
			    : buffers_alloc(&v->buf, disk, len, 1, 1);

	if (status)
		return status;
	v->disk = disk;
	v->seed = seed;
	v->random = seed + nr;
	v->last = calloc(v->nr_sectors, sizeof(*v->last));
	if (!v->last)
		return fail("not enough memory");
	if (pthread_create(&v->thread, NULL, verifier_main, v) != 0)
		return fail("cannot start a thread");
	return 0;
}

int verify(struct disk *disk, uint64_t seed, uint64_t nr_writes)
{
	uint64_t unit = disk->info.sector_size / RF_BLK_SECTOR_SIZE, nr_sectors = 0;
	uint64_t size = disk->info.nr_sectors < VERIFY_MAX_SECTORS ? disk->info.nr_sectors
								   : VERIFY_MAX_SECTORS;
	unsigned int nr = disk->info.nr_queues * VERIFY_THREADS_PER_QUEUE, nr_started;
	struct verifier *v;
	uint64_t part;
	int status = 0;

	if (size < unit)
		return fail("the disk is empty");
	if (nr > size / unit)
		nr = (unsigned int)(size / unit);
	if (nr_writes / nr >= UINT32_MAX)
		return fail("too many writes");
	part = size / unit / nr * unit;
	v = calloc(nr, sizeof(*v));
	if (!v)
		return fail("not enough memory");
	for (nr_started = 0; nr_started < nr && !status; nr_started += !status) {
		struct verifier *it = &v[nr_started];

		it->first = nr_started * part;
		it->nr_sectors = nr_started + 1 < nr ? part : size - it->first;
		it->nr_writes = nr_writes / nr + (nr_started < nr_writes % nr);
		status = verifier_start(it, nr_started, disk, seed);
	}
	for (unsigned int i = 0; i < nr_started; i++) {
		pthread_join(v[i].thread, NULL);
		status = v[i].status > status ? v[i].status : status;
		nr_sectors += v[i].nr_written;
	}
	for (unsigned int i = 0; i < nr; i++) {
		free(v[i].last);
		buffers_free(&v[i].buf, disk);
	}
	free(v);
	if (!status)
		printf("verified %" PRIu64 " writes of %" PRIu64 " sectors by %u threads\n",
			nr_writes, nr_sectors, nr);
	return status;
}

/* ---- rate ---- */

struct rater {
	struct disk *disk;
	pthread_t thread;
	bool writing;
	uint64_t request_sectors;
	unsigned int depth;
	double end;
	uint64_t random, nr_done;
	struct buffers buffers;
	struct rf_blk_io *ios;
	int status;
};

static struct rf_blk_io *prepare(struct rater *r, struct rf_blk_io *io)
{
	uint64_t places = r->disk->info.nr_sectors / r->request_sectors;

	io->op = r->writing ? RF_BLK_WRITE : RF_BLK_READ;
	io->nr_sectors = r->request_sectors;
	io->sector = random_below(&r->random, places) * r->request_sectors;
	return io;
}

/* Requests that were taken off the disk by now go back to it: all of them, whoever began them. */
static int submit_again(struct rater *r, struct rf_blk_io **ios, int nr)
{
	int rc = 0;

	for (int sent = 0; sent < nr; sent += rc) {
		rc = rf_blk_submit(r->disk->blk, ios + sent, (unsigned int)(nr - sent));
		if (rc < 0)
			return fail_io(r->writing ? "write" : "read", ios[sent]->sector,
				ios[sent]->nr_sectors, rc);
		if (rc == 0)
			return 0; /* no slot: one request fewer is outstanding from now on */
	}
	return 0;
}

/* Any thread gets any finished request, so what is counted and resubmitted is whatever comes. */
static void *rater_main(void *arg)
{
	struct rater *r = arg;
	struct rf_blk_io *done[512];
	bool over = false;

	for (unsigned int i = 0; i < r->depth; i++)
		done[i] = prepare(r, &r->ios[i]);
	r->status = submit_again(r, done, (int)r->depth);
	while (!r->status) {
		int nr = rf_blk_wait(r->disk->blk, done, 512, 100);

		over = over || seconds_now() >= r->end;
		if (nr < 0)
			break; /* nothing is outstanding any more */
		for (int i = 0; i < nr && !r->status; i++) {
			if (done[i]->result)
				r->status = fail_io(r->writing ? "write" : "read", done[i]->sector,
					done[i]->nr_sectors, done[i]->result);
			prepare(r, done[i]);
		}
		if (!over) {
			r->nr_done += (uint64_t)nr;
			r->status = r->status ? r->status : submit_again(r, done, nr);
		}
	}
	return NULL;
}

static int rater_start(struct rater *r, unsigned int nr, const struct rater *model)
{
	size_t len = (size_t)model->request_sectors * RF_BLK_SECTOR_SIZE;
	int status;

	*r = *model;
	r->random = nr;
	/* Whole pages: what starts inside one would be a segment more. */
	len = (len + 4095) / 4096 * 4096;
	status = buffers_alloc(&r->buffers, r->disk, len, r->depth, r->depth);
	if (status)
		return status;
	r->ios = calloc(r->depth, sizeof(*r->ios));
	if (!r->ios)
		return fail("not enough memory");
	for (unsigned int i = 0; i < r->depth; i++)
		r->ios[i].buf = buffer(&r->buffers, i);
	if (pthread_create(&r->thread, NULL, rater_main, r) != 0)
		return fail("cannot start a thread");
	return 0;
}

int rate(struct disk *disk, bool writing, uint64_t len_bytes, unsigned int depth,
	unsigned int seconds)
{
	struct rater raters[16] = {0}, model = {.disk = disk, .writing = writing, .depth = depth,
		.request_sectors = len_bytes / RF_BLK_SECTOR_SIZE};
	unsigned int nr = disk->info.nr_queues, nr_started;
	struct rf_blk_io *late[16];
	double start = seconds_now();
	uint64_t nr_done = 0;
	int status = 0;

	if (len_bytes % disk->info.sector_size)
		return fail("requests of %" PRIu64 " bytes: the disk's sectors have %u", len_bytes,
			disk->info.sector_size);
	if (model.request_sectors > disk->info.max_request_sectors ||
		model.request_sectors > disk->info.nr_sectors)
		return fail("requests of %" PRIu64 " bytes: this disk takes at most %" PRIu32,
			len_bytes, disk->info.max_request_sectors * RF_BLK_SECTOR_SIZE);
	model.end = start + seconds;
	for (nr_started = 0; nr_started < nr && !status; nr_started += !status)
		status = rater_start(&raters[nr_started], nr_started, &model);
	for (unsigned int i = 0; i < nr_started; i++) {
		pthread_join(raters[i].thread, NULL);
		status = status ? status : raters[i].status;
		nr_done += raters[i].nr_done;
	}
	/* After an error some may be on their way still. */
	while (rf_blk_wait(disk->blk, late, 16, -1) > 0)
		;
	for (unsigned int i = 0; i < nr; i++) {
		free(raters[i].ios);
		buffers_free(&raters[i].buffers, disk);
	}
	if (!status)
		printf("%s %" PRIu64 " bytes, %u outstanding on each of %u queues: %.0f requests/s, "
			"%.1f MB/s\n", writing ? "write" : "read", len_bytes, depth, nr,
			(double)nr_done / seconds, (double)(nr_done * len_bytes) / seconds / 1e6);
	return status;
}

/* ---- hold ---- */

static volatile sig_atomic_t caught;

static void catch_signal(int sig)
{
	caught = sig;
}

/* Takes over a new size of the disk, and tells it. 0, or a status if there is nothing to read. */
static int follow_size(struct disk *disk, uint32_t unit)
{
	uint64_t before = disk->info.nr_sectors;

	rf_blk_get_info(disk->blk, &disk->info);
	if (disk->info.nr_sectors < unit)
		return fail("the disk is empty");
	if (disk->info.nr_sectors != before) {
		printf("now %" PRIu64 " sectors\n", disk->info.nr_sectors);
		fflush(stdout);
	}
	return 0;
}

int hold(struct disk *disk)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	const uint32_t unit = disk->info.sector_size / RF_BLK_SECTOR_SIZE;
	struct sigaction action = {.sa_handler = catch_signal};
	uint64_t nr_done = 0, random = 1;
	double longest = 0, before;
	uint8_t buf[4096];
	int err = 0;

	if (follow_size(disk, unit))
		return 1;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	puts("holding");
	fflush(stdout);
	while (!caught && !err) {
		uint64_t sector = random_below(&random, disk->info.nr_sectors / unit) * unit;

		before = seconds_now();
		err = rf_blk_read(disk->blk, sector, unit, buf);
		if (seconds_now() - before > longest)
			longest = seconds_now() - before;
		nr_done += !err;
		nanosleep(&pause, NULL);
		if (follow_size(disk, unit))
			return 1;
	}
	printf("%s after %" PRIu64 " reads, the slowest of which took %.3f s\n",
		err ? "the disk went away" : "ended by a signal", nr_done, longest);
	return err ? 1 : 0;
}
