/* SPDX-License-Identifier: MIT */
/* xenstore through the stock libxenstore; what a guest wrote is parsed strictly. */
#include "blkback/xenbus.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"

static int make_path(char *path, const char *dir, const char *node)
{
	int n = snprintf(path, XENBUS_PATH_MAX, "%s/%s", dir, node);

	return n < 0 || n >= XENBUS_PATH_MAX ? -ENAMETOOLONG : 0;
}

static char *read_node(struct xs_handle *xs, xs_transaction_t t, const char *dir, const char *node)
{
	char path[XENBUS_PATH_MAX];

	if (make_path(path, dir, node)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return xs_read(xs, t, path, NULL);
}

char *xenbus_read(struct xs_handle *xs, const char *dir, const char *node)
{
	return read_node(xs, XBT_NULL, dir, node);
}

static int read_u64(struct xs_handle *xs, xs_transaction_t t, const char *dir, const char *node,
	uint64_t min, uint64_t max, uint64_t *out)
{
	char *text = read_node(xs, t, dir, node);
	int rc;

	if (!text)
		return -errno;
	rc = parse_u64(text, min, max, out) ? -EINVAL : 0;
	free(text);
	return rc;
}

int xenbus_read_u64(struct xs_handle *xs, const char *dir, const char *node, uint64_t min,
	uint64_t max, uint64_t *out)
{
	return read_u64(xs, XBT_NULL, dir, node, min, max, out);
}

enum xenbus_state xenbus_read_state(struct xs_handle *xs, xs_transaction_t t, const char *dir)
{
	uint64_t state;

	if (read_u64(xs, t, dir, "state", 0, XenbusStateReconfigured, &state))
		return XenbusStateUnknown;
	return (enum xenbus_state)state;
}

bool xenbus_is_online(struct xs_handle *xs, xs_transaction_t t, const char *dir)
{
	uint64_t online;

	return read_u64(xs, t, dir, "online", 0, 0, &online) != 0;
}

int xenbus_printf(struct xs_handle *xs, xs_transaction_t t, const char *dir, const char *node,
	const char *fmt, ...)
{
	char path[XENBUS_PATH_MAX], value[512];
	va_list ap;
	int n, rc = make_path(path, dir, node);

	if (rc)
		return rc;
	va_start(ap, fmt);
	n = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(value))
		return -E2BIG;
	return xs_write(xs, t, path, value, (unsigned int)n) ? 0 : -errno;
}

int xenbus_update(struct xs_handle *xs, const char *dir,
	int (*write)(void *data, xs_transaction_t t), void *data)
{
	xs_transaction_t t;
	char path[XENBUS_PATH_MAX];
	char *state;
	int rc = make_path(path, dir, "state");

	if (rc)
		return rc;
	do {
		t = xs_transaction_start(xs);
		if (!t)
			return -errno;
		state = xs_read(xs, t, path, NULL);
		rc = state ? 0 : -errno;
		free(state);
		if (rc == 0)
			rc = write(data, t);
		if (!xs_transaction_end(xs, t, rc != 0) && rc == 0)
			rc = -errno;
	} while (rc == -EAGAIN);
	return rc;
}

/* One node to be written by xenbus_update. */
struct node_value {
	struct xs_handle *xs;
	const char *dir, *node, *value;
};

static int write_value(void *data, xs_transaction_t t)
{
	const struct node_value *nv = data;

	return xenbus_printf(nv->xs, t, nv->dir, nv->node, "%s", nv->value);
}

int xenbus_write_state(struct xs_handle *xs, const char *dir, enum xenbus_state state)
{
	char value[12];
	struct node_value nv = {xs, dir, "state", value};

	snprintf(value, sizeof(value), "%d", state);
	return xenbus_update(xs, dir, write_value, &nv);
}

int xenbus_write_error(struct xs_handle *xs, const char *dir, const char *text)
{
	struct node_value nv = {xs, dir, "error", text};

	return xenbus_update(xs, dir, write_value, &nv);
}

struct removal {
	struct xs_handle *xs;
	const char *dir;
};

static int remove_closed(void *data, xs_transaction_t t)
{
	const struct removal *removal = data;

	if (xenbus_read_state(removal->xs, t, removal->dir) != XenbusStateClosed ||
		xenbus_is_online(removal->xs, t, removal->dir))
		return -ECANCELED;
	return xs_rm(removal->xs, t, removal->dir) ? 0 : -errno;
}

int xenbus_remove_closed(struct xs_handle *xs, const char *dir)
{
	struct removal removal = {xs, dir};

	return xenbus_update(xs, dir, remove_closed, &removal);
}
