/* SPDX-License-Identifier: MIT */
/* Pinned pages: registered buffers of a real io_uring, on a real file with O_DIRECT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blkback/aio.h"
#include "blkback/driver.h"
#include "common/clock.h"

#define PAGE AIO_PAGE_SIZE
#define SECTOR 512u
#define NR_BLOCKS 64u /* of a page, in the file */
#define WAIT_NS (10 * NSEC_PER_SEC)

static char path[64];
static bool done;

static void io_done(struct driver_io *io)
{
	(void)io;
	done = true;
}

/* ---- what a test has ---- */

struct bench {
	struct aio *aio;
	struct driver_disk *disk;
};

static int set_up(struct bench *b, enum aio_kind kind, bool allow)
{
	char error[128] = "";
	int rc = driver_open(path, false, &b->disk, error, sizeof(error));

	if (rc == 0)
		rc = aio_create(kind, &b->aio);
	if (rc == 0 && allow)
		aio_allow_pins(b->aio);
	return rc ? rc : aio_start(b->aio);
}

static void tear_down(struct bench *b)
{
	aio_destroy(b->aio);
	b->disk->driver->close(b->disk);
}

/* A vector's I/O by the file driver; its result. */
static int do_iov(struct bench *b, enum driver_op op, uint64_t offset, struct iovec *iov,
	unsigned int nr_iov, struct aio_page *page)
{
	struct driver_io io = {.op = op, .offset = offset, .iov = iov, .nr_iov = nr_iov,
		.page = page, .done = io_done, .result = 1};
	uint64_t end = clock_ns() + WAIT_NS;

	for (unsigned int i = 0; i < nr_iov; i++)
		io.len += iov[i].iov_len;
	done = false;
	if (b->disk->driver->submit(b->disk, b->aio, &io) != DRIVER_QUEUED)
		return 2;
	aio_kick(b->aio);
	while (!done && clock_ns() < end) {
		if (aio_reap(b->aio) == 0)
			aio_wait(b->aio, NSEC_PER_SEC);
	}
	return done ? io.result : 3;
}

static int do_io(struct bench *b, enum driver_op op, uint64_t offset, void *at, size_t len,
	struct aio_page *page)
{
	struct iovec iov = {at, len};

	return do_iov(b, op, offset, &iov, 1, page);
}

/* So that the next I/O, or this call, pins it. */
static void pin(struct bench *b, struct aio_page *page)
{
	page->nr_ios = AIO_PIN_AFTER - 1;
	aio_pin(b->aio, page);
}

static struct aio_page lasting(void *addr)
{
	return (struct aio_page){.addr = addr, .state = AIO_PAGE_LASTING};
}

static char *make_pages(unsigned int nr)
{
	char *pages = aligned_alloc(PAGE, (size_t)nr * PAGE);

	assert_non_null(pages);
	memset(pages, 0, (size_t)nr * PAGE);
	return pages;
}

/* Writes the page to the file and reads it back to its place. Returns 0 if that is right. */
static int round_trip(struct bench *b, struct aio_page *page, char seed)
{
	memset(page->addr, seed, PAGE);
	if (do_io(b, DRIVER_WRITE, PAGE, page->addr, PAGE, page))
		return 1;
	memset(page->addr, 0, PAGE);
	if (do_io(b, DRIVER_READ, PAGE, page->addr, PAGE, page))
		return 2;
	for (unsigned int i = 0; i < PAGE; i++) {
		if (((char *)page->addr)[i] != seed)
			return 3;
	}
	return 0;
}

/* ---- pinned and not ---- */

