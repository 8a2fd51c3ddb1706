/* SPDX-License-Identifier: MIT */
/*
 * Two domains at once, each from several threads that share its handles, do at random whatever the
 * Xen libraries offer. What they share must arrive, every notification must be noticed, and at the
 * end neither holds anything. Run under ThreadSanitizer this is the libraries' locking, and in
 * several processes the hypervisor's bookkeeping. domain_random SCENARIO, see main().
 */
#include <pthread.h>
#include <stdatomic.h>

#include "domain_check.h"

enum { NR_THREADS = 6, NR_ROUNDS = 150, NR_PAGES = 4, NR_PORTS = 256 };

struct side {
	struct party party;
	_Atomic unsigned int nr_events[NR_PORTS]; /* by port; only ever more */
	pthread_t listener;
};

struct pair {
	struct side side[2];
	_Atomic bool stop;
	unsigned int nr_rounds;
};

struct worker {
	struct pair *pair;
	pthread_t thread;
	uint64_t random;
};

static uint32_t chance(struct worker *worker, uint32_t below)
{
	worker->random ^= worker->random << 13;
	worker->random ^= worker->random >> 7;
	worker->random ^= worker->random << 17;
	return (uint32_t)(worker->random >> 32) % below;
}

/* ---- events: one thread a handle takes them, the others look at what it counted ---- */

struct listener_args {
	struct pair *pair;
	struct side *side;
};

static void *listen_events(void *data)
{
	struct listener_args args = *(struct listener_args *)data;
	xenevtchn_handle *ev = args.side->party.ev;
	int port;

	free(data);
	while (!atomic_load(&args.pair->stop)) {
		readable(ev, 20);
		port = xenevtchn_pending(ev);
		if (port < 0) {
			CHECK(errno == EAGAIN); /* unbound in between */
			continue;
		}
		CHECK(port < NR_PORTS);
		atomic_fetch_add(&args.side->nr_events[port], 1);
		/* It may be unbound by now, and even be another port. */
		if (xenevtchn_unmask(ev, (evtchn_port_t)port) < 0)
			continue;
	}
	return NULL;
}

static void start_listener(struct pair *pair, struct side *side)
{
	struct listener_args *args = malloc(sizeof(*args));
	int fd = xenevtchn_fd(side->party.ev);

	CHECK(args);
	*args = (struct listener_args){pair, side};
	CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
	CHECK(pthread_create(&side->listener, NULL, listen_events, args) == 0);
}

static void await_more(struct side *side, int port, unsigned int before)
{
	uint64_t deadline_ns = clock_ns() + BOUND_MS * NSEC_PER_MSEC;

	while (atomic_load(&side->nr_events[port]) == before) {
		CHECK(clock_ns() < deadline_ns);
		usleep(100);
	}
}

/* Notifies until the other side has noticed: what was there before may have been for others. */
static void notify_and_await(struct side *from, int from_port, struct side *to, int to_port)
{
	unsigned int before = atomic_load(&to->nr_events[to_port]);

	CHECK(xenevtchn_notify(from->party.ev, (evtchn_port_t)from_port) == 0);
	await_more(to, to_port, before);
}

static void bind_sides(struct side *a, struct side *b, int *port_a, int *port_b)
{
	*port_a = xenevtchn_bind_unbound_port(a->party.ev, b->party.id);
	CHECK(*port_a > 0 && *port_a < NR_PORTS);
	*port_b = xenevtchn_bind_interdomain(b->party.ev, a->party.id, (evtchn_port_t)*port_a);
	CHECK(*port_b > 0 && *port_b < NR_PORTS);
}

static void unbind(struct side *side, int port)
{
	CHECK(xenevtchn_unbind(side->party.ev, (evtchn_port_t)port) == 0);
}

/* ---- rounds ---- */

static void round_events(struct worker *worker, struct side *a, struct side *b)
{
	int port_a, port_b;

	bind_sides(a, b, &port_a, &port_b);
	for (uint32_t i = chance(worker, 4); i > 0; i--) {
		notify_and_await(a, port_a, b, port_b);
		notify_and_await(b, port_b, a, port_a);
	}
	if (chance(worker, 2)) {
		/* One end goes and comes again: the other one stays usable. */
		unbind(b, port_b);
		CHECK(xenevtchn_notify(a->party.ev, (evtchn_port_t)port_a) == 0);
		port_b = xenevtchn_bind_interdomain(
			b->party.ev, a->party.id, (evtchn_port_t)port_a);
		CHECK(port_b > 0 && port_b < NR_PORTS);
		notify_and_await(a, port_a, b, port_b);
	}
	if (chance(worker, 2)) {
		unbind(a, port_a);
		unbind(b, port_b);
	} else {
		unbind(b, port_b);
		unbind(a, port_a);
	}
}

static void write_pattern(struct worker *worker, unsigned char *pages, uint32_t nr, uint32_t *seed)
{
	*seed = chance(worker, UINT32_MAX);
	for (uint32_t i = 0; i < nr; i++)
		memcpy(pages + i * PAGE, &(uint32_t){*seed + i}, sizeof(uint32_t));
}

static void check_pattern(const unsigned char *pages, uint32_t nr, uint32_t seed)
{
	uint32_t found;

	for (uint32_t i = 0; i < nr; i++) {
		memcpy(&found, pages + i * PAGE, sizeof(found));
		CHECK(found == seed + i);
	}
}

