/* SPDX-License-Identifier: MIT */
/* Strict parsing of what users type: the whole text must be a number, and in range. */
#ifndef RF_COMMON_PARSE_H
#define RF_COMMON_PARSE_H

#include <stdint.h>

/*
 * Decimal, without sign or blanks. Returns 0, -EINVAL for text that is no number, or -ERANGE when
 * it is outside min..max; *out is written only on success.
 */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
	__attribute__((warn_unused_result));

/* The same with an optional suffix K, M, G or T (powers of 1024): a size in bytes. */
int parse_size(const char *text, uint64_t *bytes) __attribute__((warn_unused_result));

/*
 * A percentage from 0% to 100%, with at most four decimals ("1%", "0.5%"), in parts of a million.
 * As parse_u64.
 */
#define PARSE_PPM_MAX 1000000u
int parse_percent(const char *text, uint32_t *ppm) __attribute__((warn_unused_result));

#endif
