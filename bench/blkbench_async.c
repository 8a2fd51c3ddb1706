/* SPDX-License-Identifier: MIT */
/*
 * The asynchronous load: streams, as many as the depth, each of which has a request outstanding or
 * thinks. One thread, an event loop as programs have it: it sends what is due, then waits for
 * answers by the disk's policy, until the next stream is due. How late requests went out is part of
 * the outcome.
 */
#include "blkbench.h"

#include <errno.h>
#include <stdlib.h>

#define NO_TIME UINT64_MAX
#define CLOCK_EVERY_BYTES (128u << 10) /* answered between two looks, if nothing else wants one */

/* A request may be more than the ring takes at once: then it travels in parts. */
struct stream {
	unsigned int nr_left; /* parts that are not answered */
	uint64_t start_ns;    /* NO_TIME while it thinks */
	uint64_t due_ns;
};

struct engine {
	struct load *load;
	struct outcome *out;
	struct rng rng;
	struct stream *streams;
	struct rf_blk_io *parts; /* parts_per_request of each stream */
	unsigned int parts_per_request;
	struct rf_blk_io **queue; /* parts that the ring has not taken yet, a circle */
	unsigned int queue_size, queue_first, nr_queued;
	unsigned int nr_thinking;
	void *buffer;
	uint64_t now_ns, end_ns;
	uint64_t next_due_ns; /* the earliest of those that think */
	uint64_t thinking_ns; /* computed so far */
	uint64_t bytes_since_clock;
	bool measuring, ending;
	struct outcome drained; /* what does not count any more */
};

