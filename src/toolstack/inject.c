/* SPDX-License-Identifier: MIT */
/*
 * ptrace(2): PTRACE_O_TRACEEXEC stops the child with the new program in place and not yet run.
 * One instruction at its entry becomes `syscall` for as long as we have system calls made there.
 */
#include "toolstack/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "toolstack/inject_layout.h"

_Static_assert(sizeof(((struct user_regs_struct *)0)->orig_rax) == 8, "the registers of x86-64");

#define MAX_ERRNO 4095 /* include/linux/err.h: results of system calls above are addresses */
#define SYSCALL_INSTRUCTION 0x050fL /* 0f 05 */
#define STOPPED_AT_EXEC (SIGTRAP | PTRACE_EVENT_EXEC << 8)
#define STOPPED_AT_SYSCALL (SIGTRAP | 0x80) /* PTRACE_O_TRACESYSGOOD */

struct tracee {
	pid_t pid;
	int status; /* of the last wait */
	sigset_t held; /* signals that came meanwhile, for the program */
	struct user_regs_struct regs; /* as the program is to find them */
	long text; /* what was at its entry */
	char *error;
	size_t error_size;
};

int inject_wait(const struct inject_map *maps, unsigned int nr_maps)
{
	for (unsigned int i = 0; i < nr_maps; i++) {
		if (fcntl(maps[i].fd, F_SETFD, 0) < 0)
			return -errno;
	}
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0)
		return -errno;
	return 0;
}

static int wait_child(struct tracee *child)
{
	pid_t pid;

	do {
		pid = waitpid(child->pid, &child->status, __WALL);
	} while (pid < 0 && errno == EINTR);
	if (pid < 0)
		return -errno;
	return WIFSTOPPED(child->status) ? 0 : -ECHILD;
}

/* Lets it go on until that stop; keeps the signals that come in between. */
static int go_on(struct tracee *child, enum __ptrace_request how, int wanted)
{
	int rc;

	for (;;) {
		/* It may have been killed: then the wait says so. */
		if (ptrace(how, child->pid, NULL, NULL) < 0 && errno != ESRCH)
			return -errno;
		rc = wait_child(child);
		if (rc || child->status >> 8 == wanted)
			return rc;
		if (child->status >> 16 == 0)
			sigaddset(&child->held, WSTOPSIG(child->status));
	}
}

/* The program makes a system call. Its result, or -errno of ours in *rc. */
static long call(struct tracee *child, long nr, const uint64_t args[6], int *rc)
{
	struct user_regs_struct regs = child->regs;

	regs.orig_rax = (unsigned long long)-1;
	regs.rax = (unsigned long long)nr;
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	*rc = ptrace(PTRACE_SETREGS, child->pid, NULL, &regs) < 0 ? -errno : 0;
	if (*rc == 0)
		*rc = go_on(child, PTRACE_SYSCALL, STOPPED_AT_SYSCALL); /* enters */
	if (*rc == 0)
		*rc = go_on(child, PTRACE_SYSCALL, STOPPED_AT_SYSCALL); /* returns */
	if (*rc == 0 && ptrace(PTRACE_GETREGS, child->pid, NULL, &regs) < 0)
		*rc = -errno;
	return (long)regs.rax;
}

static int refuse(const struct tracee *child, const struct inject_map *map, int rc)
{
	snprintf(child->error, child->error_size,
		"area %" PRIu32 ": cannot map it at 0x%" PRIx64 ": %s", map->id, map->begin,
		rc == -ENOMEM ? "the domain's memory limit is too small for it"
		: rc == -EPERM ? "vm.mmap_min_addr is above that"
			       : strerror(-rc));
	return rc;
}

