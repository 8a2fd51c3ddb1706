/* SPDX-License-Identifier: MIT */
/* Reads what a user wrote about shared areas. Every complaint quotes the string that it is about. */
#include "toolstack/shm_config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"

#define TEXT_MAX 255

/* One string being read. */
struct reader {
	const char *text; /* all of it, for complaints */
	char *error;
	size_t error_size;
};

static int complain(const struct reader *in, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int complain(const struct reader *in, const char *fmt, ...)
{
	char what[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(in->error, in->error_size, "'%.100s': %s", in->text, what);
	return -EINVAL;
}

/* Cuts blanks off both ends, in place. */
static char *trim(char *text)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	return text;
}

/* Decimal, or hexadecimal behind 0x. */
static int number(const struct reader *in, const char *what, const char *text, uint64_t max,
	uint64_t *out)
{
	const char *digits = text + 2;
	char *end;
	int rc;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X') && isxdigit((unsigned char)*digits)) {
		errno = 0;
		*out = strtoull(digits, &end, 16);
		rc = *end ? -EINVAL : errno || *out > max ? -ERANGE : 0;
	} else {
		rc = parse_u64(text, 0, max, out);
	}
	if (rc == -ERANGE)
		return complain(in, "%s '%.40s' is too large", what, text);
	if (rc)
		return complain(in, "%s '%.40s' is not a number (decimal, or hexadecimal with 0x)",
			what, text);
	return 0;
}

static int add(struct shm_config *config, const struct reader *in, const struct shm_spec *spec)
{
	char why[SHM_ERROR_SIZE];
	int rc = shm_spec_check(config->specs, config->nr_specs, spec, why, sizeof(why));

	if (rc) {
		snprintf(in->error, in->error_size, "%s", why);
		return rc;
	}
	config->specs[config->nr_specs++] = *spec;
	return 0;
}

/* ---- static_shared_mem ---- */

static int read_range(const struct reader *in, char *range, struct shm_spec *spec)
{
	size_t len = strcspn(range, "-,");
	char separator = range[len];
	uint64_t second;
	int rc;

	if (!separator)
		return complain(in, "'%.40s' is no range: BEGIN-END or BEGIN,SIZE is expected",
			range);
	range[len] = '\0';
	rc = number(in, "the beginning", trim(range), UINT64_MAX, &spec->begin);
	if (rc == 0)
		rc = number(in, separator == '-' ? "the end" : "the size", trim(range + len + 1),
			UINT64_MAX, &second);
	if (rc)
		return rc;
	if (separator == ',') {
		spec->size = second;
		return 0;
	}
	if (second < spec->begin)
		return complain(in, "the range is reversed: it ends before it begins");
	if (second % SHM_PAGE_SIZE)
		return complain(in, "the end is not a multiple of the page size (0x%x)",
			SHM_PAGE_SIZE);
	spec->size = second - spec->begin;
	return 0;
}

int shm_config_add_range(struct shm_config *config, const char *text, char *error,
	size_t error_size)
{
	const struct reader in = {text, error, error_size};
	struct shm_spec spec = {.role = SHM_FIRST_OWNS, .writable = true};
	char copy[TEXT_MAX + 1], *equals;
	uint64_t id;
	int rc;

	if (snprintf(copy, sizeof(copy), "%s", text) > TEXT_MAX)
		return complain(&in, "that is too long");
	equals = strchr(copy, '=');
	if (!equals)
		return complain(&in, "there is no '= ID'; 'BEGIN-END = ID' is expected");
	*equals = '\0';
	rc = read_range(&in, trim(copy), &spec);
	if (rc == 0)
		rc = number(&in, "the id", trim(equals + 1), UINT32_MAX, &id);
	if (rc)
		return rc;
	spec.id = (uint32_t)id;
	return add(config, &in, &spec);
}

/* ---- static_shm ---- */

enum key { KEY_ID, KEY_BEGIN, KEY_SIZE, KEY_ROLE, KEY_OFFSET, KEY_PROT, NR_KEYS };

static const char *const keys[NR_KEYS] = {"id", "begin", "size", "role", "offset", "prot"};

static int read_value(const struct reader *in, enum key key, const char *value,
	struct shm_spec *spec)
{
	uint64_t id = 0;
	int rc;

	switch (key) {
	case KEY_BEGIN:
		return number(in, "begin", value, UINT64_MAX, &spec->begin);
	case KEY_SIZE:
		return number(in, "size", value, UINT64_MAX, &spec->size);
	case KEY_OFFSET:
		return number(in, "offset", value, UINT64_MAX, &spec->offset);
	case KEY_ROLE:
		spec->role = strcmp(value, "owner") == 0 ? SHM_OWNER : SHM_BORROWER;
		return spec->role == SHM_OWNER || strcmp(value, "borrower") == 0 ? 0
			: complain(in, "role is owner or borrower, not '%.40s'", value);
	case KEY_PROT:
		spec->writable = strcmp(value, "rw") == 0;
		return spec->writable || strcmp(value, "ro") == 0 ? 0
			: complain(in, "prot is rw or ro, not '%.40s'", value);
	default:
		rc = number(in, "id", value, UINT32_MAX, &id);
		spec->id = (uint32_t)id;
		return rc;
	}
}

/* One KEY=VALUE; `seen` has a bit for each key that came. */
static int read_pair(const struct reader *in, char *pair, unsigned int *seen,
	struct shm_spec *spec)
{
	char *equals = strchr(pair, '='), *name;

	if (!equals)
		return complain(in, "'%.40s' is not KEY=VALUE", trim(pair));
	*equals = '\0';
	name = trim(pair);
	for (unsigned int key = 0; key < NR_KEYS; key++) {
		if (strcmp(name, keys[key]) != 0)
			continue;
		if (*seen & 1u << key)
			return complain(in, "%s is there twice", name);
		*seen |= 1u << key;
		return read_value(in, (enum key)key, trim(equals + 1), spec);
	}
	return complain(in, "there is no key '%.40s'; id, begin, size, role, offset, prot are known",
		name);
}

int shm_config_add(struct shm_config *config, const char *text, char *error, size_t error_size)
{
	const struct reader in = {text, error, error_size};
	struct shm_spec spec = {.writable = true};
	char copy[TEXT_MAX + 1], *rest = copy, *pair;
	unsigned int seen = 0;
	int rc;

	if (snprintf(copy, sizeof(copy), "%s", text) > TEXT_MAX)
		return complain(&in, "that is too long");
	while ((pair = strsep(&rest, ","))) {
		rc = read_pair(&in, pair, &seen, &spec);
		if (rc)
			return rc;
	}
	for (unsigned int key = KEY_ID; key <= KEY_ROLE; key++) {
		if (!(seen & 1u << key))
			return complain(&in, "%s= is missing", keys[key]);
	}
	return add(config, &in, &spec);
}
