/* SPDX-License-Identifier: MIT */
/*
 * Disks in xl's syntax, which libxlutil's xlu_disk_parse reads (xl-disk-configuration(5)); it needs
 * no libxl context. Weight and limits are ours: they are taken out of the specification first.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libxlutil.h>

#include "common/parse.h"
#include "toolstack/config.h"

#define WEIGHT_MAX 65535u

static int fail(char **why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(char **why, const char *fmt, ...)
{
	va_list ap;

	free(*why);
	va_start(ap, fmt);
	if (vasprintf(why, fmt, ap) < 0)
		*why = NULL;
	va_end(ap);
	return -1;
}

void config_free_disk(struct disk_config *disk)
{
	free(disk->target);
	free(disk->backend);
	free(disk->vdev);
	*disk = (struct disk_config){0};
}

/* ---- our own parameters ---- */

/* 1: `part` was one of ours; 0: it was not; -1: a bad value. */
static int take_own(char *part, struct disk_config *disk, char **why)
{
	const struct {
		const char *name;
		uint64_t *value;
		uint64_t max;
		bool is_size;
	} own[] = {{"weight", &disk->weight, WEIGHT_MAX, false},
		{"iops", &disk->iops, UINT32_MAX, false},
		{"iops-burst", &disk->iops_burst, UINT32_MAX, false},
		{"bps", &disk->bps, INT64_MAX, true},
		{"bps-burst", &disk->bps_burst, INT64_MAX, true}};
	size_t len = strcspn(part, "=");
	char *value = part + len + (part[len] == '=');
	int rc;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (strlen(own[i].name) != len || strncmp(part, own[i].name, len) != 0)
			continue;
		if (*own[i].value)
			return fail(why, "%s is there twice", own[i].name);
		rc = own[i].is_size ? parse_size(value, own[i].value)
				    : parse_u64(value, 1, own[i].max, own[i].value);
		if (rc || *own[i].value == 0 || *own[i].value > own[i].max)
			return fail(why, "%s=%s is not a number from 1 to %llu", own[i].name, value,
				(unsigned long long)own[i].max);
		return 1;
	}
	return 0;
}

/*
 * Splits at commas and leaves in `rest` what is xl's. `target=` takes the rest of the text, commas
 * and all.
 */
static int split(const char *specification, char *rest, struct disk_config *disk, char **why)
{
	char *copy = strdup(specification), *part, *next = copy;
	bool first = true;
	int rc = copy ? 0 : -1;

	*rest = '\0';
	while (rc == 0 && next) {
		next += strspn(next, " \t\n");
		part = strncmp(next, "target=", 7) == 0 ? next : strsep(&next, ",");
		if (part == next)
			next = NULL;
		rc = take_own(part, disk, why);
		if (rc == 0) {
			strcat(rest, first ? "" : ",");
			strcat(rest, part);
			first = false;
		}
		rc = rc < 0 ? -1 : 0;
	}
	free(copy);
	return rc;
}

/* ---- xl's ---- */

/* Whole disks: xvda to xvdzz. */
static bool vdev_valid(const char *vdev)
{
	size_t len = strlen(vdev);

	return strncmp(vdev, "xvd", 3) == 0 && len >= 4 && len <= 5 &&
		strspn(vdev + 3, "abcdefghijklmnopqrstuvwxyz") == len - 3;
}

/* What xl accepts and this back end does not do. */
static int check_supported(const libxl_device_disk *xl, char **why)
{
	/* Only these have no target: else xlu_disk_parse wants one. */
	if (xl->is_cdrom || !xl->pdev_path)
		return fail(why, "devtype=cdrom is not supported; access=r makes a disk read-only");
	if (!vdev_valid(xl->vdev))
		return fail(why, "vdev=%s is not a whole disk from xvda to xvdzz", xl->vdev);
	if (xl->format != LIBXL_DISK_FORMAT_RAW && xl->format != LIBXL_DISK_FORMAT_UNKNOWN)
		return fail(why, "format=%s is not supported; 'qemu-img convert -O raw' makes it raw",
			libxl_disk_format_to_string(xl->format));
	if (xl->script || xl->backend != LIBXL_DISK_BACKEND_UNKNOWN)
		return fail(why, "%s= is not supported; the driver domain that backend= names serves it",
			xl->script ? "script" : "backendtype");
	if (!xl->backend_domname || !*xl->backend_domname)
		return fail(why, "backend=DOMAIN is missing: the driver domain that serves it");
	return 0;
}

