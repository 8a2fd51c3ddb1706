/* SPDX-License-Identifier: MIT */
/* CONTROL, for domain 0: what an administrator asks a store daemon (xenstore.txt, "CONTROL"). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "xenstore/conn.h"

#define TEXT_BYTES 1024
#define PARAMS_MAX 3

struct params {
	unsigned int nr;
	const char *text[PARAMS_MAX];
};

__attribute__((format(printf, 2, 3))) static int say(struct request *req, const char *fmt, ...)
{
	char text[TEXT_BYTES];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return reply_bytes(req, text, (size_t)len + 1);
}

static int done(struct request *req)
{
	reply_ok(req);
	return 0;
}

static int quota_set(struct request *req, const char *name, const char *value_text)
{
	unsigned long value;

	if (request_number(value_text, STORE_LIMIT_MAX, &value) ||
		store_limits_set(&req->store->limits, name, value))
		return -EINVAL;
	return done(req);
}

static int quota_of_domain(struct request *req, const char *domid_text)
{
	const struct domain *dom;
	unsigned long domid;

	if (request_number(domid_text, DOMID_MAX, &domid))
		return -EINVAL;
	dom = domain_find(req->store, (unsigned int)domid);
	if (!dom)
		return -ENOENT;
	return say(req,
		"Domain %u:\nnodes: %u\nwatches: %u\ntransactions: %u\noutstanding: %u\nevents: "
		"%u\n"
		"connections: %u\n",
		dom->domid, dom->nr_nodes, dom->nr_watches, dom->nr_txns, dom->nr_replies,
		dom->nr_events, dom->nr_conns);
}

static int control_quota(struct request *req, const struct params *params)
{
	const struct store_limits *limits = &req->store->limits;

	if (params->nr == 3 && strcmp(params->text[0], "set") == 0)
		return quota_set(req, params->text[1], params->text[2]);
	if (params->nr == 1)
		return quota_of_domain(req, params->text[0]);
	if (params->nr != 0)
		return -EINVAL;
	return say(req,
		"Limits per unprivileged domain:\n"
		"nodes: %u\nwatches: %u\ntransactions: %u\noutstanding: %u\nevents: %u\n"
		"transaction-nodes: %u\npermissions: %u\nnode-size: %u\n",
		limits->nr_nodes, limits->nr_watches, limits->nr_transactions, limits->nr_requests,
		limits->nr_events, limits->nr_txn_nodes, limits->nr_perms, limits->node_size);
}

static int control_memreport(struct request *req, const struct params *params)
{
	const struct store_stats *stats = &req->store->stats;

	if (params->nr)
		return -EINVAL;
	return say(req,
		"nodes: %lu\nbytes: %zu\nwatches: %lu\ntransactions: %lu\nconnections: %lu\n"
		"domains: %lu\nrequests: %lu\nqueued: %lu\nqueued-bytes: %zu\n",
		stats->nr_nodes, stats->bytes, stats->nr_watches, stats->nr_transactions,
		stats->nr_conns, stats->nr_domains, stats->nr_requests, stats->nr_queued,
		stats->queued_bytes);
}

static int control_log(struct request *req, const struct params *params)
{
	if (params->nr == 0)
		return say(req, "log: %s\n", req->store->tracing ? "on" : "off");
	if (params->nr != 1)
		return -EINVAL;
	if (strcmp(params->text[0], "on") == 0)
		req->store->tracing = true;
	else if (strcmp(params->text[0], "off") == 0)
		req->store->tracing = false;
	else
		return -EINVAL;
	return done(req);
}

static int control_print(struct request *req, const struct params *params)
{
	if (params->nr != 1)
		return -EINVAL;
	trace_print(req->store, params->text[0]);
	return done(req);
}

static int control_help(struct request *req, const struct params *params);

static const struct {
	const char *name, *usage;
	int (*run)(struct request *req, const struct params *params);
} commands[] = {
	{"help", "", control_help},
	{"log", "[on|off]", control_log},
	{"memreport", "", control_memreport},
	{"print", "<string>", control_print},
	{"quota", "[set <name> <val>|<domid>]", control_quota},
};

static int control_help(struct request *req, const struct params *params)
{
	char text[TEXT_BYTES] = "";
	size_t i, used = 0;

	if (params->nr)
		return -EINVAL;
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\t%s\n",
			commands[i].name, commands[i].usage);
	return say(req, "%s", text);
}

int op_control(struct request *req)
{
	size_t i, pos = 0;
	const char *name = request_next_string(req, &pos);
	struct params params = {0};

	if (!name)
		return -EINVAL;
	while (pos < req->hdr.len) {
		if (params.nr == PARAMS_MAX)
			return -EINVAL;
		params.text[params.nr] = request_next_string(req, &pos);
		if (!params.text[params.nr++])
			return -EINVAL;
	}
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].run(req, &params);
	return -EINVAL;
}
