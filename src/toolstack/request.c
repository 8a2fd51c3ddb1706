/* SPDX-License-Identifier: MIT */
/* Words of a request from keys and values. */
#include "toolstack/request.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "toolstack/command.h"

#define ARGUMENTS_MAX 8

static char *vrequest(int control_fd, int timeout_s, const char *verb, va_list ap)
{
	const char *words[ARGUMENTS_MAX + 2] = {verb}, *key, *value;
	char *own[ARGUMENTS_MAX], *text = NULL;
	unsigned int nr = 0;
	bool ok = true;

	while (ok && nr < ARGUMENTS_MAX && (key = va_arg(ap, const char *))) {
		value = va_arg(ap, const char *);
		if (!value)
			continue;
		ok = asprintf(&own[nr], "%s=%s", key, value) >= 0;
		if (ok) {
			words[nr + 1] = own[nr];
			nr++;
		}
	}
	if (ok)
		text = command_call_within(control_fd, timeout_s * 1000, words, NULL, NULL);
	else
		fprintf(stderr, "ringfence: out of memory\n");
	while (nr > 0)
		free(own[--nr]);
	return text;
}

char *request(int control_fd, int timeout_s, const char *verb, ...)
{
	va_list ap;
	char *text;

	va_start(ap, verb);
	text = vrequest(control_fd, timeout_s, verb, ap);
	va_end(ap);
	return text;
}

char *request_once(int *status, int timeout_s, const char *verb, ...)
{
	int fd = command_connect(status);
	va_list ap;
	char *text;

	if (fd < 0)
		return NULL;
	*status = 1;
	va_start(ap, verb);
	text = vrequest(fd, timeout_s, verb, ap);
	va_end(ap);
	close(fd);
	return text;
}

void print_json_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < ' ')
			printf("\\u%04x", c);
		else if (c == '"' || c == '\\')
			printf("\\%c", c);
		else
			putchar(c);
	}
	putchar('"');
}
