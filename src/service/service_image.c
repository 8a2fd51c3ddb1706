/* SPDX-License-Identifier: MIT */
/* The image's check; see service_image.h. Everything about the image may be wrong. */
#include "service/service_image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/common_program.h"
#include "service/service.h"

#define MAX_ALIGNMENT 4096 /* the largest logical block of today's disks */
#define CACHE_SHARE 100	   /* the cache is at most this part of the image */

static int complain_open(const char *path)
{
	if (errno == ENOENT)
		complain("there is no image %s; make one, for instance:\n"
			 "  dd if=/dev/urandom of=%s bs=1M count=100",
			path, path);
	else if (errno == EACCES || errno == EPERM)
		complain("the image %s cannot be read: %s; check its permissions (ls -l) or run as "
			 "its owner",
			path, strerror(errno));
	else
		complain("cannot open the image %s: %s", path, strerror(errno));
	return -1;
}

/* Names what a path is when it is no image. */
static const char *kind_of(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISFIFO(mode))
		return "a pipe";
	return S_ISSOCK(mode) ? "a socket" : "a character device";
}

static int image_size(int fd, const struct stat *st, const char *path, uint64_t *bytes)
{
	if (S_ISREG(st->st_mode)) {
		*bytes = (uint64_t)st->st_size;
	} else if (ioctl(fd, BLKGETSIZE64, bytes) < 0) {
		complain("cannot learn the size of %s: %s", path, strerror(errno));
		return -1;
	}
	if (*bytes == 0) {
		complain("the image %s is empty; make one, for instance:\n"
			 "  dd if=/dev/urandom of=%s bs=1M count=100",
			path, path);
		return -1;
	}
	if (*bytes % SERVICE_SECTOR_SIZE) {
		complain("the image %s has %" PRIu64 " bytes, which is no multiple of %u; cut or "
			 "extend it, for instance:\n  truncate -s %%%u %s",
			path, *bytes, SERVICE_SECTOR_SIZE, SERVICE_SECTOR_SIZE, path);
		return -1;
	}
	return 0;
}

/* Reads the first sector directly, or the first block where blocks are larger. 0 or -errno. */
static int read_directly(int fd)
{
	void *buf = aligned_alloc(MAX_ALIGNMENT, MAX_ALIGNMENT);
	ssize_t n = -1;

	if (!buf)
		return -ENOMEM;
	errno = EINVAL;
	for (size_t len = SERVICE_SECTOR_SIZE; n < 0 && errno == EINVAL && len <= MAX_ALIGNMENT;
		len *= 2)
		n = pread(fd, buf, len, 0);
	free(buf);
	return n >= SERVICE_SECTOR_SIZE ? 0 : n < 0 ? -errno : -EIO;
}

static int check_direct(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	int rc = fd < 0 ? -errno : read_directly(fd);

	if (fd >= 0)
		close(fd);
	if (rc == -EINVAL || rc == -EOPNOTSUPP)
		complain("the image %s lies on a file system without direct I/O (O_DIRECT); copy "
			 "it to one that has it, such as ext4 or xfs on a disk",
			path);
	else if (rc)
		complain("cannot read the image %s directly (O_DIRECT): %s", path, strerror(-rc));
	return rc ? -1 : 0;
}

/* The absolute path, which travels as one word of a line of text: no control characters. */
static int resolve(const char *path, char *out)
{
	char *resolved = realpath(path, NULL);

	if (!resolved)
		return complain_open(path);
	for (const char *p = resolved; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f) {
			complain("the image's path contains a control character; rename it");
			free(resolved);
			return -1;
		}
	}
	if (strlen(resolved) >= PATH_MAX) {
		complain("the image's path is longer than %d bytes", PATH_MAX - 1);
		free(resolved);
		return -1;
	}
	strcpy(out, resolved);
	free(resolved);
	return 0;
}

int service_image_check(const char *path, struct service_image *image)
{
	uint64_t bytes;
	struct stat st;
	int fd, rc = -1;

	if (resolve(path, image->path))
		return -1;
	/* Before the open: opening a device or a pipe could have effects or block. */
	if (stat(image->path, &st) < 0)
		return complain_open(path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		complain("the image %s is %s; it must be a regular file or a block device", path,
			kind_of(st.st_mode));
		return -1;
	}
	fd = open(image->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return complain_open(path);
	if (image_size(fd, &st, path, &bytes) == 0 && check_direct(image->path) == 0) {
		image->nr_sectors = bytes / SERVICE_SECTOR_SIZE;
		rc = 0;
	}
	close(fd);
	return rc;
}

int service_image_cache(const struct service_image *image, const uint64_t *asked_bytes,
	uint64_t *cache_bytes)
{
	uint64_t max_bytes = image->nr_sectors * SERVICE_SECTOR_SIZE / CACHE_SHARE;

	if (asked_bytes && *asked_bytes > max_bytes) {
		complain("--cache=%" PRIu64 " is more than 1 %% of the image; the most for this "
			 "one is %" PRIu64 " bytes",
			*asked_bytes, max_bytes);
		return -1;
	}
	*cache_bytes = asked_bytes ? *asked_bytes : max_bytes;
	*cache_bytes -= *cache_bytes % SERVICE_SECTOR_SIZE;
	return 0;
}
