/* SPDX-License-Identifier: MIT */
/*
 * Mappings put into programs that know nothing of them, however Linux places the program. The program
 * is tests/peers/shm_probe.c, found by $RF_TEST.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/shm.h"
#include "toolstack/inject.h"

#define PAGE 4096u
#define AT 0x50000000u
#define AT_TEXT "0x50000000"

/* An area, with what this process sees of it. */
struct area {
	struct inject_map map;
	volatile uint32_t *words;
};

static const char *const kinds[] = {
	"shm_probe", "shm_probe-fixed", "shm_probe-static", "shm_probe-static-pie"};
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static char error[SHM_ERROR_SIZE];
static int wait_status;

static struct area area_open(uint64_t begin, uint64_t size, bool writable)
{
	struct area area = {.map = {.begin = begin, .size = size, .writable = writable, .id = 7}};
	char path[40];
	int fd = memfd_create("area", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	area.words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(area.words, MAP_FAILED);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	area.map.fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	assert_true(area.map.fd >= 0);
	close(fd);
	return area;
}

static void area_close(struct area *area)
{
	munmap((void *)area->words, area->map.size);
	close(area->map.fd);
}

/* A child that is about to exec the probe; its output comes from *out. */
static pid_t spawn(const char *kind, const struct inject_map *maps, unsigned int nr_maps,
	unsigned long persona, const char *const *argv, int *out)
{
	char path[512];
	int pipes[2];
	pid_t pid;

	assert_non_null(getenv("RF_TEST"));
	snprintf(path, sizeof(path), "%s/peers/%s", getenv("RF_TEST"), kind);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipes[1], STDOUT_FILENO);
		dup2(pipes[1], STDERR_FILENO);
		if (personality(persona) >= 0 && inject_wait(maps, nr_maps) == 0)
			execv(path, (char *const *)argv);
		_exit(99);
	}
	close(pipes[1]);
	*out = pipes[0];
	return pid;
}

static void read_all(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd);
}

static int inject(pid_t pid, const struct inject_map *maps, unsigned int nr_maps)
{
	return inject_at_exec(pid, maps, nr_maps, &wait_status, error, sizeof(error));
}

