/* SPDX-License-Identifier: MIT */
/* Messages, help and the end of a program; see common_program.h. */
#include "service/common_program.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *program_name = "ringfence";

void program_setup(const char *name)
{
	program_name = name;
}

static void complain_va(const char *fmt, va_list ap)
{
	char line[4096 + 512]; /* a path and a sentence */
	int len = snprintf(line, sizeof(line), "%s: ", program_name);
	int n = vsnprintf(line + len, sizeof(line) - (size_t)len - 1, fmt, ap);

	if (n < 0)
		return;
	len = (size_t)(len + n) < sizeof(line) - 1 ? len + n : (int)sizeof(line) - 2;
	line[len++] = '\n';
	/* One write, so that lines of several processes do not mix; nothing to do if it fails. */
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		return;
}

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain_va(fmt, ap);
	va_end(ap);
}

int complain_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain_va(fmt, ap);
	va_end(ap);
	complain("try '%s --help'", program_name);
	return EXIT_USAGE;
}

bool program_handle_help(int argc, char *const *argv, const char *help)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0)
			return false;
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			fputs(help, stdout);
			return true;
		}
		if (strcmp(argv[i], "--version") == 0) {
			printf("%s (Ringfence) %s\n", program_name, RINGFENCE_VERSION);
			return true;
		}
	}
	return false;
}

int program_finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	complain("cannot write to standard output: %s", strerror(errno));
	return status ? status : EXIT_FAILED;
}
