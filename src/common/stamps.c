/* SPDX-License-Identifier: MIT */
/* The area's two sides: a seqlock without fences, every word of which is written and read as one. */
#include "common/stamps.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

static_assert(sizeof(struct stamps_header) == 64, "a part of the protocol");
static_assert(sizeof(struct stamps_slot) == 64, "a part of the protocol, and a cache line");

static struct stamps_slot *slots_of(const struct stamps_header *header)
{
	return (struct stamps_slot *)(uintptr_t)(header + 1);
}

/* Sixteen bytes of a text such as "1b4e28ba-2fa1-11d2-883f-0016d3cca427". */
void stamps_host(uint8_t host[STAMPS_HOST_BYTES])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[40] = "";
	unsigned int nr = 0;
	ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	memset(host, 0, STAMPS_HOST_BYTES);
	for (ssize_t i = 0; i < len && nr < 2 * STAMPS_HOST_BYTES; i++) {
		char c = text[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0)
			continue;
		host[nr / 2] = (uint8_t)(host[nr / 2] << 4 | digit);
		nr++;
	}
}

/* ---- the owner's side ---- */

void stamps_area_init(
	struct stamps_area *area, void *pages, size_t size_bytes, enum stamps_side side)
{
	struct stamps_header *header = pages;

	area->header = header;
	area->nr_written = 0;
	area->nr_records = (uint32_t)(size_bytes / sizeof(struct stamps_slot) - 1);
	atomic_flag_clear(&area->busy);
	stamps_host(header->host);
	header->version = STAMPS_VERSION;
	header->side = side;
	header->nr_records = area->nr_records;
	header->magic = STAMPS_MAGIC;
}

static void write_slot(
	struct stamps_slot *slot, const struct stamps_record *record, uint64_t seq)
{
	uint64_t words[STAMPS_RECORD_WORDS];

	memcpy(words, record, sizeof(words));
	/*
	 * Orders: the mark that the record is not whole, each word after it, the number after all.
	 * Pairs with: read_slot, which goes the other way: number, words, number.
	 * Without it: a reader could take words of two records for one.
	 */
	atomic_store_explicit(&slot->seq, 0, memory_order_relaxed);
	for (unsigned int i = 0; i < STAMPS_RECORD_WORDS; i++)
		atomic_store_explicit(&slot->words[i], words[i], memory_order_release);
	atomic_store_explicit(&slot->seq, seq, memory_order_release);
}

void stamps_put(struct stamps_area *area, const struct stamps_record *record)
{
	uint64_t nr;

	/*
	 * Orders: the former writer's doings before ours.
	 * Pairs with: the clearing below.
	 * Without it: two threads would write one slot.
	 */
	if (atomic_flag_test_and_set_explicit(&area->busy, memory_order_acquire))
		return;
	nr = area->nr_written++;
	write_slot(slots_of(area->header) + nr % area->nr_records, record, nr + 1);
	/*
	 * Orders: the record before the count.
	 * Pairs with: stamps_read.
	 * Without it: a reader would find the slot's former record, and skip this one.
	 */
	atomic_store_explicit(&area->header->nr_written, nr + 1, memory_order_release);
	atomic_flag_clear_explicit(&area->busy, memory_order_release);
}

void stamps_sets_init(struct stamps_sets *sets, struct stamps_area *area)
{
	bool on = area && area->header;

	sets->area = on ? area : NULL;
	atomic_init(&sets->free, on ? (1u << STAMPS_SETS) - 1 : 0);
}

unsigned int stamps_begin(struct stamps_sets *sets, uint32_t index)
{
	/*
	 * Orders: the former request's use of a set before ours.
	 * Pairs with: stamps_drop.
	 * Without it: two requests' stamps would be in one record.
	 */
	uint32_t free_sets = atomic_load_explicit(&sets->free, memory_order_acquire);
	unsigned int nr;

	if (!free_sets)
		return 0;
	/* Only one thread at a time begins requests on a ring, so nobody else takes this bit. */
	nr = (unsigned int)__builtin_ctz(free_sets);
	atomic_fetch_and_explicit(&sets->free, ~(1u << nr), memory_order_relaxed);
	sets->records[nr] = (struct stamps_record){.index = index, .ns = {clock_ns()}};
	return nr + 1;
}

