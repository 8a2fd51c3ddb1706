/* SPDX-License-Identifier: MIT */
/* Reading /proc/PID, as proc(5) describes it. */
#include "toolstack/process_file.h"

#include <dirent.h>
#include <string.h>

FILE *process_file(pid_t pid, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return fopen(path, "re");
}

/* What follows the name, which may contain anything, blanks and parentheses included. */
static bool read_behind_name(pid_t pid, const char *name, char *text, size_t size)
{
	FILE *file = process_file(pid, name);
	char *end;
	size_t n;

	if (!file)
		return false;
	n = fread(text, 1, size - 1, file);
	fclose(file);
	text[n] = '\0';
	end = strrchr(text, ')');
	if (!end)
		return false;
	memmove(text, end + 1, strlen(end + 1) + 1);
	return true;
}

bool process_read_stat(pid_t pid, struct process_stat *stat)
{
	unsigned long long user, system;
	long long children_user, children_system, pages;
	char text[1024];

	if (!read_behind_name(pid, "stat", text, sizeof(text)) ||
		sscanf(text, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld "
			     "%*d %*d %*d %*d %*u %*u %lld",
			&stat->state, &stat->parent, &user, &system, &children_user,
			&children_system, &pages) != 7)
		return false;
	stat->cpu_ticks = user + system + (uint64_t)children_user + (uint64_t)children_system;
	stat->pages = (uint64_t)pages;
	return true;
}

bool process_is_stopped(pid_t pid)
{
	char path[32], name[64], text[1024];
	struct dirent *entry;
	bool stopped = true;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (stopped && dir && (entry = readdir(dir))) {
		snprintf(name, sizeof(name), "task/%.20s/stat", entry->d_name);
		if (entry->d_name[0] != '.' && read_behind_name(pid, name, text, sizeof(text)))
			stopped = strchr("TtZX", text[1]) != NULL;
	}
	if (dir)
		closedir(dir);
	return stopped;
}
