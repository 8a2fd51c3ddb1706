/* SPDX-License-Identifier: MIT */
/*
 * From a configuration's text to what the domain is to be. Says all that is wrong, not the first
 * alone.
 */
#include "toolstack/config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolstack/config_keys.h"
#include "toolstack/user.h"

#define MEMORY_MIB_MAX (1l << 40)
#define VCPUS_MAX 4096
#define SHUTDOWN_TIMEOUT_S 10
#define SHUTDOWN_TIMEOUT_S_MAX 3600

static const char *const end_actions[] = {
	[END_DESTROY] = "destroy", [END_RESTART] = "restart", [END_PRESERVE] = "preserve"};

const char *config_end_action_name(enum end_action action)
{
	return end_actions[action];
}

/* ---- one key each ---- */

static bool name_valid(const char *name)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t len = strlen(name);

	/* Digits alone would be taken for an id. */
	return len > 0 && len < DOMAIN_NAME_SIZE && !strchr("._-", name[0]) &&
		strspn(name, letters) == len && strspn(name, "0123456789") < len;
}

static int read_name(struct domain_config *config, const struct config_text *ct)
{
	const char *name;
	int rc = config_text_string(ct, "name", &name);

	if (rc < 0)
		return -1;
	if (rc && name_valid(name)) {
		snprintf(config->name, sizeof(config->name), "%s", name);
		return 0;
	}
	if (rc)
		config_text_complain(ct, "name", "'%s' is no name for a domain (letters, digits, "
			"'.', '_', '-'; the first a letter or digit; not digits alone; at most 63)", name);
	else
		config_text_complain(ct, "name", "it is missing; a domain needs a name");
	return -1;
}

static int read_type(const struct config_text *ct)
{
	const char *type;
	int rc = config_text_string(ct, "type", &type);

	if (rc <= 0 || strcmp(type, "process") == 0)
		return rc < 0 ? -1 : 0;
	config_text_complain(
		ct, "type", "'%s' is not supported; domains are of type \"process\"", type);
	return -1;
}

/* The program must be a file that can be executed, by us at least. */
static int read_kernel(struct domain_config *config, const struct config_text *ct)
{
	char path[PATH_MAX];
	const char *kernel;
	struct stat st;
	int rc = config_text_string(ct, "kernel", &kernel);

	if (rc < 0)
		return -1;
	if (rc == 0) {
		config_text_complain(
			ct, "kernel", "it is missing: the program that the domain runs");
		return -1;
	}
	if (!realpath(kernel, path) || stat(path, &st) < 0 || access(path, X_OK) < 0)
		rc = -errno;
	else
		rc = S_ISREG(st.st_mode) ? 0 : -EISDIR;
	if (rc) {
		config_text_complain(ct, "kernel", "cannot run '%s': %s", kernel,
			rc == -EISDIR ? "not a program" : strerror(-rc));
		return -1;
	}
	config->argv = calloc(2, sizeof(*config->argv));
	if (config->argv)
		config->argv[0] = strdup(path);
	return config->argv && config->argv[0] ? 0 : -1;
}

static char **copy_list(const char *const *items)
{
	size_t nr = 0;
	char **copy;

	while (items[nr])
		nr++;
	copy = calloc(nr + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < nr; i++) {
		copy[i] = strdup(items[i]);
		if (!copy[i]) {
			config_free_words(copy);
			return NULL;
		}
	}
	return copy;
}

/* A key that is a list of texts. 0 or -1. */
static int read_list(const struct config_text *ct, const char *key, char ***out)
{
	const char **items;
	int rc = config_text_list(ct, key, &items);

	if (rc <= 0)
		return rc;
	*out = copy_list(items);
	free(items);
	return *out ? 0 : -1;
}

