/* SPDX-License-Identifier: MIT */
/* A watch on the back end's directory of a device (docs/protocol/blkif.md). */
#include "toolstack/block_wait.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/parse.h"

#define PATH_SIZE 128

static char *read_node(const struct domain0 *dom0, const struct block_line *disk, const char *node)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/local/domain/%u/backend/vbd/%u/%u/%s", disk->backend_domid,
		disk->domid, disk->device, node);
	return xs_read(dom0->xs, XBT_NULL, path, NULL);
}

long long block_wait_number(
	const struct domain0 *dom0, const struct block_line *disk, const char *node)
{
	char *text = read_node(dom0, disk, node);
	uint64_t value;
	bool ok = text && parse_u64(text, 0, INT64_MAX, &value) == 0;

	free(text);
	return ok ? (long long)value : -1;
}

/* What the back end has against the device; -EIO with the text, -ENODEV, or 0. */
static int complaint(const struct domain0 *dom0, const struct block_line *disk, char **error)
{
	char *state = read_node(dom0, disk, "state");

	*error = read_node(dom0, disk, "error");
	free(state);
	if (*error)
		return -EIO;
	return state ? 0 : -ENODEV;
}

/* Until something in the store has changed. */
static int wait_for_change(const struct domain0 *dom0, uint64_t deadline_ns)
{
	struct pollfd pfd = {.fd = xs_fileno(dom0->xs), .events = POLLIN};
	uint64_t now = clock_ns();
	char **event;

	if (now >= deadline_ns)
		return -ETIMEDOUT;
	if (poll(&pfd, 1, (int)((deadline_ns - now) / NSEC_PER_MSEC) + 1) < 0 && errno != EINTR)
		return -errno;
	while ((event = xs_check_watch(dom0->xs)))
		free(event);
	/* Nothing to be had without anything there: the connection is gone. */
	return errno == EAGAIN ? 0 : -errno;
}

int block_wait(const struct domain0 *dom0, const struct block_line *disk, unsigned int timeout_s,
	bool (*done)(const struct domain0 *dom0, const struct block_line *disk, void *data),
	void *data, char **error)
{
	uint64_t deadline_ns = clock_ns() + timeout_s * NSEC_PER_SEC;
	char dir[PATH_SIZE];
	int rc;

	*error = NULL;
	snprintf(dir, sizeof(dir), "/local/domain/%u/backend/vbd/%u/%u", disk->backend_domid,
		disk->domid, disk->device);
	if (!xs_watch(dom0->xs, dir, "block"))
		return -errno;
	do {
		rc = complaint(dom0, disk, error);
		if (rc || done(dom0, disk, data))
			break;
		rc = wait_for_change(dom0, deadline_ns);
	} while (rc == 0);
	if (!xs_unwatch(dom0->xs, dir, "block") && rc == 0)
		rc = -errno;
	return rc;
}
