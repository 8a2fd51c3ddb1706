/* SPDX-License-Identifier: MIT */
/* What a back end published passes through the hypervisor unread: it is taken for text, bounded. */
#include "toolstack/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool domain_line_parse(const char *line, struct domain_line *out)
{
	int keeper;

	if (sscanf(line, "domid=%u name=%63s kind=%15s pid=%d grants=%u maps=%u ports=%u "
			 "connections=%u state=%15s keeper=%d",
		    &out->domid, out->name, out->kind, &out->pid, &out->grants, &out->maps,
		    &out->ports, &out->connections, out->state, &keeper) != 10)
		return false;
	out->has_keeper = keeper != 0;
	return true;
}

/* The number behind " KEY="; 0 if there is none. */
static uint64_t figure(const char *line, const char *key)
{
	const char *found = strstr(line, key);

	return found ? strtoull(found + strlen(key), NULL, 10) : 0;
}

bool disk_line_parse(const char *line, struct disk_line *out)
{
	char state[16];

	if (sscanf(line, "backend=%63s domain=%u name=%63s device=%u state=%15s", out->backend,
		    &out->domid, out->name, &out->device, state) != 5)
		return false;
	out->connected = strcmp(state, "connected") == 0;
	out->counts = (struct disk_counts){
		.reads = figure(line, " reads="),
		.writes = figure(line, " writes="),
		.flushes = figure(line, " flushes="),
		.discards = figure(line, " discards="),
		.errors = figure(line, " errors="),
		.read_sectors = figure(line, " read_sectors="),
		.written_sectors = figure(line, " written_sectors="),
		.cache_hits = figure(line, " cache_hits="),
		.cache_misses = figure(line, " cache_misses="),
	};
	out->time_ms = figure(line, " time_ms=");
	return true;
}
