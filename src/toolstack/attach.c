/* SPDX-License-Identifier: MIT */
/* A disk's part of the control protocol (docs/protocol/control.md, block-attach). */
#include "toolstack/attach.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "toolstack/command.h"

#define NR_SHARES 5

int attach_disk(
	int control_fd, unsigned int domid, const struct disk_config *disk, unsigned int *device)
{
	const struct {
		const char *key;
		uint64_t value;
	} share[NR_SHARES] = {{"weight", disk->weight}, {"iops", disk->iops},
		{"iops-burst", disk->iops_burst}, {"bps", disk->bps},
		{"bps-burst", disk->bps_burst}};
	char domain[32], vdev[32], target[PATH_MAX + 16], backend[DOMAIN_NAME_SIZE + 16],
		numbers[NR_SHARES][48];
	const char *words[6 + NR_SHARES + 1] = {"block-attach", domain, vdev, target, backend,
		disk->writable ? "mode=w" : "mode=r"};
	unsigned int nr = 6;
	char *text;
	int rc;

	snprintf(domain, sizeof(domain), "domain=%u", domid);
	snprintf(vdev, sizeof(vdev), "vdev=%s", disk->vdev);
	snprintf(target, sizeof(target), "target=%s", disk->target);
	snprintf(backend, sizeof(backend), "backend=%s", disk->backend);
	for (int i = 0; i < NR_SHARES; i++) {
		if (!share[i].value)
			continue;
		snprintf(numbers[i], sizeof(numbers[i]), "%s=%llu", share[i].key,
			(unsigned long long)share[i].value);
		words[nr++] = numbers[i];
	}
	text = command_call(control_fd, words, NULL, NULL);
	if (!text)
		return -1;
	rc = sscanf(text, "device=%u", device) == 1 ? 0 : -1;
	if (rc)
		fprintf(stderr, "ringfence: the hypervisor's answer makes no sense: %s\n", text);
	free(text);
	return rc;
}
