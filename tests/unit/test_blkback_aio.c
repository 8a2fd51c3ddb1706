/* SPDX-License-Identifier: MIT */
/* Asynchronous I/O, both implementations, on a real file with O_DIRECT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blkback/aio.h"
#include "blkback/driver.h"
#include "common/clock.h"
#include "common/list.h"

#define SECTOR 512u
#define NR_SECTORS 2048u
#define MAX_IO (16 * SECTOR)
#define WAIT_NS (10 * NSEC_PER_SEC)

static const enum aio_kind kinds[] = {AIO_URING, AIO_THREADS};
static char path[64];

/* One I/O of a test. */
struct io {
	struct driver_io io;
	struct iovec iov[4];
	unsigned char *buf;
	bool done;
	uint32_t version;
};

static unsigned int nr_done;

static void io_done(struct driver_io *io)
{
	struct io *t = container_of(io, struct io, io);

	assert_false(t->done);
	t->done = true;
	nr_done++;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static struct aio *make_aio(enum aio_kind kind)
{
	struct aio *aio = NULL;

	assert_int_equal(aio_create(kind, &aio), 0);
	assert_int_equal(aio_start(aio), 0);
	return aio;
}

static struct driver_disk *open_image(bool read_only)
{
	struct driver_disk *disk = NULL;
	char error[128] = "";

	if (driver_open(path, read_only, &disk, error, sizeof(error)))
		fail_msg("%s: %s", path, error);
	return disk;
}

static void init_io(struct io *t, enum driver_op op, uint64_t sector, uint32_t nr)
{
	unsigned int parts = op == DRIVER_READ || op == DRIVER_WRITE ? 1 + nr % 4 : 0;
	size_t at = 0, len = (size_t)nr * SECTOR;

	t->done = false;
	t->io = (struct driver_io){.op = op, .offset = sector * SECTOR, .len = len, .iov = t->iov,
		.nr_iov = parts, .done = io_done, .result = 1};
	for (unsigned int i = 0; i < parts; i++) {
		size_t part = i + 1 < parts ? (nr / parts) * SECTOR : len - at;

		t->iov[i] = (struct iovec){t->buf + at, part};
		at += part;
	}
	/* A piece without length is nothing that the core makes. */
	if (parts > 1 && t->iov[0].iov_len == 0) {
		t->iov[0] = (struct iovec){t->buf, len};
		t->io.nr_iov = 1;
	}
}

/* Waits until `nr` of the I/Os since nr_done was reset have ended. */
static void reap_until(struct aio *aio, unsigned int nr)
{
	uint64_t end = clock_ns() + WAIT_NS;

	aio_kick(aio);
	while (nr_done < nr) {
		if (aio_reap(aio) == 0) {
			assert_true(clock_ns() < end);
			aio_wait(aio, NSEC_PER_SEC);
		}
	}
}

static int do_io(struct aio *aio, struct driver_disk *disk, struct io *t, enum driver_op op,
	uint64_t sector, uint32_t nr)
{
	nr_done = 0;
	init_io(t, op, sector, nr);
	assert_int_equal(disk->driver->submit(disk, aio, &t->io), DRIVER_QUEUED);
	assert_false(t->done);
	reap_until(aio, 1);
	assert_int_equal(aio->nr_in_flight, 0);
	return t->io.result;
}

static void stamp(unsigned char *buf, uint64_t sector, uint32_t nr, uint32_t version)
{
	for (uint32_t i = 0; i < nr * SECTOR; i++)
		buf[i] = version ? (unsigned char)((sector + i / SECTOR) * 31 + version * 7 + i) : 0;
}

static void check_stamp(const unsigned char *buf, uint64_t sector, uint32_t version)
{
	static unsigned char want[SECTOR];

	stamp(want, sector, 1, version);
	assert_memory_equal(buf, want, SECTOR);
}

/* Non-overlapping random I/Os, many at a time, against a model. */
static void random_io_is_right(void **state)
{
	enum { DEPTH = 64, SPAN = NR_SECTORS / DEPTH };
	static uint32_t versions[NR_SECTORS];
	static struct io ios[DEPTH];
	uint64_t rnd = 12345;

	(void)state;
	for (unsigned int i = 0; i < DEPTH; i++)
		ios[i].buf = aligned_alloc(4096, MAX_IO);
	for (unsigned int k = 0; k < 2; k++) {
		struct aio *aio = make_aio(kinds[k]);
		struct driver_disk *disk = open_image(false);

		memset(versions, 0, sizeof(versions));
		assert_int_equal(do_io(aio, disk, &ios[0], DRIVER_DISCARD, 0, NR_SECTORS), 0);
		for (unsigned int round = 1; round <= 60; round++) {
			nr_done = 0;
			for (unsigned int i = 0; i < DEPTH; i++) {
				uint64_t r = next_random(&rnd);
				uint32_t nr = 1 + (uint32_t)(r >> 8) % 16;
				uint64_t sector = i * SPAN + (r >> 32) % (SPAN - nr + 1);
				enum driver_op op = r % 8 == 0 ? DRIVER_DISCARD
					: r % 16 == 1	       ? DRIVER_FLUSH
					: r & 1		       ? DRIVER_WRITE
							       : DRIVER_READ;

				init_io(&ios[i], op, sector, nr);
				if (op == DRIVER_WRITE)
					stamp(ios[i].buf, sector, nr, round);
				for (uint32_t s = 0; s < nr; s++)
					if (op == DRIVER_WRITE || op == DRIVER_DISCARD)
						versions[sector + s] = op == DRIVER_WRITE ? round : 0;
				assert_int_equal(disk->driver->submit(disk, aio, &ios[i].io),
					DRIVER_QUEUED);
			}
			reap_until(aio, DEPTH);
			for (unsigned int i = 0; i < DEPTH; i++) {
				uint64_t sector = ios[i].io.offset / SECTOR;

				assert_int_equal(ios[i].io.result, 0);
				for (uint32_t s = 0; ios[i].io.op == DRIVER_READ &&
					s < ios[i].io.len / SECTOR; s++)
					check_stamp(ios[i].buf + s * SECTOR, sector + s,
						versions[sector + s]);
			}
		}
		for (uint64_t s = 0; s < NR_SECTORS; s++) {
			assert_int_equal(do_io(aio, disk, &ios[0], DRIVER_READ, s, 1), 0);
			check_stamp(ios[0].buf, s, versions[s]);
		}
		disk->driver->close(disk);
		aio_destroy(aio);
	}
	for (unsigned int i = 0; i < DEPTH; i++)
		free(ios[i].buf);
}

static void more_than_the_depth_is_busy(void **state)
{
	struct io *ios = calloc(AIO_DEPTH + 1, sizeof(*ios));
	unsigned char *buf = aligned_alloc(4096, (AIO_DEPTH + 8) * SECTOR);

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		struct aio *aio = make_aio(kinds[k]);
		struct driver_disk *disk = open_image(true);

		nr_done = 0;
		for (unsigned int i = 0; i <= AIO_DEPTH; i++) {
			ios[i].buf = buf + i * SECTOR;
			init_io(&ios[i], DRIVER_READ, i % NR_SECTORS, 1);
			assert_int_equal(disk->driver->submit(disk, aio, &ios[i].io),
				i < AIO_DEPTH ? DRIVER_QUEUED : DRIVER_BUSY);
		}
		reap_until(aio, AIO_DEPTH);
		assert_false(ios[AIO_DEPTH].done);
		assert_int_equal(
			disk->driver->submit(disk, aio, &ios[AIO_DEPTH].io), DRIVER_QUEUED);
		reap_until(aio, AIO_DEPTH + 1);
		assert_int_equal(aio->nr_in_flight, 0);
		disk->driver->close(disk);
		aio_destroy(aio);
	}
	free(buf);
	free(ios);
}

