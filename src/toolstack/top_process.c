/* SPDX-License-Identifier: MIT */
/* Reading /proc. Processes come and go meanwhile: what cannot be read counts as nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolstack/top.h"

#define CHILDREN_MAX 64

/* The file's beginning as text, empty if there is none. */
static void read_proc(int pid, const char *name, char *text, size_t size)
{
	char path[64];
	FILE *file;
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	file = fopen(path, "re");
	if (file) {
		n = fread(text, 1, size - 1, file);
		fclose(file);
	}
	text[n] = '\0';
}

static void add_process(int pid, uint64_t *cpu_ticks, double *memory_bytes)
{
	unsigned long long user, system, pages;
	const char *rest;
	char text[1024];

	read_proc(pid, "stat", text, sizeof(text));
	/* proc(5): utime and stime are the 14th and 15th; the 2nd, a name, may contain anything. */
	rest = strrchr(text, ')');
	if (rest && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
			    &user, &system) == 2)
		*cpu_ticks += user + system;
	read_proc(pid, "statm", text, sizeof(text));
	if (sscanf(text, "%*u %llu", &pages) == 1)
		*memory_bytes += (double)pages * (double)sysconf(_SC_PAGESIZE);
}

void process_usage(int pid, uint64_t *cpu_ticks, double *memory_bytes)
{
	char name[40], text[1024], *word, *rest;

	*cpu_ticks = 0;
	*memory_bytes = 0;
	add_process(pid, cpu_ticks, memory_bytes);
	snprintf(name, sizeof(name), "task/%d/children", pid);
	read_proc(pid, name, text, sizeof(text));
	word = strtok_r(text, " ", &rest);
	for (unsigned int i = 0; word && i < CHILDREN_MAX; i++) {
		add_process(atoi(word), cpu_ticks, memory_bytes);
		word = strtok_r(NULL, " ", &rest);
	}
}
