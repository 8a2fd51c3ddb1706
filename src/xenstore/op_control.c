/* SPDX-License-Identifier: MIT */
/* CONTROL, for domain 0: what an administrator asks a store daemon. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "xenstore/conn.h"

#define TEXT_BYTES 1024

static size_t say_help(const struct store *store, char *text)
{
	(void)store;
	return (size_t)snprintf(text, TEXT_BYTES, "help\t\nmemreport\t\nquota\t\n");
}

static size_t say_quota(const struct store *store, char *text)
{
	const struct store_limits *limits = &store->limits;

	return (size_t)snprintf(text, TEXT_BYTES,
		"Limits per unprivileged domain:\n"
		"nodes: %u\nwatches: %u\ntransactions: %u\noutstanding: %u\nevents: %u\n"
		"transaction-nodes: %u\nnode-permissions: %u\nnode-size: %u\n",
		limits->nr_nodes, limits->nr_watches, limits->nr_transactions, limits->nr_requests,
		limits->nr_events, limits->nr_txn_nodes, limits->nr_perms, limits->node_size);
}

static size_t say_memreport(const struct store *store, char *text)
{
	const struct store_stats *stats = &store->stats;

	return (size_t)snprintf(text, TEXT_BYTES,
		"nodes: %lu\nbytes: %zu\nwatches: %lu\ntransactions: %lu\nconnections: %lu\n"
		"domains: %lu\nrequests: %lu\n",
		stats->nr_nodes, stats->bytes, stats->nr_watches, stats->nr_transactions,
		stats->nr_conns, stats->nr_domains, stats->nr_requests);
}

static const struct {
	const char *name;
	size_t (*say)(const struct store *store, char *text);
} commands[] = {
	{"help", say_help},
	{"memreport", say_memreport},
	{"quota", say_quota},
};

int op_control(struct request *req)
{
	size_t i, len, pos = 0;
	const char *name = request_next_string(req, &pos);
	char text[TEXT_BYTES];

	/* None of the commands takes a parameter. */
	if (!name || pos != req->hdr.len)
		return -EINVAL;
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(name, commands[i].name) != 0)
			continue;
		len = commands[i].say(req->store, text);
		return reply_bytes(req, text, len + 1);
	}
	return -EINVAL;
}