static void a_file_that_became_shorter_is_an_error(void **state)
{
	struct io t = {.buf = aligned_alloc(4096, MAX_IO)};

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		struct aio *aio = make_aio(kinds[k]);
		struct driver_disk *disk = open_image(true);

		assert_int_equal(truncate(path, 100 * SECTOR), 0);
		assert_int_equal(do_io(aio, disk, &t, DRIVER_READ, 92, 8), 0);
		assert_int_equal(do_io(aio, disk, &t, DRIVER_READ, 96, 8), -EIO);
		assert_int_equal(do_io(aio, disk, &t, DRIVER_READ, 97, 7), -EIO);
		assert_int_equal(do_io(aio, disk, &t, DRIVER_READ, 100, 8), -EIO);
		assert_int_equal(do_io(aio, disk, &t, DRIVER_READ, 2000, 3), -EIO);
		assert_int_equal(truncate(path, NR_SECTORS * SECTOR), 0);
		disk->driver->close(disk);
		aio_destroy(aio);
	}
	free(t.buf);
}

static void errors_come_back(void **state)
{
	struct io t = {.buf = aligned_alloc(4096, MAX_IO)};

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		struct aio *aio = make_aio(kinds[k]);
		struct driver_disk *disk = open_image(true);

		/* The core refuses this before; the kernel does, too. */
		assert_int_equal(do_io(aio, disk, &t, DRIVER_WRITE, 0, 8), -EBADF);
		assert_int_equal(do_io(aio, disk, &t, DRIVER_DISCARD, 0, 8), -EBADF);
		disk->driver->close(disk);
		aio_destroy(aio);
	}
	free(t.buf);
}

/* ---- watches ---- */

static atomic_uint nr_readable;

static void readable(void *data)
{
	uint64_t count;

	/* Counted last: then the next one is written, and must not be read here, too. */
	if (read(*(int *)data, &count, sizeof(count)) == sizeof(count))
		nr_readable++;
}

