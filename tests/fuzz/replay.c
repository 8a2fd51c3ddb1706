/* SPDX-License-Identifier: MIT */
/*
 * Replays a harness's kept corpus in an ordinary build: replay_PART_NAME runs every file below
 * tests/fuzz/corpus/PART, one TAP test a file. A finding shows as a crash or a sanitizer's report.
 */
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* libFuzzer's interface */

static int replay(const char *dir, const char *name)
{
	static uint8_t input[INPUT_MAX];
	char path[PATH_MAX];
	size_t size;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	size = fread(input, 1, sizeof(input), f);
	fclose(f);
	LLVMFuzzerTestOneInput(input, size);
	return 0;
}

int main(int argc, char **argv)
{
	const char *root = getenv("RF_ROOT");
	const char *name = strstr(basename(argv[0]), "replay_");
	char dir[PATH_MAX / 2];
	struct dirent **entries;
	int nr, nr_tests = 0, failed = 0;

	if (argc != 1 || !name) {
		fprintf(stderr, "usage: replay_PART_NAME, with RF_ROOT naming the project's folder\n");
		return 2;
	}
	name += strlen("replay_");
	snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%.*s", root ? root : ".",
		(int)strcspn(name, "_"), name);
	nr = scandir(dir, &entries, NULL, alphasort);
	if (nr < 0) {
		printf("Bail out! %s: %s\n", dir, strerror(errno));
		return 1;
	}
	for (int i = 0; i < nr; i++) {
		if (entries[i]->d_name[0] != '.') {
			int rc = replay(dir, entries[i]->d_name);

			nr_tests++;
			failed += rc != 0;
			printf("%sok %d - %s\n", rc ? "not " : "", nr_tests, entries[i]->d_name);
			fflush(stdout);
		}
		free(entries[i]);
	}
	free(entries);
	printf("1..%d\n", nr_tests);
	return failed || nr_tests == 0;
}
