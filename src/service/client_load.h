/* SPDX-License-Identifier: MIT */
/*
 * The client's request phase: threads that read one random sector at a time, each blocked on its
 * request until the answer is there, all of them on the one ring of the process.
 */
#ifndef RF_SERVICE_CLIENT_LOAD_H
#define RF_SERVICE_CLIENT_LOAD_H

#include <ringfence/blkfront.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/histogram.h"
#include "service/client_output.h"

struct load_params {
	struct rf_blk *blk;
	struct output *out;
	uint64_t nr_sectors; /* of the disk: 0 .. nr_sectors - 1 are drawn from */
	uint64_t nr_requests;
	unsigned int nr_threads;
	bool progress_lines;
};

struct load_result {
	uint64_t nr_completed;	     /* requests that were answered with data */
	uint64_t elapsed_ns;	     /* from the first request's start to the last one's end */
	struct histogram latency;    /* per request, ns */
	uint64_t failed_sector;	     /* when read_error is set */
	int read_error;		     /* -errno of the first read that failed */
	int output_error;	     /* -errno of the first append that failed */
	int signal;		     /* the signal that ended the run early */
};

/*
 * Runs until every request is answered or something ends the run early, which is told in `result`
 * and is no error of this function. Answered requests are in the files in any case, unless the
 * files were what failed. -ENOMEM or -EAGAIN (threads): nothing was requested, with a message.
 */
int load_run(const struct load_params *params, struct load_result *result)
	__attribute__((warn_unused_result));

#endif
