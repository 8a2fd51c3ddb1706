/* SPDX-License-Identifier: MIT */
/* A domain that knows its shared areas by their ids, given as arguments, and asks where they are. */
#include <ringfence/shm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct rf_shm_area area;
	int rc;

	for (int i = 1; i < argc; i++) {
		rc = rf_shm_find((uint32_t)strtoul(argv[i], NULL, 0), &area);
		if (rc) {
			printf("area %s: %s\n", argv[i], strerror(-rc));
			continue;
		}
		printf("area %s: %p, 0x%zx bytes at offset 0x%zx, %s, %s\n", argv[i], area.addr,
			area.size, area.offset, area.owner ? "owner" : "borrower",
			area.writable ? "writable" : "read-only");
	}
	return 0;
}
