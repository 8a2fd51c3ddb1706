/* SPDX-License-Identifier: MIT */
/*
 * A program that knows nothing of Ringfence and has memory at fixed addresses. Does what its
 * arguments say, one after the other, each answered by a line on standard output:
 *
 *   read ADDRESS          prints the 32-bit word there
 *   write ADDRESS VALUE   stores it
 *   await ADDRESS VALUE   until it is there
 *   writable ADDRESS      tries to get the right to write to the page
 *   punch ADDRESS         tries to take the page's memory away
 *   descriptors           prints how many of memfds are open
 *   heap MIB              allocates so much, in small pieces, and writes to all of it
 *   child-write ADDRESS VALUE   a forked child stores it
 *   early                 prints the word that a constructor found at $EARLY
 *   pause                 until a signal
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define PIECE 1000

static uint32_t early;

static void __attribute__((constructor)) look_early(void)
{
	const char *address = getenv("EARLY");

	if (address)
		early = *(volatile uint32_t *)(uintptr_t)strtoull(address, NULL, 0);
}

static volatile uint32_t *word(const char *address)
{
	return (volatile uint32_t *)(uintptr_t)strtoull(address, NULL, 0);
}

static uint32_t number(const char *text)
{
	return (uint32_t)strtoul(text, NULL, 0);
}

static void await(const char *address, const char *value)
{
	while (*word(address) != number(value))
		usleep(1000);
	puts("there");
}

static void say(bool done)
{
	puts(done ? "yes" : strerror(errno));
}

static void count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned int nr = 0;
	char target[64];
	ssize_t len;

	if (!dir)
		exit(1);
	while ((entry = readdir(dir))) {
		len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target));
		nr += len > 7 && strncmp(target, "/memfd:", 7) == 0;
	}
	closedir(dir);
	printf("%u\n", nr);
}

static void use_heap(const char *mib)
{
	unsigned long nr = (unsigned long)number(mib) << 20;
	unsigned char *piece;

	for (unsigned long done = 0; done < nr; done += PIECE) {
		piece = malloc(PIECE);
		if (!piece)
			exit(1);
		memset(piece, 0xa5, PIECE);
	}
	puts("allocated");
}

static void child_write(const char *address, const char *value)
{
	pid_t pid = fork();

	if (pid == 0) {
		*word(address) = number(value);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		exit(1);
	puts("written");
}

/* How many of the arguments it took. */
static int run(char **arg)
{
	if (strcmp(arg[0], "descriptors") == 0)
		return count_descriptors(), 1;
	if (strcmp(arg[0], "early") == 0)
		return printf("0x%x\n", early), 1;
	if (strcmp(arg[0], "pause") == 0)
		return pause(), 1;
	if (!arg[1])
		return 0;
	if (strcmp(arg[0], "read") == 0)
		return printf("0x%x\n", *word(arg[1])), 2;
	if (strcmp(arg[0], "heap") == 0)
		return use_heap(arg[1]), 2;
	if (strcmp(arg[0], "writable") == 0)
		return say(mprotect((void *)word(arg[1]), PAGE, PROT_READ | PROT_WRITE) == 0), 2;
	if (strcmp(arg[0], "punch") == 0)
		return say(madvise((void *)word(arg[1]), PAGE, MADV_REMOVE) == 0), 2;
	if (!arg[2])
		return 0;
	if (strcmp(arg[0], "write") == 0)
		return *word(arg[1]) = number(arg[2]), puts("written"), 3;
	if (strcmp(arg[0], "await") == 0)
		return await(arg[1], arg[2]), 3;
	if (strcmp(arg[0], "child-write") == 0)
		return child_write(arg[1], arg[2]), 3;
	return 0;
}

int main(int argc, char **argv)
{
	int taken;

	(void)argc;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (char **arg = argv + 1; *arg; arg += taken) {
		taken = run(arg);
		if (!taken) {
			fprintf(stderr, "shm_probe: what is '%s'?\n", *arg);
			return 2;
		}
	}
	return 0;
}
