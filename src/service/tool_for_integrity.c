/* SPDX-License-Identifier: MIT */
/*
 * tool_for_integrity: proves that what a client read is what the disk image holds. Shares no code
 * with what it judges: it knows the image, a list of sector numbers and their claimed contents.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/common_program.h"
#include "service/common_progress.h"
#include "service/tool_for_integrity_reader.h"

#define SECTOR_SIZE 512
#define MAX_LISTED 10
#define UPDATE_MASK 0xfff /* look at the clock every 4096 records */

static const char help_text[] =
	"Usage: tool_for_integrity IMAGE SECTORS READ\n"
	"\n"
	"Checks what a client read. Record n is line n of SECTORS, a decimal sector number, and\n"
	"bytes 512n to 512n+511 of READ; it matches if IMAGE holds the same bytes in that sector.\n"
	"Prints how many records match, and the first 10 that do not.\n"
	"\n"
	"  --help     print this help\n"
	"  --version  print the version\n"
	"\n"
	"Exit status: 0 every record matches, and there is at least one; 1 something does not\n"
	"match or there is no record; 2 wrong arguments or a file that cannot be read.\n";

struct check {
	int image_fd;
	const char *image_path;
	uint64_t nr_image_sectors;
	struct reader sectors, contents;
	uint64_t nr_records, nr_matching, nr_bad;
	bool incomplete; /* one file has more than the other */
};