/* Behind argv[0]; the words are given away. */
static int append_arguments(struct domain_config *config, char **words)
{
	size_t nr = 0;
	char **grown;

	while (words[nr])
		nr++;
	grown = realloc(config->argv, (nr + 2) * sizeof(*grown));
	if (!grown) {
		config_free_words(words);
		return -1;
	}
	config->argv = grown;
	memcpy(grown + 1, words, (nr + 1) * sizeof(*words));
	free(words);
	return 0;
}

/* The arguments: a text that is split at blanks, or a list of them as they are. */
static int read_extra(struct domain_config *config, const struct config_text *ct)
{
	char **words = NULL;
	const char *text;
	unsigned int nr;
	int rc;

	if (config_text_is_list(ct, "extra")) {
		rc = read_list(ct, "extra", &words);
	} else {
		rc = config_text_string(ct, "extra", &text);
		if (rc <= 0)
			return rc;
		rc = config_split_words(text, &words, &nr);
		if (rc)
			config_text_complain(ct, "extra", "%s", rc == -EINVAL
				? "a quote in it has no end" : strerror(-rc));
	}
	/* Without a program there is nothing to append to; that has been said. */
	if (rc || !config->argv) {
		config_free_words(words);
		return rc ? -1 : 0;
	}
	return append_arguments(config, words);
}

static int read_limits(struct domain_config *config, const struct config_text *ct)
{
	const char *text;
	long number;
	int memory, vcpus, cpus, timeout;

	memory = config_text_number(ct, "memory", 1, MEMORY_MIB_MAX, &number);
	if (memory > 0)
		config->memory_bytes = (uint64_t)number << 20;
	vcpus = config_text_number(ct, "vcpus", 1, VCPUS_MAX, &number);
	if (vcpus > 0)
		config->nr_vcpus = (unsigned int)number;
	timeout = config_text_number(ct, "shutdown_timeout", 0, SHUTDOWN_TIMEOUT_S_MAX, &number);
	config->shutdown_timeout_s = timeout > 0 ? (unsigned int)number : SHUTDOWN_TIMEOUT_S;
	cpus = config_text_string(ct, "cpus", &text);
	if (cpus > 0) {
		config->has_cpus = config_parse_cpus(text, &config->cpus) == 0;
		if (!config->has_cpus) {
			config_text_complain(
				ct, "cpus", "'%s' is no set of CPUs, such as \"0-3,^2\"", text);
			cpus = -1;
		}
	}
	return memory < 0 || vcpus < 0 || cpus < 0 || timeout < 0 ? -1 : 0;
}

/* The CPUs that it may use must include one that we may use. */
static int check_cpus(const struct domain_config *config, const struct config_text *ct)
{
	cpu_set_t ours;

	if (!config->has_cpus || sched_getaffinity(0, sizeof(ours), &ours) < 0)
		return 0;
	CPU_AND(&ours, &ours, &config->cpus);
	if (CPU_COUNT(&ours) > 0)
		return 0;
	config_text_complain(ct, "cpus", "none of them can be used here");
	return -1;
}

static int read_user(struct domain_config *config, const struct config_text *ct)
{
	struct user user;
	const char *text;
	int rc = config_text_string(ct, "uid", &text);

	if (rc <= 0)
		return rc;
	if (user_find(text, &user)) {
		config_text_complain(ct, "uid", "there is no user '%s'", text);
		return -1;
	}
	if (user.uid != getuid() && geteuid() != 0) {
		config_text_complain(ct, "uid", "only root can run a domain as another user");
		return -1;
	}
	config->has_user = true;
	config->uid = user.uid;
	config->gid = user.gid;
	config->user = user.name ? strdup(user.name) : NULL;
	return user.name && !config->user ? -1 : 0;
}

static int read_action(const struct config_text *ct, const char *key, enum end_action *action)
{
	const char *text;
	int rc = config_text_string(ct, key, &text);

	if (rc <= 0)
		return rc;
	for (size_t i = 0; i < sizeof(end_actions) / sizeof(end_actions[0]); i++) {
		if (strcmp(end_actions[i], text) == 0) {
			*action = (enum end_action)i;
			return 0;
		}
	}
	config_text_complain(
		ct, key, "'%s' is none of \"destroy\", \"restart\" and \"preserve\"", text);
	return -1;
}

