/* SPDX-License-Identifier: MIT */
/*
 * A scripted back end for the front end's tests: a thread that does the handshake, serves a disk
 * in memory, and misbehaves when told to.
 */
#ifndef RF_TESTS_FAKE_BLKBACK_H
#define RF_TESTS_FAKE_BLKBACK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/ringmb.h"
#include <xen/io/blkif.h>

#define BACK_PATH "/local/domain/0/backend/vbd/1/51712"
#define FRONT_PATH "/local/domain/1/device/vbd/51712"
#define BACK_BATCH 512
#define BACK_MAX_QUEUES 16

struct back_queue {
	unsigned int nr;
	blkif_back_ring_t ring;
	void *_Atomic ring_page;
	uint32_t port;
	_Atomic unsigned int nr_requests;
	unsigned int nr_held;
	blkif_request_t held[BACK_BATCH];
};

struct back {
	/* What it offers; back_init sets defaults. */
	uint64_t nr_sectors;
	unsigned int max_ring_order;
	unsigned int sector_size;
	unsigned int max_queues;   /* 0: says nothing of them */
	unsigned int max_indirect; /* 0: the same */
	bool read_only, flush, discard, persistent;
	bool status; /* keeps req_status and reads rsp_status (common/ring_status.h) */
	/* Describes the disk before InitWait, as ringfence's blkback does; else as Linux's, which
	 * only tells what the rings may be like, and the rest (requests too, once) with Connected. */
	bool early;
	const char *sectors_text; /* published in place of nr_sectors */

	/* How it serves. */
	bool shuffle;		  /* answers what it has in any order */
	unsigned int max_delay_us; /* random, before answers */
	bool stop_before_connected;
	bool mute;		  /* takes requests and never answers */
	bool outer_operation;	  /* answers an indirect request with INDIRECT, not what is inside */
	/* Replaces serving: called for each request; what it leaves in rsp is sent if it returns
	 * true. Runs in the back end's thread. */
	bool (*hook)(struct back *back, const blkif_request_t *req, blkif_response_t *rsp);
	void *hook_data;

	/* What it did. */
	_Atomic unsigned int nr_requests, nr_connections, nr_segments, max_batch, nr_indirect;
	_Atomic bool refuse; /* Closing in place of Connected */

	/* Its own. */
	uint8_t *disk;
	pthread_t thread;
	_Atomic bool stop;
	uint64_t seed;
	unsigned int nr_queues;
	bool by_status; /* of this connection: the front end keeps rsp_status */
	struct back_queue *q; /* the one whose requests are being served */
	struct back_queue queues[BACK_MAX_QUEUES];
};

void back_init(struct back *back);

/* Writes the nodes that the toolstack would, and starts the thread. */
void back_start(struct back *back);
void back_stop(struct back *back);

/* For hooks: what an honest back end would do and answer. */
void back_serve(struct back *back, const blkif_request_t *req, blkif_response_t *rsp);

/* Puts a response on q's ring, whatever it says; push makes it visible, and notifies. */
void back_put(struct back *back, const blkif_response_t *rsp);
void back_push(struct back *back);

uint32_t back_random(struct back *back);

#endif
