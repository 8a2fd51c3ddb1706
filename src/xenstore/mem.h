/* SPDX-License-Identifier: MIT */
/*
 * The library's only door to the heap. Both functions are weak symbols, so that a test can supply
 * its own and make any allocation fail.
 */
#ifndef RF_XENSTORE_MEM_H
#define RF_XENSTORE_MEM_H

#include <stddef.h>

/* Zeroed memory, or NULL. */
void *store_alloc(size_t size) __attribute__((warn_unused_result));

/* NULL is legal. */
void store_free(void *ptr);

#endif
