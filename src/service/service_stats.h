/* SPDX-License-Identifier: MIT */
/*
 * What the hypervisor tells about itself (docs/protocol/control.md), parsed and printed: for people
 * as a table, for programs as JSON.
 */
#ifndef RF_SERVICE_SERVICE_STATS_H
#define RF_SERVICE_SERVICE_STATS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATS_NAME_SIZE 64

/* The figures of one line: of the driver domain in all, or of one client's disk. */
struct stats_figures {
	char name[STATS_NAME_SIZE];
	bool connected;
	uint64_t requests, errors, read_sectors, cache_hits, cache_misses;
};

struct service_stats {
	struct stats_figures total;
	bool has_total; /* false: the driver domain has not published anything yet */
	uint64_t cache_bytes;
	struct stats_figures *clients;
	size_t nr_clients;
};

/* Parses the reply of `stats` or `shutdown`; unknown words are skipped. 0 or -ENOMEM. */
int stats_parse(const char *text, struct service_stats *stats) __attribute__((warn_unused_result));
void stats_free(struct service_stats *stats);

/* The counts, the hit ratio and a table of clients. */
void stats_print(const struct service_stats *stats);

/* The same as members of a JSON object, without the braces. */
void stats_print_json(const struct service_stats *stats);

/* A JSON string, quoted and escaped. */
void json_print_string(const char *text);

/*
 * Finds `key=` in a line, at its beginning or after a blank, and copies its value up to the next
 * blank. False when there is no such key, or no room.
 */
bool field_get(const char *line, const char *key, char *value, size_t size);

/* The same for the line's last value, which may hold blanks. */
bool field_get_rest(const char *line, const char *key, char *value, size_t size);

/* The same for a decimal number; 0 when it is missing or no number. */
uint64_t field_get_u64(const char *line, const char *key);

#endif
