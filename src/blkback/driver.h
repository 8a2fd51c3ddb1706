/* SPDX-License-Identifier: MIT */
/*
 * Block drivers: what stands behind a disk. A driver is a small vtable; the core has checked
 * every range against the geometry, and read-only, before it calls (so drivers need not).
 */
#ifndef RF_BLKBACK_DRIVER_H
#define RF_BLKBACK_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct aio;
struct aio_page;

enum driver_op { DRIVER_READ, DRIVER_WRITE, DRIVER_FLUSH, DRIVER_DISCARD };

/*
 * One I/O. Offsets and lengths are multiples of the logical sector size. The core owns it and
 * keeps it, and the memory that iov points to, until it is complete; the driver may change iov.
 */
struct driver_io {
	enum driver_op op;
	uint64_t offset, len; /* bytes */
	struct iovec *iov;
	unsigned int nr_iov;
	struct aio_page *page; /* that the data begin in, if it stays mapped; or NULL */
	int result;			      /* 0 or -errno, valid when complete */
	void (*done)(struct driver_io *io);   /* called once for a QUEUED one, on its worker */
	struct driver_io *next;		      /* the driver's, while it is queued */
	int fd;				      /* aio's */
	bool is_block_device;		      /* aio's: what fd is */
	uint64_t moved;			      /* aio's: bytes done so far */
};

enum driver_status {
	DRIVER_COMPLETED, /* io->result is set; done is not called */
	DRIVER_QUEUED,	  /* done will be called, exactly once */
	DRIVER_BUSY,	  /* nothing happened: offer it again after completions */
};

struct driver_geometry {
	uint64_t size; /* bytes at the time of opening, a multiple of sector_size */
	uint32_t sector_size, physical_sector_size;
	bool can_discard;
	uint32_t discard_granularity; /* bytes */
};

/* An open disk; the driver embeds it first in its own struct. */
struct driver_disk {
	const struct driver *driver;
	struct driver_geometry geometry;
};

struct driver {
	const char *name; /* the prefix of a target: "file:/path", "null:64M" */
	bool no_contents; /* reads leave the buffer as it is: nothing to be cached */

	/*
	 * Opens `target` (without the prefix). `error` receives one line for people on failure.
	 * 0 or -errno. Main thread.
	 */
	int (*open)(const char *target, bool read_only, struct driver_disk **out, char *error,
		size_t error_size);

	/*
	 * The size now, in bytes and a multiple of the sector size; NULL where it cannot change.
	 * Cheap, as it is asked every second. 0 or -errno. Main thread.
	 */
	int (*refresh)(struct driver_disk *disk, uint64_t *size);

	/* Closes it; no I/O is in flight. Main thread. */
	void (*close)(struct driver_disk *disk);

	/* Starts an I/O on a worker, whose asynchronous I/O is `aio`. Worker's thread; never blocks. */
	enum driver_status (*submit)(
		struct driver_disk *disk, struct aio *aio, struct driver_io *io);
};

/* Opens a target "driver:rest"; without a known prefix it is a file's path. As driver.open. */
int driver_open(const char *target, bool read_only, struct driver_disk **out, char *error,
	size_t error_size) __attribute__((warn_unused_result));

extern const struct driver file_driver, null_driver;

#endif