static void round_grants(struct worker *worker, struct side *a, struct side *b)
{
	uint32_t refs[NR_PAGES], nr = 1 + chance(worker, NR_PAGES), seed, first;
	int writable = (int)chance(worker, 2);
	unsigned char *ours = share(&a->party, &b->party, (int)nr, refs, writable), *theirs;

	theirs = xengnttab_map_domain_grant_refs(b->party.tab, nr, a->party.id, refs,
		PROT_READ | (writable ? PROT_WRITE : 0));
	CHECK(theirs);
	write_pattern(worker, ours, nr, &seed);
	check_pattern(theirs, nr, seed);
	if (writable) {
		write_pattern(worker, theirs, nr, &seed);
		check_pattern(ours, nr, seed);
	}
	first = chance(worker, 2);
	for (uint32_t i = 0; i < 2; i++) {
		if (i == first) {
			CHECK(xengntshr_unshare(a->party.shr, ours, nr) == 0);
		} else {
			check_pattern(theirs, nr, seed);
			CHECK(xengnttab_unmap(b->party.tab, theirs, nr) == 0);
		}
	}
}

static void round_notify(struct side *a, struct side *b)
{
	unsigned int before;
	int port_a, port_b;
	uint32_t ref;
	char *ours, *theirs;

	bind_sides(a, b, &port_a, &port_b);
	ours = share(&a->party, &b->party, 1, &ref, 1);
	ours[9] = 1;
	theirs = xengnttab_map_grant_ref_notify(b->party.tab, a->party.id, ref,
		PROT_READ | PROT_WRITE, 9, (evtchn_port_t)port_b);
	CHECK(theirs);
	before = atomic_load(&a->nr_events[port_a]);
	CHECK(xengnttab_unmap(b->party.tab, theirs, 1) == 0);
	await_more(a, port_a, before);
	CHECK(((volatile char *)ours)[9] == 0);
	CHECK(xengntshr_unshare(a->party.shr, ours, 1) == 0);
	unbind(b, port_b);
	unbind(a, port_a);
}

/* Handles come and go, too, with what was made through them. Of whichever domain was last. */
static void round_handles(struct worker *worker)
{
	struct party *last = &worker->pair->side[1].party, *first = &worker->pair->side[0].party;
	xengntshr_handle *shr = xengntshr_open(quiet(), 0);
	xenevtchn_handle *ev = xenevtchn_open(quiet(), 0);
	uint32_t refs[NR_PAGES];

	CHECK(shr && ev);
	CHECK(xengntshr_share_pages(shr, first->id, NR_PAGES, refs, 1));
	CHECK(xenevtchn_bind_unbound_port(ev, first->id) > 0);
	CHECK(map(first, last, refs[0], PROT_READ));
	CHECK(xenevtchn_close(ev) == 0);
	CHECK(xengntshr_close(shr) == 0);
}

static void *work(void *data)
{
	struct worker *worker = data;
	uint32_t which;

	for (unsigned int i = 0; i < worker->pair->nr_rounds; i++) {
		which = chance(worker, 2);
		struct side *a = &worker->pair->side[which], *b = &worker->pair->side[!which];

		switch (chance(worker, 4)) {
		case 0:
			round_events(worker, a, b);
			break;
		case 1:
			round_grants(worker, a, b);
			break;
		case 2:
			round_notify(a, b);
			break;
		default:
			round_handles(worker);
		}
	}
	return NULL;
}

/* ---- scenarios ---- */

static void run_pair(unsigned int index, unsigned int nr_rounds)
{
	static struct pair pair;
	struct worker workers[NR_THREADS];
	char name[32];

	pair.nr_rounds = nr_rounds;
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "random-%u-%d", index, i);
		party_enter(&pair.side[i].party, name);
	}
	for (int i = 0; i < 2; i++)
		start_listener(&pair, &pair.side[i]);
	for (int i = 0; i < NR_THREADS; i++) {
		workers[i] = (struct worker){
			.pair = &pair, .random = (index * NR_THREADS + (unsigned int)i + 1) * 7919};
		CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
	}
	for (int i = 0; i < NR_THREADS; i++)
		CHECK(pthread_join(workers[i].thread, NULL) == 0);
	atomic_store(&pair.stop, true);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(pair.side[i].listener, NULL) == 0);
	/* What was mapped from handles that are closed is still mapped: that handle goes now. */
	for (int i = 0; i < 2; i++)
		party_close(&pair.side[i].party);
	for (int i = 0; i < 2; i++)
		expect_holdings(pair.side[i].party.id, 0, 0, 0);
	for (int i = 0; i < 2; i++)
		rf_domain_leave(pair.side[i].party.domain);
}

static void threads(void)
{
	run_pair(0, NR_ROUNDS);
}

/* Several such processes; every other one is killed somewhere in the middle. */
static void processes(void)
{
	enum { NR = 4 };
	struct child children[NR];

	for (unsigned int i = 0; i < NR; i++) {
		if (child_start(&children[i])) {
			say(&children[i], 1);
			run_pair(i, i % 2 ? 1000000 : NR_ROUNDS / 3);
			exit(0);
		}
	}
	for (unsigned int i = 0; i < NR; i++)
		hear(&children[i]);
	for (unsigned int i = 0; i < NR; i += 2)
		child_join(&children[i]);
	for (unsigned int i = 1; i < NR; i += 2)
		child_kill(&children[i]);
	for (unsigned int id = 1; id <= 2 * NR; id++)
		expect_gone(id);
	expect_alive();
}

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{"threads", threads},
		{"processes", processes},
	};

	return RUN_SCENARIO(argc, argv, scenarios);
}
