/* SPDX-License-Identifier: MIT */
/*
 * The file driver: regular files and block devices, opened with O_DIRECT, so that what is answered
 * has passed the page cache by. Target: a path.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blkback/aio.h"
#include "blkback/driver.h"
#include "common/list.h"

struct file_disk {
	struct driver_disk disk;
	int fd;
	bool is_block_device;
};

/* A number from sysfs about the block device, or 0. */
static uint64_t queue_attribute(dev_t dev, const char *name)
{
	char path[96];
	unsigned long value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/%s", major(dev), minor(dev), name);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%lu", &value) != 1)
		value = 0;
	fclose(f);
	return value;
}

static int block_geometry(int fd, const struct stat *st, struct driver_geometry *geo)
{
	unsigned int physical;
	int logical;

	if (ioctl(fd, BLKGETSIZE64, &geo->size) < 0 || ioctl(fd, BLKSSZGET, &logical) < 0 ||
		ioctl(fd, BLKPBSZGET, &physical) < 0)
		return -errno;
	geo->sector_size = (uint32_t)logical;
	geo->physical_sector_size = physical;
	geo->discard_granularity =
		(uint32_t)queue_attribute(st->st_rdev, "discard_granularity");
	/* A device that cannot discard may have a granularity all the same (device mapper). */
	geo->can_discard = geo->discard_granularity > 0 &&
		queue_attribute(st->st_rdev, "discard_max_bytes") > 0;
	return 0;
}

/*
 * A file's guests see sectors of 512 bytes where the file system can do direct I/O in such, else
 * of what it needs.
 */
static int file_geometry(int fd, const struct stat *st, struct driver_geometry *geo)
{
	struct statx stx;

	geo->size = (uint64_t)st->st_size;
	geo->sector_size = 512;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
		(stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align > 512)
		geo->sector_size = stx.stx_dio_offset_align;
	geo->physical_sector_size = (uint32_t)st->st_blksize;
	if (geo->physical_sector_size < geo->sector_size)
		geo->physical_sector_size = geo->sector_size;
	geo->can_discard = true;
	geo->discard_granularity = (uint32_t)st->st_blksize;
	return 0;
}

static int check_geometry(const struct driver_geometry *geo, char *error, size_t error_size)
{
	if (geo->size == 0) {
		snprintf(error, error_size, "it is empty");
		return -EINVAL;
	}
	if (geo->size % geo->sector_size) {
		snprintf(error, error_size, "its size is not a multiple of %u bytes",
			geo->sector_size);
		return -EINVAL;
	}
	if (geo->sector_size != 512 && geo->sector_size != 4096) {
		snprintf(error, error_size, "it has sectors of %u bytes", geo->sector_size);
		return -EINVAL;
	}
	return 0;
}

static int open_direct(const char *path, bool read_only, char *error, size_t error_size)
{
	/* Nonblocking, for somebody may name a pipe; but not for the I/O, which is to wait. */
	int rc, fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && fcntl(fd, F_SETFL, O_DIRECT) == 0)
		return fd;
	rc = -errno;
	if (fd >= 0)
		close(fd);
	snprintf(error, error_size, "%s", rc == -EINVAL
		? "its file system has no direct I/O (O_DIRECT)" : strerror(-rc));
	return rc;
}

static int file_open(const char *path, bool read_only, struct driver_disk **out, char *error,
	size_t error_size)
{
	struct file_disk *file = calloc(1, sizeof(*file));
	struct driver_geometry *geo;
	struct stat st;
	int rc;

	if (!file)
		return -ENOMEM;
	file->disk.driver = &file_driver;
	geo = &file->disk.geometry;
	file->fd = rc = open_direct(path, read_only, error, error_size);
	if (rc < 0)
		goto err_free;
	/* Our own open of the image, so the lock is ours; it ends with the last I/O. */
	if (flock(file->fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
		rc = -errno;
		snprintf(error, error_size, "another process has locked it");
		goto err_close;
	}
	rc = fstat(file->fd, &st) < 0 ? -errno : 0;
	if (rc == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		snprintf(error, error_size, "it is neither a file nor a block device");
		rc = -EINVAL;
		goto err_close;
	}
	file->is_block_device = S_ISBLK(st.st_mode);
	if (rc == 0)
		rc = file->is_block_device ? block_geometry(file->fd, &st, geo)
					 : file_geometry(file->fd, &st, geo);
	if (rc) {
		snprintf(error, error_size, "%s", strerror(-rc));
		goto err_close;
	}
	rc = check_geometry(geo, error, error_size);
	if (rc)
		goto err_close;
	*out = &file->disk;
	return 0;
err_close:
	close(file->fd);
err_free:
	free(file);
	return rc;
}

static int file_refresh(struct driver_disk *disk, uint64_t *size)
{
	const struct file_disk *file = container_of(disk, struct file_disk, disk);
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	*size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(file->fd, BLKGETSIZE64, size) < 0)
		return -errno;
	*size -= *size % disk->geometry.sector_size;
	return 0;
}

static void file_close(struct driver_disk *disk)
{
	struct file_disk *file = container_of(disk, struct file_disk, disk);

	close(file->fd);
	free(file);
}

static enum driver_status file_submit(
	struct driver_disk *disk, struct aio *aio, struct driver_io *io)
{
	const struct file_disk *file = container_of(disk, struct file_disk, disk);

	io->fd = file->fd;
	io->is_block_device = file->is_block_device;
	io->moved = 0;
	if (aio_in_page(io))
		aio_pin(aio, io->page);
	return aio_submit(aio, io);
}

const struct driver file_driver = {.name = "file", .open = file_open, .refresh = file_refresh,
	.close = file_close, .submit = file_submit};
