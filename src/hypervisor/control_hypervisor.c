/* SPDX-License-Identifier: MIT */
/* Control verbs about the instance itself. */
#include "hypervisor/control_internal.h"

#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"

static void do_ping(struct control_conn *conn, const struct control_request *req)
{
	struct hypervisor *hv = conn->hv;

	(void)req;
	control_reply(conn, 0, "version=%d pid=%d domains=%u uptime_s=%llu", CONTROL_VERSION, getpid(),
		hv->nr_domains, (unsigned long long)((clock_ns() - hv->start_ns) / NSEC_PER_SEC));
}

static void do_shutdown(struct control_conn *conn, const struct control_request *req)
{
	(void)req;
	conn->waits_for_shutdown = true;
	hypervisor_shutdown(conn->hv, "asked over the control socket");
}

const struct control_verb control_hypervisor_verbs[] = {
	{"ping", do_ping}, {"shutdown", do_shutdown}, {0}};
