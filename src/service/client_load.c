/* SPDX-License-Identifier: MIT */
/*
 * The request phase; see client_load.h. The main thread starts the workers, then only shows
 * progress and waits for signals. Workers share three words: the number of the next request, a
 * stop flag and the first error; everything else is their own until they have ended.
 */
#include "service/client_load.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "service/client_random.h"
#include "service/common_program.h"
#include "service/common_progress.h"

#define CACHE_LINE 64
#define STACK_BYTES (512 * 1024)
/* Records that wait for the files, in all threads together: bounds memory whatever the arguments
 * are, and a batch of 64 KiB makes a file's share of a request's time vanish. */
#define BATCH_RECORDS_TOTAL 16384
#define BATCH_RECORDS_MAX 128

struct load;

struct worker {
	_Alignas(CACHE_LINE) atomic_uint_least64_t nr_completed;
	struct load *load;
	pthread_t thread;
	struct random_state random;
	struct batch batch;
	uint64_t start_ns, end_ns;
	struct histogram latency;
};

struct load {
	const struct load_params *params;
	struct load_result *result;
	struct worker *workers;
	unsigned int nr_workers; /* initialised */
	unsigned int nr_started;
	int done_fd; /* an eventfd: the last worker's farewell */
	int signal_fd;
	sigset_t old_mask;
	pthread_mutex_t lock; /* the errors in result; start gate */
	_Alignas(CACHE_LINE) atomic_uint_least64_t next_request;
	_Alignas(CACHE_LINE) atomic_bool stop;
	atomic_uint nr_running;
};

static void load_stop(struct load *load)
{
	/* Relaxed: a worker that sees it one request later does no harm. */
	atomic_store_explicit(&load->stop, true, memory_order_relaxed);
}

static void worker_read_failed(struct worker *w, uint64_t sector, int rc)
{
	pthread_mutex_lock(&w->load->lock);
	if (!w->load->result->read_error) {
		w->load->result->read_error = rc;
		w->load->result->failed_sector = sector;
	}
	pthread_mutex_unlock(&w->load->lock);
	load_stop(w->load);
}

/* False when the files refused the records. */
static bool worker_flush(struct worker *w)
{
	int rc = w->batch.nr ? output_append(w->load->params->out, &w->batch) : 0;

	if (rc == 0)
		return true;
	pthread_mutex_lock(&w->load->lock);
	if (!w->load->result->output_error)
		w->load->result->output_error = rc;
	pthread_mutex_unlock(&w->load->lock);
	load_stop(w->load);
	return false;
}

/* One request, from drawing its sector to counting it. False ends the worker. */
static bool worker_request(struct worker *w)
{
	const struct load_params *params = w->load->params;
	uint64_t sector = random_below(&w->random, params->nr_sectors);
	uint64_t start_ns = clock_ns();
	int rc = rf_blk_read(params->blk, sector, 1, batch_slot(&w->batch));

	w->end_ns = clock_ns();
	if (w->start_ns == 0)
		w->start_ns = start_ns;
	if (rc) {
		worker_read_failed(w, sector, rc);
		return false;
	}
	histogram_add(&w->latency, w->end_ns - start_ns);
	/* Only this thread writes it, and who reads it shows progress: no ordering is needed. */
	atomic_store_explicit(&w->nr_completed, w->latency.count, memory_order_relaxed);
	return !batch_push(&w->batch, sector) || worker_flush(w);
}

static bool worker_may_go_on(struct load *load)
{
	/* Relaxed: the counter hands out permissions and publishes nothing. It may pass the end
	 * by one for each thread. */
	return !atomic_load_explicit(&load->stop, memory_order_relaxed) &&
	       atomic_fetch_add_explicit(&load->next_request, 1, memory_order_relaxed) <
		       load->params->nr_requests;
}

static void *worker_main(void *arg)
{
	struct worker *w = (struct worker *)arg;
	struct load *load = w->load;

	/* The gate: held by load_start until every thread exists, so that they start together. */
	pthread_mutex_lock(&load->lock);
	pthread_mutex_unlock(&load->lock);
	while (worker_may_go_on(load) && worker_request(w))
		;
	worker_flush(w);
	if (atomic_fetch_sub(&load->nr_running, 1) == 1)
		eventfd_write(load->done_fd, 1);
	return NULL;
}

static int worker_init(struct worker *w, struct load *load)
{
	unsigned int capacity = BATCH_RECORDS_TOTAL / load->params->nr_threads;
	int rc;

	w->load = load;
	w->start_ns = w->end_ns = 0;
	atomic_init(&w->nr_completed, 0);
	histogram_init(&w->latency);
	rc = random_seed(&w->random);
	if (rc)
		return rc;
	return batch_init(&w->batch, capacity < BATCH_RECORDS_MAX ? capacity : BATCH_RECORDS_MAX);
}

static uint64_t load_nr_completed(struct load *load)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < load->nr_workers; i++)
		sum += atomic_load_explicit(&load->workers[i].nr_completed, memory_order_relaxed);
	return sum;
}

