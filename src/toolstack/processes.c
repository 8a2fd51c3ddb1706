/* SPDX-License-Identifier: MIT */
/* Walking the tree of a domain's processes, and what they use. */
#include "toolstack/processes.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolstack/process_file.h"

/* ---- the tree ---- */

static int add(struct processes *processes, pid_t pid, pid_t parent)
{
	unsigned int nr = processes->nr_allocated ? 2 * processes->nr_allocated : 16;
	struct process *grown;

	if (processes->nr == processes->nr_allocated) {
		grown = realloc(processes->all, nr * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		processes->all = grown;
		processes->nr_allocated = nr;
	}
	processes->all[processes->nr++] = (struct process){pid, parent};
	return 0;
}

/* The children that one thread of a process started. */
static int add_children_of(struct processes *processes, pid_t pid, const char *thread)
{
	char name[64], *word = NULL;
	size_t size = 0;
	FILE *file;
	int rc = 0;

	snprintf(name, sizeof(name), "task/%.20s/children", thread);
	file = process_file(pid, name);
	if (!file)
		return 0;
	while (rc == 0 && getdelim(&word, &size, ' ', file) > 0)
		rc = add(processes, (pid_t)atoi(word), pid);
	free(word);
	fclose(file);
	return rc;
}

static int add_children(struct processes *processes, pid_t pid)
{
	char path[32];
	struct dirent *entry;
	DIR *dir;
	int rc = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (rc == 0 && dir && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			rc = add_children_of(processes, pid, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return rc;
}

int processes_init(struct processes *processes, const struct domain_line *dom)
{
	int rc = 0;

	*processes = (struct processes){0};
	if (dom->pid <= 0)
		return 0;
	if (dom->has_keeper)
		rc = add_children(processes, dom->pid);
	else
		rc = add(processes, dom->pid, 0);
	/* Each level is read behind the one before. */
	for (unsigned int i = 0; rc == 0 && i < processes->nr; i++)
		rc = add_children(processes, processes->all[i].pid);
	return rc;
}

void processes_fini(struct processes *processes)
{
	free(processes->all);
	*processes = (struct processes){0};
}

/* ---- use ---- */

static void add_usage(pid_t pid, struct process_usage *usage)
{
	struct process_stat stat;
	unsigned int nr_cpus;
	cpu_set_t cpus;

	if (!process_read_stat(pid, &stat))
		return;
	usage->nr_processes++;
	usage->cpu_ticks += stat.cpu_ticks;
	usage->memory_bytes += stat.pages * (uint64_t)sysconf(_SC_PAGESIZE);
	usage->runs |= stat.state == 'R';
	if (sched_getaffinity(pid, sizeof(cpus), &cpus) < 0)
		return;
	nr_cpus = (unsigned int)CPU_COUNT(&cpus);
	if (nr_cpus > usage->nr_cpus)
		usage->nr_cpus = nr_cpus;
}

void processes_usage(const struct processes *processes, struct process_usage *usage)
{
	*usage = (struct process_usage){0};
	for (unsigned int i = 0; i < processes->nr; i++)
		add_usage(processes->all[i].pid, usage);
}

void domain_usage(const struct domain_line *dom, struct process_usage *usage)
{
	struct processes processes;

	*usage = (struct process_usage){0};
	if (processes_init(&processes, dom) == 0)
		processes_usage(&processes, usage);
	processes_fini(&processes);
}
