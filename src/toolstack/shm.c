/* SPDX-License-Identifier: MIT */
/* Asks the hypervisor for the areas of a domain, and allocates their memory. */
#include "toolstack/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolstack/command.h"

#define WORD_SIZE (SHM_WORD_SIZE + 8)
#define MIB (1u << 20)

/* The reply to a verb with an area= for each, and `more`; to be freed, or NULL and that was said. */
static char *call_with_areas(int control_fd, const char *verb, const struct shm_config *config,
	const char *more)
{
	char texts[SHM_PER_DOMAIN_MAX][WORD_SIZE];
	const char *words[SHM_PER_DOMAIN_MAX + 3] = {verb};

	for (unsigned int i = 0; i < config->nr_specs; i++) {
		memcpy(texts[i], "area=", 5);
		shm_spec_print(&config->specs[i], texts[i] + 5, SHM_WORD_SIZE);
		words[i + 1] = texts[i];
	}
	words[config->nr_specs + 1] = more;
	return command_call(control_fd, words, NULL, NULL);
}

/* What the kernel thinks can be had without swapping; UINT64_MAX if it does not tell. */
static uint64_t available_bytes(void)
{
	uint64_t kib = UINT64_MAX / 1024;
	char line[128];
	FILE *in = fopen("/proc/meminfo", "re");

	if (!in)
		return kib * 1024;
	while (fgets(line, sizeof(line), in) &&
		sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) != 1)
		;
	fclose(in);
	return kib * 1024;
}

int shm_ask(int control_fd, const struct shm_config *config)
{
	uint64_t wanted = 0, available;
	char *reply;

	if (config->nr_specs == 0)
		return 0;
	reply = call_with_areas(control_fd, "shm-check", config, NULL);
	if (!reply)
		return -1;
	if (sscanf(reply, "new_bytes=%" SCNu64, &wanted) != 1) {
		fprintf(stderr, "ringfence: the hypervisor's answer makes no sense: %s\n", reply);
		free(reply);
		return -1;
	}
	free(reply);
	available = available_bytes();
	if (wanted <= available)
		return 0;
	fprintf(stderr,
		"ringfence: out of memory: the shared areas that the domain is to own have %" PRIu64
		" MiB, and only %" PRIu64 " MiB are available\n",
		wanted / MIB, available / MIB);
	return -1;
}

/* All of it now: no sharer shall be killed later because a page cannot be had. */
static int allocate(const struct inject_map *map)
{
	int rc;

	do {
		rc = fallocate(map->fd, 0, 0, (off_t)map->size);
	} while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return 0;
	fprintf(stderr, "ringfence: area %" PRIu32 ": cannot allocate %" PRIu64 " bytes: %s\n",
		map->id, map->size, strerror(errno));
	return -1;
}

/* The memory of one area that the domain has been given. */
static int take_one(int control_fd, const struct shm_spec *spec, struct inject_map *map)
{
	char id[32];
	const char *const words[] = {"shm-open", id, NULL};
	unsigned int nr_fds = 0;
	int fds[2], rc = 0;
	char *reply;
	bool owner;

	snprintf(id, sizeof(id), "id=%" PRIu32, spec->id);
	reply = command_call(control_fd, words, fds, &nr_fds);
	if (!reply || nr_fds != 1) {
		free(reply);
		return -1;
	}
	owner = strcmp(reply, "role=owner") == 0;
	free(reply);
	*map = (struct inject_map){.fd = fds[0], .id = spec->id, .begin = spec->begin,
		.size = spec->size, .offset = spec->offset, .writable = owner || spec->writable};
	if (owner)
		rc = allocate(map);
	if (rc)
		close(map->fd);
	return rc;
}

int shm_take(int control_fd, const struct shm_config *config, bool restarted, struct shm_maps *maps)
{
	char *reply;

	maps->nr_maps = 0;
	if (config->nr_specs == 0)
		return 0;
	reply = call_with_areas(control_fd, "shm-attach", config, restarted ? "adopt=1" : NULL);
	if (!reply)
		return -1;
	free(reply);
	for (unsigned int i = 0; i < config->nr_specs; i++) {
		if (take_one(control_fd, &config->specs[i], &maps->maps[i])) {
			shm_close(maps);
			return -1;
		}
		maps->nr_maps++;
	}
	return 0;
}

void shm_close(struct shm_maps *maps)
{
	while (maps->nr_maps > 0)
		close(maps->maps[--maps->nr_maps].fd);
}

uint64_t shm_total(const struct shm_maps *maps)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < maps->nr_maps; i++)
		total += maps->maps[i].size;
	return total;
}
