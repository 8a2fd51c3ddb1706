/* SPDX-License-Identifier: MIT */
/*
 * libxlutil answers for keys that one asks for and cannot list those that are there: so a
 * misspelt one would be ignored. In xl's grammar a value is a string, a number or a list of
 * such. A word outside of strings and comments is therefore a key, in any text that libxlutil has
 * accepted; and that is all that has to be found.
 */
#include "toolstack/config_keys.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 31

static const char *const known[] = {"name", "type", "kernel", "extra", "memory", "vcpus", "cpus",
	"uid", "disk", "driver_domain", "on_poweroff", "on_reboot", "on_crash", "shutdown_timeout",
	"static_shared_mem", "static_shm"};

#define NR_KNOWN (sizeof(known) / sizeof(known[0]))

/* ---- which there are ---- */

/* Past the end of the string that begins here; they do not span lines. */
static const char *skip_string(const char *at)
{
	char quote = *at++;

	while (*at && *at != quote)
		at += at[0] == '\\' && at[1] ? 2 : 1;
	return *at ? at + 1 : at;
}

static const char *skip_word(const char *at)
{
	while (isalnum((unsigned char)*at) || *at == '_')
		at++;
	return at;
}

static int add_key(struct config_key **keys, unsigned int *nr_keys, const char *name, size_t len,
	unsigned int line)
{
	struct config_key *grown = realloc(*keys, (*nr_keys + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*keys = grown;
	grown += (*nr_keys)++;
	grown->line = line;
	snprintf(grown->name, sizeof(grown->name), "%.*s", (int)len, name);
	return 0;
}

int config_keys_find(const char *text, struct config_key **keys, unsigned int *nr_keys)
{
	unsigned int line = 1;
	const char *end;
	int rc = 0;

	*keys = NULL;
	*nr_keys = 0;
	while (rc == 0 && *text) {
		end = text + 1;
		if (*text == '#')
			end = text + strcspn(text, "\n");
		else if (*text == '"' || *text == '\'')
			end = skip_string(text);
		else if (isdigit((unsigned char)*text))
			end = skip_word(text);
		else if (*text == '\n')
			line++;
		else if (isalpha((unsigned char)*text) || *text == '_') {
			end = skip_word(text);
			rc = add_key(keys, nr_keys, text, (size_t)(end - text), line);
		}
		text = end;
	}
	if (rc)
		free(*keys);
	return rc;
}

/* ---- which there may be ---- */

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	if (b < a)
		a = b;
	return c < a ? c : a;
}

/*
 * The distance of Damerau and Levenshtein, with adjacent swaps; longer words count as their
 * beginnings.
 */
unsigned int config_keys_distance(const char *a, const char *b)
{
	unsigned int cost[WORD_MAX + 1][WORD_MAX + 1];
	size_t nr_a = strnlen(a, WORD_MAX), nr_b = strnlen(b, WORD_MAX);

	for (unsigned int i = 0; i <= nr_a; i++)
		cost[i][0] = i;
	for (unsigned int j = 0; j <= nr_b; j++)
		cost[0][j] = j;
	for (size_t i = 1; i <= nr_a; i++) {
		for (size_t j = 1; j <= nr_b; j++) {
			cost[i][j] = min3(cost[i - 1][j] + 1, cost[i][j - 1] + 1,
				cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				cost[i][j] = min3(cost[i][j], cost[i - 2][j - 2] + 1, cost[i][j]);
		}
	}
	return cost[nr_a][nr_b];
}

/* The nearest of our keys, or NULL when none is near: a third of the letters may be wrong. */
static const char *suggest(const char *key)
{
	unsigned int best = (unsigned int)strlen(key) / 3, distance;
	const char *found = NULL;

	for (size_t i = 0; i < NR_KNOWN; i++) {
		distance = config_keys_distance(key, known[i]);
		if (distance > best || (found && distance == best))
			continue;
		best = distance;
		found = known[i];
	}
	return found;
}

static bool is_known(const char *key)
{
	for (size_t i = 0; i < NR_KNOWN; i++) {
		if (strcmp(known[i], key) == 0)
			return true;
	}
	return false;
}

int config_keys_check(const struct config_text *ct)
{
	const char *near;
	int rc = 0;

	for (unsigned int i = 0; i < ct->nr_keys; i++) {
		if (is_known(ct->keys[i].name))
			continue;
		near = suggest(ct->keys[i].name);
		if (near)
			config_text_complain_at(ct, &ct->keys[i], "unknown key; did you mean '%s'?", near);
		else
			config_text_complain_at(ct, &ct->keys[i],
				"unknown key; ringfence.cfg(5) lists those that there are");
		rc = -1;
	}
	return rc;
}
