/* SPDX-License-Identifier: MIT */
/* Names to domains. As in xl, digits alone are an id: a name never hides one. */
#include "toolstack/find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "toolstack/command.h"

int domains_get(struct domains *domains)
{
	int status;

	domains->text = command_ask("domain-list", &status);
	return domains->text ? 0 : status;
}

void domains_put(struct domains *domains)
{
	free(domains->text);
	domains->text = NULL;
}

bool domains_next(const char **at, struct domain_line *row)
{
	const char *line;

	while ((line = *at) && *line) {
		const char *end = strchr(line, '\n');

		*at = end ? end + 1 : NULL;
		if (domain_line_parse(line, row))
			return true;
	}
	return false;
}

bool domains_find(const struct domains *domains, const char *name, struct domain_line *row)
{
	const char *at = domains->text;
	uint64_t id;
	bool by_id = parse_u64(name, 0, UINT32_MAX, &id) == 0;

	while (domains_next(&at, row)) {
		if (by_id ? row->domid == id : strcmp(row->name, name) == 0)
			return true;
	}
	return false;
}

int domain_find(const char *name, struct domain_line *row)
{
	struct domains domains;
	int status = domains_get(&domains);

	if (status)
		return status;
	if (!domains_find(&domains, name, row)) {
		fprintf(stderr, FIND_NO_DOMAIN "\n", name);
		status = 1;
	}
	domains_put(&domains);
	return status;
}
