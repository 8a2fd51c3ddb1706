/* SPDX-License-Identifier: MIT */
/*
 * What a domain asks of a static shared memory area (docs/protocol/shared-memory.md), as the
 * toolstack and the hypervisor both understand it. Pure functions; any thread.
 */
#ifndef RF_COMMON_SHM_H
#define RF_COMMON_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_PAGE_SIZE 4096u
/* Linux maps nothing below: Debian's vm.mmap_min_addr. */
#define SHM_ADDRESS_MIN UINT64_C(0x10000)
/* The end of what a process has, x86-64 with four levels of page tables. */
#define SHM_ADDRESS_MAX UINT64_C(0x7ffffffff000)
#define SHM_PER_DOMAIN_MAX 64u
#define SHM_WORD_SIZE 128
#define SHM_ERROR_SIZE 256

enum shm_role {
	SHM_FIRST_OWNS, /* who names the area first owns it, later ones borrow all of it */
	SHM_OWNER,
	SHM_BORROWER
};

struct shm_spec {
	uint32_t id;
	enum shm_role role;
	bool writable;	/* of an owner: whether others may be given more than reading */
	uint64_t begin; /* in the domain's address space */
	uint64_t size;	/* bytes */
	uint64_t offset; /* of a borrower, in the area */
};

/*
 * Whether `more` is in order by itself and can be had by a domain beside the `nr_specs` that it has
 * asked for already. 0, or -EINVAL, -ERANGE (outside of the address space), -EEXIST (the id, or
 * the addresses, are asked for twice), -E2BIG (too many), and `error` says what is wrong.
 */
int shm_spec_check(const struct shm_spec *specs, unsigned int nr_specs, const struct shm_spec *more,
	char *error, size_t error_size) __attribute__((warn_unused_result));

/* As a word of the control protocol, without blanks; SHM_WORD_SIZE bytes are always enough. */
void shm_spec_print(const struct shm_spec *spec, char *text, size_t size);

/* The other way round. Checks nothing but the syntax. 0 or -EINVAL. */
int shm_spec_parse(const char *text, struct shm_spec *spec) __attribute__((warn_unused_result));

/* Puts a message into error and returns rc: for functions that tell what is wrong. */
int shm_fail(char *error, size_t size, int rc, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* "any", "owner", "borrower". */
const char *shm_role_name(enum shm_role role);

#endif
