/* SPDX-License-Identifier: MIT */
/* What workers tell each other of their domains. Workers' threads. */
#include "blkback/service.h"

#include <stddef.h>

struct service_worker *service_join(struct service *service)
{
	unsigned int nr = atomic_load_explicit(&service->nr_workers, memory_order_relaxed);

	for (unsigned int i = 0; i < SERVICE_WORKERS_MAX; i++) {
		if (service->workers[i].used)
			continue;
		service->workers[i].used = true;
		if (i >= nr)
			atomic_store_explicit(&service->nr_workers, i + 1, memory_order_relaxed);
		return &service->workers[i];
	}
	return NULL;
}

void service_leave(struct service_worker *worker)
{
	service_withdraw(worker);
	worker->used = false;
}

void service_raise(_Atomic uint64_t *service, uint64_t to)
{
	uint64_t from = atomic_load_explicit(service, memory_order_relaxed);

	while (service_lead(from, to) < 0 &&
		!atomic_compare_exchange_weak_explicit(
			service, &from, to, memory_order_relaxed, memory_order_relaxed))
		;
}

static void publish(struct service_worker *worker, uint64_t least, uint64_t now)
{
	atomic_store_explicit(&worker->least, least, memory_order_relaxed);
	/*
	 * Orders the store of `least` before that of its time.
	 * Pairs with the load in is_fresh().
	 * Without it what a worker said before a long sleep could be taken for what is so now.
	 */
	atomic_store_explicit(&worker->seen_ns, now, memory_order_release);
}

static bool is_fresh(const struct service_worker *worker, uint64_t now)
{
	/*
	 * Orders this load before that of `least`.
	 * Pairs with the store in publish().
	 * Without it what a worker said before a long sleep could be taken for what is so now.
	 */
	uint64_t seen_ns = atomic_load_explicit(&worker->seen_ns, memory_order_acquire);

	/* It may have looked after us. */
	return seen_ns && (int64_t)(now - seen_ns) <= (int64_t)SERVICE_FRESH_NS;
}

uint64_t service_compare(struct service *service, struct service_worker *worker, uint64_t least)
{
	unsigned int nr = atomic_load_explicit(&service->nr_workers, memory_order_relaxed);
	uint64_t now = clock_ns(), other;

	publish(worker, least, now);
	for (unsigned int i = 0; i < nr; i++) {
		if (&service->workers[i] == worker || !is_fresh(&service->workers[i], now))
			continue;
		other = atomic_load_explicit(&service->workers[i].least, memory_order_relaxed);
		if (service_lead(other, least) < 0)
			least = other;
	}
	service_raise(&service->floor, least);
	return least;
}
