/* SPDX-License-Identifier: MIT */
/* The stand-ins of blkback_fake.h. Maps are real maps of a memfd: a stale one would fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "blkback_fake.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xentoollog.h>

#include "blkback/aio.h"
#include "blkback/worker.h"
#include "common/clock.h"

#define PAGE GRANT_PAGE_SIZE
#define WAIT_NS (20 * NSEC_PER_SEC)

struct fake fake;

/* ---- the guest's pages ---- */

static int memfd = -1;
static char *guest_pages;

static void make_pages(void)
{
	size_t len = (size_t)FAKE_PAGES * PAGE;

	if (guest_pages)
		return;
	memfd = memfd_create("guest", MFD_CLOEXEC);
	assert_true(memfd >= 0);
	assert_int_equal(ftruncate(memfd, (off_t)len), 0);
	guest_pages = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	assert_true(guest_pages != MAP_FAILED);
}

char *fake_page(unsigned int n)
{
	make_pages();
	return guest_pages + (size_t)n * PAGE;
}

/* True for the k-th time that it is asked, if k was set. */
static bool is_due(atomic_uint *countdown)
{
	unsigned int left = atomic_load(countdown);

	if (!left)
		return false;
	atomic_store(countdown, left - 1);
	return left == 1;
}

/* ---- libxengnttab ---- */

struct xengntdev_handle {
	int unused;
};

static struct xengntdev_handle gnttab;
/* The address space that maps of this process lie in, so that the driver knows foreign memory. */
static char *foreign_space;
static size_t foreign_used;
#define FOREIGN_SPACE ((size_t)1 << 36)

