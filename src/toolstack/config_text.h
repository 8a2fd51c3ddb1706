/* SPDX-License-Identifier: MIT */
/*
 * The text of a configuration: a file in xl's syntax and settings from the command line after it.
 * libxlutil is the judge of syntax and values, so xl's rules hold; this adds what it cannot tell:
 * which keys there are, and in which lines.
 */
#ifndef RF_TOOLSTACK_CONFIG_TEXT_H
#define RF_TOOLSTACK_CONFIG_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#define CONFIG_TEXT_MAX (1u << 20) /* bytes */

struct config_key {
	char name[32]; /* longer ones are cut: none of ours is */
	unsigned int line;
};

struct config_text {
	const char *file; /* the caller's */
	char *text;
	size_t len;
	unsigned int nr_file_lines; /* those after are from the command line */
	struct config_key *keys;    /* in the order of the text; a key may be there twice */
	unsigned int nr_keys;
	FILE *report; /* libxlutil's messages, collected in report_text */
	char *report_text;
	size_t report_size;
	void *xlu; /* XLU_Config: its header is not for everybody's eyes */
};

/*
 * Reads `file` ("-": standard input) and appends the nr_settings texts, each a line of its own.
 * 0, or -1 with the reason on standard error; then nothing is to be closed.
 */
int config_text_open(struct config_text *ct, const char *file, char *const *settings,
	unsigned int nr_settings) __attribute__((warn_unused_result));

/* Legal for a zeroed one. */
void config_text_close(struct config_text *ct);

/* "FILE:LINE: KEY: message" on standard error, the line being the key's last one. */
void config_text_complain(const struct config_text *ct, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for one of ct->keys. */
void config_text_complain_at(const struct config_text *ct, const struct config_key *key,
	const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * A key's value: 1 it is there, 0 it is not, -1 it is of the wrong kind or out of range and that
 * was said. The values belong to ct.
 */
int config_text_string(const struct config_text *ct, const char *key, const char **value)
	__attribute__((warn_unused_result));
int config_text_number(const struct config_text *ct, const char *key, long min, long max,
	long *value) __attribute__((warn_unused_result));
/* *items: NULL-terminated, to be freed by one free(); the texts in it belong to ct. */
int config_text_list(const struct config_text *ct, const char *key, const char ***items)
	__attribute__((warn_unused_result));
bool config_text_is_list(const struct config_text *ct, const char *key);

#endif
