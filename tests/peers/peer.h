/* SPDX-License-Identifier: MIT */
/*
 * What the programs share that play a stranger's Xen program: they include nothing of Ringfence
 * and end with status 0 if everything was as it should be.
 */
#ifndef RF_TESTS_PEERS_PEER_H
#define RF_TESTS_PEERS_PEER_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

#define BOUND_S 100 /* says that something hangs, not that it is slow */

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not true: %s (errno: %s)\n", __FILE__, __LINE__,   \
				#condition, strerror(errno));                                      \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* The call fails with this errno value. */
#define CHECK_FAILS(failed, error)                                                                 \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK(failed);                                                                     \
		CHECK(errno == (error));                                                           \
	} while (0)

/* Waits until the node can be read; its value, to be freed. */
static inline char *wait_for_node(struct xs_handle *xs, const char *path)
{
	unsigned int len;
	char *value = NULL;

	CHECK(xs_watch(xs, path, path));
	while (!value) {
		free(xs_read_watch(xs, &len));
		value = xs_read(xs, XBT_NULL, path, &len);
	}
	CHECK(xs_unwatch(xs, path, path));
	return value;
}

static inline int wait_for_number(struct xs_handle *xs, const char *path)
{
	char *value = wait_for_node(xs, path);
	int number = atoi(value);

	free(value);
	return number;
}

static inline void put(struct xs_handle *xs, const char *path, const char *value)
{
	CHECK(xs_write(xs, XBT_NULL, path, value, (unsigned int)strlen(value)));
}

struct scenario {
	const char *name;
	void (*run)(char **arguments);
};

/* argv: SCENARIO [ARGUMENT]... */
static inline int run_scenario(int argc, char **argv, const struct scenario *scenarios, size_t nr)
{
	for (size_t i = 0; argc > 1 && i < nr; i++) {
		if (strcmp(argv[1], scenarios[i].name) == 0) {
			alarm(BOUND_S);
			scenarios[i].run(argv + 2);
			return 0;
		}
	}
	fprintf(stderr, "usage: %s SCENARIO [ARGUMENT]...\n", argv[0]);
	return 2;
}

#define RUN_SCENARIO(argc, argv, scenarios)                                                        \
	run_scenario(argc, argv, scenarios, sizeof(scenarios) / sizeof((scenarios)[0]))

#endif
