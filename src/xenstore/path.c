/* SPDX-License-Identifier: MIT */
/* Path names. Everything here is reached by bytes that a client chose. */
#include "xenstore/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool allowed(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '/' || c == '_' || c == '@';
}

/* Bytes of a leading "/local/domain/<number>/", or 0. */
static size_t home_len(const char *path)
{
	static const char home[] = "/local/domain/";
	size_t pos = sizeof(home) - 1;

	if (strncmp(path, home, pos) != 0 || path[pos] == '/')
		return 0;
	while (path[pos] >= '0' && path[pos] <= '9')
		pos++;
	return path[pos] == '/' ? pos + 1 : 0;
}

static bool path_valid(const char *path, size_t len)
{
	size_t i;

	if (home_len(path) && len - home_len(path) > XENSTORE_REL_PATH_MAX)
		return false;
	if (len > 1 && path[len - 1] == '/')
		return false;
	for (i = 0; i < len; i++)
		if (!allowed(path[i]) || (i && path[i] == '/' && path[i - 1] == '/'))
			return false;
	return true;
}

size_t path_prefix(char *prefix, unsigned int domid)
{
	return (size_t)snprintf(prefix, PATH_PREFIX_BYTES, "/local/domain/%u/", domid);
}

int path_absolute(char *path, const char *text, unsigned int domid)
{
	size_t len = strlen(text), prefix = 0;
	char home[PATH_PREFIX_BYTES];

	/* A special name (@releaseDomain) is no node, and is not relative to anything either. */
	if (len == 0 || text[0] == '@')
		return -EINVAL;
	if (text[0] != '/') {
		if (len > XENSTORE_REL_PATH_MAX)
			return -EINVAL;
		prefix = path_prefix(home, domid);
		memcpy(path, home, prefix);
	}
	if (prefix + len > XENSTORE_ABS_PATH_MAX)
		return -EINVAL;
	memcpy(path + prefix, text, len + 1);
	return path_valid(path, prefix + len) ? (int)(prefix + len) : -EINVAL;
}

#define MERSENNE61 ((UINT64_C(1) << 61) - 1)

static uint64_t mul_mod(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	uint64_t sum = (uint64_t)(product & MERSENNE61) + (uint64_t)(product >> 61);

	return sum >= MERSENNE61 ? sum - MERSENNE61 : sum;
}

uint64_t path_hash_extend(uint64_t key, uint64_t hash, const char *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		hash = mul_mod(hash, key) + (unsigned char)bytes[i] + 1;
	return hash;
}

uint64_t path_hash(uint64_t key, const char *path)
{
	if (path[0] == '/' && path[1] == '\0')
		return PATH_HASH_ROOT;
	return path_hash_extend(key, PATH_HASH_ROOT, path, strlen(path));
}

void path_begin(struct path_iter *it, const char *path, uint64_t key)
{
	memset(it, 0, sizeof(*it));
	it->end = path[1] ? path : path + 1;
	it->key = key;
	it->hash = PATH_HASH_ROOT;
}

bool path_next(struct path_iter *it)
{
	const char *slash = it->end;

	if (*slash == '\0')
		return false;
	it->name = slash + 1;
	it->end = strchrnul(it->name, '/');
	it->len = (size_t)(it->end - it->name);
	it->hash = path_hash_extend(it->key, it->hash, slash, it->len + 1);
	return true;
}
