/* SPDX-License-Identifier: MIT */
/*
 * What a domain's configuration file says (ringfence.cfg(5)), checked, with all defaults filled in.
 */
#ifndef RF_TOOLSTACK_CONFIG_H
#define RF_TOOLSTACK_CONFIG_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "toolstack/config_text.h"
#include "toolstack/lines.h"
#include "toolstack/shm_config.h"

#define CONFIG_DISKS_MAX 64u

/* One disk of `disk = [...]`. */
struct disk_config {
	char *target;  /* an absolute path, or what a block driver's prefix announces */
	char *backend; /* name of the driver domain */
	char *vdev;
	bool writable;
	/* Ringfence's own: docs/protocol/blkif.md. 0: not set. */
	uint64_t weight, iops, iops_burst, bps, bps_burst;
};

/* What follows when the program has ended. */
enum end_action { END_DESTROY, END_RESTART, END_PRESERVE };

struct domain_config {
	char name[DOMAIN_NAME_SIZE];
	char **argv; /* the program, an absolute path, and its arguments; NULL-terminated */
	uint64_t memory_bytes; /* 0: no limit */
	unsigned int nr_vcpus; /* 0: as many as `cpus` has */
	bool has_cpus;
	cpu_set_t cpus;
	bool has_user;
	uid_t uid;
	gid_t gid;
	char *user; /* its name, for supplementary groups; NULL: none */
	struct disk_config *disks;
	unsigned int nr_disks;
	bool driver_domain;
	enum end_action on_poweroff, on_reboot, on_crash;
	unsigned int shutdown_timeout_s;
	/* As they are written, NULL-terminated or NULL; and what both say. */
	char **static_shared_mem, **static_shm;
	struct shm_config shm;
};

/*
 * Reads and checks a configuration as config_text_open does: all of it that can be checked without
 * a hypervisor. 0, or -1 and standard error has each thing that is wrong.
 */
int config_load(struct domain_config *config, const char *file, char *const *settings,
	unsigned int nr_settings) __attribute__((warn_unused_result));

/* Legal for a zeroed one. */
void config_free(struct domain_config *config);

/* Writes it as a configuration, with what was left out and paths as they were understood. */
void config_print(const struct domain_config *config, FILE *out);

const char *config_end_action_name(enum end_action action);

/* config_disk.c: the disks of the text into config. 0 or -1. */
int config_read_disks(struct domain_config *config, const struct config_text *ct)
	__attribute__((warn_unused_result));
void config_print_disk(const struct disk_config *disk, FILE *out);

/*
 * One specification, as in `disk = [...]` and on the command line of block-attach. 0, or -1 and
 * *why says what is wrong, to be freed (NULL: out of memory). On success the texts of `disk` are to
 * be freed with config_free_disk.
 */
int config_parse_disk(const char *specification, struct disk_config *disk, char **why)
	__attribute__((warn_unused_result));
void config_free_disk(struct disk_config *disk);

/* config_values.c: "a 'b c' \"d\"" as words; *words to be freed by words_free. 0 or -errno. */
int config_split_words(const char *text, char ***words, unsigned int *nr_words)
	__attribute__((warn_unused_result));
void config_free_words(char **words);

/* "all", "0-3,^1,5": xl's syntax for sets of CPUs. 0 or -EINVAL. */
int config_parse_cpus(const char *text, cpu_set_t *cpus) __attribute__((warn_unused_result));

#endif
