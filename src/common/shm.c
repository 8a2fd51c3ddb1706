/* SPDX-License-Identifier: MIT */
/* What a domain asks of a shared memory area: rules that need nobody else's state. */
#include "common/shm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"

static const char *const roles[] = {
	[SHM_FIRST_OWNS] = "any", [SHM_OWNER] = "owner", [SHM_BORROWER] = "borrower"};

const char *shm_role_name(enum shm_role role)
{
	return roles[role];
}

int shm_fail(char *error, size_t size, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error, size, fmt, ap);
	va_end(ap);
	return rc;
}

static int check_numbers(const struct shm_spec *spec, char *error, size_t error_size)
{
	const struct {
		const char *name;
		uint64_t value;
	} aligned[] = {{"begin", spec->begin}, {"size", spec->size}, {"offset", spec->offset}};

	for (size_t i = 0; i < sizeof(aligned) / sizeof(aligned[0]); i++) {
		if (aligned[i].value % SHM_PAGE_SIZE)
			return shm_fail(error, error_size, -EINVAL,
				"area %" PRIu32 ": %s 0x%" PRIx64
				" is not a multiple of the page size (0x%x)",
				spec->id, aligned[i].name, aligned[i].value, SHM_PAGE_SIZE);
	}
	if (spec->size == 0)
		return shm_fail(error, error_size, -EINVAL, "area %" PRIu32 ": the range is empty",
			spec->id);
	if (spec->role != SHM_BORROWER && spec->offset)
		return shm_fail(error, error_size, -EINVAL,
			"area %" PRIu32 ": only a borrower has an offset", spec->id);
	if (spec->begin < SHM_ADDRESS_MIN || spec->begin > SHM_ADDRESS_MAX ||
		spec->size > SHM_ADDRESS_MAX - spec->begin)
		return shm_fail(error, error_size, -ERANGE,
			"area %" PRIu32 ": 0x%" PRIx64 ", 0x%" PRIx64
			" bytes long, is not within the addresses that a program has (0x%" PRIx64
			"-0x%" PRIx64 ")",
			spec->id, spec->begin, spec->size, SHM_ADDRESS_MIN, SHM_ADDRESS_MAX);
	return 0;
}

int shm_spec_check(const struct shm_spec *specs, unsigned int nr_specs, const struct shm_spec *more,
	char *error, size_t error_size)
{
	int rc = check_numbers(more, error, error_size);

	if (rc)
		return rc;
	for (unsigned int i = 0; i < nr_specs; i++) {
		if (specs[i].id == more->id)
			return shm_fail(error, error_size, -EEXIST,
				"area %" PRIu32 " is named twice", more->id);
		/* Neither sum exceeds SHM_ADDRESS_MAX. */
		if (more->begin < specs[i].begin + specs[i].size &&
			specs[i].begin < more->begin + more->size)
			return shm_fail(error, error_size, -EEXIST,
				"area %" PRIu32 " (0x%" PRIx64 "-0x%" PRIx64
				") overlaps area %" PRIu32 " (0x%" PRIx64 "-0x%" PRIx64 ")",
				more->id, more->begin, more->begin + more->size, specs[i].id,
				specs[i].begin, specs[i].begin + specs[i].size);
	}
	if (nr_specs >= SHM_PER_DOMAIN_MAX)
		return shm_fail(error, error_size, -E2BIG,
			"a domain can have at most %u shared areas", SHM_PER_DOMAIN_MAX);
	return 0;
}

/* ---- as a word: ID,ROLE,rw|ro,BEGIN,SIZE,OFFSET ---- */

void shm_spec_print(const struct shm_spec *spec, char *text, size_t size)
{
	snprintf(text, size, "%" PRIu32 ",%s,%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64, spec->id,
		shm_role_name(spec->role), spec->writable ? "rw" : "ro", spec->begin, spec->size,
		spec->offset);
}

static int parse_role(const char *text, enum shm_role *role)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strcmp(text, roles[i]) == 0) {
			*role = (enum shm_role)i;
			return 0;
		}
	}
	return -EINVAL;
}

int shm_spec_parse(const char *text, struct shm_spec *spec)
{
	char copy[SHM_WORD_SIZE], *field[6], *rest = copy;
	uint64_t id;

	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
		return -EINVAL;
	for (size_t i = 0; i < 6; i++) {
		field[i] = strsep(&rest, ",");
		if (!field[i])
			return -EINVAL;
	}
	if (rest || parse_u64(field[0], 0, UINT32_MAX, &id) || parse_role(field[1], &spec->role) ||
		(strcmp(field[2], "rw") != 0 && strcmp(field[2], "ro") != 0) ||
		parse_u64(field[3], 0, UINT64_MAX, &spec->begin) ||
		parse_u64(field[4], 0, UINT64_MAX, &spec->size) ||
		parse_u64(field[5], 0, UINT64_MAX, &spec->offset))
		return -EINVAL;
	spec->id = (uint32_t)id;
	spec->writable = field[2][1] == 'w';
	return 0;
}
