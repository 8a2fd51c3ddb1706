/* SPDX-License-Identifier: MIT */
/*
 * blkcheck: reads and writes a whole disk through O_DIRECT and says in one line what it found. Runs
 * in a guest on its front end's device, and in dom0 on what is behind it; static, so that it runs
 * anywhere. Contents follow from a seed and the place, so two ends can be compared without a copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/fs.h>

#define BIG (1u << 20)
#define WRITE_MAX (64u << 10)
#define THREADS_MAX 64
#define WRITES_PER_FLUSH 16

static const char usage[] =
	"Usage: blkcheck size DEVICE                               in bytes\n"
	"       blkcheck fill DEVICE SEED                          write all of it\n"
	"       blkcheck sum DEVICE                                its checksum\n"
	"       blkcheck zeroes DEVICE                             that there is nothing else on it\n"
	"       blkcheck verify DEVICE SEED WRITES THREADS ALIGN   random writes, flushed, read back\n"
	"       blkcheck rate DEVICE read|write BYTES DEPTH SECONDS\n";

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...)
{
	va_list args;

	fputs("blkcheck: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* The finalizer of SplitMix64: a good 64-bit value of any two numbers. */
static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t z = a + b * 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || value < min || value > max)
		fail("bad number '%s'", text);
	return value;
}

static int open_disk(const char *path, int flags, uint64_t *size)
{
	struct stat st;
	int fd = open(path, flags | O_DIRECT | O_CLOEXEC);

	/* A copy in memory, whose file system has no direct I/O. */
	if (fd < 0 && errno == EINVAL)
		fd = open(path, flags | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		fail("%s: %s", path, strerror(errno));
	*size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, size))
		fail("%s: %s", path, strerror(errno));
	if (*size < BIG || *size % 512)
		fail("%s: a size of %" PRIu64 " bytes", path, *size);
	return fd;
}

static void *buffer(size_t size)
{
	void *p;

	if (posix_memalign(&p, 4096, size))
		fail("no memory");
	return p;
}

static void read_all(int fd, void *data, size_t len, uint64_t off)
{
	ssize_t n = pread(fd, data, len, (off_t)off);

	if (n != (ssize_t)len)
		fail("read of %zu at %" PRIu64 ": %s", len, off, n < 0 ? strerror(errno) : "short");
}

static void write_all(int fd, const void *data, size_t len, uint64_t off)
{
	ssize_t n = pwrite(fd, data, len, (off_t)off);

	if (n != (ssize_t)len)
		fail("write of %zu at %" PRIu64 ": %s", len, off, n < 0 ? strerror(errno) : "short");
}

static void flush(int fd)
{
	if (fsync(fd))
		fail("flush: %s", strerror(errno));
}

/* ---- the whole disk ---- */

static void fill(const char *path, uint64_t seed)
{
	uint64_t size, *data = buffer(BIG);
	int fd = open_disk(path, O_WRONLY, &size);

	for (uint64_t off = 0; off < size; off += BIG) {
		size_t len = size - off < BIG ? size - off : BIG;

		for (size_t i = 0; i < len / 8; i++)
			data[i] = mix(seed, off / 8 + i);
		write_all(fd, data, len, off);
	}
	flush(fd);
	printf("filled %" PRIu64 " bytes\n", size);
}

static void sum(const char *path)
{
	uint64_t size, total = 0, *data = buffer(BIG);
	int fd = open_disk(path, O_RDONLY, &size);

	for (uint64_t off = 0; off < size; off += BIG) {
		size_t len = size - off < BIG ? size - off : BIG;

		read_all(fd, data, len, off);
		for (size_t i = 0; i < len / 8; i++)
			total = mix(total ^ data[i], off / 8 + i);
	}
	printf("%016" PRIx64 " %" PRIu64 "\n", total, size);
}

static void zeroes(const char *path)
{
	uint64_t size, *data = buffer(BIG);
	int fd = open_disk(path, O_RDONLY, &size);

	for (uint64_t off = 0; off < size; off += BIG) {
		size_t len = size - off < BIG ? size - off : BIG;

		read_all(fd, data, len, off);
		for (size_t i = 0; i < len / 8; i++) {
			if (data[i])
				fail("not zero at byte %" PRIu64, off + i * 8);
		}
	}
	printf("%" PRIu64 " bytes, all zero\n", size);
}

/* ---- verified random writes: each thread has a part of the disk to itself ---- */

struct writer {
	pthread_t thread;
	int fd;
	uint64_t seed, start, size; /* of its part */
	uint64_t nr_writes;
	uint32_t align;
	uint32_t *versions; /* of each block of its part; 0: not written */
	uint64_t nr_verified;
};

static void make_block(const struct writer *w, uint64_t block, uint64_t *data)
{
	uint64_t key = mix(w->seed + w->versions[block], w->start + block);

	for (size_t i = 0; i < w->align / 8; i++)
		data[i] = mix(key, i);
}

static void write_random(struct writer *w, uint64_t nr, uint64_t *data)
{
	uint64_t random = mix(w->seed ^ w->start, nr), nr_blocks = w->size / w->align;
	uint64_t block = random % nr_blocks, count = 1 + (random >> 32) % (WRITE_MAX / w->align);

	if (count > nr_blocks - block)
		count = nr_blocks - block;
	for (uint64_t i = 0; i < count; i++) {
		w->versions[block + i] = (uint32_t)nr + 1;
		make_block(w, block + i, data + i * (w->align / 8));
	}
	write_all(w->fd, data, count * w->align, w->start + block * w->align);
}

