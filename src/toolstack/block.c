/* SPDX-License-Identifier: MIT */
/* Lines about attached devices. The hypervisor has made printable text of what guests wrote. */
#include "toolstack/block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/vdev.h"
#include "toolstack/request.h"

/* The number behind " KEY=", or -1. */
static long long number(const char *line, const char *key)
{
	const char *found = strstr(line, key);

	return found ? strtoll(found + strlen(key), NULL, 10) : -1;
}

static bool parse(char *line, struct block_line *disk)
{
	char *target = strstr(line, " target=");
	int closing;

	if (!target)
		return false;
	/* It may contain anything; it is the last. */
	snprintf(disk->target, sizeof(disk->target), "%s", target + strlen(" target="));
	*target = '\0';
	if (sscanf(line, "domid=%u device=%u backend_domid=%u backend=%63s closing=%d mode=%c",
		    &disk->domid, &disk->device, &disk->backend_domid, disk->backend, &closing,
		    &disk->mode) != 6)
		return false;
	disk->closing = closing != 0;
	disk->state = number(line, " state=");
	disk->frontend_state = number(line, " frontend_state=");
	disk->sectors = number(line, " sectors=");
	disk->sector_size = number(line, " sector_size=");
	disk->ring_ref = number(line, " ring_ref=");
	disk->event_channel = number(line, " event_channel=");
	return true;
}

bool block_next(const char **at, struct block_line *disk)
{
	char line[BLOCK_TARGET_SIZE + 512];

	while (*at && **at) {
		size_t len = strcspn(*at, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)len, *at);
		*at += len + ((*at)[len] == '\n');
		if (parse(line, disk))
			return true;
	}
	return false;
}

const char *block_state_name(long long state)
{
	static const char *const names[] = {"unknown", "initialising", "initwait", "initialised",
		"connected", "closing", "closed", "reconfiguring", "reconfigured"};

	if (state < 0)
		return "-";
	return state < (long long)(sizeof(names) / sizeof(names[0])) ? names[state] : "unknown";
}

/* A member whose value is a number; null if that is not known. */
static void print_member(const char *name, long long value)
{
	if (value < 0)
		printf(", \"%s\": null", name);
	else
		printf(", \"%s\": %lld", name, value);
}

void block_print_json(const struct block_line *disk)
{
	char vdev[16];

	printf("{\"vdev\": \"%s\", \"device\": %u, \"domid\": %u, \"backend\": \"%s\", "
	       "\"backend_domid\": %u, \"mode\": \"%c\", \"closing\": %s",
		vdev_name(disk->device, vdev, sizeof(vdev)), disk->device, disk->domid,
		disk->backend, disk->backend_domid, disk->mode, disk->closing ? "true" : "false");
	print_member("state", disk->state);
	print_member("frontend_state", disk->frontend_state);
	print_member("sectors", disk->sectors);
	print_member("sector_size", disk->sector_size);
	print_member("ring_ref", disk->ring_ref);
	print_member("event_channel", disk->event_channel);
	fputs(", \"target\": ", stdout);
	print_json_string(disk->target);
	putchar('}');
}
