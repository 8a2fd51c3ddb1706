/* SPDX-License-Identifier: MIT */
/* Lines of the hypervisor's answers (docs/protocol/control.md), taken apart. */
#ifndef RF_TOOLSTACK_LINES_H
#define RF_TOOLSTACK_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOMAIN_NAME_SIZE 64

/* Of domain-list. Names have no blanks and need no escaping. */
struct domain_line {
	unsigned int domid, grants, maps, ports, connections;
	int pid; /* of who made it */
	bool has_keeper; /* that process only keeps it for others */
	char name[DOMAIN_NAME_SIZE], kind[16], state[16];
};

/* What a disk has counted, from its line of stats. */
struct disk_counts {
	uint64_t reads, writes, flushes, discards, errors;
	uint64_t read_sectors, written_sectors, cache_hits, cache_misses;
};

struct disk_line {
	unsigned int domid, device;
	char name[DOMAIN_NAME_SIZE], backend[DOMAIN_NAME_SIZE];
	bool connected;
	struct disk_counts counts;
	uint64_t time_ms; /* CLOCK_MONOTONIC of the counts */
};

/* False if it is no such line. */
bool domain_line_parse(const char *line, struct domain_line *out);
bool disk_line_parse(const char *line, struct disk_line *out);

#endif