static int read_actions(struct domain_config *config, const struct config_text *ct)
{
	int rc;

	config->on_poweroff = END_DESTROY;
	config->on_reboot = END_RESTART;
	config->on_crash = END_DESTROY;
	rc = read_action(ct, "on_poweroff", &config->on_poweroff);
	rc |= read_action(ct, "on_reboot", &config->on_reboot);
	return rc | read_action(ct, "on_crash", &config->on_crash);
}

/* The hypervisor itself starts driver domains, as its own user, and again whenever they end. */
static int read_driver(struct domain_config *config, const struct config_text *ct)
{
	static const char *const not_theirs[] = {"memory", "vcpus", "cpus", "uid", "disk",
		"on_poweroff", "on_reboot", "on_crash", "shutdown_timeout", "static_shared_mem",
		"static_shm"};
	long number;
	int rc = config_text_number(ct, "driver_domain", 0, 1, &number);

	if (rc <= 0)
		return rc;
	config->driver_domain = number == 1;
	rc = 0;
	for (unsigned int i = 0; config->driver_domain && i < ct->nr_keys; i++) {
		for (size_t k = 0; k < sizeof(not_theirs) / sizeof(not_theirs[0]); k++) {
			if (strcmp(ct->keys[i].name, not_theirs[k]) != 0)
				continue;
			config_text_complain_at(ct, &ct->keys[i], "not for a driver domain: the "
				"hypervisor runs it as its own user, and again when it ends");
			rc = -1;
		}
	}
	return rc;
}

/* Both lists of shared areas, one after the other. */
static int read_areas(struct domain_config *config, const struct config_text *ct)
{
	char error[SHM_ERROR_SIZE];
	int rc = 0;

	for (char **text = config->static_shared_mem; text && *text; text++) {
		if (shm_config_add_range(&config->shm, *text, error, sizeof(error)) == 0)
			continue;
		config_text_complain(ct, "static_shared_mem", "%s", error);
		rc = -1;
	}
	for (char **text = config->static_shm; text && *text; text++) {
		if (shm_config_add(&config->shm, *text, error, sizeof(error)) == 0)
			continue;
		config_text_complain(ct, "static_shm", "%s", error);
		rc = -1;
	}
	return rc;
}

/* ---- all of it ---- */

int config_load(struct domain_config *config, const char *file, char *const *settings,
	unsigned int nr_settings)
{
	struct config_text ct;
	int rc;

	*config = (struct domain_config){0};
	if (config_text_open(&ct, file, settings, nr_settings))
		return -1;
	rc = config_keys_check(&ct);
	rc |= read_name(config, &ct);
	rc |= read_type(&ct);
	rc |= read_kernel(config, &ct);
	rc |= read_extra(config, &ct);
	rc |= read_limits(config, &ct);
	rc |= check_cpus(config, &ct);
	rc |= read_user(config, &ct);
	rc |= config_read_disks(config, &ct);
	rc |= read_driver(config, &ct);
	rc |= read_actions(config, &ct);
	rc |= read_list(&ct, "static_shared_mem", &config->static_shared_mem);
	rc |= read_list(&ct, "static_shm", &config->static_shm);
	rc |= read_areas(config, &ct);
	config_text_close(&ct);
	if (rc)
		config_free(config);
	return rc;
}

void config_free(struct domain_config *config)
{
	config_free_words(config->argv);
	for (unsigned int i = 0; i < config->nr_disks; i++)
		config_free_disk(&config->disks[i]);
	free(config->disks);
	free(config->user);
	config_free_words(config->static_shared_mem);
	config_free_words(config->static_shm);
	*config = (struct domain_config){0};
}
