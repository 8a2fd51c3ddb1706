/* SPDX-License-Identifier: MIT */
/* Statistics; see service_stats.h. The lines are the hypervisor's, the names in them clients'. */
#include "service/service_stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"

/* Where the value of `key=` begins in the line, or NULL. */
static const char *find_value(const char *line, size_t line_len, const char *key)
{
	size_t key_len = strlen(key);

	for (const char *p = line; p && p < line + line_len;) {
		size_t left = (size_t)(line + line_len - p);

		if (left > key_len && memcmp(p, key, key_len) == 0 && p[key_len] == '=')
			return p + key_len + 1;
		p = (const char *)memchr(p, ' ', left);
		if (p)
			p++;
	}
	return NULL;
}

static bool copy_value(const char *from, size_t len, char *value, size_t size)
{
	if (!from || len >= size)
		return false;
	memcpy(value, from, len);
	value[len] = '\0';
	return true;
}

bool field_get(const char *line, const char *key, char *value, size_t size)
{
	const char *from = find_value(line, strcspn(line, "\n"), key);

	return copy_value(from, from ? strcspn(from, " \n") : 0, value, size);
}

bool field_get_rest(const char *line, const char *key, char *value, size_t size)
{
	const char *from = find_value(line, strcspn(line, "\n"), key);

	return copy_value(from, from ? strcspn(from, "\n") : 0, value, size);
}

uint64_t field_get_u64(const char *line, const char *key)
{
	char text[24];
	uint64_t value;

	if (!field_get(line, key, text, sizeof(text)) ||
		parse_u64(text, 0, UINT64_MAX, &value))
		return 0;
	return value;
}

static void parse_figures(const char *line, struct stats_figures *f)
{
	char state[16];

	memset(f, 0, sizeof(*f));
	if (!field_get(line, "name", f->name, sizeof(f->name)))
		snprintf(f->name, sizeof(f->name), "domain-%" PRIu64,
			field_get_u64(line, "domain"));
	f->connected = field_get(line, "state", state, sizeof(state)) &&
		       strcmp(state, "connected") == 0;
	f->requests = field_get_u64(line, "requests");
	f->errors = field_get_u64(line, "errors");
	f->read_sectors = field_get_u64(line, "read_sectors");
	f->cache_hits = field_get_u64(line, "cache_hits");
	f->cache_misses = field_get_u64(line, "cache_misses");
}

static int add_client(struct service_stats *stats, const char *line)
{
	struct stats_figures *grown =
		reallocarray(stats->clients, stats->nr_clients + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	stats->clients = grown;
	parse_figures(line, &grown[stats->nr_clients++]);
	return 0;
}

int stats_parse(const char *text, struct service_stats *stats)
{
	char scratch[32];

	memset(stats, 0, sizeof(*stats));
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!field_get(line, "backend", stats->total.name, sizeof(stats->total.name)))
			continue;
		if (!field_get(line, "domain", scratch, sizeof(scratch))) {
			parse_figures(line, &stats->total);
			stats->has_total = field_get(line, "cache_bytes", scratch, sizeof(scratch));
			stats->cache_bytes = field_get_u64(line, "cache_bytes");
		} else if (add_client(stats, line)) {
			stats_free(stats);
			return -ENOMEM;
		}
	}
	return 0;
}

void stats_free(struct service_stats *stats)
{
	free(stats->clients);
	stats->clients = NULL;
	stats->nr_clients = 0;
}

static uint64_t nr_lookups(const struct stats_figures *f)
{
	return f->cache_hits + f->cache_misses;
}

static double hit_percent(const struct stats_figures *f)
{
	return nr_lookups(f) ? 100.0 * (double)f->cache_hits / (double)nr_lookups(f) : 0.0;
}

static void print_hit_ratio(const struct service_stats *stats)
{
	const struct stats_figures *f = &stats->total;

	if (stats->has_total && stats->cache_bytes == 0 && nr_lookups(f) == 0)
		printf("cache hit ratio: none (no cache)\n");
	else if (nr_lookups(f) == 0)
		printf("cache hit ratio: none (no sector looked up)\n");
	else
		printf("cache hit ratio: %.2f %% (%" PRIu64 " of %" PRIu64 " sectors looked up)\n",
			hit_percent(f), f->cache_hits, nr_lookups(f));
}

void stats_print(const struct service_stats *stats)
{
	printf("requests: %" PRIu64 " (%" PRIu64 " sectors read, %" PRIu64 " errors)\n",
		stats->total.requests, stats->total.read_sectors, stats->total.errors);
	print_hit_ratio(stats);
	if (stats->nr_clients == 0)
		return;
	printf("\n%-20s %12s %12s %8s %10s\n", "client", "requests", "sectors", "errors",
		"hit ratio");
	for (size_t i = 0; i < stats->nr_clients; i++) {
		const struct stats_figures *f = &stats->clients[i];

		printf("%-20s %12" PRIu64 " %12" PRIu64 " %8" PRIu64, f->name, f->requests,
			f->read_sectors, f->errors);
		if (nr_lookups(f))
			printf(" %8.2f %%\n", hit_percent(f));
		else
			printf(" %10s\n", "-");
	}
}

void json_print_string(const char *text)
{
	putchar('"');
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if (*p < ' ')
			printf("\\u%04x", *p);
		else
			putchar(*p);
	}
	putchar('"');
}

static void print_json_figures(const struct stats_figures *f)
{
	printf("\"requests\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"read_sectors\": %" PRIu64
	       ", \"cache_hits\": %" PRIu64 ", \"cache_misses\": %" PRIu64,
		f->requests, f->errors, f->read_sectors, f->cache_hits, f->cache_misses);
	if (nr_lookups(f))
		printf(", \"cache_hit_ratio\": %.6f", hit_percent(f) / 100);
	else
		printf(", \"cache_hit_ratio\": null");
}

void stats_print_json(const struct service_stats *stats)
{
	print_json_figures(&stats->total);
	printf(", \"cache_bytes\": %" PRIu64 ", \"clients\": [", stats->cache_bytes);
	for (size_t i = 0; i < stats->nr_clients; i++) {
		printf("%s{\"name\": ", i ? ", " : "");
		json_print_string(stats->clients[i].name);
		printf(", \"connected\": %s, ", stats->clients[i].connected ? "true" : "false");
		print_json_figures(&stats->clients[i]);
		putchar('}');
	}
	putchar(']');
}
