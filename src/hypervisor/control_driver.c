/* SPDX-License-Identifier: MIT */
/* Control verbs about driver domains. */
#include "hypervisor/control_internal.h"

#include <errno.h>
#include <string.h>

#include "hypervisor/supervisor.h"

static void driver_started(void *data, int status, unsigned int domid, const char *text)
{
	struct control_conn *conn = data;

	if (status)
		control_reply(conn, status, "%s", text);
	else
		control_reply(conn, 0, "domid=%u", domid);
}

static void do_driver_start(struct control_conn *conn, const struct control_request *req)
{
	const char *name = control_required(conn, req, "name");
	const char *program = name ? control_required(conn, req, "program") : NULL;
	const char *argv[CONTROL_MAX_WORDS + 1];
	unsigned int argc = 0;
	int rc;

	if (!program)
		return;
	argv[argc++] = program;
	for (unsigned int i = 0; i < req->nr_args; i++) {
		if (strncmp(req->args[i], "arg=", 4) == 0)
			argv[argc++] = req->args[i] + 4;
	}
	argv[argc] = NULL;
	rc = driver_start(conn->hv, name, (char *const *)argv, driver_started, conn);
	if (rc)
		control_reply(conn, rc, "cannot start driver domain %s (%s): %s", name, program,
			rc == -EEXIST	? "the name is taken"
			: rc == -EINVAL ? "bad name (letters, digits, '.', '_', '-'; at most 63)"
			: rc == -EDOM	? "bad user id"
					: strerror(-rc));
}

static void do_stats(struct control_conn *conn, const struct control_request *req)
{
	(void)req;
	control_reply_printed(conn, drivers_print_stats);
}

const struct control_verb control_driver_verbs[] = {
	{"driver-start", do_driver_start}, {"stats", do_stats}, {0}};
