/* SPDX-License-Identifier: MIT */
/* blkback's command line. */
#ifndef RF_BLKBACK_OPTIONS_H
#define RF_BLKBACK_OPTIONS_H

#include "blkback/vbd.h"
#include "blkback/worker.h"

struct options {
	struct image_cache_config cache;
	struct worker_config worker;
	unsigned int nr_workers;
	struct vbd_offer offer;
	const char *image; /* to be kept open, or NULL */
	bool image_writable;
	bool any_script;
	bool beside_xen_blkback;
	enum log_level log_level;
};

/*
 * Reads the command line into *opt, with defaults for what it does not say. Ends the program itself
 * for --help and --version, and with status 2 for what makes no sense.
 */
void options_parse(int argc, char **argv, struct options *opt);

#endif
