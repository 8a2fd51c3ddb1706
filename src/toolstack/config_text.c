/* SPDX-License-Identifier: MIT */
/*
 * Reading a configuration's text, through libxlutil. The file is the user's own, but may be
 * anything.
 */
#include "toolstack/config_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <libxlutil.h>

#include "toolstack/config_keys.h"

/* ---- messages ---- */

/* What stands before a message about a line of the text. */
static void print_place(const struct config_text *ct, unsigned int line)
{
	if (line > ct->nr_file_lines)
		fprintf(stderr, "command line: ");
	else
		fprintf(stderr, "%s:%u: ", ct->file, line);
}

static void complain(const struct config_text *ct, const struct config_key *key, const char *name,
	const char *fmt, va_list ap)
{
	if (key)
		print_place(ct, key->line);
	else
		fprintf(stderr, "%s: ", ct->file);
	fprintf(stderr, "%s: ", name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void config_text_complain(const struct config_text *ct, const char *key, const char *fmt, ...)
{
	const struct config_key *last = NULL;
	va_list ap;

	for (unsigned int i = 0; i < ct->nr_keys; i++) {
		if (strcmp(ct->keys[i].name, key) == 0)
			last = &ct->keys[i];
	}
	va_start(ap, fmt);
	complain(ct, last, key, fmt, ap);
	va_end(ap);
}

void config_text_complain_at(
	const struct config_text *ct, const struct config_key *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(ct, key, key->name, fmt, ap);
	va_end(ap);
}

/* libxlutil's messages begin with "FILE:LINE: "; its lines count on through the command line's. */
static void pass_report(struct config_text *ct)
{
	size_t file_len = strlen(ct->file);
	char *line, *rest, *end = ct->report_text;
	unsigned long nr;

	fflush(ct->report);
	for (line = strtok_r(ct->report_text, "\n", &rest); line;
		line = strtok_r(NULL, "\n", &rest)) {
		nr = strncmp(line, ct->file, file_len) == 0 && line[file_len] == ':'
			? strtoul(line + file_len + 1, &end, 10) : 0;
		if (nr > ct->nr_file_lines)
			fprintf(stderr, "command line%s\n", end);
		else
			fprintf(stderr, "%s\n", line);
	}
}

/* The usual slip: a shell takes the quotes away that a text needs here. */
static void hint_quotes(char *const *settings, unsigned int nr_settings)
{
	for (unsigned int i = 0; i < nr_settings; i++) {
		const char *value = strchr(settings[i], '=') + 1;

		value += strspn(value, " \t");
		if (!strchr("\"'[0123456789", *value) || !*value)
			fprintf(stderr, "A text needs quotes of its own, as in a file: '%.*s=\"%s\"'\n",
				(int)strcspn(settings[i], "=+ "), settings[i], value);
	}
}

/* ---- reading ---- */

static int append(struct config_text *ct, const char *text, size_t len)
{
	char *grown;

	if (len >= CONFIG_TEXT_MAX - ct->len)
		return -EFBIG;
	grown = realloc(ct->text, ct->len + len + 1);
	if (!grown)
		return -ENOMEM;
	memcpy(grown + ct->len, text, len);
	ct->len += len;
	grown[ct->len] = '\0';
	ct->text = grown;
	return 0;
}

static int read_stream(struct config_text *ct, FILE *in)
{
	char part[4096];
	size_t n;
	int rc = 0;

	errno = 0;
	while (rc == 0 && (n = fread(part, 1, sizeof(part), in)) > 0)
		rc = memchr(part, '\0', n) ? -EILSEQ : append(ct, part, n);
	if (rc == 0 && ferror(in))
		rc = errno ? -errno : -EIO;
	return rc;
}

static int read_file(struct config_text *ct)
{
	FILE *in = strcmp(ct->file, "-") == 0 ? stdin : fopen(ct->file, "re");
	int rc = in ? read_stream(ct, in) : -errno;

	if (in && in != stdin)
		fclose(in);
	/* A last line without an end would swallow what follows, and libxlutil's lexer wants it. */
	if (rc == 0)
		rc = append(ct, "\n", 1);
	if (rc)
		fprintf(stderr, "%s: cannot read the configuration: %s\n", ct->file,
			rc == -EFBIG	  ? "it is larger than 1 MiB"
			: rc == -EILSEQ ? "it is no text"
					  : strerror(-rc));
	for (size_t i = 0; rc == 0 && i < ct->len; i++)
		ct->nr_file_lines += ct->text[i] == '\n';
	return rc;
}

static int append_settings(struct config_text *ct, char *const *settings, unsigned int nr_settings)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < nr_settings; i++) {
		rc = append(ct, settings[i], strlen(settings[i]));
		if (rc == 0)
			rc = append(ct, "\n", 1);
	}
	if (rc)
		fprintf(stderr, "command line: %s\n", strerror(-rc));
	return rc;
}

