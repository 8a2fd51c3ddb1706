/* SPDX-License-Identifier: MIT */
/*
 * Latency histogram with buckets of constant relative width (64 per power of two, so a value is
 * known within 1.6 %), plus exact minimum, maximum, mean and variance. Embedded, zeroed by init;
 * one thread writes it. Histograms of several threads are added with histogram_merge.
 */
#ifndef RF_COMMON_HISTOGRAM_H
#define RF_COMMON_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_NR_BUCKETS ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
	uint64_t count;
	uint64_t min, max;
	double mean;
	double m2; /* sum of squared distances from the mean (Welford) */
	uint64_t buckets[HISTOGRAM_NR_BUCKETS];
};

void histogram_init(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* Population standard deviation; 0 for fewer than two values. */
double histogram_stddev(const struct histogram *h);

/* The value below which `percent` (0..100) of the values lie; 0 when there is none. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

#endif
