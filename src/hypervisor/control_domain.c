/* SPDX-License-Identifier: MIT */
/* Control verbs about domains. */
#include "hypervisor/control_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/parse.h"
#include "hypervisor/domain.h"

/* The domain's user, if it is to be another than ours. 0 or -errno. */
static int set_user(struct domain *dom, const char *uid_text)
{
	uint64_t uid;

	if (!uid_text)
		return 0;
	if (parse_u64(uid_text, 0, UINT32_MAX - 1, &uid))
		return -EDOM;
	return uid == geteuid() ? 0 : domain_set_user(dom, (uid_t)uid);
}

static void do_domain_create(struct control_conn *conn, const struct control_request *req)
{
	const char *name = control_required(conn, req, "name");
	struct domain *dom;
	int fds[2], rc;
	char text[128];

	if (!name)
		return;
	if (conn->domid) {
		control_reply(conn, -EBUSY, "this connection has a domain already");
		return;
	}
	rc = domain_create(conn->hv, name, DOMAIN_GUEST, conn->peer_pid, &dom);
	if (rc == 0) {
		rc = set_user(dom, control_argument(req, "uid"));
		if (rc)
			domain_destroy(dom);
	}
	if (rc) {
		control_reply(conn, rc, "cannot create domain %s: %s", name,
			rc == -EEXIST	? "the name is taken"
			: rc == -ENOSPC ? "there are too many domains"
			: rc == -EINVAL ? "bad name (letters, digits, '.', '_', '-'; at most 63)"
			: rc == -EDOM	? "bad user id"
					: strerror(-rc));
		return;
	}
	conn->domid = dom->id;
	conn->dom_serial = dom->serial;
	fds[0] = dom->hypercall_path_fd;
	fds[1] = dom->store_path_fd;
	snprintf(text, sizeof(text), "domid=%u name=%s", dom->id, dom->name);
	control_reply_text(conn, 0, text, strlen(text), fds, 2);
	domain_handed_over(dom);
}

static void print_domains(struct hypervisor *hv, FILE *out)
{
	struct domain *dom;

	list_for_each(dom, &hv->domain_list, link)
		fprintf(out, "domid=%u name=%s kind=%s pid=%d grants=%u maps=%u ports=%u "
			     "connections=%u\n",
			dom->id, dom->name, dom->kind == DOMAIN_DRIVER ? "driver" : "guest",
			dom->pid, dom->nr_grants, dom->nr_maps, dom->nr_ports,
			dom->nr_hypercall_conns + dom->nr_store_conns);
}

static void do_domain_list(struct control_conn *conn, const struct control_request *req)
{
	(void)req;
	control_reply_printed(conn, print_domains);
}

const struct control_verb control_domain_verbs[] = {
	{"domain-create", do_domain_create}, {"domain-list", do_domain_list}, {0}};
