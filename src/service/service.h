/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the service program share: its options, and its subcommands. It is a thin face
 * over the hypervisor: it starts `ringfenced`, asks it over the control socket for a driver domain
 * and a disk, and later for statistics and its end. It keeps no state of its own anywhere.
 */
#ifndef RF_SERVICE_SERVICE_H
#define RF_SERVICE_SERVICE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define SERVICE_DRIVER "blkback" /* the driver domain's name, and its program's */
#define SERVICE_DISK "disk1"
#define SERVICE_SECTOR_SIZE 512

struct service_options {
	const char *image;
	bool cache_given;
	uint64_t cache_bytes;
	uint64_t idle_timeout_s;
	uint64_t stop_timeout_s;
	bool foreground;
	bool json;
	char run_dir[PATH_MAX];
};

/* Each returns the program's exit status, with a message if it is not 0. */
int service_start(const struct service_options *options) __attribute__((warn_unused_result));
int service_status(const struct service_options *options) __attribute__((warn_unused_result));
int service_stop(const struct service_options *options) __attribute__((warn_unused_result));

#endif