xengnttab_handle *xengnttab_open(xentoollog_logger *logger, unsigned int open_flags)
{
	(void)logger, (void)open_flags;
	make_pages();
	if (!foreign_space) {
		foreign_space = mmap(NULL, FOREIGN_SPACE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		assert_true(foreign_space != MAP_FAILED);
	}
	return &gnttab;
}

int xengnttab_close(xengnttab_handle *xgt)
{
	(void)xgt;
	return 0;
}

static bool page_of(uint32_t gref, unsigned int *page)
{
	*page = gref - FAKE_FIRST_GREF;
	return *page < FAKE_PAGES;
}

void *xengnttab_map_domain_grant_refs(
	xengnttab_handle *xgt, uint32_t count, uint32_t domid, uint32_t *refs, int prot)
{
	char *at = foreign_space + foreign_used;
	unsigned int page;

	(void)xgt, (void)domid;
	atomic_fetch_add(&fake.nr_map_calls, 1);
	if (is_due(&fake.fail_map_at)) {
		errno = ENOMEM;
		return NULL;
	}
	if ((prot & PROT_WRITE) && atomic_load(&fake.refuses_writable)) {
		errno = EACCES;
		return NULL;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (!page_of(refs[i], &page)) {
			errno = ENOENT;
			return NULL;
		}
	}
	for (uint32_t i = 0; i < count; i++) {
		page_of(refs[i], &page);
		assert_true(mmap(at + (size_t)i * PAGE, PAGE, prot, MAP_SHARED | MAP_FIXED, memfd,
				    (off_t)page * PAGE) != MAP_FAILED);
	}
	foreign_used += (size_t)count * PAGE;
	atomic_fetch_add(&fake.nr_mapped, count);
	return at;
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot)
{
	return xengnttab_map_domain_grant_refs(xgt, 1, domid, &ref, prot);
}

/* One byte for each page of the address space: is it pinned? */
static atomic_bool *is_pinned(const void *at)
{
	static atomic_bool pinned[FOREIGN_SPACE / PAGE];

	return &pinned[(size_t)((const char *)at - foreign_space) / PAGE];
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count)
{
	(void)xgt;
	for (uint32_t i = 0; i < count; i++)
		if (atomic_load(is_pinned((char *)start_address + (size_t)i * PAGE)))
			atomic_fetch_add(&fake.nr_unmapped_pinned, 1);
	/* The addresses are never used again: who goes on using them is caught. */
	if (mmap(start_address, (size_t)count * PAGE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -1;
	atomic_fetch_sub(&fake.nr_mapped, count);
	return 0;
}

static int16_t copy_one(const xengnttab_grant_copy_segment_t *seg)
{
	bool to_guest = seg->flags & GNTCOPY_dest_gref;
	const union xengnttab_copy_ptr *foreign = to_guest ? &seg->dest : &seg->source;
	unsigned int page;
	char *guests;

	atomic_fetch_add(&fake.nr_copied, 1);
	if (is_due(&fake.fail_copy_at))
		return GNTST_permission_denied;
	if (!page_of(foreign->foreign.ref, &page))
		return GNTST_bad_gntref;
	if (foreign->foreign.offset + seg->len > PAGE)
		return GNTST_bad_copy_arg;
	guests = fake_page(page) + foreign->foreign.offset;
	memcpy(to_guest ? guests : seg->dest.virt, to_guest ? seg->source.virt : guests, seg->len);
	return GNTST_okay;
}

int xengnttab_grant_copy(
	xengnttab_handle *xgt, uint32_t count, xengnttab_grant_copy_segment_t *segs)
{
	(void)xgt;
	if (atomic_load(&fake.copy_error)) {
		errno = atomic_load(&fake.copy_error);
		return -1;
	}
	for (uint32_t i = 0; i < count; i++)
		segs[i].status = copy_one(&segs[i]);
	return 0;
}

/* ---- libxenevtchn: one port, which the guest notifies by an eventfd ---- */

#define PORT 1u

struct xenevtchn_handle {
	int fd;
};

static struct xenevtchn_handle evtchn = {.fd = -1};

xenevtchn_handle *xenevtchn_open(xentoollog_logger *logger, unsigned int flags)
{
	(void)logger, (void)flags;
	evtchn.fd = eventfd(0, EFD_CLOEXEC);
	return &evtchn;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
	return close(xce->fd);
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
	return xce->fd;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce, (void)port;
	return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
	uint64_t count;

	return read(xce->fd, &count, sizeof(count)) < 0 ? -1 : (int)PORT;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce, (void)port;
	return 0;
}

/* ---- the disk ---- */

static char disk[FAKE_DISK_BYTES];

char *fake_disk(void)
{
	return disk;
}

static bool is_foreign(const void *at)
{
	return (const char *)at >= foreign_space &&
		(const char *)at < foreign_space + FOREIGN_SPACE;
}

static bool has_data(const struct driver_io *io)
{
	return io->op == DRIVER_READ || io->op == DRIVER_WRITE;
}

static int move(struct driver_io *io)
{
	char *at = disk + io->offset;

	for (unsigned int i = 0; i < io->nr_iov; i++) {
		void *memory = io->iov[i].iov_base;
		size_t len = io->iov[i].iov_len;

		if (io->op == DRIVER_READ)
			memcpy(memory, at, len);
		else
			memcpy(at, memory, len);
		at += len;
	}
	return at == disk + io->offset + io->len ? 0 : -EINVAL;
}

static int carry_out(const struct driver_disk *d, struct driver_io *io)
{
	bool foreign = has_data(io) && is_foreign(io->iov[0].iov_base);

	atomic_fetch_add(&fake.nr_ios, 1);
	atomic_fetch_add(&fake.nr_foreign_ios, foreign);
	if (atomic_load(&fake.io_error))
		return atomic_load(&fake.io_error);
	if (foreign && atomic_load(&fake.refuses_foreign))
		return -EFAULT;
	if (!has_data(io))
		return 0;
	return d->driver->no_contents ? 0 : move(io);
}

/* ---- pinning: what the worker's own asynchronous I/O does, counted ---- */

static const struct aio_ops *real_ops;

static void count_pin(struct aio *aio, struct aio_page *page)
{
	real_ops->pin(aio, page);
	atomic_fetch_add(&fake.nr_pin_calls, 1);
	if (page->state != AIO_PAGE_PINNED)
		return;
	atomic_fetch_add(&fake.nr_pinned, 1);
	atomic_store(is_pinned(page->addr), true);
}

static void count_unpin(struct aio *aio, struct aio_page *page)
{
	real_ops->unpin(aio, page);
	atomic_fetch_sub(&fake.nr_pinned, 1);
	atomic_store(is_pinned(page->addr), false);
}

static void count_pins(struct aio *aio)
{
	static struct aio_ops counting;

	real_ops = aio->ops;
	counting = *real_ops;
	counting.pin = count_pin;
	counting.unpin = count_unpin;
	aio->ops = &counting;
}

static void pin(struct aio *aio, struct driver_io *io)
{
	if (!io->page)
		return;
	if (!has_data(io) || (char *)io->iov[0].iov_base < (char *)io->page->addr ||
		(char *)io->iov[0].iov_base >= (char *)io->page->addr + PAGE)
		atomic_fetch_add(&fake.nr_wrong_pages, 1);
	else if (aio_in_page(io))
		aio_pin(aio, io->page);
}

/* I/Os that are held; the worker's. It completes them when the test writes to the eventfd. */
static struct driver_io *held;
static struct driver_disk *held_disk;
static struct aio *watching;
static int release_fd = -1;

static void release_held(void *data)
{
	struct driver_io *io;
	uint64_t count;

	(void)data;
	assert_int_equal(read(release_fd, &count, sizeof(count)), sizeof(count));
	while ((io = held) != NULL) {
		held = io->next;
		atomic_fetch_sub(&fake.nr_held, 1);
		io->result = carry_out(held_disk, io);
		io->done(io);
	}
}

void fake_release(void)
{
	const uint64_t one = 1;

	atomic_store(&fake.holds, false);
	assert_int_equal(write(release_fd, &one, sizeof(one)), sizeof(one));
}

static enum driver_status submit(struct driver_disk *d, struct aio *aio, struct driver_io *io)
{
	if (watching != aio) {
		watching = aio;
		assert_int_equal(aio_watch(aio, release_fd, release_held, NULL), 0);
		count_pins(aio);
	}
	if (atomic_load(&fake.nr_busy)) {
		atomic_fetch_sub(&fake.nr_busy, 1);
		return DRIVER_BUSY;
	}
	pin(aio, io);
	if (atomic_load(&fake.holds)) {
		io->next = held;
		held = io;
		held_disk = d;
		atomic_fetch_add(&fake.nr_held, 1);
		return DRIVER_QUEUED;
	}
	io->result = carry_out(d, io);
	return DRIVER_COMPLETED;
}

static void close_disk(struct driver_disk *d)
{
	null_driver.close(d);
}

static const struct driver fake_driver = {
	.name = "fake", .close = close_disk, .submit = submit};
static const struct driver fake_empty_driver = {
	.name = "empty", .no_contents = true, .close = close_disk, .submit = submit};

/* ---- a guest ---- */

static void wait_for(bool (*is_so)(const void *data), const void *data, const char *what)
{
	uint64_t end = clock_ns() + WAIT_NS;

	while (!is_so(data)) {
		if (clock_ns() > end)
			fail_msg("never happened: %s", what);
		sched_yield();
	}
}

static void detached(struct queue *queue)
{
	atomic_store(&((struct fake_guest *)queue->owner)->detached, true);
}

static void broke(struct queue *queue)
{
	(void)queue;
	fail_msg("the ring is said to be broken");
}

static void lost(void)
{
	fail_msg("the worker lost its hypervisor");
}

static struct image *make_image(bool contents)
{
	static const struct image_cache_config no_cache = {.block_size = 4096};
	struct image *image;
	char error[128] = "";

	assert_int_equal(image_get("null:4M", false, &no_cache, &image, error, sizeof(error)), 0);
	/* The null disk's place and size, with a driver of ours. */
	image->disk->driver = contents ? &fake_driver : &fake_empty_driver;
	return image;
}

void fake_connect(struct fake_guest *guest, const struct queue_config *config, unsigned int order,
	bool contents)
{
	struct worker_config worker = {.policy = WORKER_SPIN, .window = 8,
		.registered_buffers = true, .lost = lost};
	struct queue_config own = *config;

	fake = (struct fake){.fail_map_at = 0};
	make_pages();
	watching = NULL;
	release_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(release_fd >= 0);
	*guest = (struct fake_guest){.nr_ring_pages = 1u << order};
	assert_int_equal(worker_create(&worker, &guest->worker), 0);
	guest->image = make_image(contents);
	own.nr_ring_pages = guest->nr_ring_pages;
	own.sring = aligned_alloc(PAGE, (size_t)own.nr_ring_pages * PAGE);
	assert_non_null(own.sring);
	memset(own.sring, 0, (size_t)own.nr_ring_pages * PAGE);
	SHARED_RING_INIT(own.sring);
	FRONT_RING_INIT(&guest->ring, own.sring, own.nr_ring_pages * PAGE);
	own.domid = 1;
	own.port = PORT;
	own.image = guest->image;
	assert_int_equal(queue_create(&own, guest->worker, &guest->queue), 0);
	guest->queue->owner = guest;
	guest->queue->detached = detached;
	guest->queue->broke = broke;
	worker_attach(guest->worker, guest->queue);
}

static bool is_true(const void *data)
{
	return atomic_load((const atomic_bool *)data);
}

static void nothing_in_use(const struct buffers *buffers)
{
	assert_int_equal(buffers->segments_few.nr_used, 0);
	assert_int_equal(buffers->segments_many.nr_used, 0);
	for (unsigned int i = 0; i < BUFFER_SIZES; i++)
		assert_int_equal(buffers->data[i].nr_used, 0);
}

void fake_disconnect(struct fake_guest *guest)
{
	worker_detach(guest->worker, guest->queue);
	wait_for(is_true, &guest->detached, "the queue is detached");
	assert_int_equal(atomic_load(&fake.nr_pinned), 0);
	nothing_in_use(worker_buffers(guest->worker));
	queue_destroy(guest->queue);
	assert_int_equal(atomic_load(&fake.nr_mapped), 0);
	assert_int_equal(atomic_load(&fake.nr_unmapped_pinned), 0);
	assert_int_equal(atomic_load(&fake.nr_wrong_pages), 0);
	worker_destroy(guest->worker);
	image_put(guest->image);
	free(guest->ring.sring);
	close(release_fd);
}

static void put(struct fake_guest *guest, blkif_request_t *req)
{
	assert_false(RING_FULL(&guest->ring));
	req->id = guest->next_id++;
	ring_copy_to(RING_GET_REQUEST(&guest->ring, guest->ring.req_prod_pvt), req, sizeof(*req));
	guest->ring.req_prod_pvt++;
}

static struct blkif_request_segment whole_page(unsigned int page)
{
	return (struct blkif_request_segment){.gref = FAKE_FIRST_GREF + page, .last_sect = 7};
}

void fake_put(struct fake_guest *guest, uint8_t op, uint64_t sector, unsigned int nr,
	unsigned int page)
{
	blkif_request_t req = {.operation = op, .nr_segments = (uint8_t)nr, .sector_number = sector};

	for (unsigned int i = 0; i < nr; i++)
		req.seg[i] = whole_page(page + i);
	put(guest, &req);
}

void fake_put_indirect(struct fake_guest *guest, uint8_t op, uint64_t sector, unsigned int nr,
	unsigned int page, unsigned int desc_page)
{
	struct blkif_request_segment *descs = (void *)fake_page(desc_page);
	blkif_request_indirect_t indirect = {.operation = BLKIF_OP_INDIRECT, .indirect_op = op,
		.nr_segments = (uint16_t)nr, .sector_number = sector,
		.indirect_grefs = {FAKE_FIRST_GREF + desc_page}};
	blkif_request_t req = {.operation = 0};

	for (unsigned int i = 0; i < nr; i++)
		descs[i] = whole_page(page + i);
	memcpy(&req, &indirect, sizeof(indirect));
	put(guest, &req);
}

void fake_push(struct fake_guest *guest)
{
	const uint64_t one = 1;

	ring_store_prod(&guest->ring.sring->req_prod, guest->ring.req_prod_pvt);
	/* Whether it is wanted or not. */
	assert_int_equal(write(evtchn.fd, &one, sizeof(one)), sizeof(one));
}

static bool has_response(const void *data)
{
	const struct fake_guest *guest = data;

	return ring_load_prod(&guest->ring.sring->rsp_prod) != guest->ring.rsp_cons;
}

int fake_take(struct fake_guest *guest)
{
	blkif_response_t rsp;

	wait_for(has_response, guest, "an answer");
	ring_copy_from(&rsp, RING_GET_RESPONSE(&guest->ring, guest->ring.rsp_cons), sizeof(rsp));
	guest->ring.rsp_cons++;
	return rsp.status;
}

struct expected {
	atomic_uint *figure;
	unsigned int value;
};

static bool has_value(const void *data)
{
	const struct expected *expected = data;

	return atomic_load(expected->figure) == expected->value;
}

void fake_wait(atomic_uint *figure, unsigned int value)
{
	wait_for(has_value, &(struct expected){figure, value}, "a figure has its value");
}