/* Counts a bad record and lists it, the first few of them. */
static void report(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void report(struct check *c, const char *fmt, ...)
{
	va_list ap;

	if (c->nr_bad++ >= MAX_LISTED)
		return;
	printf("record %" PRIu64 ": ", c->nr_records);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static int image_open(struct check *c, const char *path)
{
	struct stat st;
	off_t size;

	c->image_path = path;
	c->image_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (c->image_fd < 0) {
		complain("cannot open %s: %s", path, strerror(errno));
		return -1;
	}
	if (fstat(c->image_fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) {
		size = lseek(c->image_fd, 0, SEEK_END); /* a block device's st_size is 0 */
		if (size >= 0) {
			c->nr_image_sectors = (uint64_t)size / SECTOR_SIZE;
			return 0;
		}
	}
	complain("%s is neither a file nor a block device", path);
	close(c->image_fd);
	return -1;
}

static int image_read(struct check *c, uint64_t sector, unsigned char *to)
{
	size_t done = 0;
	ssize_t n;

	while (done < SECTOR_SIZE) {
		n = pread(c->image_fd, to + done, SECTOR_SIZE - done,
			(off_t)(sector * SECTOR_SIZE + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			complain("cannot read sector %" PRIu64 " of %s: %s", sector, c->image_path,
				n < 0 ? strerror(errno) : "the image became shorter");
			return -1;
		}
		done += (size_t)n;
	}
	return 0;
}

/* Judges one record whose contents are there. -1 only if a file cannot be read. */
static int check_record(struct check *c, int line, uint64_t sector, const unsigned char *got)
{
	unsigned char want[SECTOR_SIZE];
	unsigned int i = 0;

	if (line == LINE_MALFORMED || line == LINE_CUT) {
		report(c, line == LINE_CUT ? "the last line of %s has no newline"
					   : "the line of %s is not a sector number",
			c->sectors.path);
		return 0;
	}
	if (sector >= c->nr_image_sectors) {
		report(c, "sector %" PRIu64 " is beyond the image, which has %" PRIu64, sector,
			c->nr_image_sectors);
		return 0;
	}
	if (image_read(c, sector, want))
		return -1;
	if (memcmp(want, got, SECTOR_SIZE) == 0) {
		c->nr_matching++;
		return 0;
	}
	while (want[i] == got[i])
		i++;
	report(c, "sector %" PRIu64 " differs from byte %u on: the image has 0x%02x, the client "
		  "read 0x%02x",
		sector, i, want[i], got[i]);
	return 0;
}

/* Counts the line that has just been read, which has no contents, and all that follow. */
static int count_lines_left(struct check *c)
{
	uint64_t sector;
	int line;

	do {
		c->nr_records++;
		line = reader_line(&c->sectors, &sector);
		if (line < 0)
			return -1;
	} while (line != LINE_END);
	return 0;
}

/* Counts the contents that have no line; a part of a record counts as one. */
static int count_contents_left(struct check *c, ssize_t n)
{
	unsigned char got[SECTOR_SIZE];

	for (; n > 0; n = reader_bytes(&c->contents, got, SECTOR_SIZE))
		c->nr_records++;
	return n < 0 ? -1 : 0;
}

/* One file or both have ended: says which one goes on, if one does, and counts what it has. */
static int check_end(struct check *c, int line, ssize_t n)
{
	uint64_t nr_both = c->nr_records;

	if (line == LINE_END && n == 0)
		return 0;
	c->incomplete = true;
	if (line == LINE_END) {
		if (count_contents_left(c, n))
			return -1;
		printf("%s ends after %" PRIu64 " records, %s goes on: %" PRIu64
		       " have no sector number\n",
			c->sectors.path, nr_both, c->contents.path, c->nr_records - nr_both);
		return 0;
	}
	if (n > 0)
		printf("%s ends in the middle of record %" PRIu64 ", after %zd bytes\n",
			c->contents.path, nr_both + 1, n);
	if (count_lines_left(c))
		return -1;
	printf("%s ends after %" PRIu64 " whole records, %s goes on: %" PRIu64
	       " have no contents\n",
		c->contents.path, nr_both, c->sectors.path, c->nr_records - nr_both);
	return 0;
}

static int check_all(struct check *c, struct progress *progress)
{
	unsigned char got[SECTOR_SIZE];
	uint64_t sector = 0;
	ssize_t n;
	int line;

	for (;;) {
		line = reader_line(&c->sectors, &sector);
		if (line < 0)
			return -1;
		n = reader_bytes(&c->contents, got, SECTOR_SIZE);
		if (n < 0)
			return -1;
		if (line == LINE_END || n < SECTOR_SIZE)
			return check_end(c, line, n);
		c->nr_records++;
		if (check_record(c, line, sector, got))
			return -1;
		if ((c->nr_records & UPDATE_MASK) == 0)
			progress_update(progress, c->nr_records);
	}
}

static int conclude(const struct check *c)
{
	if (c->nr_bad > MAX_LISTED)
		printf("... and %" PRIu64 " more\n", c->nr_bad - MAX_LISTED);
	printf("%" PRIu64 " of %" PRIu64 " records match\n", c->nr_matching, c->nr_records);
	if (c->nr_records == 0)
		complain("there is no record, so nothing is proved");
	return c->nr_records && c->nr_matching == c->nr_records && !c->incomplete ? EXIT_OK
										  : EXIT_FAILED;
}

static int check_files(char *const *paths)
{
	struct check c = {0};
	struct progress progress;
	struct stat st;
	int status = EXIT_USAGE;

	if (image_open(&c, paths[0]))
		return EXIT_USAGE;
	if (reader_open(&c.sectors, paths[1]))
		goto close_image;
	if (reader_open(&c.contents, paths[2]))
		goto close_sectors;
	progress_init(&progress, "records",
		fstat(c.contents.fd, &st) == 0 ? (uint64_t)st.st_size / SECTOR_SIZE : 0, false);
	if (check_all(&c, &progress) == 0)
		status = EXIT_OK;
	progress_finish(&progress);
	if (status == EXIT_OK)
		status = conclude(&c);
	reader_close(&c.contents);
close_sectors:
	reader_close(&c.sectors);
close_image:
	close(c.image_fd);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{NULL, 0, NULL, 0}};

	program_setup("tool_for_integrity");
	if (program_handle_help(argc, argv, help_text))
		return program_finish(EXIT_OK);
	opterr = 0;
	if (getopt_long(argc, argv, "", longs, NULL) != -1)
		return complain_usage("unknown option: '%s'", argv[optind - 1]);
	if (argc - optind != 3)
		return complain_usage("need exactly three arguments: IMAGE SECTORS READ");
	return program_finish(check_files(argv + optind));
}