/* Any part of a page, before and after it is pinned, against a model. */
static void data_are_right(void **state)
{
	static const enum aio_kind kinds[] = {AIO_URING, AIO_THREADS};
	static char model[NR_BLOCKS * PAGE];
	char *at = make_pages(1);
	unsigned int rnd = 1;

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		struct aio_page page = lasting(at);
		struct bench b;

		assert_int_equal(set_up(&b, kinds[k], true), 0);
		for (unsigned int block = 0; block < NR_BLOCKS; block++) {
			memset(at, (int)block, PAGE);
			memset(model + block * PAGE, (int)block, PAGE);
			assert_int_equal(do_io(&b, DRIVER_WRITE, block * PAGE, at, PAGE, NULL), 0);
		}
		for (unsigned int i = 0; i < 2000; i++) {
			uint32_t first, nr, offset;

			rnd = rnd * 1103515245 + 12345;
			first = rnd >> 8 & 7;
			nr = 1 + (rnd >> 12) % (8 - first);
			offset = (rnd >> 16) % (NR_BLOCKS * 8 - nr) * SECTOR;
			if (rnd & 1u << 30) {
				memset(at + first * SECTOR, (int)i, nr * SECTOR);
				memset(model + offset, (int)i, nr * SECTOR);
				assert_int_equal(do_io(&b, DRIVER_WRITE, offset,
					at + first * SECTOR, nr * SECTOR, &page), 0);
			} else {
				assert_int_equal(do_io(&b, DRIVER_READ, offset,
					at + first * SECTOR, nr * SECTOR, &page), 0);
				assert_memory_equal(
					at + first * SECTOR, model + offset, nr * SECTOR);
			}
			assert_int_equal(page.state == AIO_PAGE_PINNED,
				kinds[k] == AIO_URING && i + 1 >= AIO_PIN_AFTER);
		}
		aio_unpin(b.aio, &page);
		assert_int_equal(page.state, AIO_PAGE_LASTING);
		assert_int_equal(round_trip(&b, &page, 9), 0);
		tear_down(&b);
	}
	free(at);
}

/*
 * Other memory takes the place of a pinned page's: the pinned one gets the data, the address does
 * not count. Once it is unpinned, it does.
 */
