/* SPDX-License-Identifier: MIT */
/* Values of a configuration that have a syntax of their own. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "toolstack/config.h"

/* ---- words ---- */

static const char blanks[] = " \t\n";

/*
 * Takes one word off *at: blanks end it, quotes keep blanks in it, a backslash takes the next
 * character as it is (but not within single quotes). As a shell does, without any expansion.
 */
static int take_word(const char **at, char *word)
{
	const char *c = *at;
	char quote = 0;

	for (; *c && (quote || !strchr(blanks, *c)); c++) {
		if (quote && *c == quote)
			quote = 0;
		else if (!quote && (*c == '"' || *c == '\''))
			quote = *c;
		else if (*c == '\\' && quote != '\'' && c[1])
			*word++ = *++c;
		else
			*word++ = *c;
	}
	*word = '\0';
	*at = c;
	return quote ? -EINVAL : 0;
}

int config_split_words(const char *text, char ***words, unsigned int *nr_words)
{
	size_t len = strlen(text);
	char *room = malloc(len + 1);
	int rc = 0;

	*nr_words = 0;
	*words = calloc(len / 2 + 2, sizeof(**words));
	if (!room || !*words)
		rc = -ENOMEM;
	while (rc == 0 && *(text += strspn(text, blanks))) {
		rc = take_word(&text, room);
		if (rc == 0 && !((*words)[(*nr_words)++] = strdup(room)))
			rc = -ENOMEM;
	}
	free(room);
	if (rc) {
		config_free_words(*words);
		*words = NULL;
	}
	return rc;
}

void config_free_words(char **words)
{
	for (char **word = words; word && *word; word++)
		free(*word);
	free(words);
}

/* ---- processors ---- */

/* "N" or "N-M". */
static int parse_cpu_range(char *text, uint64_t *first, uint64_t *last)
{
	char *dash = strchr(text, '-');
	int rc;

	if (dash)
		*dash = '\0';
	rc = parse_u64(text, 0, CPU_SETSIZE - 1, first);
	*last = *first;
	if (rc == 0 && dash)
		rc = parse_u64(dash + 1, *first, CPU_SETSIZE - 1, last);
	return rc;
}

/* One part between commas: a range, "all", or one of these after "^", which takes it out. */
static int parse_cpu_part(char *part, cpu_set_t *cpus)
{
	uint64_t first = 0, last = CPU_SETSIZE - 1;
	bool remove;
	char *end;

	part += strspn(part, blanks);
	end = part + strcspn(part, blanks);
	if (end[strspn(end, blanks)])
		return -EINVAL;
	*end = '\0';
	remove = *part == '^';
	part += remove;
	if (strcmp(part, "all") != 0 && parse_cpu_range(part, &first, &last))
		return -EINVAL;
	for (uint64_t cpu = first; cpu <= last; cpu++) {
		if (remove)
			CPU_CLR(cpu, cpus);
		else
			CPU_SET(cpu, cpus);
	}
	return 0;
}

int config_parse_cpus(const char *text, cpu_set_t *cpus)
{
	char *copy = strdup(text), *part, *rest = copy;
	int rc = copy ? 0 : -ENOMEM;

	CPU_ZERO(cpus);
	while (rc == 0 && (part = strsep(&rest, ",")))
		rc = parse_cpu_part(part, cpus);
	free(copy);
	return rc;
}
