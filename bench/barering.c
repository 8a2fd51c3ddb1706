/* SPDX-License-Identifier: MIT */
/* Cache line, bare ring and eventfds between two processes: see the header. */
#include "barering.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/ringmb.h"
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/ring.h>
#include <xen/io/blkif.h>

#include "common/clock.h"

#define PAGE_BYTES 4096u
#define SECTORS 2097152u /* what a request is checked against: a disk of 1 GiB */
#define PARTNER_LIMIT_NS (5 * NSEC_PER_SEC)
#define TURNS_PER_CLOCK 64u
#define EMPTY_PER_CLOCK (1u << 20)

enum turn { TURN_NONE, TURN_PINGPONG, TURN_RING, TURN_RING_DATA, TURN_EVENTFD, TURN_END };

struct bare {
	_Alignas(64) _Atomic uint32_t turn;  /* what the partner does; a futex */
	_Alignas(64) _Atomic uint32_t ready; /* what it has begun to do */
	_Alignas(64) atomic_ulong line;
	_Alignas(4096) unsigned char ring_page[PAGE_BYTES];
	unsigned char data[BARE_DEPTH_MAX][PAGE_BYTES];
	/* Constant once the partner runs. */
	int to_partner, from_partner; /* eventfds */
	pid_t pid;
};

void bench_die(const char *what, int rc)
{
	fprintf(stderr, "ringbench: %s: %s\n", what, strerror(-rc));
	exit(1);
}

void bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		bench_die("cannot choose a processor", -errno);
}

static bool is_turn(struct bare *bare, enum turn turn)
{
	return atomic_load_explicit(&bare->turn, memory_order_relaxed) == (uint32_t)turn;
}

/* ---- the partner ---- */

static void partner_pingpong(struct bare *bare)
{
	unsigned long seen = atomic_load(&bare->line);

	while (is_turn(bare, TURN_PINGPONG)) {
		unsigned long now = atomic_load_explicit(&bare->line, memory_order_acquire);

		if (now != seen && (now & 1)) {
			seen = now + 1;
			atomic_store_explicit(&bare->line, seen, memory_order_release);
		}
	}
}

static int16_t serve(struct bare *bare, const blkif_request_t *req, bool data)
{
	static unsigned char disk[BARE_SECTOR_BYTES];
	const struct blkif_request_segment *seg = &req->seg[0];

	if (req->operation != BLKIF_OP_READ || req->nr_segments != 1 ||
		seg->gref >= BARE_DEPTH_MAX || seg->first_sect != 0 || seg->last_sect != 0 ||
		req->sector_number >= SECTORS)
		return BLKIF_RSP_ERROR;
	if (data) {
		memcpy(bare->data[seg->gref], disk, BARE_SECTOR_BYTES);
		/* The copy is the work that is measured: it must happen. */
		__asm__ volatile("" : : "r"(bare->data[seg->gref]) : "memory");
	}
	return BLKIF_RSP_OKAY;
}

static void partner_ring(struct bare *bare, enum turn turn)
{
	blkif_sring_t *sring = (blkif_sring_t *)(void *)bare->ring_page;
	blkif_back_ring_t ring;
	blkif_response_t *rsp;
	blkif_request_t req;

	BACK_RING_INIT(&ring, sring, PAGE_BYTES);
	while (is_turn(bare, turn)) {
		uint32_t prod = ring_load_prod(&sring->req_prod);

		if (ring.req_cons == prod)
			continue;
		for (; ring.req_cons != prod; ring.req_cons++) {
			ring_copy_from(&req, RING_GET_REQUEST(&ring, ring.req_cons), sizeof(req));
			rsp = RING_GET_RESPONSE(&ring, ring.rsp_prod_pvt++);
			rsp->status = serve(bare, &req, turn == TURN_RING_DATA);
			rsp->id = req.id;
			rsp->operation = req.operation;
		}
		ring_store_prod(&sring->rsp_prod, ring.rsp_prod_pvt);
	}
}

/* Takes a notification; false if none came for a while. */
static bool await(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	uint64_t count;

	return poll(&pfd, 1, 100) == 1 && read(fd, &count, sizeof(count)) == sizeof(count);
}

static void notify(int fd)
{
	static const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		bench_die("eventfd", -errno);
}

static void partner_eventfd(struct bare *bare)
{
	while (is_turn(bare, TURN_EVENTFD)) {
		if (await(bare->to_partner) && is_turn(bare, TURN_EVENTFD))
			notify(bare->from_partner);
	}
}

__attribute__((noreturn)) static void partner(struct bare *bare)
{
	for (;;) {
		uint32_t turn = atomic_load(&bare->turn);

		atomic_store(&bare->ready, turn);
		switch (turn) {
		case TURN_PINGPONG:
			partner_pingpong(bare);
			break;
		case TURN_RING:
		case TURN_RING_DATA:
			partner_ring(bare, turn);
			break;
		case TURN_EVENTFD:
			partner_eventfd(bare);
			break;
		case TURN_END:
			_exit(0);
		default:
			syscall(SYS_futex, &bare->turn, FUTEX_WAIT, turn, NULL, NULL, 0);
		}
	}
}

struct bare *bare_start(int cpu)
{
	struct bare *bare = mmap(
		NULL, sizeof(*bare), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t parent = getpid();

	if (bare == MAP_FAILED)
		bench_die("no memory", -errno);
	bare->to_partner = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bare->from_partner = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bare->to_partner < 0 || bare->from_partner < 0)
		bench_die("eventfd", -errno);
	bare->pid = fork();
	if (bare->pid < 0)
		bench_die("fork", -errno);
	if (bare->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		if (cpu >= 0)
			bench_pin(cpu);
		partner(bare);
	}
	return bare;
}

