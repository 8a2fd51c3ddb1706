/* SPDX-License-Identifier: MIT */
/* The blocking load: threads on one ring, each with one request at a time. */
#include "blkbench.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct thread {
	struct load *load;
	pthread_barrier_t *barrier;
	_Atomic uint64_t *begin_ns; /* where measuring begins */
	pthread_t id;
	unsigned long nr_requests;
	uint64_t late_ns;
	_Atomic uint64_t thinking_ns;
	struct histogram latency;
};

/* One request and the thinking after it. Returns the time afterwards. */
static uint64_t one_request(struct thread *t, struct rng *rng, void *buffer, bool measured)
{
	struct load *load = t->load;
	uint64_t start = clock_ns(), end, due;
	uint32_t nr_sectors = (uint32_t)(load->size / 512);
	int rc = rf_blk_read(load->blk, next_sector(load, rng), nr_sectors, buffer);

	if (rc)
		die("read", rc);
	end = clock_ns();
	if (measured) {
		t->nr_requests++;
		histogram_add(&t->latency, end - start);
	}
	if (!load->think_ns)
		return end;
	due = end + think_time(load, rng);
	atomic_fetch_add(&t->thinking_ns, think_until(end, due, load->think_ns < THINK_BUSY_NS));
	end = clock_ns();
	if (measured && end > due)
		t->late_ns += end - due;
	return end;
}

static void *blocking_thread(void *data)
{
	struct thread *t = data;
	struct rng rng;
	uint64_t now = 0, begin;
	void *buffer;

	rng_seed(&rng);
	histogram_init(&t->latency);
	if (posix_memalign(&buffer, PAGE_BYTES, t->load->size))
		die("no buffer", -ENOMEM);
	pthread_barrier_wait(t->barrier);
	pthread_barrier_wait(t->barrier); /* until the time to start */
	begin = atomic_load(t->begin_ns);
	if (t->load->think_ns)
		think_until(clock_ns(), clock_ns() + rng_below(&rng, t->load->think_ns), false);
	do
		now = one_request(t, &rng, buffer, now >= begin);
	while (now < begin + t->load->duration_ns);
	free(buffer);
	return NULL;
}

static uint64_t all_thinking(struct thread *threads, unsigned int nr)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < nr; i++)
		sum += atomic_load(&threads[i].thinking_ns);
	return sum;
}

static void collect(struct thread *t, struct outcome *out)
{
	histogram_merge(&out->latency, &t->latency);
	out->nr_requests += t->nr_requests;
	out->late_ns += t->late_ns;
	if (t->nr_requests < out->least)
		out->least = t->nr_requests;
	if (t->nr_requests > out->most)
		out->most = t->nr_requests;
}

void run_blocking(struct load *load, struct outcome *out)
{
	struct thread *threads = calloc(load->threads, sizeof(*threads));
	_Atomic uint64_t begin_ns = 0;
	pthread_barrier_t barrier;

	if (!threads || pthread_barrier_init(&barrier, NULL, load->threads + 1))
		die("threads", -ENOMEM);
	for (unsigned int i = 0; i < load->threads; i++) {
		threads[i].load = load;
		threads[i].barrier = &barrier;
		threads[i].begin_ns = &begin_ns;
		if (pthread_create(&threads[i].id, NULL, blocking_thread, &threads[i]))
			die("cannot start a thread", -EAGAIN);
	}
	pthread_barrier_wait(&barrier);
	sleep_until(load->start_ns);
	atomic_store(&begin_ns, clock_ns() + load->warmup_ns);
	pthread_barrier_wait(&barrier);
	sleep_until(atomic_load(&begin_ns));
	measure_begin(load, out, all_thinking(threads, load->threads));
	histogram_init(&out->latency);
	out->least = -1ul;
	for (unsigned int i = 0; i < load->threads; i++)
		pthread_join(threads[i].id, NULL);
	measure_end(load, out, all_thinking(threads, load->threads));
	for (unsigned int i = 0; i < load->threads; i++)
		collect(&threads[i], out);
	pthread_barrier_destroy(&barrier);
	free(threads);
}
