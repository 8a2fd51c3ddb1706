/* SPDX-License-Identifier: MIT */
/*
 * The slots of a blkif ring as front ends of different ABIs lay them out (xen/io/protocols.h). A
 * request is copied out once, into the native form, and only the copy is looked at; a response
 * is written in the front end's form, every byte of it (XSA-216). The ring's head of 64 bytes is
 * the same for all.
 *
 * On 32-bit x86 a 64-bit integer has an alignment of 4 bytes within a struct (System V ABI, i386
 * supplement), so the padding that the native structs of xen/io/blkif.h have in front of `id` is
 * not there: everything from `id` on lies 4 bytes lower, in each kind of request.
 */
#ifndef RF_BLKBACK_SLOT_H
#define RF_BLKBACK_SLOT_H

#include "common/ringmb.h"

#include <xen/grant_table.h>
#include <xen/event_channel.h>
#include <xen/io/ring.h>
#include <xen/io/blkif.h>

/* Layout of the slots, by the front end's node `protocol`. */
enum queue_abi {
	QUEUE_ABI_NATIVE,
	QUEUE_ABI_X86_32, /* blkif_request_t as a 32-bit x86 guest lays it out */
};

typedef uint64_t slot_u64_x86_32 __attribute__((aligned(4)));

struct slot_request_x86_32 {
	uint8_t operation;
	uint8_t nr_segments;
	blkif_vdev_t handle;
	slot_u64_x86_32 id;
	slot_u64_x86_32 sector_number;
	struct blkif_request_segment seg[BLKIF_MAX_SEGMENTS_PER_REQUEST];
};

struct slot_response_x86_32 {
	slot_u64_x86_32 id;
	uint8_t operation;
	int16_t status;
};

DEFINE_RING_TYPES(blkif_x86_32, struct slot_request_x86_32, struct slot_response_x86_32);

/* The name of the ABI, as in the node `protocol`. */
const char *slot_abi_name(enum queue_abi abi);

/* How many slots a ring of so many pages has. */
unsigned int slot_count(enum queue_abi abi, unsigned int nr_pages);

/* The other layouts' halves of the two below. `index` is masked already. */
void slot_copy_request_x86_32(const blkif_sring_t *sring, uint32_t index, blkif_request_t *copy);
void slot_write_response_x86_32(
	blkif_sring_t *sring, uint32_t index, const blkif_response_t *response);

/* Copies the request at a free-running index to private memory, each of its words once. */
static inline void slot_copy_request(enum queue_abi abi, const blkif_back_ring_t *ring,
	uint32_t index, blkif_request_t *copy)
{
	index &= ring->nr_ents - 1;
	if (abi == QUEUE_ABI_NATIVE)
		ring_copy_from(copy, &ring->sring->ring[index].req, sizeof(*copy));
	else
		slot_copy_request_x86_32(ring->sring, index, copy);
}

/* Writes a response at a free-running index; its padding must be zero. */
static inline void slot_write_response(enum queue_abi abi, blkif_back_ring_t *ring,
	uint32_t index, const blkif_response_t *response)
{
	index &= ring->nr_ents - 1;
	if (abi == QUEUE_ABI_NATIVE)
		ring_copy_to(&ring->sring->ring[index].rsp, response, sizeof(*response));
	else
		slot_write_response_x86_32(ring->sring, index, response);
}

#endif
