/* SPDX-License-Identifier: MIT */
/* A ring of characters that begins with a whole line. */
#include "hypervisor/dmesg.h"

#include <stdbool.h>

/* Gives up the first line. */
static void drop_line(struct dmesg *dmesg)
{
	bool end = false;

	while (dmesg->len && !end) {
		end = dmesg->text[dmesg->at] == '\n';
		dmesg->at = (dmesg->at + 1) % DMESG_SIZE;
		dmesg->len--;
	}
}

void dmesg_add(void *data, const char *line, size_t len)
{
	struct dmesg *dmesg = data;

	if (len > DMESG_SIZE)
		return;
	while (DMESG_SIZE - dmesg->len < len)
		drop_line(dmesg);
	for (size_t i = 0; i < len; i++)
		dmesg->text[(dmesg->at + dmesg->len++) % DMESG_SIZE] = line[i];
}

void dmesg_print(const struct dmesg *dmesg, FILE *out)
{
	for (size_t i = 0; i < dmesg->len; i++)
		fputc(dmesg->text[(dmesg->at + i) % DMESG_SIZE], out);
}

void dmesg_clear(struct dmesg *dmesg)
{
	dmesg->at = dmesg->len = 0;
}
