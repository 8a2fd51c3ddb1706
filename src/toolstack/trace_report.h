/* SPDX-License-Identifier: MIT */
/* What `ringfence trace` measured of one disk, and how it is shown. */
#ifndef RF_TOOLSTACK_TRACE_REPORT_H
#define RF_TOOLSTACK_TRACE_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "common/histogram.h"
#include "toolstack/tracer.h"

/* From one stamp to the next: nr_stages histograms, and one of the whole. */
struct trace_stages {
	const char *const *names;
	unsigned int nr_stages;
	struct histogram *of; /* [nr_stages] is the whole */
};

/* Hangs at trace_disk.report. */
struct trace_report {
	unsigned long nr_without_driver;
	struct trace_stages joined, front, back;
};

/* NULL: out of memory. */
struct trace_report *trace_report_create(void);
void trace_report_destroy(struct trace_report *report);

/* Adds a sample by its stamps, one more than there are stages. */
void trace_stages_add(struct trace_stages *stages, const uint64_t *ns);

/* True if there is anything to be shown. */
bool trace_report_has_samples(const struct trace_report *report);

void trace_report_print(FILE *out, const struct trace_disk *disk);
void trace_report_print_json(FILE *out, const struct trace_disk *disk);

/* For --raw: the line of names, and a sample's. */
void trace_raw_head(FILE *out);
void trace_raw_print(FILE *out, const struct trace_disk *disk, const struct stamps_record *back,
	const uint64_t *ns);

#endif
