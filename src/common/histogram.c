/* SPDX-License-Identifier: MIT */
/* Log-linear histogram. Values are trusted numbers of our own. */
#include "common/histogram.h"

#include <math.h>
#include <string.h>

#define SUB_COUNT (1u << HISTOGRAM_SUB_BITS)

static unsigned int bucket_of(uint64_t value)
{
	unsigned int msb, shift;

	if (value < SUB_COUNT)
		return (unsigned int)value;
	msb = 63 - (unsigned int)__builtin_clzll(value);
	shift = msb - HISTOGRAM_SUB_BITS;
	return ((shift + 1) << HISTOGRAM_SUB_BITS) + (unsigned int)((value >> shift) - SUB_COUNT);
}

static uint64_t bucket_middle(unsigned int bucket)
{
	unsigned int shift;
	uint64_t low;

	if (bucket < SUB_COUNT)
		return bucket;
	shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
	low = (uint64_t)(SUB_COUNT + (bucket & (SUB_COUNT - 1))) << shift;
	return low + ((1ull << shift) >> 1);
}

void histogram_init(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	double delta = (double)value - h->mean;

	h->count++;
	h->mean += delta / (double)h->count;
	h->m2 += delta * ((double)value - h->mean);
	if (value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
	h->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	double n = (double)into->count, m = (double)from->count, delta;

	if (from->count == 0)
		return;
	delta = from->mean - into->mean;
	into->mean += delta * m / (n + m);
	into->m2 += from->m2 + delta * delta * n * m / (n + m);
	into->count += from->count;
	if (from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
	for (unsigned int i = 0; i < HISTOGRAM_NR_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

double histogram_stddev(const struct histogram *h)
{
	return h->count > 1 ? sqrt(h->m2 / (double)h->count) : 0.0;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t rank, seen = 0, value;

	if (h->count == 0)
		return 0;
	rank = (uint64_t)ceil(percent / 100.0 * (double)h->count);
	if (rank < 1)
		rank = 1;
	for (unsigned int i = 0; i < HISTOGRAM_NR_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= rank) {
			value = bucket_middle(i);
			return value > h->max ? h->max : value < h->min ? h->min : value;
		}
	}
	return h->max;
}