static void set_turn(struct bare *bare, enum turn turn)
{
	uint64_t limit = clock_ns() + PARTNER_LIMIT_NS;

	atomic_store(&bare->turn, turn);
	syscall(SYS_futex, &bare->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
	while (atomic_load(&bare->ready) != (uint32_t)turn) {
		if (clock_ns() > limit)
			bench_die("the partner", -ETIMEDOUT);
		usleep(50);
	}
}

void bare_stop(struct bare *bare)
{
	set_turn(bare, TURN_END);
	waitpid(bare->pid, NULL, 0);
	close(bare->to_partner);
	close(bare->from_partner);
	munmap(bare, sizeof(*bare));
}

/* ---- our end ---- */

/* One fruitless look; now and then the question whether the partner still lives. */
static void found_nothing(unsigned int *nr_empty, uint64_t limit_ns)
{
	if (++*nr_empty % EMPTY_PER_CLOCK == 0 && clock_ns() > limit_ns)
		bench_die("the partner", -ETIMEDOUT);
}

double bare_pingpong_ns(struct bare *bare, uint64_t slice_ns)
{
	unsigned long value = atomic_load(&bare->line), trips = 0;
	unsigned int nr_empty = 0;
	uint64_t start, now;

	set_turn(bare, TURN_PINGPONG);
	start = now = clock_ns();
	while (now - start < slice_ns) {
		for (unsigned int i = 0; i < TURNS_PER_CLOCK; i++, trips++) {
			atomic_store_explicit(&bare->line, value + 1, memory_order_release);
			while (atomic_load_explicit(&bare->line, memory_order_acquire) != value + 2)
				found_nothing(&nr_empty, start + PARTNER_LIMIT_NS);
			value += 2;
		}
		now = clock_ns();
	}
	set_turn(bare, TURN_NONE);
	return (double)(now - start) / (double)trips;
}

static void push(blkif_front_ring_t *ring, uint64_t id, uint64_t n)
{
	blkif_request_t req;

	memset(&req, 0, sizeof(req));
	req.operation = BLKIF_OP_READ;
	req.nr_segments = 1;
	req.id = id;
	req.sector_number = n * 2654435761u % SECTORS;
	req.seg[0].gref = (grant_ref_t)id;
	ring_copy_to(RING_GET_REQUEST(ring, ring->req_prod_pvt), &req, sizeof(req));
	ring->req_prod_pvt++;
}

/* Takes one response, uses its data, sends the next request. */
static void take(
	struct bare *bare, blkif_front_ring_t *ring, unsigned int depth, bool data, uint64_t n)
{
	static unsigned char buffer[BARE_SECTOR_BYTES];
	blkif_response_t rsp;

	memcpy(&rsp, RING_GET_RESPONSE(ring, ring->rsp_cons), sizeof(rsp));
	ring->rsp_cons++;
	if (rsp.id >= depth || rsp.status != BLKIF_RSP_OKAY)
		bench_die("bare ring", -EPROTO);
	if (data) {
		memcpy(buffer, bare->data[rsp.id], BARE_SECTOR_BYTES);
		__asm__ volatile("" : : "r"(buffer) : "memory");
	}
	push(ring, rsp.id, n);
}

double bare_ring_rate(struct bare *bare, unsigned int depth, bool data, uint64_t slice_ns)
{
	blkif_sring_t *sring = (blkif_sring_t *)(void *)bare->ring_page;
	uint64_t start, now, done = 0, turns = 0;
	unsigned int nr_empty = 0;
	blkif_front_ring_t ring;

	SHARED_RING_INIT(sring);
	FRONT_RING_INIT(&ring, sring, PAGE_BYTES);
	set_turn(bare, data ? TURN_RING_DATA : TURN_RING);
	for (uint64_t id = 0; id < depth; id++)
		push(&ring, id, id);
	start = now = clock_ns();
	ring_store_prod(&sring->req_prod, ring.req_prod_pvt);
	while (now - start < slice_ns) {
		uint32_t prod = ring_load_prod(&sring->rsp_prod);

		if (prod == ring.rsp_cons) {
			found_nothing(&nr_empty, start + PARTNER_LIMIT_NS);
			continue;
		}
		while (ring.rsp_cons != prod)
			take(bare, &ring, depth, data, ++done);
		ring_store_prod(&sring->req_prod, ring.req_prod_pvt);
		if (++turns % TURNS_PER_CLOCK == 0)
			now = clock_ns();
	}
	set_turn(bare, TURN_NONE);
	return (double)done * 1e9 / (double)(now - start);
}

static void drain(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		bench_die("eventfd", -errno);
}

double bare_eventfd_ns(struct bare *bare, uint64_t slice_ns)
{
	uint64_t start, now, trips = 0;

	drain(bare->to_partner);
	drain(bare->from_partner);
	set_turn(bare, TURN_EVENTFD);
	start = now = clock_ns();
	while (now - start < slice_ns) {
		for (unsigned int i = 0; i < TURNS_PER_CLOCK; i++, trips++) {
			notify(bare->to_partner);
			while (!await(bare->from_partner))
				if (clock_ns() - start > PARTNER_LIMIT_NS)
					bench_die("the partner", -ETIMEDOUT);
		}
		now = clock_ns();
	}
	atomic_store(&bare->turn, TURN_NONE);
	notify(bare->to_partner);
	set_turn(bare, TURN_NONE);
	return (double)(now - start) / (double)trips;
}
