/* SPDX-License-Identifier: MIT */
/*
 * Requests about domains. The program that embeds the store decides which domains exist
 * (store_introduce, store_release); over the wire these requests only confirm it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "xenstore/conn.h"

#define DOMID_SELF 0x7ff0u

static int next_domid(struct request *req, size_t *pos, unsigned int *domid)
{
	unsigned long value;
	int rc = request_number(request_next_string(req, pos), DOMID_MAX, &value);

	if (!rc)
		*domid = (unsigned int)value;
	return rc;
}

int op_introduce(struct request *req)
{
	unsigned int domid;
	size_t pos = 0;
	int rc = next_domid(req, &pos, &domid);

	if (rc)
		return rc;
	/* Frame and event channel mean nothing here, but must be there. */
	if (!request_next_string(req, &pos) || !request_next_string(req, &pos))
		return -EINVAL;
	if (!domain_exists(domain_find(req->store, domid)))
		return -EINVAL;
	reply_ok(req);
	return 0;
}

/* RELEASE and RESUME of a domain that exists: nothing is left to do. */
static int confirm_guest(struct request *req)
{
	unsigned int domid;
	size_t pos = 0;
	int rc = next_domid(req, &pos, &domid);

	if (rc)
		return rc;
	if (domid == DOM0)
		return -EINVAL;
	if (!domain_exists(domain_find(req->store, domid)))
		return -ENOENT;
	reply_ok(req);
	return 0;
}

int op_release(struct request *req)
{
	return confirm_guest(req);
}

int op_resume(struct request *req)
{
	return confirm_guest(req);
}

int op_set_target(struct request *req)
{
	struct domain *dom, *target;
	unsigned int domid, tdomid;
	size_t pos = 0;

	if (next_domid(req, &pos, &domid) || next_domid(req, &pos, &tdomid))
		return -EINVAL;
	if (domid == DOM0 || tdomid == DOM0)
		return -EINVAL;
	dom = domain_find(req->store, domid);
	target = domain_find(req->store, tdomid);
	if (!domain_exists(dom) || !domain_exists(target))
		return -ENOENT;
	domain_set_target(dom, target);
	reply_ok(req);
	return 0;
}

int op_get_domain_path(struct request *req)
{
	char path[PATH_PREFIX_BYTES];
	unsigned int domid;
	size_t pos = 0, len;
	int rc = next_domid(req, &pos, &domid);

	if (rc)
		return rc;
	len = path_prefix(path, domid);
	path[len - 1] = '\0'; /* without the slash */
	return reply_bytes(req, path, len);
}

int op_is_domain_introduced(struct request *req)
{
	unsigned int domid;
	size_t pos = 0;
	bool known;
	int rc = next_domid(req, &pos, &domid);

	if (rc)
		return rc;
	known = domid == DOMID_SELF || domain_exists(domain_find(req->store, domid));
	return reply_bytes(req, known ? "T" : "F", 2);
}