/* A path becomes absolute and must be there; "null:1G" is the back end's business. */
static int resolve_target(const char *target, struct disk_config *disk, char **why)
{
	const char *colon = strchr(target, ':'), *slash = strchr(target, '/');
	bool is_file = strncmp(target, "file:", 5) == 0;
	char path[PATH_MAX];

	if (colon && !is_file && (!slash || colon < slash)) {
		disk->target = strdup(target);
		return disk->target ? 0 : fail(why, "out of memory");
	}
	target += is_file ? 5 : 0;
	if (!realpath(target, path))
		return fail(why, "target %s: %s", target, strerror(errno));
	disk->target = strdup(path);
	return disk->target ? 0 : fail(why, "out of memory");
}

static int take_over(const libxl_device_disk *xl, struct disk_config *disk, char **why)
{
	if (check_supported(xl, why) || resolve_target(xl->pdev_path, disk, why))
		return -1;
	disk->writable = xl->readwrite;
	disk->vdev = strdup(xl->vdev);
	disk->backend = strdup(xl->backend_domname);
	return disk->vdev && disk->backend ? 0 : fail(why, "out of memory");
}

/* xlu_disk_parse's message without the name of the source, which is the caller's to tell. */
static int refused(const char *report, char **why)
{
	static const char head[] = "disk specification: ";
	const char *found = strstr(report, head);

	found = found ? found + strlen(head) : report;
	return fail(why, "%.*s", (int)strcspn(found, "\n"), found);
}

int config_parse_disk(const char *specification, struct disk_config *disk, char **why)
{
	char *rest = malloc(strlen(specification) + 1), *report = NULL;
	size_t size;
	FILE *out = open_memstream(&report, &size);
	XLU_Config *xlu = out ? xlu_cfg_init(out, "disk") : NULL;
	libxl_device_disk xl;
	int rc = -1;

	*disk = (struct disk_config){0};
	*why = NULL;
	libxl_device_disk_init(&xl);
	if (rest && xlu && split(specification, rest, disk, why) == 0) {
		rc = xlu_disk_parse(xlu, 1, (const char *const *)&rest, &xl) ? -1 : 0;
		fflush(out);
		rc = rc ? refused(report, why) : take_over(&xl, disk, why);
	}
	libxl_device_disk_dispose(&xl);
	xlu_cfg_destroy(xlu);
	if (out)
		fclose(out);
	free(report);
	free(rest);
	if (rc)
		config_free_disk(disk);
	return rc;
}

/* ---- the list ---- */

static int read_disk(struct domain_config *config, const struct config_text *ct, const char *text)
{
	struct disk_config *disk = &config->disks[config->nr_disks];
	char *why;

	if (config_parse_disk(text, disk, &why)) {
		config_text_complain(ct, "disk", "'%s': %s", text, why ? why : "out of memory");
		free(why);
		return -1;
	}
	config->nr_disks++;
	for (unsigned int i = 0; i + 1 < config->nr_disks; i++) {
		if (strcmp(config->disks[i].vdev, disk->vdev) != 0)
			continue;
		config_text_complain(ct, "disk", "'%s': there is a %s already", text, disk->vdev);
		return -1;
	}
	return 0;
}

int config_read_disks(struct domain_config *config, const struct config_text *ct)
{
	const char **items;
	unsigned int nr = 0;
	int rc = config_text_list(ct, "disk", &items);

	if (rc <= 0)
		return rc;
	while (items[nr])
		nr++;
	config->disks = calloc(nr + 1, sizeof(*config->disks));
	rc = config->disks ? 0 : -1;
	if (rc == 0 && nr > CONFIG_DISKS_MAX) {
		config_text_complain(ct, "disk", "%u disks are too many, at most %u", nr,
			CONFIG_DISKS_MAX);
		rc = -1;
		nr = 0;
	}
	for (unsigned int i = 0; config->disks && i < nr; i++)
		rc |= read_disk(config, ct, items[i]);
	free(items);
	return rc;
}

static void print_number(FILE *out, const char *name, uint64_t value)
{
	if (value)
		fprintf(out, "%s=%llu,", name, (unsigned long long)value);
}

void config_print_disk(const struct disk_config *disk, FILE *out)
{
	fprintf(out, "vdev=%s,access=%s,format=raw,backend=%s,", disk->vdev,
		disk->writable ? "rw" : "ro", disk->backend);
	print_number(out, "weight", disk->weight);
	print_number(out, "iops", disk->iops);
	print_number(out, "iops-burst", disk->iops_burst);
	print_number(out, "bps", disk->bps);
	print_number(out, "bps-burst", disk->bps_burst);
	fprintf(out, "target=%s", disk->target);
}
