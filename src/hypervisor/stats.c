/* SPDX-License-Identifier: MIT */
/* Reads a driver domain's data/stats nodes. What it wrote is passed on as it is, one line each. */
#include "hypervisor/stats.h"

#include <ctype.h>
#include <string.h>

#define PATH_SIZE 128

struct print {
	struct domain *driver;
	FILE *out;
};

/* The value on one line, without anything that is not printable. */
static void print_value(FILE *out, const char *value)
{
	for (; *value; value++)
		fputc(isprint((unsigned char)*value) ? *value : '?', out);
	fputc('\n', out);
}

static int print_vbd(void *data, const char *name)
{
	struct print *print = data;
	char path[PATH_SIZE];
	const char *value;

	if (strlen(name) > 32)
		return 0;
	snprintf(path, sizeof(path), "/local/domain/%u/data/stats/vbd/%s", print->driver->id, name);
	value = store_read(print->driver->hv->store, path, NULL);
	if (value) {
		fprintf(print->out, "backend=%s ", print->driver->name);
		print_value(print->out, value);
	}
	return 0;
}

void stats_print(struct domain *driver, FILE *out)
{
	struct print print = {driver, out};
	char path[PATH_SIZE];
	const char *value;

	snprintf(path, sizeof(path), "/local/domain/%u/data/stats/total", driver->id);
	value = store_read(driver->hv->store, path, NULL);
	fprintf(out, "backend=%s ", driver->name);
	print_value(out, value ? value : "");
	snprintf(path, sizeof(path), "/local/domain/%u/data/stats/vbd", driver->id);
	store_children(driver->hv->store, path, print_vbd, &print);
}
