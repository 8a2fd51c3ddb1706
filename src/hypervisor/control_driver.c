/* SPDX-License-Identifier: MIT */
/* Control verbs about driver domains. */
#include "hypervisor/control_internal.h"

#include <errno.h>
#include <string.h>

#include "hypervisor/supervisor.h"
#include "hypervisor/vbd.h"

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

/*
 * The name of a driver domain that the hypervisor runs, or has run, by `name=`: its name or id. NULL,
 * and answered, if it is another domain's; *dom is NULL while it does not run.
 */
static const char *driver_argument(
	struct control_conn *conn, const struct control_request *req, const struct domain **dom)
{
	const char *text = control_required(conn, req, "name");

	*dom = text ? control_find_domain(conn->hv, text) : NULL;
	if (!*dom || (*dom)->kind == DOMAIN_DRIVER)
		return *dom ? (*dom)->name : text;
	control_reply(conn, -EINVAL, "%s is no driver domain that the hypervisor runs", text);
	return NULL;
}

static void reply_failed(struct control_conn *conn, int rc, const char *what, const char *name)
{
	control_reply(conn, rc, "cannot %s %s: %s", what, name,
		rc == -ENOENT  ? "there is no such driver domain"
		: rc == -EBUSY ? "it is being started or ended already"
			       : strerror(-rc));
}

static void do_driver_restart(struct control_conn *conn, const struct control_request *req)
{
	const struct domain *dom;
	const char *name = driver_argument(conn, req, &dom), *force;
	int rc;

	if (!name)
		return;
	force = control_argument(req, "force");
	if (dom && vbd_serves(conn->hv, dom->id) && !(force && strcmp(force, "1") == 0)) {
		control_reply(conn, -EBUSY,
			"driver domain %s serves disks, which its guests would lose; --force does it",
			name);
		return;
	}
	rc = driver_restart(conn->hv, name, driver_started, conn);
	if (rc)
		reply_failed(conn, rc, "restart", name);
}

void control_driver_ended(void *data, int status, unsigned int domid, const char *text)
{
	struct control_conn *conn = data;

	(void)domid;
	control_reply(conn, status, "%s", status ? text : "");
}

static void do_driver_stop(struct control_conn *conn, const struct control_request *req)
{
	const struct domain *dom;
	const char *name = driver_argument(conn, req, &dom);
	int rc = name ? driver_stop(conn->hv, name, false, control_driver_ended, conn) : 0;

	if (rc)
		reply_failed(conn, rc, "stop", name);
}

static void do_stats(struct control_conn *conn, const struct control_request *req)
{
	(void)req;
	control_reply_printed(conn, drivers_print_stats);
}

const struct control_verb control_driver_verbs[] = {
	{"driver-start", do_driver_start}, {"driver-restart", do_driver_restart},
	{"driver-stop", do_driver_stop}, {"stats", do_stats}, {0}};
