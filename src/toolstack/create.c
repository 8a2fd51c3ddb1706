/* SPDX-License-Identifier: MIT */
/* ringfence create: a domain from its configuration file. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/control.h"
#include "toolstack/command.h"
#include "toolstack/config.h"
#include "toolstack/console.h"
#include "toolstack/find.h"
#include "toolstack/keeper.h"
#include "toolstack/shm.h"

static const char usage[] =
	"Usage: ringfence create [OPTION]... FILE [KEY=VALUE]...\n"
	"Creates the domain that a configuration file describes (ringfence.cfg(5)), and returns when its\n"
	"program runs. Settings on the command line come after those of the file, in the same syntax: a\n"
	"text needs quotes of its own, as in 'name=\"guest2\"'. FILE may be - for standard input.\n"
	"\n"
	"  -n, --dry-run    check the configuration, print it as it is understood, and stop\n"
	"  -q, --quiet      do not say which domain it is\n"
	"  -c, --console    connect to the domain's console at once\n"
	"  -h, --help       show this\n";

struct options {
	bool dry_run, quiet, console;
	const char *file;
	char **settings;
	unsigned int nr_settings;
};

static int parse(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = {{"dry-run", no_argument, NULL, 'n'},
		{"quiet", no_argument, NULL, 'q'}, {"console", no_argument, NULL, 'c'}, {0}};
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "nqc", longs, NULL)) != -1) {
		if (c == 'n')
			opt->dry_run = true;
		else if (c == 'q')
			opt->quiet = true;
		else if (c == 'c')
			opt->console = true;
		else
			return command_usage(&command_create, "unknown option");
	}
	/* As xl: what has an equals sign is a setting, wherever it is. */
	opt->settings = argv + optind;
	for (int i = optind; i < argc; i++) {
		if (strchr(argv[i], '='))
			opt->settings[opt->nr_settings++] = argv[i];
		else if (opt->file)
			return command_usage(&command_create, "only one file at a time");
		else
			opt->file = argv[i];
	}
	return opt->file ? 0 : command_usage(&command_create, "which configuration file?");
}

/* The hypervisor starts driver domains, and watches them. */
static int create_driver(const struct domain_config *config, unsigned int *domid)
{
	const char *words[CONTROL_MAX_WORDS + 1] = {"driver-start"};
	char name[DOMAIN_NAME_SIZE + 8], *texts[CONTROL_MAX_WORDS], *reply = NULL;
	unsigned int nr = 0;
	int status, fd = command_connect(&status);

	if (fd < 0)
		return status;
	status = 1;
	snprintf(name, sizeof(name), "name=%s", config->name);
	words[1] = name;
	for (char **arg = config->argv; *arg && nr < CONTROL_MAX_WORDS - 3; arg++) {
		if (asprintf(&texts[nr], "%s=%s", nr ? "arg" : "program", *arg) < 0)
			break;
		words[2 + nr] = texts[nr];
		nr++;
	}
	if (config->argv[nr])
		fprintf(stderr, "ringfence: %s: too many arguments\n", config->name);
	else
		reply = command_call(fd, words, NULL, NULL);
	if (reply && sscanf(reply, "domid=%u", domid) == 1)
		status = 0;
	free(reply);
	while (nr > 0)
		free(texts[--nr]);
	close(fd);
	return status;
}

/* What another domain has already, or has not, is said before anything is made. 0 or the status. */
static int check_others(const struct domain_config *config)
{
	struct domain_line row;
	struct domains domains;
	int status = domains_get(&domains);

	if (status)
		return status;
	if (domains_find(&domains, config->name, &row)) {
		fprintf(stderr, "ringfence: there is a domain %s already, its id is %u\n", config->name,
			row.domid);
		status = 1;
	}
	for (unsigned int i = 0; i < config->nr_disks; i++) {
		const struct disk_config *disk = &config->disks[i];

		if (domains_find(&domains, disk->backend, &row) && strcmp(row.kind, "driver") == 0)
			continue;
		fprintf(stderr, "ringfence: %s of %s: there is no driver domain %s; create it first\n",
			disk->vdev, config->name, disk->backend);
		status = 1;
	}
	domains_put(&domains);
	return status;
}

/* The same for shared areas. */
static int check_areas(const struct domain_config *config)
{
	int status, rc, fd;

	if (config->shm.nr_specs == 0)
		return 0;
	fd = command_connect(&status);
	if (fd < 0)
		return status;
	rc = shm_ask(fd, &config->shm);
	close(fd);
	return rc ? 1 : 0;
}

static int create(const struct options *opt, const struct domain_config *config)
{
	unsigned int domid = 0;
	int status;

	if (opt->console && config->driver_domain)
		return command_usage(&command_create, "a driver domain has no console");
	if (opt->dry_run) {
		config_print(config, stdout);
		return 0;
	}
	status = check_others(config);
	if (status == 0)
		status = check_areas(config);
	if (status)
		return status;
	status = config->driver_domain ? create_driver(config, &domid)
				       : keeper_start(config, &domid);
	if (status)
		return status;
	if (!opt->quiet) {
		printf("domain %u is %s\n", domid, config->name);
		fflush(stdout);
	}
	return opt->console ? console_attach(config->name) : 0;
}

static int run(int argc, char **argv)
{
	struct options opt = {0};
	struct domain_config config;
	int status = parse(argc, argv, &opt);

	if (status)
		return status;
	if (config_load(&config, opt.file, opt.settings, opt.nr_settings))
		return 1;
	status = create(&opt, &config);
	config_free(&config);
	return status;
}

const struct command command_create = {.name = "create",
	.summary = "create a domain from a configuration file", .usage = usage, .run = run};
