/* SPDX-License-Identifier: MIT */
/*
 * Writes through libringfence, and whether they are what others see:
 *	blkfront_writer write DISK FIRST NR OPS SEED   random writes, discards, flushes and reads of
 *	                                               sectors FIRST..FIRST+NR-1, each read verified
 *	blkfront_writer verify DISK FIRST NR OPS SEED  another domain: what should be there now
 *	blkfront_writer file PATH FIRST NR OPS SEED    the same in the image itself
 *	blkfront_writer coherence DISK ROUNDS          two domains: what one writes the other one reads
 *	blkfront_writer null DISK OPS                  a disk without contents: only that all succeeds
 */
#include <ringfence/blkfront.h>
#include <ringfence/domain.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_SECTORS 300u

struct model {
	uint64_t first, nr;
	uint32_t *versions; /* of each sector; 0: discarded or never written */
	uint64_t state;
};

static void __attribute__((noreturn)) fail(const char *what, int rc)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-rc));
	_Exit(1);
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void make_sector(uint64_t sector, uint32_t version, void *buf)
{
	uint64_t words[64], state = sector << 32 ^ version;

	for (unsigned int i = 0; i < 64; i++)
		words[i] = version ? next_random(&state) : 0;
	memcpy(buf, words, sizeof(words));
}

static void check(const struct model *m, uint64_t sector, uint32_t nr, const char *buf)
{
	char want[512];

	for (uint32_t i = 0; i < nr; i++) {
		make_sector(sector + i, m->versions[sector + i - m->first], want);
		if (memcmp(want, buf + i * 512, 512) == 0)
			continue;
		fprintf(stderr, "sector %llu is not what was written (version %u)\n",
			(unsigned long long)(sector + i), m->versions[sector + i - m->first]);
		_Exit(1);
	}
}

/* One random operation; without a disk only the model changes. */
static void step(struct model *m, struct rf_blk *blk, uint32_t version)
{
	static char buf[MAX_SECTORS * 512];
	uint64_t r = next_random(&m->state);
	uint32_t nr = 1 + (uint32_t)(r >> 8) % (r & 1 ? 8 : MAX_SECTORS);
	uint64_t sector = m->first + (r >> 32) % (m->nr - nr + 1);
	uint32_t kind = (uint32_t)(r >> 1) % 64;
	int rc = 0;

	if (kind < 32) {
		for (uint32_t i = 0; i < nr; i++) {
			m->versions[sector + i - m->first] = version;
			make_sector(sector + i, version, buf + i * 512);
		}
		rc = blk ? rf_blk_write(blk, sector, nr, buf) : 0;
	} else if (kind < 36) {
		for (uint32_t i = 0; i < nr; i++)
			m->versions[sector + i - m->first] = 0;
		rc = blk ? rf_blk_discard(blk, sector, nr) : 0;
	} else if (kind < 38) {
		rc = blk ? rf_blk_flush(blk) : 0;
	} else if (blk) {
		rc = rf_blk_read(blk, sector, nr, buf);
		if (rc == 0)
			check(m, sector, nr, buf);
	}
	if (rc)
		fail("a request failed", rc);
}

static struct rf_blk *open_disk(const char *disk, struct rf_domain **domain)
{
	char error[256] = "";
	struct rf_blk *blk;
	int rc;

