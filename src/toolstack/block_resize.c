/* SPDX-License-Identifier: MIT */
/*
 * ringfence block-resize: another size for a disk that is in use. The image is changed here, where
 * domain 0 has it; the back end sees that by itself and tells its guests (docs/protocol/blkif.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/parse.h"
#include "common/vdev.h"
#include "toolstack/block_wait.h"
#include "toolstack/command.h"
#include "toolstack/request.h"

#define SECTOR_SIZE 512
#define RESIZE_TIMEOUT_S 10 /* back ends look once a second */

static const char usage[] =
	"Usage: ringfence block-resize [--shrink] DOMAIN DEVICE SIZE\n"
	"Gives the image of a disk another size: bytes, or with K, M, G or T, a multiple of the disk's\n"
	"sectors. All guests that have it see it. Returns once the back end has announced it.\n"
	"The image is a file, which this user may write.\n"
	"\n"
	"      --shrink   allow a size below the present one: what is beyond is lost\n"
	"  -h, --help     show this\n";

enum { OPT_SHRINK = 256 };

struct options {
	bool shrink;
	const char *domain;
	uint32_t device;
	uint64_t size_bytes;
};

static int parse(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = {{"shrink", no_argument, NULL, OPT_SHRINK}, {0}};
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c != OPT_SHRINK)
			return command_usage(&command_block_resize, "unknown option");
		opt->shrink = true;
	}
	if (optind + 3 != argc)
		return command_usage(&command_block_resize, "it takes a domain, a device and a size");
	opt->domain = argv[optind];
	if (vdev_parse(argv[optind + 1], &opt->device))
		return command_usage(&command_block_resize, "the device is not one (xvda, xvdb, ...)");
	if (parse_size(argv[optind + 2], &opt->size_bytes) || opt->size_bytes == 0 ||
		opt->size_bytes > INT64_MAX)
		return command_usage(&command_block_resize, "the size is none: bytes, or with K, M, G, T");
	return 0;
}

/* The device, with its image. 0 or the exit status. */
static int find(const struct options *opt, struct block_line *disk)
{
	char *lines, vdev[16];
	const char *at;
	int status;

	lines = request_once(&status, REQUEST_TIMEOUT_S, "block-list", "domain", opt->domain,
		(char *)NULL);
	if (!lines)
		return status;
	at = lines;
	while (block_next(&at, disk)) {
		if (disk->device == opt->device) {
			free(lines);
			return 0;
		}
	}
	free(lines);
	fprintf(stderr, "ringfence: domain %s has no device %s\n", opt->domain,
		vdev_name(opt->device, vdev, sizeof(vdev)));
	return 1;
}

static int complain(const char *path, const char *why)
{
	fprintf(stderr, "ringfence: cannot resize %s: %s\n", path, why);
	return 1;
}

/* 0 or the exit status. */
static int resize_image(const char *path, const struct options *opt, long long sector_size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), status = 0;
	struct stat st;

	if (fd < 0)
		return complain(path, strerror(errno));
	if (fstat(fd, &st) < 0)
		status = complain(path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		status = complain(
			path, "it is not a file; resize it where it is, the back end will see it");
	else if (opt->size_bytes % (uint64_t)(sector_size > 0 ? sector_size : SECTOR_SIZE))
		status = complain(path, "the size is not a multiple of the disk's sectors");
	else if ((uint64_t)st.st_size > opt->size_bytes && !opt->shrink)
		status = complain(path, "it is larger now; --shrink gives up what is beyond");
	else if (ftruncate(fd, (off_t)opt->size_bytes) < 0)
		status = complain(path, strerror(errno));
	close(fd);
	return status;
}

static bool has_size(const struct domain0 *dom0, const struct block_line *disk, void *data)
{
	const struct options *opt = data;

	return block_wait_number(dom0, disk, "sectors") == (long long)(opt->size_bytes / SECTOR_SIZE);
}

static int wait_for_back_end(const struct block_line *disk, struct options *opt)
{
	struct domain0 dom0;
	int rc, status = domain0_enter(&dom0, false);
	char *error = NULL;

	if (status)
		return status;
	rc = block_wait(&dom0, disk, RESIZE_TIMEOUT_S, has_size, opt, &error);
	if (rc)
		fprintf(stderr, "ringfence: the image has its size, but the back end %s has not announced "
				"it: %s\n", disk->backend, error ? error : strerror(-rc));
	free(error);
	domain0_leave(&dom0);
	return rc ? 1 : 0;
}

static int run(int argc, char **argv)
{
	struct options opt = {0};
	struct block_line disk;
	const char *path;
	int status = parse(argc, argv, &opt);

	if (status == 0)
		status = find(&opt, &disk);
	if (status)
		return status;
	path = strncmp(disk.target, "file:", 5) == 0 ? disk.target + 5 : disk.target;
	if (path[0] != '/')
		return complain(disk.target, "it is not a file");
	status = resize_image(path, &opt, disk.sector_size);
	return status ? status : wait_for_back_end(&disk, &opt);
}

const struct command command_block_resize = {.name = "block-resize",
	.summary = "give a disk another size", .usage = usage, .run = run};
