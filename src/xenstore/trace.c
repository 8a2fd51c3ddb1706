/* SPDX-License-Identifier: MIT */
/* Lines for the log of the embedding program. Their bytes are the clients', so they are masked. */
#include <stdio.h>
#include <string.h>

#include "xenstore/conn.h"

#define LINE_BYTES 256

/* Printable characters stay, a NUL becomes '|', the rest '?'. */
static void append_masked(char *line, size_t used, const char *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len && used < LINE_BYTES - 1; i++, used++) {
		line[used] = '?';
		if (bytes[i] == '\0')
			line[used] = '|';
		else if (bytes[i] >= ' ' && bytes[i] <= '~')
			line[used] = bytes[i];
	}
	line[used] = '\0';
}

void trace_print(struct store *store, const char *text)
{
	char line[LINE_BYTES];

	append_masked(line, 0, text, strlen(text));
	if (store->ops->log)
		store->ops->log(store->data, false, line);
}

void trace_request(const struct request *req, const char *name, const char *result)
{
	char line[LINE_BYTES];
	int used;

	if (!req->store->ops->log)
		return;
	used = snprintf(line, sizeof(line), "domain %u: %s tx=%u: %s: ", req->dom->domid, name,
		req->hdr.tx_id, result);
	append_masked(line, (size_t)used, req->in, req->in ? req->hdr.len : 0);
	req->store->ops->log(req->store->data, true, line);
}
