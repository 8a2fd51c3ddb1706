/* SPDX-License-Identifier: MIT */
/* A configuration written out again, for `create -n`: what is printed can be read. */
#include <stdlib.h>
#include <string.h>

#include "toolstack/config.h"

/* In the quotes of xl's syntax. */
static void print_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		if (*text == '\n')
			fputs("\\n", out);
		else
			fputc(*text, out);
	}
	fputc('"', out);
}

static void print_list(FILE *out, const char *key, char *const *items)
{
	if (!items || !*items)
		return;
	fprintf(out, "%s = [ ", key);
	for (char *const *item = items; *item; item++) {
		if (item != items)
			fputs(", ", out);
		print_text(out, *item);
	}
	fputs(" ]\n", out);
}

static void print_cpus(FILE *out, const cpu_set_t *cpus)
{
	const char *comma = "";

	if (CPU_COUNT(cpus) == CPU_SETSIZE) {
		fputs("cpus = \"all\"\n", out);
		return;
	}
	fputs("cpus = \"", out);
	for (unsigned int cpu = 0, first; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, cpus))
			continue;
		for (first = cpu; cpu + 1 < CPU_SETSIZE && CPU_ISSET(cpu + 1, cpus); cpu++)
			;
		fprintf(out, first == cpu ? "%s%u" : "%s%u-%u", comma, first, cpu);
		comma = ",";
	}
	fputs("\"\n", out);
}

static void print_disk(const struct disk_config *disk, FILE *out)
{
	char *text = NULL;
	size_t size;
	FILE *collect = open_memstream(&text, &size);

	if (!collect)
		return;
	config_print_disk(disk, collect);
	fclose(collect);
	fputc('\t', out);
	print_text(out, text ? text : "");
	fputs(",\n", out);
	free(text);
}

static void print_disks(const struct domain_config *config, FILE *out)
{
	if (config->nr_disks == 0)
		return;
	fputs("disk = [\n", out);
	for (unsigned int i = 0; i < config->nr_disks; i++)
		print_disk(&config->disks[i], out);
	fputs("]\n", out);
}

/* What the keeper does for a guest. */
static void print_guest(const struct domain_config *config, FILE *out)
{
	if (config->memory_bytes)
		fprintf(out, "memory = %llu\n", (unsigned long long)config->memory_bytes >> 20);
	if (config->nr_vcpus)
		fprintf(out, "vcpus = %u\n", config->nr_vcpus);
	if (config->has_cpus)
		print_cpus(out, &config->cpus);
	if (config->has_user)
		fprintf(out, "uid = %u\n", (unsigned int)config->uid);
	print_disks(config, out);
	print_list(out, "static_shared_mem", config->static_shared_mem);
	print_list(out, "static_shm", config->static_shm);
	fprintf(out, "on_poweroff = \"%s\"\non_reboot = \"%s\"\non_crash = \"%s\"\n"
		"shutdown_timeout = %u\n",
		config_end_action_name(config->on_poweroff),
		config_end_action_name(config->on_reboot), config_end_action_name(config->on_crash),
		config->shutdown_timeout_s);
}

void config_print(const struct domain_config *config, FILE *out)
{
	fprintf(out, "name = \"%s\"\ntype = \"process\"\nkernel = ", config->name);
	print_text(out, config->argv[0]);
	fputc('\n', out);
	print_list(out, "extra", config->argv + 1);
	if (config->driver_domain)
		fputs("driver_domain = 1\n", out);
	else
		print_guest(config, out);
}
