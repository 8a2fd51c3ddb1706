/* SPDX-License-Identifier: MIT */
/*
 * How the two vchan examples find each other through xenstore. Nothing here knows which hypervisor
 * it runs on: these are libxenstore's calls, and the nodes that a toolstack uses.
 */
#ifndef VCHAN_PEER_H
#define VCHAN_PEER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#define PATH_SIZE 256

/* Waits until the node can be read, and returns its value as a string, to be freed; or NULL. */
static inline char *wait_for_node(struct xs_handle *xs, const char *path)
{
	char *value = NULL, **event;
	unsigned int len;

	/* A watch fires once when it is set, so that nothing between a look and a wait is missed.
	 */
	if (!xs_watch(xs, path, "node"))
		return NULL;
	do {
		event = xs_read_watch(xs, &len);
		if (!event)
			break;
		free(event);
		value = xs_read(xs, XBT_NULL, path, &len);
	} while (!value);
	xs_unwatch(xs, path, "node");
	return value;
}

/*
 * The other domain's id: the argument, or, if that is "-", what the toolstack writes to our node
 * data/peer. -1 if there is none.
 */
static inline int find_peer(struct xs_handle *xs, const char *argument)
{
	char *text, *end;
	long domid;

	text = strcmp(argument, "-") == 0 ? wait_for_node(xs, "data/peer") : strdup(argument);
	if (!text)
		return -1;
	domid = strtol(text, &end, 10);
	if (*end || end == text || domid < 0 || domid >= 0x7ff0) {
		fprintf(stderr, "'%s' is no domain id\n", text);
		domid = -1;
	}
	free(text);
	return (int)domid;
}

/* Our own domain id, or -1. */
static inline int own_domid(struct xs_handle *xs)
{
	unsigned int len;
	char *text = xs_read(xs, XBT_NULL, "domid", &len);
	int domid = text ? atoi(text) : -1;

	free(text);
	return domid;
}

#endif
