/* SPDX-License-Identifier: MIT */
/* Control verbs about shared memory areas. */
#include "hypervisor/control_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/parse.h"
#include "hypervisor/shm.h"

/* What the arguments `area=` ask for. False, and answered, if they make no sense. */
static bool area_arguments(struct control_conn *conn, const struct control_request *req,
	struct shm_spec *specs, unsigned int *nr_specs)
{
	*nr_specs = 0;
	for (unsigned int i = 0; i < req->nr_args; i++) {
		if (strncmp(req->args[i], "area=", 5) != 0)
			continue;
		if (*nr_specs == SHM_PER_DOMAIN_MAX) {
			control_reply(conn, -E2BIG, "a domain can have at most %u shared areas",
				SHM_PER_DOMAIN_MAX);
			return false;
		}
		if (shm_spec_parse(req->args[i] + 5, &specs[*nr_specs])) {
			control_reply(conn, -EINVAL,
				"%s: '%.100s' is not ID,ROLE,rw|ro,BEGIN,SIZE,OFFSET", req->verb,
				req->args[i]);
			return false;
		}
		++*nr_specs;
	}
	if (*nr_specs)
		return true;
	control_reply(conn, -EINVAL, "%s: argument area= is missing", req->verb);
	return false;
}

static void do_shm_check(struct control_conn *conn, const struct control_request *req)
{
	struct shm_spec specs[SHM_PER_DOMAIN_MAX];
	char error[SHM_ERROR_SIZE];
	uint64_t new_bytes = 0;
	unsigned int nr;
	int rc;

	if (!area_arguments(conn, req, specs, &nr))
		return;
	rc = shm_check(conn->hv, specs, nr, error, sizeof(error));
	/* No sum of ranges that do not overlap is too large. */
	for (unsigned int i = 0; rc == 0 && i < nr; i++)
		new_bytes += specs[i].role == SHM_OWNER ? specs[i].size : 0;
	if (rc)
		control_reply(conn, rc, "%s", error);
	else
		control_reply(conn, 0, "new_bytes=%llu", (unsigned long long)new_bytes);
}

/* The domain that the connection holds, or NULL and answered. */
static struct domain *own_domain(struct control_conn *conn)
{
	struct domain *dom = conn->domid ? domain_by_id(conn->hv, conn->domid) : NULL;

	if (dom && dom->serial == conn->dom_serial)
		return dom;
	control_reply(conn, -ENOENT, "this connection has no domain");
	return NULL;
}

static void do_shm_attach(struct control_conn *conn, const struct control_request *req)
{
	struct shm_spec specs[SHM_PER_DOMAIN_MAX];
	const char *adopt = control_argument(req, "adopt");
	struct domain *dom = own_domain(conn);
	char error[SHM_ERROR_SIZE];
	unsigned int nr;
	int rc;

	if (!dom || !area_arguments(conn, req, specs, &nr))
		return;
	rc = shm_attach(dom, specs, nr, adopt && strcmp(adopt, "1") == 0, error, sizeof(error));
	control_reply(conn, rc, "%s", rc ? error : "");
}

static void do_shm_open(struct control_conn *conn, const struct control_request *req)
{
	struct domain *dom = own_domain(conn);
	const char *text = dom ? control_required(conn, req, "id") : NULL, *role;
	uint64_t id = 0;
	int fd = -ENOENT;

	if (!text)
		return;
	if (parse_u64(text, 0, UINT32_MAX, &id) == 0)
		fd = shm_open_memory(dom, (uint32_t)id);
	if (fd < 0) {
		control_reply(conn, fd, "cannot open area %.20s: %s", text,
			fd == -ENOENT	? "the domain has no such area"
			: fd == -ESTALE ? "its owner has ended"
					: strerror(-fd));
		return;
	}
	role = shm_is_owner(dom, (uint32_t)id) ? "role=owner" : "role=borrower";
	control_reply_text(conn, 0, role, strlen(role), &fd, 1);
	close(fd);
}

static void do_shm_list(struct control_conn *conn, const struct control_request *req)
{
	(void)req;
	control_reply_printed(conn, shm_print);
}

const struct control_verb control_shm_verbs[] = {{"shm-check", do_shm_check},
	{"shm-attach", do_shm_attach}, {"shm-open", do_shm_open}, {"shm-list", do_shm_list}, {0}};
