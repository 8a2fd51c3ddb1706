/* SPDX-License-Identifier: MIT */
/* Control verbs about domains. */
#include "hypervisor/control_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/parse.h"
#include "hypervisor/domain.h"
#include "hypervisor/supervisor.h"
#include "hypervisor/vbd.h"

#define BAD_NAME "bad name (letters, digits, '.', '_', '-'; at most 63)"

/* ---- creating ---- */

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

/* Answers a request for a domain that now is the connection's. */
static void reply_created(struct control_conn *conn, struct domain *dom)
{
	int fds[2] = {dom->hypercall_path_fd, dom->store_path_fd};
	char text[128];

	conn->domid = dom->id;
	conn->dom_serial = dom->serial;
	snprintf(text, sizeof(text), "domid=%u name=%s", dom->id, dom->name);
	control_reply_text(conn, 0, text, strlen(text), fds, 2);
	domain_handed_over(dom);
}

static void do_domain_create(struct control_conn *conn, const struct control_request *req)
{
	const char *name = control_required(conn, req, "name"), *keeper;
	struct domain *dom;
	int rc;

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
			: rc == -EINVAL ? BAD_NAME
			: rc == -EDOM	? "bad user id"
					: strerror(-rc));
		return;
	}
	keeper = control_argument(req, "keeper");
	dom->has_keeper = keeper && strcmp(keeper, "1") == 0;
	reply_created(conn, dom);
}

/* ---- listing ---- */

/* A domain that its keeper preserves says how its program has ended (docs/design/toolstack.md). */
static const char *state_of(struct hypervisor *hv, const struct domain *dom)
{
	char path[64];
	const char *ended;

	snprintf(path, sizeof(path), "/local/domain/%u/control/ended", dom->id);
	ended = store_read(hv->store, path, NULL);
	if (ended)
		return strcmp(ended, "crash") == 0 ? "crashed" : "shutdown";
	return dom->paused ? "paused" : "running";
}

static void print_domain(struct hypervisor *hv, const struct domain *dom, FILE *out)
{
	static const char *const kinds[] = {[DOMAIN_GUEST] = "guest", [DOMAIN_DRIVER] = "driver"};

	fprintf(out, "domid=%u name=%s kind=%s pid=%d grants=%u maps=%u ports=%u connections=%u "
		     "state=%s keeper=%d\n",
		dom->id, dom->name, dom->id ? kinds[dom->kind] : "dom0", dom->pid, dom->nr_grants,
		dom->nr_maps, dom->nr_ports, dom->nr_hypercall_conns + dom->nr_store_conns,
		state_of(hv, dom), dom->has_keeper);
}

static void print_domains(struct hypervisor *hv, FILE *out)
{
	struct domain *dom;

	list_for_each(dom, &hv->domain_list, link)
		print_domain(hv, dom, out);
}

static void do_domain_list(struct control_conn *conn, const struct control_request *req)
{
	const char *text = control_argument(req, "domain");
	struct domain *dom = text ? control_any_domain(conn, text) : NULL;

	if (dom)
		control_reply_printed_of(conn, dom, print_domain);
	else if (!text)
		control_reply_printed(conn, print_domains);
}

/* ---- changing ---- */

static void do_domain_rename(struct control_conn *conn, const struct control_request *req)
{
	struct domain *dom = control_domain_argument(conn, req);
	const char *name = dom ? control_required(conn, req, "name") : NULL;
	char old[DOMAIN_NAME_MAX + 1];
	int rc;

	if (!name)
		return;
	snprintf(old, sizeof(old), "%s", dom->name);
	rc = driver_name_is_taken(conn->hv, name, dom) ? -EEXIST : domain_rename(dom, name);
	if (rc) {
		control_reply(conn, rc, "cannot rename domain %s to %s: %s", old, name,
			rc == -EEXIST	? "the name is taken"
			: rc == -EINVAL ? BAD_NAME
					: strerror(-rc));
		return;
	}
	if (dom->kind == DOMAIN_DRIVER) {
		driver_renamed(conn->hv, dom);
		disk_backend_renamed(conn->hv, old, dom->name);
	}
	control_reply(conn, 0, "%s", "");
}

/*
 * Notes whether a domain is paused. Stopping its processes and waiting for that is the asker's part:
 * nobody waits here for what a domain does. While the connection stays, no other can pause or
 * unpause the same domain, so that what is noted and what is done agree.
 */
static void set_paused(struct control_conn *conn, const struct control_request *req, bool paused)
{
	struct domain *dom = control_domain_argument(conn, req);

	if (!dom)
		return;
	if (control_is_changing(conn, dom)) {
		control_reply(conn, -EBUSY,
			"domain %s is being paused or unpaused by another command; try again",
			dom->name);
		return;
	}
	conn->changing = dom->serial;
	dom->paused = paused;
	control_reply_printed_of(conn, dom, print_domain);
}

static void do_domain_pause(struct control_conn *conn, const struct control_request *req)
{
	set_paused(conn, req, true);
}

static void do_domain_unpause(struct control_conn *conn, const struct control_request *req)
{
	set_paused(conn, req, false);
}

/* ---- ending ---- */

static void do_domain_destroy(struct control_conn *conn, const struct control_request *req)
{
	struct domain *dom = control_domain_argument(conn, req);
	int rc;

	if (!dom)
		return;
	if (dom->kind == DOMAIN_DRIVER) {
		rc = driver_stop(conn->hv, dom->name, true, control_driver_ended, conn);
		if (rc)
			control_reply(conn, rc, "cannot end driver domain %s: %s", dom->name,
				rc == -EBUSY ? "it is being started or restarted" : strerror(-rc));
		return;
	}
	/* Who made it for itself has nobody to wake it up for the news. */
	if (dom->paused && !dom->has_keeper)
		kill(dom->pid, SIGCONT);
	control_end_domain(conn, dom);
	control_reply(conn, 0, "%s", "");
}

const struct control_verb control_domain_verbs[] = {{"domain-create", do_domain_create},
	{"domain-list", do_domain_list}, {"domain-rename", do_domain_rename},
	{"domain-pause", do_domain_pause}, {"domain-unpause", do_domain_unpause},
	{"domain-destroy", do_domain_destroy}, {0}};