static void the_kernel_holds_pinned_pages_only(void **state)
{
	int fd = memfd_create("page", MFD_CLOEXEC);
	struct aio_page page;
	struct bench b;
	char *own, *at;

	(void)state;
	assert_int_equal(ftruncate(fd, PAGE), 0);
	own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(own != MAP_FAILED && at != MAP_FAILED);
	page = lasting(at);
	assert_int_equal(set_up(&b, AIO_URING, true), 0);
	assert_int_equal(round_trip(&b, &page, 5), 0);
	pin(&b, &page);
	assert_int_equal(page.state, AIO_PAGE_PINNED);
	assert_true(mmap(at, PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	memset(own, 0, PAGE);
	assert_int_equal(do_io(&b, DRIVER_READ, PAGE, at, PAGE, &page), 0);
	assert_int_equal(own[0], 5);
	assert_int_equal(at[0], 0);
	memset(own, 6, PAGE);
	assert_int_equal(do_io(&b, DRIVER_WRITE, PAGE, at, PAGE, &page), 0);
	aio_unpin(b.aio, &page);
	memset(own, 0, PAGE);
	assert_int_equal(do_io(&b, DRIVER_READ, PAGE, at, PAGE, &page), 0);
	assert_int_equal(own[0], 0);
	assert_int_equal(at[0], 6);
	tear_down(&b);
	munmap(own, PAGE);
	munmap(at, PAGE);
	close(fd);
}

/* The page that the data begin in is not all of it. */
static void data_that_leave_the_page_go_without(void **state)
{
	char *pages = make_pages(3);
	struct aio_page page = lasting(pages);
	struct iovec iov[2];
	struct bench b;

	(void)state;
	assert_int_equal(set_up(&b, AIO_URING, true), 0);
	pin(&b, &page);
	for (unsigned int i = 0; i < 3 * PAGE; i++)
		pages[i] = (char)(i / SECTOR);
	/* On from the page's last sector; and to a page elsewhere. */
	assert_int_equal(do_io(&b, DRIVER_WRITE, 0, pages + 7 * SECTOR, PAGE, &page), 0);
	iov[0] = (struct iovec){pages, SECTOR};
	iov[1] = (struct iovec){pages + 2 * PAGE, PAGE - SECTOR};
	assert_int_equal(do_iov(&b, DRIVER_READ, 0, iov, 2, &page), 0);
	assert_int_equal(pages[0], 7);
	for (unsigned int i = 0; i < 7; i++)
		assert_int_equal(pages[2 * PAGE + i * SECTOR], 8 + i);
	tear_down(&b);
	free(pages);
}

static void nothing_is_pinned_unasked(void **state)
{
	char *at = make_pages(1);
	struct aio_page page = lasting(at), passing = {.addr = at};
	struct bench b;

	(void)state;
	assert_int_equal(set_up(&b, AIO_URING, false), 0);
	pin(&b, &page);
	assert_int_equal(page.state, AIO_PAGE_LASTING);
	assert_int_equal(round_trip(&b, &page, 1), 0);
	tear_down(&b);
	assert_int_equal(set_up(&b, AIO_URING, true), 0);
	pin(&b, &passing);
	assert_int_equal(passing.state, AIO_PAGE_PASSING);
	assert_int_equal(round_trip(&b, &passing, 2), 0);
	tear_down(&b);
	free(at);
}

/* ---- the table ---- */

static void places_are_used_again(void **state)
{
	enum { NR = 32 };
	char *pages = make_pages(2 * NR);
	struct aio_page page[2 * NR];
	struct bench b;

	(void)state;
	assert_int_equal(set_up(&b, AIO_URING, true), 0);
	for (unsigned int i = 0; i < 2 * NR; i++)
		page[i] = lasting(pages + i * PAGE);
	for (unsigned int i = 0; i < NR; i++)
		pin(&b, &page[i]);
	assert_int_equal(b.aio->nr_pinned, NR);
	/* Every other gives its place to one of the second half. */
	for (unsigned int i = 0; i < NR; i += 2) {
		aio_unpin(b.aio, &page[i]);
		pin(&b, &page[NR + i]);
		assert_int_equal(page[NR + i].state, AIO_PAGE_PINNED);
		assert_int_equal(page[NR + i].index, page[i].index);
	}
	assert_int_equal(b.aio->nr_pinned, NR);
	for (unsigned int i = 0; i < 2 * NR; i++)
		assert_int_equal(round_trip(&b, &page[i], (char)(i + 1)), 0);
	tear_down(&b);
	free(pages);
}

static void a_full_table_takes_no_more(void **state)
{
	struct aio_page *page = calloc(AIO_MAX_PINNED + 2, sizeof(*page));
	char *at = make_pages(1);
	struct bench b;

	(void)state;
	assert_non_null(page);
	assert_int_equal(set_up(&b, AIO_URING, true), 0);
	for (unsigned int i = 0; i < AIO_MAX_PINNED + 2; i++) {
		page[i] = lasting(at);
		pin(&b, &page[i]);
		assert_int_equal(page[i].state == AIO_PAGE_PINNED, i < AIO_MAX_PINNED);
	}
	assert_int_equal(b.aio->nr_pinned, AIO_MAX_PINNED);
	assert_int_equal(round_trip(&b, &page[AIO_MAX_PINNED], 1), 0);
	assert_int_equal(round_trip(&b, &page[AIO_MAX_PINNED - 1], 2), 0);
	aio_unpin(b.aio, &page[100]);
	pin(&b, &page[AIO_MAX_PINNED]);
	assert_int_equal(page[AIO_MAX_PINNED].state, AIO_PAGE_PINNED);
	assert_int_equal(round_trip(&b, &page[AIO_MAX_PINNED], 3), 0);
	pin(&b, &page[AIO_MAX_PINNED + 1]);
	assert_int_equal(page[AIO_MAX_PINNED + 1].state, AIO_PAGE_LASTING);
	tear_down(&b);
	free(at);
	free(page);
}

/* ---- where it is not possible ---- */

static void what_cannot_be_pinned_goes_without(void **state)
{
	char *at = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct aio_page page = lasting(at);
	struct bench b;

	(void)state;
	assert_true(at != MAP_FAILED);
	assert_int_equal(set_up(&b, AIO_URING, true), 0);
	pin(&b, &page);
	assert_int_equal(page.state, AIO_PAGE_LASTING);
	/* It was a lesson: no other is tried. */
	assert_int_equal(b.aio->max_pinned, 0);
	assert_int_equal(do_io(&b, DRIVER_WRITE, 0, at, PAGE, &page), 0);
	tear_down(&b);
	munmap(at, PAGE);
}

/* In a child, each: what they do to themselves stays. */
static int in_a_child(int (*run)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(run());
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status)
									     : -1;
}

/* A user that nobody else is, whose locked memory has a limit. */
static int try_with_little_memory(void)
{
	enum { NR = 64, LIMIT = 32 };
	const struct rlimit limit = {LIMIT * PAGE, LIMIT * PAGE};
	static struct aio_page page[NR];
	static _Alignas(PAGE) char pages[NR * PAGE];
	struct bench b;
	unsigned int nr;

	if (chmod(path, 0666) || setrlimit(RLIMIT_MEMLOCK, &limit) ||
		(geteuid() == 0 && setresuid(54321, 54321, 54321)))
		return 10;
	if (set_up(&b, AIO_URING, true))
		return 11;
	for (unsigned int i = 0; i < NR; i++) {
		page[i] = lasting(pages + i * PAGE);
		pin(&b, &page[i]);
	}
	nr = b.aio->nr_pinned;
	if (nr == 0 || nr > LIMIT || b.aio->max_pinned != nr)
		return 12;
	for (unsigned int i = 0; i < NR; i++) {
		if ((page[i].state == AIO_PAGE_PINNED) != (i < nr) || round_trip(&b, &page[i], 1))
			return 13;
	}
	/* One that goes makes room for one. */
	aio_unpin(b.aio, &page[0]);
	pin(&b, &page[NR - 1]);
	pin(&b, &page[NR - 2]);
	if (page[NR - 1].state != AIO_PAGE_PINNED || page[NR - 2].state == AIO_PAGE_PINNED)
		return 14;
	return round_trip(&b, &page[NR - 1], 2) || round_trip(&b, &page[0], 3) ? 15 : 0;
}

static void the_limit_of_locked_memory_is_kept(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(try_with_little_memory), 0);
}