static void engine_init(struct engine *e, struct load *load, struct outcome *out)
{
	uint64_t part = load->info.max_request_sectors * 512ull, stride;
	int rc;

	part = load->size < part ? load->size : part;
	*e = (struct engine){.load = load, .out = out};
	e->parts_per_request = (unsigned int)((load->size + part - 1) / part);
	e->queue_size = load->depth * e->parts_per_request;
	e->streams = calloc(load->depth, sizeof(*e->streams));
	e->parts = calloc(e->queue_size, sizeof(*e->parts));
	e->queue = calloc(e->queue_size, sizeof(struct rf_blk_io *));
	stride = (load->size + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	if (load->copy)
		rc = -posix_memalign(&e->buffer, PAGE_BYTES, load->depth * stride);
	else
		rc = rf_blk_buffer_alloc(load->blk, load->depth * stride, &e->buffer);
	if (rc || !e->streams || !e->parts || !e->queue)
		die("no buffers", rc ? rc : -ENOMEM);
	for (unsigned int i = 0; i < e->queue_size; i++) {
		unsigned int stream = i / e->parts_per_request;
		uint64_t offset = i % e->parts_per_request * part;
		uint64_t len = load->size - offset < part ? load->size - offset : part;

		e->parts[i] = (struct rf_blk_io){.op = RF_BLK_READ,
			.nr_sectors = len / 512,
			.buf = (char *)e->buffer + stream * stride + offset,
			.cookie = &e->streams[stream]};
	}
	rng_seed(&e->rng);
}

static void engine_fini(struct engine *e)
{
	if (e->load->copy)
		free(e->buffer);
	else
		rf_blk_buffer_free(e->load->blk, e->buffer);
	free(e->streams);
	free(e->parts);
	free(e->queue);
}

/* ---- sending ---- */

static void start_request(struct engine *e, struct stream *stream)
{
	struct rf_blk_io *part = &e->parts[(stream - e->streams) * e->parts_per_request];
	uint64_t sector = next_sector(e->load, &e->rng);

	stream->nr_left = e->parts_per_request;
	stream->start_ns = e->now_ns;
	for (unsigned int i = 0; i < e->parts_per_request; i++, part++) {
		part->sector = sector;
		sector += part->nr_sectors;
		e->queue[(e->queue_first + e->nr_queued++) % e->queue_size] = part;
	}
}

/* Starts those that have thought enough, and finds out when the next one will have. */
static void start_due(struct engine *e)
{
	if (!e->nr_thinking || e->next_due_ns > e->now_ns)
		return;
	e->next_due_ns = NO_TIME;
	for (unsigned int i = 0; i < e->load->depth; i++) {
		struct stream *stream = &e->streams[i];

		if (stream->start_ns != NO_TIME)
			continue;
		if (stream->due_ns <= e->now_ns) {
			e->out->late_ns += e->now_ns - stream->due_ns;
			e->nr_thinking--;
			start_request(e, stream);
		} else if (stream->due_ns < e->next_due_ns) {
			e->next_due_ns = stream->due_ns;
		}
	}
}

/* Offers the ring what is queued; what it does not take stays for after the next answers. */
static void send_queued(struct engine *e)
{
	while (e->nr_queued) {
		unsigned int nr = e->queue_size - e->queue_first;
		int rc;

		nr = e->nr_queued < nr ? e->nr_queued : nr;
		nr = nr < DEPTH_MAX ? nr : DEPTH_MAX;
		rc = rf_blk_submit(e->load->blk, e->queue + e->queue_first, nr);
		if (rc < 0)
			die("cannot submit", rc);
		e->queue_first = (e->queue_first + (unsigned int)rc) % e->queue_size;
		e->nr_queued -= (unsigned int)rc;
		if ((unsigned int)rc < nr)
			return;
	}
}

/* ---- answers ---- */

static void begin_thinking(struct engine *e, struct stream *stream, uint64_t think_ns)
{
	stream->start_ns = NO_TIME;
	stream->due_ns = e->now_ns + think_ns;
	if (!e->nr_thinking++ || stream->due_ns < e->next_due_ns)
		e->next_due_ns = stream->due_ns;
}

static void answered(struct engine *e, struct rf_blk_io *part)
{
	struct stream *stream = part->cookie;

	if (part->result)
		die("request failed", part->result);
	if (--stream->nr_left)
		return;
	e->out->nr_requests++;
	if (e->load->latencies)
		histogram_add(&e->out->latency, e->now_ns - stream->start_ns);
	if (e->load->think_ns)
		begin_thinking(e, stream, think_time(e->load, &e->rng));
	else if (!e->ending)
		start_request(e, stream);
}

/* Waits for some at most so long; negative: until there are some; 0: not at all. */
static void take_answers(struct engine *e, int64_t timeout_ns)
{
	struct rf_blk_io *done[DEPTH_MAX];
	int n = timeout_ns ? rf_blk_wait_ns(e->load->blk, done, DEPTH_MAX, timeout_ns)
			   : rf_blk_poll(e->load->blk, done, DEPTH_MAX);

	if (n < 0 || (n == 0 && timeout_ns < 0))
		die("waiting", n);
	e->bytes_since_clock += (unsigned int)n * (e->load->size / e->parts_per_request);
	if (e->load->latencies || e->load->think_ns || e->bytes_since_clock >= CLOCK_EVERY_BYTES) {
		e->now_ns = clock_ns();
		e->bytes_since_clock = 0;
	}
	for (int i = 0; i < n; i++)
		answered(e, done[i]);
}

/* ---- the loop ---- */

static void think(struct engine *e)
{
	bool busy = e->load->think_ns < THINK_BUSY_NS;

	e->thinking_ns += think_until(e->now_ns, e->next_due_ns, busy);
	e->now_ns = clock_ns();
}

/* How long until the next stream is due: negative if none thinks. */
static int64_t until_due(const struct engine *e)
{
	uint64_t now;

	if (!e->nr_thinking)
		return -1;
	now = clock_ns();
	return e->next_due_ns > now ? (int64_t)(e->next_due_ns - now) : 0;
}

/* One turn: what is due goes out; then the thread thinks, or waits for answers. */
static void turn(struct engine *e)
{
	start_due(e);
	send_queued(e);
	if (e->nr_thinking == e->load->depth) {
		think(e);
	} else if (e->nr_thinking && e->load->think_ns < THINK_BUSY_NS) {
		think(e);
		take_answers(e, 0);
	} else {
		take_answers(e, until_due(e));
	}
}

/* From warming up to measuring, from measuring to the end. */
static void change_phase(struct engine *e)
{
	if (!e->measuring) {
		e->measuring = true;
		e->out->nr_requests = 0;
		e->out->late_ns = 0;
		histogram_init(&e->out->latency);
		measure_begin(e->load, e->out, e->thinking_ns);
		e->now_ns = clock_ns();
		e->end_ns = e->now_ns + e->load->duration_ns;
	} else {
		measure_end(e->load, e->out, e->thinking_ns);
		e->ending = true;
	}
}

/* What is still on its way when the interval is over does not count. */
static void drain(struct engine *e)
{
	unsigned int nr_out = 0;

	e->out = &e->drained;
	for (unsigned int i = 0; i < e->load->depth; i++)
		nr_out += e->streams[i].start_ns != NO_TIME;
	while (e->drained.nr_requests < nr_out) {
		send_queued(e);
		take_answers(e, -1);
	}
}

void run_async(struct load *load, struct outcome *out)
{
	struct engine e;

	engine_init(&e, load, out);
	sleep_until(load->start_ns);
	e.now_ns = clock_ns();
	e.end_ns = e.now_ns + load->warmup_ns;
	/* Streams that think equally long are not to move in step from the start. */
	for (unsigned int i = 0; i < load->depth; i++)
		begin_thinking(&e, &e.streams[i], rng_below(&e.rng, load->think_ns + 1));
	while (!e.ending) {
		turn(&e);
		if (e.now_ns >= e.end_ns)
			change_phase(&e);
	}
	drain(&e);
	engine_fini(&e);
}