	if (rf_domain_enter(NULL, domain, error, sizeof(error)) ||
		rf_domain_attach_disk(*domain, disk, "xvda", error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		_Exit(1);
	}
	rc = rf_blk_open("xvda", NULL, &blk);
	if (rc)
		fail("cannot open the disk", rc);
	return blk;
}

static void verify_disk(const struct model *m, struct rf_blk *blk)
{
	static char buf[MAX_SECTORS * 512];
	uint32_t nr;

	for (uint64_t at = 0; at < m->nr; at += nr) {
		nr = m->nr - at < MAX_SECTORS ? (uint32_t)(m->nr - at) : MAX_SECTORS;
		int rc = rf_blk_read(blk, m->first + at, nr, buf);

		if (rc)
			fail("a read failed", rc);
		check(m, m->first + at, nr, buf);
	}
}

static void verify_file(const struct model *m, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[512];

	for (uint64_t at = 0; at < m->nr; at++) {
		if (pread(fd, buf, 512, (off_t)((m->first + at) * 512)) != 512)
			fail("cannot read the image", -EIO);
		check(m, m->first + at, 1, buf);
	}
	close(fd);
}

static int run_model(char **argv)
{
	struct model m = {.first = strtoull(argv[3], NULL, 10), .nr = strtoull(argv[4], NULL, 10)};
	uint32_t nr_ops = (uint32_t)strtoul(argv[5], NULL, 10);
	bool writes = strcmp(argv[1], "write") == 0, file = strcmp(argv[1], "file") == 0;
	struct rf_domain *domain = NULL;
	struct rf_blk *blk = NULL;
	int rc;

	m.versions = calloc(m.nr, sizeof(*m.versions));
	m.state = strtoull(argv[6], NULL, 10);
	if (!m.versions || m.nr < MAX_SECTORS)
		return 1;
	if (!file)
		blk = open_disk(argv[2], &domain);
	/* From a known state on. */
	if (writes) {
		rc = rf_blk_discard(blk, m.first, m.nr);
		if (rc)
			fail("a discard failed", rc);
	}
	for (uint32_t i = 1; i <= nr_ops; i++)
		step(&m, writes ? blk : NULL, i);
	if (blk)
		verify_disk(&m, blk);
	else
		verify_file(&m, argv[2]);
	if (writes && rf_blk_flush(blk))
		return 1;
	rf_blk_close(blk);
	rf_domain_leave(domain);
	free(m.versions);
	return 0;
}

/* ---- coherence: the two domains take turns, by pipes ---- */

struct turn {
	uint64_t sector;
	uint32_t nr, version;
};

static void take_turns(struct rf_blk *blk, int in, int out, uint32_t rounds, bool begins)
{
	static char buf[MAX_SECTORS * 512];
	uint64_t state = 1;
	char want[512];
	struct turn t;

	for (uint32_t i = begins; i < rounds + begins; i++) {
		if (i & 1) {
			uint64_t r = next_random(&state);

			t = (struct turn){.sector = r % 512, .nr = 1 + (uint32_t)(r >> 32) % 32,
				.version = i + 1};
			for (uint32_t s = 0; s < t.nr; s++)
				make_sector(t.sector + s, t.version, buf + s * 512);
			if (rf_blk_write(blk, t.sector, t.nr, buf) ||
				write(out, &t, sizeof(t)) != sizeof(t))
				fail("a write failed", -EIO);
			continue;
		}
		if (read(in, &t, sizeof(t)) != sizeof(t))
			fail("the other domain is gone", -EPIPE);
		/* Sector by sector too, so that there is something in the cache. */
		for (uint32_t s = 0; s < t.nr; s++) {
			make_sector(t.sector + s, t.version, want);
			if (rf_blk_read(blk, t.sector + s, 1, buf) || memcmp(buf, want, 512))
				fail("a stale sector was read", -ESTALE);
		}
	}
}

static int run_coherence(const char *disk, uint32_t rounds)
{
	struct rf_domain *domain;
	int there[2], back[2], status = 1;
	struct rf_blk *blk;
	pid_t child;

	if (pipe(there) || pipe(back))
		return 1;
	child = fork();
	if (child < 0)
		return 1;
	close(child ? there[0] : there[1]);
	close(child ? back[1] : back[0]);
	blk = open_disk(disk, &domain);
	take_turns(blk, child ? back[0] : there[0], child ? there[1] : back[1], rounds, child != 0);
	rf_blk_close(blk);
	rf_domain_leave(domain);
	if (child == 0)
		_Exit(0);
	waitpid(child, &status, 0);
	return status != 0;
}

static int run_null(const char *disk, uint32_t nr)
{
	static char buf[MAX_SECTORS * 512];
	struct rf_domain *domain;
	struct rf_blk *blk = open_disk(disk, &domain);
	uint64_t state = (uint64_t)getpid();

	for (uint32_t i = 0; i < nr; i++) {
		uint64_t r = next_random(&state), sector = (r >> 32) % 1024;
		uint32_t n = 1 + (uint32_t)(r >> 8) % MAX_SECTORS;
		int rc = r % 16 == 0 ? rf_blk_flush(blk)
			: r % 16 == 1 ? rf_blk_discard(blk, sector, n)
			: r & 1	      ? rf_blk_write(blk, sector, n, buf)
				      : rf_blk_read(blk, sector, n, buf);

		if (rc)
			fail("a request failed", rc);
	}
	rf_blk_close(blk);
	rf_domain_leave(domain);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 7)
		return run_model(argv);
	if (argc == 4 && strcmp(argv[1], "coherence") == 0)
		return run_coherence(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "null") == 0)
		return run_null(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
	fprintf(stderr, "usage: see the top of blkfront_writer.c\n");
	return 2;
}