/* Signals that end a run become readable here; blocked before the workers inherit the mask. */
static int load_open_fds(struct load *load)
{
	sigset_t mask;
	int rc;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	load->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (load->signal_fd < 0)
		return -errno;
	load->done_fd = eventfd(0, EFD_CLOEXEC);
	if (load->done_fd < 0) {
		rc = -errno;
		close(load->signal_fd);
		return rc;
	}
	pthread_sigmask(SIG_BLOCK, &mask, &load->old_mask);
	return 0;
}

static void load_close_fds(struct load *load)
{
	pthread_sigmask(SIG_SETMASK, &load->old_mask, NULL);
	close(load->done_fd);
	close(load->signal_fd);
}

static int load_init(struct load *load, const struct load_params *params,
	struct load_result *result)
{
	unsigned int nr = params->nr_threads;
	int rc;

	if (nr > params->nr_requests)
		nr = (unsigned int)params->nr_requests;
	load->params = params;
	load->result = result;
	load->nr_workers = load->nr_started = 0;
	atomic_init(&load->next_request, 0);
	atomic_init(&load->stop, false);
	atomic_init(&load->nr_running, 0);
	load->workers = aligned_alloc(CACHE_LINE, nr * sizeof(*load->workers));
	if (!load->workers)
		return -ENOMEM;
	memset(load->workers, 0, nr * sizeof(*load->workers));
	for (; load->nr_workers < nr; load->nr_workers++) {
		rc = worker_init(&load->workers[load->nr_workers], load);
		if (rc)
			goto fini_workers;
	}
	rc = load_open_fds(load);
	if (rc)
		goto fini_workers;
	pthread_mutex_init(&load->lock, NULL);
	return 0;

fini_workers:
	while (load->nr_workers--)
		batch_fini(&load->workers[load->nr_workers].batch);
	free(load->workers);
	return rc;
}

static void load_fini(struct load *load)
{
	for (unsigned int i = 0; i < load->nr_workers; i++)
		batch_fini(&load->workers[i].batch);
	free(load->workers);
	pthread_mutex_destroy(&load->lock);
	load_close_fds(load);
}

/* All threads or none that requests anything. */
static int load_start(struct load *load)
{
	pthread_attr_t attr;
	int rc = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_mutex_lock(&load->lock);
	atomic_store(&load->nr_running, load->nr_workers);
	while (load->nr_started < load->nr_workers) {
		struct worker *w = &load->workers[load->nr_started];

		rc = pthread_create(&w->thread, &attr, worker_main, w);
		if (rc)
			break;
		load->nr_started++;
	}
	if (rc)
		load_stop(load);
	pthread_mutex_unlock(&load->lock);
	pthread_attr_destroy(&attr);
	return -rc;
}

/* Until the last worker said farewell. A second signal means that the user has lost patience. */
static void load_wait(struct load *load)
{
	struct pollfd fds[] = {
		{.fd = load->done_fd, .events = POLLIN},
		{.fd = load->signal_fd, .events = POLLIN},
	};
	struct signalfd_siginfo info;
	struct progress progress;

	progress_init(&progress, "requests", load->params->nr_requests,
		load->params->progress_lines);
	while (!(fds[0].revents & POLLIN)) {
		if (poll(fds, 2, progress_interval_ms(&progress)) < 0)
			continue;
		progress_update(&progress, load_nr_completed(load));
		if (read(load->signal_fd, &info, sizeof(info)) != sizeof(info))
			continue;
		if (load->result->signal)
			_exit(128 + (int)info.ssi_signo);
		load->result->signal = (int)info.ssi_signo;
		load_stop(load);
	}
	progress_finish(&progress);
}

static void load_collect(struct load *load)
{
	uint64_t start_ns = UINT64_MAX, end_ns = 0;

	for (unsigned int i = 0; i < load->nr_started; i++) {
		const struct worker *w = &load->workers[i];

		histogram_merge(&load->result->latency, &w->latency);
		if (w->start_ns && w->start_ns < start_ns)
			start_ns = w->start_ns;
		if (w->end_ns > end_ns)
			end_ns = w->end_ns;
	}
	load->result->nr_completed = load->result->latency.count;
	load->result->elapsed_ns = end_ns > start_ns ? end_ns - start_ns : 0;
}

int load_run(const struct load_params *params, struct load_result *result)
{
	struct load load;
	int rc;

	memset(result, 0, sizeof(*result));
	histogram_init(&result->latency);
	rc = load_init(&load, params, result);
	if (rc) {
		complain("cannot prepare %u threads: %s", params->nr_threads, strerror(-rc));
		return rc;
	}
	rc = load_start(&load);
	if (rc)
		complain("cannot start thread %u of %u: %s; ask for fewer threads",
			load.nr_started + 1, load.nr_workers, strerror(-rc));
	else
		load_wait(&load);
	for (unsigned int i = 0; i < load.nr_started; i++)
		pthread_join(load.workers[i].thread, NULL);
	load_collect(&load);
	load_fini(&load);
	return rc;
}
