/* SPDX-License-Identifier: MIT */
/* Creation and destruction of domains. Main thread only. */
#include "hypervisor/domain.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/unixsock.h"
#include "hypervisor/evtchn.h"
#include "hypervisor/hypercall.h"
#include "hypervisor/shm.h"
#include "hypervisor/store_server.h"
#include "hypervisor/vbd.h"

#define FDS_OF_DOMAIN 3 /* its two sockets; the toolstack's connection or the process */
#define FDS_OF_PATHS 2	/* its two sockets once more, to be handed over */
/* A guest's disk takes about 26 nodes and a watch of its back end's quotas: room for 2400. */
#define DRIVER_QUOTA_FACTOR 64
#define EXTRA_PART 2	/* what a domain may have beyond its own, of what is left for all */

bool domain_name_valid(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > DOMAIN_NAME_MAX || !isalnum((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
			return false;
	}
	return true;
}

struct domain *domain_by_id(struct hypervisor *hv, unsigned int id)
{
	return id < DOMAIN_FIRST_RESERVED ? hv->domains[id] : NULL;
}

struct domain *domain_by_name(struct hypervisor *hv, const char *name)
{
	struct domain *dom;

	list_for_each(dom, &hv->domain_list, link) {
		if (strcmp(dom->name, name) == 0)
			return dom;
	}
	dom = hv->domains[0];
	return dom && strcmp(dom->name, name) == 0 ? dom : NULL;
}

/* ---- descriptors ---- */

/* Of so many descriptors of a domain, those beyond its guaranteed part. */
static unsigned int extra(unsigned int nr)
{
	return nr > DOMAIN_FDS_GUARANTEED ? nr - DOMAIN_FDS_GUARANTEED : 0;
}

/* Neither guaranteed to anybody nor used. */
static unsigned int nr_unclaimed(const struct hypervisor *hv)
{
	unsigned int nr_claimed = hv->nr_guaranteed_fds + hv->nr_extra_fds;

	return hv->max_fds > nr_claimed ? hv->max_fds - nr_claimed : 0;
}

/* What there is for domains that want more: half of all is only for new domains. */
static unsigned int nr_for_extra(const struct hypervisor *hv)
{
	unsigned int half = hv->max_fds / 2, nr = nr_unclaimed(hv);

	if (half <= hv->nr_extra_fds)
		return 0;
	return half - hv->nr_extra_fds < nr ? half - hv->nr_extra_fds : nr;
}

static void set_nr_fds(struct domain *dom, unsigned int nr)
{
	struct hypervisor *hv = dom->hv;

	hv->nr_fds += nr - dom->nr_fds;
	hv->nr_extra_fds += extra(nr) - extra(dom->nr_fds);
	dom->nr_fds = nr;
}

int domain_take_fds(struct domain *dom, unsigned int nr)
{
	unsigned int wanted = extra(dom->nr_fds + nr);

	if (wanted > nr_for_extra(dom->hv) / EXTRA_PART)
		return -EMFILE;
	set_nr_fds(dom, dom->nr_fds + nr);
	return 0;
}

void domain_return_fds(struct domain *dom, unsigned int nr)
{
	set_nr_fds(dom, dom->nr_fds - nr);
}

/* A new domain gets its guaranteed part, and takes what it costs by being there. */
static int admit(struct domain *dom, unsigned int nr_fds)
{
	if (nr_unclaimed(dom->hv) < DOMAIN_FDS_GUARANTEED)
		return -EMFILE;
	dom->hv->nr_guaranteed_fds += DOMAIN_FDS_GUARANTEED;
	set_nr_fds(dom, nr_fds);
	return 0;
}

static void close_paths(struct domain *dom)
{
	if (dom->hypercall_path_fd >= 0)
		close(dom->hypercall_path_fd);
	if (dom->store_path_fd >= 0)
		close(dom->store_path_fd);
	dom->hypercall_path_fd = dom->store_path_fd = -1;
}

void domain_handed_over(struct domain *dom)
{
	close_paths(dom);
	domain_return_fds(dom, FDS_OF_PATHS);
}

/* ---- creation and destruction ---- */

/* The next id in turn, so that an id is reused as late as possible. 0: none is free. */
static unsigned int pick_id(struct hypervisor *hv)
{
	unsigned int id = hv->last_domid;

	if (hv->nr_domains >= hv->limits.nr_domains)
		return 0;
	do {
		id = id + 1 < DOMAIN_FIRST_RESERVED ? id + 1 : 1;
		if (!hv->domains[id])
			return id;
	} while (id != hv->last_domid);
	return 0;
}

/*
 * Listens on a socket that is reachable only through the returned O_PATH descriptor: its name in
 * the runtime directory is gone before anybody else could use it.
 */
static int listen_unlinked(struct domain *dom, int type, struct loop_source *source, int *path_fd)
{
	struct hypervisor *hv = dom->hv;
	char name[32];
	int rc;

	snprintf(name, sizeof(name), ".domain-%u", dom->id);
	source->fd = unixsock_listen(hv->run_dir_fd, name, type);
	if (source->fd < 0) {
		unlinkat(hv->run_dir_fd, name, 0); /* it may have got as far as that */
		return source->fd;
	}
	*path_fd = openat(hv->run_dir_fd, name, O_PATH | O_CLOEXEC);
	rc = *path_fd < 0 ? -errno : 0;
	unlinkat(hv->run_dir_fd, name, 0);
	if (rc == 0)
		rc = loop_add(&hv->loop, source, EPOLLIN);
	if (rc) {
		if (*path_fd >= 0)
			close(*path_fd);
		close(source->fd);
		source->fd = *path_fd = -1;
	}
	return rc;
}

static void stop_listening(struct domain *dom, struct loop_source *source)
{
	if (source->fd < 0)
		return;
	loop_remove(&dom->hv->loop, source);
	close(source->fd);
}

/* The nodes that a toolstack makes for a new domain, with libxl's permissions. */
static int create_nodes(struct domain *dom)
{
	struct store *store = dom->hv->store;
	const struct store_perm readable[] = {{0, 'n'}, {dom->id, 'r'}};
	const struct store_perm own[] = {{dom->id, 'n'}};
	static const char *const own_dirs[] = {"data", "device", "backend", "error"};
	char base[64], path[96], value[16];
	int rc;

	snprintf(base, sizeof(base), "/local/domain/%u", dom->id);
	rc = store_write(store, base, "", 0, readable, 2);
	snprintf(path, sizeof(path), "%s/domid", base);
	if (rc == 0)
		rc = store_write(store, path, value,
			(size_t)snprintf(value, sizeof(value), "%u", dom->id), readable, 2);
	snprintf(path, sizeof(path), "%s/name", base);
	if (rc == 0)
		rc = store_write(store, path, dom->name, strlen(dom->name), readable, 2);
	for (size_t i = 0; rc == 0 && i < sizeof(own_dirs) / sizeof(own_dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", base, own_dirs[i]);
		rc = store_write(store, path, "", 0, own, 1);
	}
	if (rc == 0)
		rc = store_introduce(store, dom->id);
	if (rc == 0 && dom->kind == DOMAIN_DRIVER)
		rc = store_scale_limits(store, dom->id, DRIVER_QUOTA_FACTOR);
	if (rc)
		store_rm(store, base);
	return rc;
}

static void domain_free(struct domain *dom)
{
	stop_listening(dom, &dom->hypercall_source);
	stop_listening(dom, &dom->store_source);
	close_paths(dom);
	domain_return_fds(dom, dom->nr_fds);
	dom->hv->nr_guaranteed_fds -= DOMAIN_FDS_GUARANTEED;
	free(dom->grants);
	free(dom->ports);
	free(dom);
}

static struct domain *domain_alloc(struct hypervisor *hv, unsigned int id, const char *name)
{
	struct domain *dom = calloc(1, sizeof(*dom));

	if (!dom)
		return NULL;
	dom->hv = hv;
	dom->id = id;
	dom->serial = ++hv->last_serial;
	snprintf(dom->name, sizeof(dom->name), "%s", name);
	list_init(&dom->link);
	list_init(&dom->hypercall_conns);
	list_init(&dom->store_conns);
	list_init(&dom->channels);
	dom->hypercall_source = (struct loop_source){-1, hypercall_accept};
	dom->store_source = (struct loop_source){-1, store_server_accept_domain};
	dom->hypercall_path_fd = dom->store_path_fd = -1;
	return dom;
}

int domain_create(struct hypervisor *hv, const char *name, enum domain_kind kind, pid_t pid,
	struct domain **out)
{
	struct domain *dom;
	unsigned int id;
	int rc;

	if (!domain_name_valid(name))
		return -EINVAL;
	if (domain_by_name(hv, name))
		return -EEXIST;
	id = pick_id(hv);
	if (id == 0)
		return -ENOSPC;
	dom = domain_alloc(hv, id, name);
	if (!dom)
		return -ENOMEM;
	dom->kind = kind;
	dom->pid = pid;
	if (admit(dom, FDS_OF_DOMAIN + FDS_OF_PATHS)) {
		free(dom);
		return -EMFILE;
	}
	rc = listen_unlinked(dom, SOCK_SEQPACKET, &dom->hypercall_source, &dom->hypercall_path_fd);
	if (rc == 0)
		rc = listen_unlinked(dom, SOCK_STREAM, &dom->store_source, &dom->store_path_fd);
	if (rc == 0)
		rc = create_nodes(dom);
	if (rc) {
		domain_free(dom);
		return rc;
	}
	hv->domains[id] = dom;
	hv->last_domid = id;
	hv->nr_domains++;
	list_add_tail(&hv->domain_list, &dom->link);
	log_info("domain %u (%s) created", id, name);
	*out = dom;
	return 0;
}

int domain_create_dom0(struct hypervisor *hv)
{
	struct domain *dom = domain_alloc(hv, 0, "Domain-0");
	int rc;

	if (!dom)
		return -ENOMEM;
	rc = admit(dom, FDS_OF_DOMAIN);
	if (rc) {
		free(dom);
		return rc;
	}
	dom->hypercall_source.fd = unixsock_listen(hv->run_dir_fd, "hypercall", SOCK_SEQPACKET);
	rc = dom->hypercall_source.fd < 0 ? dom->hypercall_source.fd
					  : loop_add(&hv->loop, &dom->hypercall_source, EPOLLIN);
	if (rc == 0)
		rc = store_printf(hv->store, "/local/domain/0/domid", "0");
	if (rc == 0)
		rc = store_printf(hv->store, "/local/domain/0/name", "%s", dom->name);
	if (rc) {
		domain_free(dom);
		return rc;
	}
	hv->domains[0] = dom;
	return 0;
}

int domain_set_user(struct domain *dom, uid_t uid)
{
	if (fchownat(dom->hypercall_path_fd, "", uid, (gid_t)-1, AT_EMPTY_PATH) < 0 ||
		fchownat(dom->store_path_fd, "", uid, (gid_t)-1, AT_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

int domain_rename(struct domain *dom, const char *name)
{
	char path[64];
	int rc;

	if (!domain_name_valid(name))
		return -EINVAL;
	if (domain_by_name(dom->hv, name))
		return -EEXIST;
	snprintf(path, sizeof(path), "/local/domain/%u/name", dom->id);
	rc = store_printf(dom->hv->store, path, "%s", name);
	if (rc)
		return rc;
	log_info("domain %u (%s) is now %s", dom->id, dom->name, name);
	snprintf(dom->name, sizeof(dom->name), "%s", name);
	return 0;
}

void domain_destroy(struct domain *dom)
{
	struct hypervisor *hv = dom->hv;
	char base[64];

	hypercall_close_all(dom);
	evtchn_domain_gone(dom);
	store_server_close_all(dom);
	shm_domain_gone(dom);
	hv->domains[dom->id] = NULL;
	if (dom->id == 0) {
		unlinkat(hv->run_dir_fd, "hypercall", 0);
		domain_free(dom);
		return;
	}
	log_info("domain %u (%s) destroyed", dom->id, dom->name);
	hv->nr_domains--;
	list_del(&dom->link);
	/* The devices' other ends are told through nodes that outlive the domain for a moment. */
	vbd_domain_gone(hv, dom->id);
	snprintf(base, sizeof(base), "/local/domain/%u", dom->id);
	store_rm(hv->store, base);
	store_release(hv->store, dom->id);
	domain_free(dom);
}
