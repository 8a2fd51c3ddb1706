/* SPDX-License-Identifier: MIT */
/* Reference-counted immutable bytes: values, and lists of children. */
#include <string.h>

#include "xenstore/internal.h"
#include "xenstore/mem.h"

struct blob *blob_create(const void *bytes, size_t len)
{
	struct blob *blob = store_alloc(sizeof(*blob) + len + 1);

	if (!blob)
		return NULL;
	blob->refs = 1;
	blob->len = len;
	if (bytes && len)
		memcpy(blob->bytes, bytes, len);
	return blob;
}

struct blob *blob_get(struct blob *blob)
{
	blob->refs++;
	return blob;
}

void blob_put(struct blob *blob)
{
	if (blob && --blob->refs == 0)
		store_free(blob);
}