static void *write_later(void *data)
{
	const uint64_t one = 1;

	for (int i = 0; i < 100; i++) {
		while (nr_readable < (unsigned int)i)
			sched_yield();
		if (write(*(int *)data, &one, sizeof(one)) < 0)
			return data;
	}
	return NULL;
}

static void a_watch_wakes_whoever_waits(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pthread_t thread;
	void *failed;

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		struct aio *aio = make_aio(kinds[k]);
		uint64_t end = clock_ns() + WAIT_NS;

		nr_readable = 0;
		assert_int_equal(aio_watch(aio, fd, readable, &fd), 0);
		assert_int_equal(aio_reap(aio), 0);
		assert_int_equal(pthread_create(&thread, NULL, write_later, &fd), 0);
		/* Without limit: a lost wake-up would hang. */
		while (nr_readable < 100) {
			assert_true(clock_ns() < end);
			if (aio_reap(aio) == 0)
				aio_wait(aio, -1);
		}
		pthread_join(thread, &failed);
		assert_null(failed);
		assert_int_equal(nr_readable, 100);
		/* With nothing to come a time limit ends the wait. */
		aio_wait(aio, NSEC_PER_MSEC);
		assert_int_equal(aio_reap(aio), 0);
		aio_destroy(aio);
	}
	close(fd);
}

static void too_many_watches_are_refused(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		struct aio *aio = make_aio(kinds[k]);

		for (unsigned int i = 0; i < AIO_MAX_WATCHES; i++)
			assert_int_equal(aio_watch(aio, fd, readable, &fd), 0);
		assert_int_equal(aio_watch(aio, fd, readable, &fd), -ENOSPC);
		aio_destroy(aio);
	}
	close(fd);
}

/* ---- without io_uring ---- */

static int forbid_io_uring(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* In a child, for a filter stays for ever. */
static int try_without_uring(void)
{
	struct aio *aio = NULL;
	int rc;

	if (forbid_io_uring())
		return 2;
	if (aio_create(AIO_URING, &aio) != -EPERM)
		return 3;
	if (aio_create(AIO_AUTO, &aio) || aio_start(aio))
		return 4;
	rc = strcmp(aio->ops->name, "threads") ? 5 : 0;
	aio_destroy(aio);
	return rc;
}

static void threads_step_in_where_io_uring_is_forbidden(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(try_without_uring());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- opening ---- */

static void targets_that_are_no_disk_are_refused(void **state)
{
	static const char *const bad[] = {"/nonexistent", "/", "/dev/null", "null:", "null:0",
		"null:100", "null:-1", "null:1x", "file:", ""};
	struct driver_disk *disk = NULL;
	char error[128];

	(void)state;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		error[0] = '\0';
		assert_true(driver_open(bad[i], true, &disk, error, sizeof(error)) < 0);
		assert_string_not_equal(error, "");
		assert_null(disk);
	}
}

/* It must not wait for somebody at the other end. */
static void a_pipe_is_refused_at_once(void **state)
{
	struct driver_disk *disk = NULL;
	char fifo[80], error[128] = "";

	(void)state;
	snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_true(driver_open(fifo, true, &disk, error, sizeof(error)) < 0);
	assert_true(driver_open(fifo, false, &disk, error, sizeof(error)) < 0);
	assert_string_not_equal(error, "");
	unlink(fifo);
}

static void a_writer_excludes_others(void **state)
{
	struct driver_disk *first = open_image(false), *second = NULL;
	char error[128] = "";

	(void)state;
	assert_true(driver_open(path, true, &second, error, sizeof(error)) < 0);
	assert_string_equal(error, "another process has locked it");
	first->driver->close(first);
	first = open_image(true);
	second = open_image(true);
	second->driver->close(second);
	assert_true(driver_open(path, false, &second, error, sizeof(error)) < 0);
	first->driver->close(first);
}

static int make_file(void **state)
{
	/* tmpfs has direct I/O only in newer kernels. */
	static const char *const folders[] = {"/var/tmp", "/tmp", "."};

	(void)state;
	for (unsigned int i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/rf-aio.XXXXXX", folders[i]);
		fd = mkostemp(path, O_DIRECT);
		if (fd >= 0) {
			int rc = ftruncate(fd, NR_SECTORS * SECTOR);

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
		cmocka_unit_test(random_io_is_right),
		cmocka_unit_test(more_than_the_depth_is_busy),
		cmocka_unit_test(a_file_that_became_shorter_is_an_error),
		cmocka_unit_test(errors_come_back),
		cmocka_unit_test(a_watch_wakes_whoever_waits),
		cmocka_unit_test(too_many_watches_are_refused),
		cmocka_unit_test(threads_step_in_where_io_uring_is_forbidden),
		cmocka_unit_test(targets_that_are_no_disk_are_refused),
		cmocka_unit_test(a_pipe_is_refused_at_once),
		cmocka_unit_test(a_writer_excludes_others),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_file, remove_file);
}