static void read_back(struct writer *w, uint64_t *data, uint64_t *want)
{
	for (uint64_t off = 0; off < w->size; off += BIG) {
		size_t len = w->size - off < BIG ? w->size - off : BIG;

		read_all(w->fd, data, len, w->start + off);
		for (uint64_t block = off / w->align; block < (off + len) / w->align; block++) {
			if (!w->versions[block])
				continue;
			make_block(w, block, want);
			if (memcmp((char *)data + (block * w->align - off), want, w->align) != 0)
				fail("wrong data at byte %" PRIu64, w->start + block * w->align);
			w->nr_verified++;
		}
	}
}

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	uint64_t *data = buffer(BIG), *want = buffer(w->align);

	for (uint64_t i = 0; i < w->nr_writes; i++) {
		write_random(w, i, data);
		if (i % WRITES_PER_FLUSH == WRITES_PER_FLUSH - 1)
			flush(w->fd);
	}
	flush(w->fd);
	read_back(w, data, want);
	free(data);
	free(want);
	return NULL;
}

static void verify(const char *path, uint64_t seed, uint64_t nr_writes, unsigned int nr_threads,
	uint32_t align)
{
	static struct writer writers[THREADS_MAX];
	uint64_t size, part, nr_verified = 0;
	int fd = open_disk(path, O_RDWR, &size);

	part = size / nr_threads / BIG * BIG;
	if (!part || WRITE_MAX % align || align % 512)
		fail("%s: too small for %u threads, or bad alignment %u", path, nr_threads, align);
	for (unsigned int i = 0; i < nr_threads; i++) {
		writers[i] = (struct writer){.fd = fd, .seed = seed, .start = i * part, .size = part,
			.nr_writes = nr_writes / nr_threads, .align = align};
		writers[i].versions = calloc(part / align, sizeof(*writers[i].versions));
		if (!writers[i].versions ||
			pthread_create(&writers[i].thread, NULL, writer_run, &writers[i]))
			fail("no memory or no thread");
	}
	for (unsigned int i = 0; i < nr_threads; i++) {
		pthread_join(writers[i].thread, NULL);
		nr_verified += writers[i].nr_verified;
	}
	printf("verified %" PRIu64 " blocks of %u after %" PRIu64 " writes\n", nr_verified, align,
		nr_writes / nr_threads * nr_threads);
}

/* ---- rates ---- */

struct runner {
	pthread_t thread;
	int fd;
	bool write;
	uint64_t size, seed;
	uint32_t len;
	double end;
	uint64_t nr_done;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *runner_run(void *arg)
{
	struct runner *r = arg;
	void *data = buffer(r->len);

	memset(data, (int)r->seed, r->len);
	while (now() < r->end) {
		uint64_t off = mix(r->seed, r->nr_done) % (r->size / r->len) * r->len;

		if (r->write)
			write_all(r->fd, data, r->len, off);
		else
			read_all(r->fd, data, r->len, off);
		r->nr_done++;
	}
	free(data);
	return NULL;
}

static void rate(const char *path, const char *what, uint32_t len, unsigned int depth, double seconds)
{
	static struct runner runners[THREADS_MAX];
	bool write = strcmp(what, "write") == 0;
	uint64_t size, nr_done = 0;
	int fd = open_disk(path, write ? O_RDWR : O_RDONLY, &size);
	double start = now();

	for (unsigned int i = 0; i < depth; i++) {
		runners[i] = (struct runner){.fd = fd, .write = write, .size = size, .seed = i + 1,
			.len = len, .end = start + seconds};
		if (pthread_create(&runners[i].thread, NULL, runner_run, &runners[i]))
			fail("no thread");
	}
	for (unsigned int i = 0; i < depth; i++) {
		pthread_join(runners[i].thread, NULL);
		nr_done += runners[i].nr_done;
	}
	seconds = now() - start;
	printf("%s %u bytes depth %u: %.0f per s, %.1f MB/s\n", what, len, depth,
		(double)nr_done / seconds, (double)nr_done * len / seconds / 1e6);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	if (strcmp(what, "size") == 0 && argc == 3) {
		uint64_t size;

		open_disk(argv[2], O_RDONLY, &size);
		printf("%" PRIu64 "\n", size);
	} else if (strcmp(what, "fill") == 0 && argc == 4) {
		fill(argv[2], number(argv[3], 0, UINT64_MAX));
	} else if (strcmp(what, "sum") == 0 && argc == 3) {
		sum(argv[2]);
	} else if (strcmp(what, "zeroes") == 0 && argc == 3) {
		zeroes(argv[2]);
	} else if (strcmp(what, "verify") == 0 && argc == 7) {
		verify(argv[2], number(argv[3], 0, UINT64_MAX), number(argv[4], 1, 1u << 30),
			(unsigned int)number(argv[5], 1, THREADS_MAX),
			(uint32_t)number(argv[6], 512, WRITE_MAX));
	} else if (strcmp(what, "rate") == 0 && argc == 7) {
		rate(argv[2], argv[3], (uint32_t)number(argv[4], 512, BIG),
			(unsigned int)number(argv[5], 1, THREADS_MAX), (double)number(argv[6], 1, 3600));
	} else {
		fputs(usage, stderr);
		return 2;
	}
	return 0;
}