/* Runs a probe to its end, with these areas. What it said goes to `text`; its wait status. */
static int run(const char *kind, const struct inject_map *maps, unsigned int nr_maps,
	unsigned long persona, const char *const *argv, char *text, size_t size)
{
	int out, status;
	pid_t pid = spawn(kind, maps, nr_maps, persona, argv, &out);

	if (inject(pid, maps, nr_maps))
		fail_msg("%s: %s", kind, error);
	read_all(out, text, size);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_every_kind_of_program_has_it(void **state)
{
	const char *const argv[] = {"probe", "read", AT_TEXT, "write", AT_TEXT, "0xcafe", "child-write",
		"0x50001ffc", "77", "descriptors", "early", NULL};
	char text[256];

	(void)state;
	setenv("EARLY", AT_TEXT, 1);
	for (size_t i = 0; i < NR_KINDS; i++) {
		struct area area = area_open(AT, 2 * PAGE, true);

		area.words[0] = 0xbeef;
		assert_int_equal(run(kinds[i], &area.map, 1, 0, argv, text, sizeof(text)), 0);
		assert_string_equal(text, "0xbeef\nwritten\nwritten\n0\n0xbeef\n");
		assert_int_equal(area.words[0], 0xcafe);
		assert_int_equal(area.words[2 * PAGE / 4 - 1], 77);
		area_close(&area);
	}
	unsetenv("EARLY");
}

static void test_several_areas_and_a_part_of_one(void **state)
{
	const char *const argv[] = {"probe", "read", AT_TEXT, "read", "0x200000000000", NULL};
	struct area first = area_open(AT, PAGE, true);
	struct area second = area_open(UINT64_C(0x200000000000), 4 * PAGE, false);
	struct inject_map maps[] = {first.map, second.map};
	char text[256];

	(void)state;
	first.words[0] = 1;
	second.words[3 * PAGE / 4] = 2;
	maps[1].offset = 3 * PAGE;
	maps[1].size = PAGE;
	for (size_t i = 0; i < NR_KINDS; i++) {
		assert_int_equal(run(kinds[i], maps, 2, 0, argv, text, sizeof(text)), 0);
		assert_string_equal(text, "0x1\n0x2\n");
	}
	area_close(&first);
	area_close(&second);
}

static void test_read_only_is_the_kernels_word(void **state)
{
	const char *const look[] = {"probe", "read", AT_TEXT, "writable", AT_TEXT, "punch", AT_TEXT, "descriptors",
		NULL};
	const char *const write_it[] = {"probe", "write", AT_TEXT, "1", NULL};
	struct area area = area_open(AT, PAGE, false);
	char text[256];
	int status;

	(void)state;
	area.words[0] = 5;
	for (size_t i = 0; i < NR_KINDS; i++) {
		assert_int_equal(run(kinds[i], &area.map, 1, 0, look, text, sizeof(text)), 0);
		assert_string_equal(text, "0x5\nPermission denied\nPermission denied\n0\n");
		/* A sanitizer would report the signal instead of dying of it. */
		if (i > 0) {
			status = run(kinds[i], &area.map, 1, 0, write_it, text, sizeof(text));
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
		}
		assert_int_equal(area.words[0], 5);
	}
	area_close(&area);
}

static void test_a_heap_grows_around_it(void **state)
{
	const char *const argv[] = {"probe", "heap", "64", "read", "0x600000", NULL};
	struct area area = area_open(0x600000, PAGE, true);
	char text[256];

	(void)state;
	area.words[0] = 5;
	/* Without randomization the heap begins directly behind the program, at 0x4.....: */
	for (size_t i = 1; i < 3; i++) {
		assert_int_equal(run(kinds[i], &area.map, 1, ADDR_NO_RANDOMIZE, argv, text,
			sizeof(text)), 0);
		assert_string_equal(text, "allocated\n0x5\n");
	}
	area_close(&area);
}

/* The child is gone, and what stood in the way is told. */
static void refuse(const char *kind, uint64_t begin, const char *says)
{
	const char *const argv[] = {"probe", NULL};
	struct area area = area_open(begin, 4 * PAGE, true);
	int out;
	pid_t pid = spawn(kind, &area.map, 1, ADDR_NO_RANDOMIZE, argv, &out);

	assert_int_equal(inject(pid, &area.map, 1), -EAGAIN);
	if (!strstr(error, says))
		fail_msg("'%s' is not in: %s", says, error);
	assert_int_equal(waitpid(pid, NULL, 0), -1);
	close(out);
	area_close(&area);
}

static void test_nothing_is_put_over_what_is_there(void **state)
{
	(void)state;
	refuse("shm_probe-fixed", 0x400000, "/peers/shm_probe-fixed at 0x400000");
	refuse("shm_probe-fixed", 0x3fe000, "area 7: 0x3fe000-0x402000 is not free");
	refuse("shm_probe-static", 0x400000, "/peers/shm_probe-static");
	/* The stack, and what it may still grow into: 8 MiB below 0x7ffffffff000 at least. */
	refuse("shm_probe-fixed", UINT64_C(0x7fffffff8000), "[stack]");
	refuse("shm_probe-fixed", UINT64_C(0x7ffffff00000), "[stack]");
}

static void test_chance_is_overcome_by_trying_again(void **state)
{
	/* Of the 1 TiB in which Linux places libraries a quarter: it often is in the way. */
	const uint64_t begin = UINT64_C(0x7f8000000000), size = UINT64_C(0x4000000000);
	const char *const argv[] = {"probe", "read", "0x7f8000000000", NULL};
	struct area area = area_open(AT, PAGE, true);
	unsigned int nr_refused = 0, nr_run = 0;
	char text[64];
	int out, rc;
	pid_t pid;

	(void)state;
	if (personality(0xffffffff) & ADDR_NO_RANDOMIZE)
		skip();
	assert_int_equal(munmap((void *)area.words, PAGE), 0);
	area.map.begin = begin;
	area.map.size = size; /* nothing is behind its first page, and nobody looks there */
	for (unsigned int i = 0; i < 200 && !(nr_refused && nr_run); i++) {
		pid = spawn("shm_probe-fixed", &area.map, 1, 0, argv, &out);
		rc = inject(pid, &area.map, 1);
		if (rc) {
			assert_int_equal(rc, -EAGAIN);
			nr_refused++;
			close(out);
			continue;
		}
		read_all(out, text, sizeof(text));
		assert_string_equal(text, "0x0\n");
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		nr_run++;
	}
	assert_true(nr_refused > 0 && nr_run > 0);
	close(area.map.fd);
}

static void test_a_program_that_cannot_be_run(void **state)
{
	const char *const argv[] = {"probe", NULL};
	struct area area = area_open(AT, PAGE, true);
	int out;
	pid_t pid = spawn("no-such-program", &area.map, 1, 0, argv, &out);

	(void)state;
	assert_int_equal(inject(pid, &area.map, 1), -ECHILD);
	assert_true(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 99);
	assert_int_equal(waitpid(pid, NULL, 0), -1);
	close(out);
	area_close(&area);
}

static void test_signals_in_between_are_the_programs(void **state)
{
	const char *const argv[] = {"probe", "pause", NULL};
	struct area area = area_open(AT, PAGE, true);
	siginfo_t info;
	int out, status;
	pid_t pid = spawn("shm_probe-static", &area.map, 1, 0, argv, &out);

	(void)state;
	/* It stands in inject_wait. */
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT), 0);
	kill(pid, SIGTERM);
	assert_int_equal(inject(pid, &area.map, 1), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	close(out);
	pid = spawn("shm_probe-static", &area.map, 1, 0, argv, &out);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT), 0);
	kill(pid, SIGKILL);
	assert_int_equal(inject(pid, &area.map, 1), -ECHILD);
	assert_true(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL);
	close(out);
	area_close(&area);
}

