/* SPDX-License-Identifier: MIT */
/*
 * Path names: validation, the relative form, and a keyed hash that grows component by component.
 * Source: Xen's docs/misc/xenstore.txt. Pure functions.
 */
#ifndef RF_XENSTORE_PATH_H
#define RF_XENSTORE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

#define PATH_BYTES (XENSTORE_ABS_PATH_MAX + 1)
#define PATH_HASH_ROOT UINT64_C(1)

/*
 * Writes the absolute form of `text`, as domain `domid` sees it, to path[PATH_BYTES].
 * Returns its length, or -EINVAL when the name is not allowed.
 */
int path_absolute(char *path, const char *text, unsigned int domid);

/* Length of "/local/domain/<domid>/", which is written to prefix[PATH_PREFIX_BYTES]. */
#define PATH_PREFIX_BYTES 32
size_t path_prefix(char *prefix, unsigned int domid);

/*
 * A polynomial over the bytes, modulo 2^61 - 1, at a secret point: two given paths collide with a
 * probability below 2^-49, whatever a client chooses.
 */
uint64_t path_hash_extend(uint64_t key, uint64_t hash, const char *bytes, size_t len);
uint64_t path_hash(uint64_t key, const char *path);

/* Steps through the components of a valid absolute path. */
struct path_iter {
	const char *name; /* the component, not terminated */
	size_t len;
	const char *end; /* just behind it */
	uint64_t key;
	uint64_t hash; /* of the path up to and with the component */
};

void path_begin(struct path_iter *it, const char *path, uint64_t key);
bool path_next(struct path_iter *it);

#endif
