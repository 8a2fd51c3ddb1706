/* SPDX-License-Identifier: MIT */
/* Slots of 32-bit x86 front ends. The slot is the guest's: each word is read or written once. */
#include "blkback/slot.h"

#include <xen/io/protocols.h>

#define RING_PAGE_SIZE 4096u
#define HEAD_BYTES 4u /* in front of `id` */

/* Compared with what a 32-bit compiler makes of the header in tests/system/blkback.bats. */
#define ASSERT_SHIFTED(field) \
	_Static_assert(offsetof(struct slot_request_x86_32, field) + 4 == \
			offsetof(blkif_request_t, field), "lies 4 bytes lower than natively")

#if defined(__x86_64__) || defined(__aarch64__)
_Static_assert(sizeof(struct slot_request_x86_32) == 108, "as on i386");
_Static_assert(sizeof(struct slot_response_x86_32) == 12, "as on i386");
_Static_assert(offsetof(struct slot_request_x86_32, id) == HEAD_BYTES, "no padding");
_Static_assert(offsetof(struct slot_response_x86_32, status) == offsetof(blkif_response_t, status),
	"responses differ in their end only");
_Static_assert(offsetof(struct blkif_x86_32_sring, ring) == offsetof(struct blkif_sring, ring),
	"the heads are the same");
_Static_assert(offsetof(blkif_request_discard_t, nr_sectors) == offsetof(blkif_request_t, seg),
	"the shift is right for discards, too");
_Static_assert(offsetof(blkif_request_indirect_t, handle) == offsetof(blkif_request_t, seg) &&
		offsetof(blkif_request_indirect_t, indirect_grefs) % 4 == 0,
	"and for indirect requests");
ASSERT_SHIFTED(id);
ASSERT_SHIFTED(sector_number);
ASSERT_SHIFTED(seg);
#endif

const char *slot_abi_name(enum queue_abi abi)
{
	return abi == QUEUE_ABI_X86_32 ? XEN_IO_PROTO_ABI_X86_32 : XEN_IO_PROTO_ABI_NATIVE;
}

unsigned int slot_count(enum queue_abi abi, unsigned int nr_pages)
{
	size_t size = (size_t)nr_pages * RING_PAGE_SIZE;

	if (abi == QUEUE_ABI_X86_32)
		return (unsigned int)__CONST_RING_SIZE(blkif_x86_32, size);
	return (unsigned int)__CONST_RING_SIZE(blkif, size);
}

void slot_copy_request_x86_32(const blkif_sring_t *sring, uint32_t index, blkif_request_t *copy)
{
	const struct blkif_x86_32_sring *sring32 = (const void *)sring;
	const uint32_t *from = (const void *)&sring32->ring[index].req;
	char *to = (char *)copy;

	memset(to + HEAD_BYTES, 0, offsetof(blkif_request_t, id) - HEAD_BYTES);
	for (size_t i = 0; i < sizeof(struct slot_request_x86_32) / sizeof(*from); i++) {
		/* Relaxed, as ring_copy_from: the index's ordering covers the slot. */
		uint32_t word = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
		size_t at = i * sizeof(word);

		if (at >= HEAD_BYTES)
			at += offsetof(blkif_request_t, id) - HEAD_BYTES;
		memcpy(to + at, &word, sizeof(word));
	}
}

void slot_write_response_x86_32(
	blkif_sring_t *sring, uint32_t index, const blkif_response_t *response)
{
	struct blkif_x86_32_sring *sring32 = (void *)sring;
	uint32_t *to = (void *)&sring32->ring[index].rsp;

	for (size_t i = 0; i < sizeof(struct slot_response_x86_32) / sizeof(*to); i++) {
		uint32_t word;

		memcpy(&word, (const char *)response + i * sizeof(word), sizeof(word));
		__atomic_store_n(&to[i], word, __ATOMIC_RELAXED);
	}
}