int config_text_open(
	struct config_text *ct, const char *file, char *const *settings, unsigned int nr_settings)
{
	*ct = (struct config_text){.file = file};
	if (read_file(ct) || append_settings(ct, settings, nr_settings))
		goto err;
	ct->report = open_memstream(&ct->report_text, &ct->report_size);
	ct->xlu = ct->report ? xlu_cfg_init(ct->report, file) : NULL;
	if (!ct->xlu)
		goto nomem;
	if (xlu_cfg_readdata(ct->xlu, ct->text, (int)ct->len)) {
		pass_report(ct);
		hint_quotes(settings, nr_settings);
		goto err;
	}
	if (config_keys_find(ct->text, &ct->keys, &ct->nr_keys))
		goto nomem;
	return 0;
nomem:
	fprintf(stderr, "%s: out of memory\n", file);
err:
	config_text_close(ct);
	return -1;
}

void config_text_close(struct config_text *ct)
{
	xlu_cfg_destroy(ct->xlu);
	if (ct->report)
		fclose(ct->report);
	free(ct->report_text);
	free(ct->keys);
	free(ct->text);
	*ct = (struct config_text){0};
}

/* ---- values ---- */

int config_text_string(const struct config_text *ct, const char *key, const char **value)
{
	int rc = xlu_cfg_get_string(ct->xlu, key, value, 1);

	if (rc == 0)
		return 1;
	if (rc == ESRCH)
		return 0;
	config_text_complain(ct, key, "it takes one value, not a list");
	return -1;
}

int config_text_number(
	const struct config_text *ct, const char *key, long min, long max, long *value)
{
	int rc = xlu_cfg_get_bounded_long(ct->xlu, key, min, max, value, 1);

	if (rc == 0)
		return 1;
	if (rc == ESRCH)
		return 0;
	config_text_complain(ct, key, "it takes a number from %ld to %ld", min, max);
	return -1;
}

bool config_text_is_list(const struct config_text *ct, const char *key)
{
	return xlu_cfg_get_list(ct->xlu, key, NULL, NULL, 1) == 0;
}

int config_text_list(const struct config_text *ct, const char *key, const char ***items)
{
	XLU_ConfigList *list;
	int nr, rc = xlu_cfg_get_list(ct->xlu, key, &list, &nr, 1);

	*items = NULL;
	if (rc == ESRCH)
		return 0;
	if (rc) {
		config_text_complain(ct, key, "it takes a list: %s = [ \"...\", \"...\" ]", key);
		return -1;
	}
	*items = calloc((size_t)nr + 1, sizeof(**items));
	for (int i = 0; *items && i < nr; i++) {
		(*items)[i] = xlu_cfg_get_listitem(list, i);
		if ((*items)[i])
			continue;
		config_text_complain(ct, key, "item %d is a list itself; it must be a text", i + 1);
		free(*items);
		*items = NULL;
		return -1;
	}
	if (*items)
		return 1;
	config_text_complain(ct, key, "out of memory");
	return -1;
}
