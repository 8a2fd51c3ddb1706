/* SPDX-License-Identifier: MIT */
/* Reads /proc/PID/maps of a program that is stopped. */
#include "toolstack/inject_layout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Linux keeps this much free below a stack: vm.stack_guard_gap. */
#define STACK_GAP UINT64_C(0x100000)
/* A stack without a limit is allowed for as far as this. */
#define STACK_MAX UINT64_C(0x40000000)

/* One line: a range and, if the kernel tells, what it is of. */
struct vma {
	uint64_t begin, end;
	char name[160];
};

static int parse_line(const char *line, struct vma *vma)
{
	vma->name[0] = '\0';
	return sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %*s %159[^\n]", &vma->begin,
		       &vma->end, vma->name) >= 2
		? 0 : -EPROTO;
}

/* The stack has what it may grow into as well. */
static void extend_stack(pid_t pid, struct vma *vma)
{
	struct rlimit limit;
	uint64_t most;

	if (strcmp(vma->name, "[stack]") != 0 || prlimit(pid, RLIMIT_STACK, NULL, &limit) < 0)
		return;
	most = limit.rlim_cur < STACK_MAX ? limit.rlim_cur : STACK_MAX;
	if (vma->end - vma->begin < most)
		vma->begin = vma->end > most ? vma->end - most : 0;
	vma->begin = vma->begin > STACK_GAP ? vma->begin - STACK_GAP : 0;
}

static int check_vma(const struct vma *vma, const struct inject_map *maps, unsigned int nr_maps,
	char *error, size_t error_size)
{
	for (unsigned int i = 0; i < nr_maps; i++) {
		if (maps[i].begin >= vma->end || vma->begin >= maps[i].begin + maps[i].size)
			continue;
		snprintf(error, error_size,
			"area %" PRIu32 ": 0x%" PRIx64 "-0x%" PRIx64
			" is not free: the program has %s at 0x%" PRIx64 "-0x%" PRIx64,
			maps[i].id, maps[i].begin, maps[i].begin + maps[i].size,
			vma->name[0] ? vma->name : "memory", vma->begin, vma->end);
		return -EAGAIN;
	}
	return 0;
}

int inject_layout_free(pid_t pid, const struct inject_map *maps, unsigned int nr_maps, char *error,
	size_t error_size)
{
	char path[40], *line = NULL;
	struct vma vma;
	size_t room = 0;
	FILE *in;
	int rc = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	in = fopen(path, "re");
	if (!in)
		return -errno;
	while (rc == 0 && getline(&line, &room, in) >= 0) {
		rc = parse_line(line, &vma);
		if (rc)
			break;
		extend_stack(pid, &vma);
		rc = check_vma(&vma, maps, nr_maps, error, error_size);
	}
	free(line);
	fclose(in);
	return rc;
}
