/* SPDX-License-Identifier: MIT */
/* The latest lines of the hypervisor's log, bounded, as Xen's console ring. Main thread only. */
#ifndef RF_HYPERVISOR_DMESG_H
#define RF_HYPERVISOR_DMESG_H

#include <stddef.h>
#include <stdio.h>

#define DMESG_SIZE 65536u

struct dmesg {
	char text[DMESG_SIZE]; /* a ring */
	size_t at, len;	       /* of its first character, and how many */
};

/*
 * Appends a line, which ends with its newline; the oldest lines make room. For log_set_sink, `data`
 * being the struct dmesg.
 */
void dmesg_add(void *data, const char *line, size_t len);

/* Whole lines, the oldest first. */
void dmesg_print(const struct dmesg *dmesg, FILE *out);

void dmesg_clear(struct dmesg *dmesg);

#endif