static void test_two_programs_talk(void **state)
{
	const char *const ask[] = {"probe", "write", AT_TEXT, "1", "await", AT_TEXT, "2", NULL};
	const char *const answer[] = {"probe", "await", "0x200000000000", "1", "write", "0x200000000000", "2", NULL};
	struct area area = area_open(AT, PAGE, true);
	struct inject_map there = area.map;
	int asked, answered, status;
	pid_t first, second;

	(void)state;
	there.begin = UINT64_C(0x200000000000);
	first = spawn("shm_probe", &area.map, 1, 0, ask, &asked);
	assert_int_equal(inject(first, &area.map, 1), 0);
	second = spawn("shm_probe-static", &there, 1, 0, answer, &answered);
	assert_int_equal(inject(second, &there, 1), 0);
	assert_int_equal(waitpid(first, &status, 0), first);
	assert_int_equal(status, 0);
	assert_int_equal(waitpid(second, &status, 0), second);
	assert_int_equal(status, 0);
	close(asked);
	close(answered);
	area_close(&area);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_of_program_has_it),
		cmocka_unit_test(test_several_areas_and_a_part_of_one),
		cmocka_unit_test(test_read_only_is_the_kernels_word),
		cmocka_unit_test(test_a_heap_grows_around_it),
		cmocka_unit_test(test_nothing_is_put_over_what_is_there),
		cmocka_unit_test(test_chance_is_overcome_by_trying_again),
		cmocka_unit_test(test_a_program_that_cannot_be_run),
		cmocka_unit_test(test_signals_in_between_are_the_programs),
		cmocka_unit_test(test_two_programs_talk),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("mappings before main", tests, NULL, NULL);
}