static int forbid_buffers(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_register, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IORING_REGISTER_BUFFERS2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static int try_without_table(void)
{
	static _Alignas(PAGE) char at[PAGE];
	struct aio_page page = lasting(at);
	struct bench b;

	if (forbid_buffers() || set_up(&b, AIO_URING, true))
		return 10;
	pin(&b, &page);
	if (page.state != AIO_PAGE_LASTING || b.aio->max_pinned)
		return 11;
	return round_trip(&b, &page, 1);
}

static void a_kernel_without_them_serves_as_well(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(try_without_table), 0);
}

static int make_file(void **state)
{
	/* tmpfs has direct I/O only in newer kernels. */
	static const char *const folders[] = {"/var/tmp", "/tmp", "."};

	(void)state;
	for (unsigned int i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/rf-pins.XXXXXX", folders[i]);
		fd = mkostemp(path, O_DIRECT);
		if (fd >= 0) {
			int rc = ftruncate(fd, NR_BLOCKS * PAGE);

			close(fd);
			return rc;
		}
	}
	return -1;
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_are_right),
		cmocka_unit_test(the_kernel_holds_pinned_pages_only),
		cmocka_unit_test(data_that_leave_the_page_go_without),
		cmocka_unit_test(nothing_is_pinned_unasked),
		cmocka_unit_test(places_are_used_again),
		cmocka_unit_test(a_full_table_takes_no_more),
		cmocka_unit_test(what_cannot_be_pinned_goes_without),
		cmocka_unit_test(the_limit_of_locked_memory_is_kept),
		cmocka_unit_test(a_kernel_without_them_serves_as_well),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_file, remove_file);
}
