/* SPDX-License-Identifier: MIT */
/* Number parsing for command lines and store values. Pure functions; any thread. */
#include "common/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int parse_prefix(const char *text, uint64_t *out, const char **end)
{
	unsigned long long v;
	char *stop;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &stop, 10);
	if (errno)
		return -errno;
	*out = v;
	*end = stop;
	return 0;
}

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *end;
	uint64_t v;
	int rc = parse_prefix(text, &v, &end);

	if (rc)
		return rc;
	if (*end)
		return -EINVAL;
	if (v < min || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int parse_size(const char *text, uint64_t *bytes)
{
	static const char suffixes[] = "KMGT";
	const char *end, *suffix;
	unsigned int shift = 0;
	uint64_t v;
	int rc = parse_prefix(text, &v, &end);

	if (rc)
		return rc;
	if (*end) {
		suffix = strchr(suffixes, toupper((unsigned char)*end));
		if (!suffix || end[1])
			return -EINVAL;
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
	}
	if (v > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = v << shift;
	return 0;
}

int parse_percent(const char *text, uint32_t *ppm)
{
	uint32_t unit = PARSE_PPM_MAX / 100, decimals = 0;
	const char *end;
	uint64_t whole;
	int rc = parse_prefix(text, &whole, &end);

	if (rc)
		return rc;
	if (*end == '.') {
		if (!isdigit((unsigned char)*++end))
			return -EINVAL;
		for (; isdigit((unsigned char)*end); end++) {
			unit /= 10;
			if (unit == 0)
				return -EINVAL;
			decimals += (uint32_t)(*end - '0') * unit;
		}
	}
	if (strcmp(end, "%") != 0)
		return -EINVAL;
	if (whole > 100 || (whole == 100 && decimals))
		return -ERANGE;
	*ppm = (uint32_t)whole * (PARSE_PPM_MAX / 100) + decimals;
	return 0;
}
