/* SPDX-License-Identifier: MIT */
/*
 * A guest whose disk changes its size while it uses it; it plays the administrator, too:
 *	blkfront_resize DISK FILE
 *
 * FILE is what is behind the disk. Each time it is made longer or shorter, the front end must come
 * to know, read and write up to the new end, and refuse what is beyond.
 */
#include <ringfence/blkfront.h>
#include <ringfence/domain.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define BOUND_NS (20 * NSEC_PER_SEC)
#define MIB_SECTORS 2048u

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	_Exit(1);
}

static void wait_for_size(struct rf_blk *blk, uint64_t nr_sectors)
{
	const struct timespec pause = {.tv_nsec = 10 * (long)NSEC_PER_MSEC};
	uint64_t end = clock_ns() + BOUND_NS;
	struct rf_blk_info info;

	for (;;) {
		rf_blk_get_info(blk, &info);
		if (info.nr_sectors == nr_sectors)
			return;
		if (clock_ns() > end)
			die("the disk has %llu sectors, wanted %llu",
				(unsigned long long)info.nr_sectors, (unsigned long long)nr_sectors);
		nanosleep(&pause, NULL);
	}
}

static void use_up_to(struct rf_blk *blk, uint64_t nr_sectors)
{
	char written[512], read[512];
	int rc;

	memset(written, (int)(nr_sectors / MIB_SECTORS), sizeof(written));
	rc = rf_blk_write(blk, nr_sectors - 1, 1, written);
	if (rc == 0)
		rc = rf_blk_read(blk, nr_sectors - 1, 1, read);
	if (rc)
		die("the last of %llu sectors: %s", (unsigned long long)nr_sectors, strerror(-rc));
	if (memcmp(written, read, sizeof(read)) != 0)
		die("the last of %llu sectors has other data", (unsigned long long)nr_sectors);
	rc = rf_blk_read(blk, nr_sectors, 1, read);
	if (rc != -ERANGE)
		die("beyond %llu sectors: %d", (unsigned long long)nr_sectors, rc);
}

int main(int argc, char **argv)
{
	static const unsigned int mib[] = {12, 3, 20, 8};
	char error[256] = "";
	struct rf_domain *domain;
	struct rf_blk *blk;
	int rc;

	if (argc != 3)
		die("usage: blkfront_resize DISK FILE");
	if (rf_domain_enter(NULL, &domain, error, sizeof(error)) ||
		rf_domain_attach_disk(domain, argv[1], "xvda", error, sizeof(error)))
		die("%s", error);
	rc = rf_blk_open("xvda", NULL, &blk);
	if (rc)
		die("cannot open the disk: %s", strerror(-rc));
	for (unsigned int i = 0; i < sizeof(mib) / sizeof(mib[0]); i++) {
		uint64_t nr_sectors = (uint64_t)mib[i] * MIB_SECTORS;

		if (truncate(argv[2], (off_t)(nr_sectors * RF_BLK_SECTOR_SIZE)) < 0)
			die("%s: %s", argv[2], strerror(errno));
		wait_for_size(blk, nr_sectors);
		use_up_to(blk, nr_sectors);
	}
	rf_blk_close(blk);
	rf_domain_leave(domain);
	return 0;
}