void stamps_mark(struct stamps_sets *sets, unsigned int handle, unsigned int stamp)
{
	stamps_record_of(sets, handle)->ns[stamp] = clock_ns();
}

void stamps_drop(struct stamps_sets *sets, unsigned int handle)
{
	/* Release: pairs with stamps_begin. */
	atomic_fetch_or_explicit(&sets->free, 1u << (handle - 1), memory_order_release);
}

void stamps_end(struct stamps_sets *sets, unsigned int handle)
{
	stamps_put(sets->area, stamps_record_of(sets, handle));
	stamps_drop(sets, handle);
}

/* ---- the reader's side ---- */

/* A private copy of the words in front of the counter. */
static void copy_header(struct stamps_header *copy, const struct stamps_header *shared)
{
	const uint64_t *from = (const uint64_t *)(const void *)shared;

	for (size_t i = 0; i < offsetof(struct stamps_header, nr_written) / sizeof(*from); i++) {
		/* Relaxed: it was written before the area was announced. */
		uint64_t word = __atomic_load_n(&from[i], __ATOMIC_RELAXED);

		memcpy((char *)copy + i * sizeof(word), &word, sizeof(word));
	}
}

int stamps_reader_init(struct stamps_reader *reader, const void *pages, size_t size_bytes)
{
	const struct stamps_header *shared = pages;
	struct stamps_header copy;

	if (size_bytes < sizeof(*shared) + sizeof(struct stamps_slot))
		return -EPROTO;
	copy_header(&copy, shared);
	if (copy.magic != STAMPS_MAGIC || copy.version != STAMPS_VERSION ||
		(copy.side != STAMPS_FRONT && copy.side != STAMPS_BACK) || !copy.nr_records ||
		copy.nr_records > (size_bytes - sizeof(*shared)) / sizeof(struct stamps_slot))
		return -EPROTO;
	reader->header = shared;
	reader->side = (enum stamps_side)copy.side;
	reader->nr_records = copy.nr_records;
	memcpy(reader->host, copy.host, sizeof(reader->host));
	reader->next = atomic_load_explicit(&shared->nr_written, memory_order_relaxed);
	return 0;
}

/* False if record n is not there, or is being overwritten. */
static bool read_slot(const struct stamps_slot *slot, uint64_t n, struct stamps_record *record)
{
	uint64_t words[STAMPS_RECORD_WORDS];

	/*
	 * Orders: the number, then the words, then the number once more.
	 * Pairs with: write_slot.
	 * Without it: words of two records could be taken for one.
	 */
	if (atomic_load_explicit(&slot->seq, memory_order_acquire) != n + 1)
		return false;
	for (unsigned int i = 0; i < STAMPS_RECORD_WORDS; i++)
		words[i] = atomic_load_explicit(&slot->words[i], memory_order_acquire);
	if (atomic_load_explicit(&slot->seq, memory_order_relaxed) != n + 1)
		return false;
	memcpy(record, words, sizeof(*record));
	return true;
}

unsigned int stamps_read(
	struct stamps_reader *reader, struct stamps_record *records, unsigned int max)
{
	/* Acquire: pairs with stamps_put. */
	uint64_t end = atomic_load_explicit(&reader->header->nr_written, memory_order_acquire);
	unsigned int nr = 0;

	/* The writer overtook us, or the counter lies: at most the whole area is looked at. */
	if (end - reader->next > reader->nr_records)
		reader->next = end < reader->nr_records ? 0 : end - reader->nr_records;
	while (nr < max && reader->next != end) {
		uint64_t n = reader->next++;

		nr += read_slot(slots_of(reader->header) + n % reader->nr_records, n, &records[nr]);
	}
	return nr;
}

bool stamps_in_order(const uint64_t *ns, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (ns[i] < (i ? ns[i - 1] : 1))
			return false;
	}
	return true;
}