static int map_one(struct tracee *child, const struct inject_map *map)
{
	const uint64_t args[6] = {map->begin, map->size,
		PROT_READ | (map->writable ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED_NOREPLACE,
		(uint64_t)map->fd, map->offset};
	int rc;
	long at = call(child, SYS_mmap, args, &rc);

	if (rc)
		return rc;
	if (at < 0 && at >= -MAX_ERRNO)
		return refuse(child, map, (int)at);
	/* Kernels before 4.17 take the address for a wish. */
	return (uint64_t)at == map->begin ? 0 : refuse(child, map, -EEXIST);
}

static int close_one(struct tracee *child, const struct inject_map *map)
{
	const uint64_t args[6] = {(uint64_t)map->fd};
	int rc;
	long result = call(child, SYS_close, args, &rc);

	return rc ? rc : result == 0 ? 0 : refuse(child, map, (int)result);
}

static int map_all(struct tracee *child, const struct inject_map *maps, unsigned int nr_maps)
{
	int rc = inject_layout_free(child->pid, maps, nr_maps, child->error, child->error_size);

	for (unsigned int i = 0; rc == 0 && i < nr_maps; i++)
		rc = map_one(child, &maps[i]);
	for (unsigned int i = 0; rc == 0 && i < nr_maps; i++)
		rc = close_one(child, &maps[i]);
	return rc;
}

/* Stopped behind execve, with the new program's registers; leaves it so. */
static int borrow_program(struct tracee *child, const struct inject_map *maps,
	unsigned int nr_maps)
{
	void *entry;
	long text;
	int rc;

	if (ptrace(PTRACE_GETREGS, child->pid, NULL, &child->regs) < 0)
		return -errno;
	entry = (void *)(uintptr_t)child->regs.rip;
	errno = 0;
	child->text = ptrace(PTRACE_PEEKTEXT, child->pid, entry, NULL);
	text = (child->text & ~0xffffL) | SYSCALL_INSTRUCTION;
	if (errno || ptrace(PTRACE_POKETEXT, child->pid, entry, (void *)text) < 0)
		return -errno;
	rc = map_all(child, maps, nr_maps);
	if (rc == 0 &&
		(ptrace(PTRACE_POKETEXT, child->pid, entry, (void *)child->text) < 0 ||
			ptrace(PTRACE_SETREGS, child->pid, NULL, &child->regs) < 0))
		rc = -errno;
	return rc;
}

static int let_go(struct tracee *child)
{
	for (int signo = 1; signo < NSIG; signo++) {
		if (sigismember(&child->held, signo) == 1)
			kill(child->pid, signo);
	}
	return ptrace(PTRACE_DETACH, child->pid, NULL, NULL) < 0 ? -errno : 0;
}

static int inject(struct tracee *child, const struct inject_map *maps, unsigned int nr_maps)
{
	const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD;
	int rc = wait_child(child);

	if (rc == 0 && ptrace(PTRACE_SETOPTIONS, child->pid, NULL, options) < 0)
		rc = -errno;
	if (rc == 0)
		rc = go_on(child, PTRACE_CONT, STOPPED_AT_EXEC);
	/* Only at its end does execve set the register of its result. */
	if (rc == 0)
		rc = go_on(child, PTRACE_SYSCALL, STOPPED_AT_SYSCALL);
	if (rc == 0)
		rc = borrow_program(child, maps, nr_maps);
	return rc ? rc : let_go(child);
}

int inject_at_exec(pid_t pid, const struct inject_map *maps, unsigned int nr_maps, int *status,
	char *error, size_t error_size)
{
	struct tracee child = {.pid = pid, .error = error, .error_size = error_size};
	int rc;

	error[0] = '\0';
	sigemptyset(&child.held);
	rc = inject(&child, maps, nr_maps);
	if (rc && rc != -ECHILD) {
		kill(pid, SIGKILL);
		while (wait_child(&child) == 0)
			; /* a stop from before */
		if (!error[0])
			snprintf(error, error_size, "cannot map shared areas into the program: %s",
				strerror(-rc));
	}
	*status = child.status;
	return rc;
}
