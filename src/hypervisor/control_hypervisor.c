/* SPDX-License-Identifier: MIT */
/* Control verbs about the instance itself. */
#include "hypervisor/control_internal.h"

#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"

static unsigned long long uptime_s(const struct hypervisor *hv)
{
	return (clock_ns() - hv->start_ns) / NSEC_PER_SEC;
}

static void do_ping(struct control_conn *conn, const struct control_request *req)
{
	struct hypervisor *hv = conn->hv;

	(void)req;
	control_reply(conn, 0, "version=%d pid=%d domains=%u uptime_s=%llu", CONTROL_VERSION, getpid(),
		hv->nr_domains, uptime_s(hv));
}

static void print_info(struct hypervisor *hv, FILE *out)
{
	const struct domain_limits *limits = &hv->limits;
	struct store_stats store;

	store_get_stats(hv->store, &store);
	fprintf(out, "version=%d pid=%d domains=%u uptime_s=%llu release=%s event_channels=%s\n",
		CONTROL_VERSION, getpid(), hv->nr_domains, uptime_s(hv), RINGFENCE_VERSION,
		hv->port_kind == HYPERCALL_PORT_EVENTFD ? "eventfd" : "seqpacket");
	fprintf(out, "max_domains=%u max_grants=%u max_maps=%u max_ports=%u max_connections=%u\n",
		limits->nr_domains, limits->nr_grants, limits->nr_maps, limits->nr_ports,
		limits->nr_connections);
	fprintf(out, "descriptors=%u max_descriptors=%u\n", hv->nr_fds, hv->max_fds);
	fprintf(out, "store_nodes=%lu store_watches=%lu store_transactions=%lu store_connections=%lu "
		     "store_bytes=%zu\n",
		store.nr_nodes, store.nr_watches, store.nr_transactions, store.nr_conns, store.bytes);
}

static void do_info(struct control_conn *conn, const struct control_request *req)
{
	(void)req;
	control_reply_printed(conn, print_info);
}

static void print_dmesg(struct hypervisor *hv, FILE *out)
{
	dmesg_print(&hv->dmesg, out);
}

static void do_dmesg(struct control_conn *conn, const struct control_request *req)
{
	const char *clear = control_argument(req, "clear");

	control_reply_printed(conn, print_dmesg);
	if (clear && strcmp(clear, "1") == 0)
		dmesg_clear(&conn->hv->dmesg);
}

static void do_shutdown(struct control_conn *conn, const struct control_request *req)
{
	(void)req;
	conn->waits_for_shutdown = true;
	hypervisor_shutdown(conn->hv, "asked over the control socket");
}

const struct control_verb control_hypervisor_verbs[] = {{"ping", do_ping}, {"info", do_info},
	{"dmesg", do_dmesg}, {"shutdown", do_shutdown}, {0}};
