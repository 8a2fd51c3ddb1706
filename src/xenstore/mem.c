/* SPDX-License-Identifier: MIT */
/* Allocation. */
#include "xenstore/mem.h"

#include <stdlib.h>

__attribute__((weak)) void *store_alloc(size_t size)
{
	return calloc(1, size);
}

__attribute__((weak)) void store_free(void *ptr)
{
	free(ptr);
}
