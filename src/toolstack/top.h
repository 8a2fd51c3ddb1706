/* SPDX-License-Identifier: MIT */
/*
 * ringfence top: figures of domains and their disks, again and again. One thread.
 *	top.c		options; plain text and JSON, for whoever has no terminal
 *	top_sample.c	takes figures and makes rates of them
 *	top_format.c	columns, lines, sorting
 *	top_screen.c	the terminal
 */
#ifndef RF_TOOLSTACK_TOP_H
#define RF_TOOLSTACK_TOP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "toolstack/lines.h"
#include "toolstack/tracer.h"

/* Figures that nobody knows are NAN. */

struct top_disk {
	struct disk_line line;
	/* A second, between the last two times that the back end published its counts. */
	double reads, writes, flushes, discards, bytes, hits, misses;
	double latency_ns; /* mean, of the requests sampled since the last look */
	double depth;
};

struct top_domain {
	unsigned int domid;
	int pid;
	char name[DOMAIN_NAME_SIZE], kind[16];
	uint64_t cpu_ticks;
	double cpu; /* processors, since the last look */
	double memory_bytes;
};

/* Sorted by domain, and device. */
struct top_snapshot {
	uint64_t ns;
	struct top_domain *domains;
	struct top_disk *disks;
	unsigned int nr_domains, nr_disks;
};

/* A disk of a domain; disk is NULL for a domain without. */
struct top_row {
	const struct top_domain *domain;
	const struct top_disk *disk;
};

struct top {
	int control_fd;
	struct domain0 dom0;
	struct tracer tracer;
	struct top_snapshot now, before;
	struct top_row *rows;
	unsigned int nr_rows;
	unsigned int sort; /* a column */
	double delay_s;
};

/* ---- top_sample.c ---- */

/* Connects. 0, or the exit status, and standard error tells why. top_close is legal after it. */
int top_open(struct top *top) __attribute__((warn_unused_result));
void top_close(struct top *top);

/* New figures, and rows of them in order. 0, or -errno when the hypervisor went away. */
int top_sample(struct top *top) __attribute__((warn_unused_result));

/* ---- top_format.c ---- */

#define TOP_LINE_SIZE 256

extern const unsigned int top_nr_columns;

/* The column of that name, or -EINVAL. */
int top_column(const char *name);

void top_sort(struct top *top);

/* Lines without their end, of at most TOP_LINE_SIZE. */
void top_format_head(const struct top *top, char *line);
void top_format_titles(const struct top *top, char *line);
void top_format_row(const struct top_row *row, char *line);

/* All of it: as lines, or as a JSON object on one. */
void top_print(const struct top *top, FILE *out);
void top_print_json(const struct top *top, FILE *out);

/* ---- top_screen.c ---- */

/* Until the user quits, or after nr_iterations (0: no limit). The exit status. */
int top_screen(struct top *top, unsigned long nr_iterations);

#endif
