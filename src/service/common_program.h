/* SPDX-License-Identifier: MIT */
/*
 * What the exercise's three programs have in common: a version, exit statuses, and how they speak
 * to the person in front of them.
 */
#ifndef RF_SERVICE_COMMON_PROGRAM_H
#define RF_SERVICE_COMMON_PROGRAM_H

#include <stdbool.h>

#ifndef RINGFENCE_VERSION /* the Makefile passes it */
#define RINGFENCE_VERSION "unknown"
#endif

enum exit_status {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_RUNNING = 3, /* as `systemctl status` and the LSB have it */
};

/* Names the program in every later message. Call once, first; `name` must stay. */
void program_setup(const char *name);

/* Writes "<program>: text" as one line on stderr. Any thread. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* complain, then where help is to be found. Returns EXIT_USAGE. */
int complain_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* If an argument is --help or --version: prints what it asks for and returns true. */
bool program_handle_help(int argc, char *const *argv, const char *help);

/*
 * Flushes stdout. Returns `status`, or EXIT_FAILED with a message if what was printed could not be
 * written: a result that nobody received is no success.
 */
int program_finish(int status);

#endif
