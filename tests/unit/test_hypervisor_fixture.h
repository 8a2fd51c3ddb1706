/* SPDX-License-Identifier: MIT */
/*
 * One instance of the hypervisor inside a test, without a process or a thread of its own: the test
 * turns its loop. Shared by unit tests and the fuzzing harness, so a broken invariant aborts.
 * Include in one file of a program.
 */
#ifndef RF_TEST_HYPERVISOR_FIXTURE_H
#define RF_TEST_HYPERVISOR_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/unixsock.h"
#include "hypervisor/control_server.h"
#include "hypervisor/domain.h"
#include "hypervisor/evtchn.h"
#include "hypervisor/evtchn_internal.h"
#include "hypervisor/grant.h"
#include "hypervisor/grant_internal.h"
#include "hypervisor/hypercall.h"
#include "hypervisor/shm_nodes.h"
#include "hypervisor/store_server.h"
#include "hypervisor/vbd.h"

#define PAGE 4096u
#define NONE HYPERCALL_NO_NOTIFY
#define NR_RESERVED_GREFS 8u
#define FDS_OF_DOMAIN 3u
#define FDS_OF_PATHS 2u /* until they are handed over */

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not true: %s %s\n", __FILE__, __LINE__,           \
				#condition, hv_context);                                           \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static char hv_context[64]; /* where a test is, for its last words */
static struct hypervisor hv;
static unsigned long hv_nodes; /* in the store before there was any domain */

/* main.c's; nothing here shuts down. */
void hypervisor_shutdown(struct hypervisor *unused, const char *reason)
{
	(void)unused, (void)reason;
}

static inline unsigned int nr_names(const char *path)
{
	DIR *dir = opendir(path);
	unsigned int nr = 0;

	MUST(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

/* And a few more, always the same. */
static inline unsigned int nr_open_fds(void)
{
	return nr_names("/proc/self/fd");
}

/* The loop stops as soon as there is nothing to do. */
static inline void hv_after_batch(void *data)
{
	struct pollfd pfd = {.fd = hv.loop.epoll_fd, .events = POLLIN};

	(void)data;
	store_server_flush(&hv);
	if (poll(&pfd, 1, 0) <= 0)
		loop_stop(&hv.loop);
}

/* Handles all that has come in. Never waits. */
static inline void hv_turn(void)
{
	hv.loop.stopping = false;
	MUST(loop_run(&hv.loop) == 0);
}

static inline void hv_open(const struct domain_limits *limits, unsigned int max_fds,
	enum hypercall_port_kind kind)
{
	struct list *lists[] = {&hv.domain_list, &hv.disks, &hv.vbds, &hv.drivers,
		&hv.control_conns, &hv.dom0_conns, &hv.store_flush};
	char dir[32];
	struct store_stats stats;

	/* Names are made and removed all the time: not on a disk. */
	snprintf(dir, sizeof(dir), "%s/rf-unit.XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	memset(&hv, 0, sizeof(hv));
	for (unsigned int i = 0; i < SHARE_HASH_SIZE; i++)
		list_init(&hv.share_hash[i]);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		list_init(lists[i]);
	hv.limits = *limits;
	hv.max_fds = max_fds;
	hv.port_kind = kind;
	log_setup("test", LOG_ERROR);
	MUST(mkdtemp(dir));
	snprintf(hv.run_dir, sizeof(hv.run_dir), "%s", dir);
	hv.run_dir_fd = open(dir, O_DIRECTORY | O_CLOEXEC);
	MUST(hv.run_dir_fd >= 0);
	MUST(loop_init(&hv.loop) == 0);
	hv.loop.after_batch = hv_after_batch;
	MUST(store_server_init(&hv) == 0);
	store_get_stats(hv.store, &stats);
	hv_nodes = stats.nr_nodes;
}

static inline unsigned int list_length(const struct list *head)
{
	unsigned int nr = 0;

	for (const struct list *at = head->next; at != head; at = at->next)
		nr++;
	return nr;
}

/* References are either granted or in the list of free ones. */
static inline void check_grants(const struct domain *dom)
{
	unsigned int nr_granted = 0, nr_free = 0;
	uint32_t at, last = 0;

	for (unsigned int i = 0; i < dom->nr_grant_slots; i++) {
		MUST(i >= NR_RESERVED_GREFS || !dom->grants[i].share);
		nr_granted += dom->grants[i].share != NULL;
	}
	for (at = dom->free_grant_head; at; at = dom->grants[at].page) {
		MUST(at >= NR_RESERVED_GREFS && at < dom->nr_grant_slots);
		MUST(!dom->grants[at].share);
		MUST(++nr_free < dom->nr_grant_slots);
		last = at;
	}
	MUST(nr_granted == dom->nr_grants && nr_granted <= hv.limits.nr_grants);
	MUST(dom->nr_grant_slots == 0 ||
		nr_granted + nr_free + NR_RESERVED_GREFS == dom->nr_grant_slots);
	MUST(nr_free == 0 || last == dom->free_grant_tail);
}

/* What a handle costs: itself, what it granted, and bytes to be cleared in what it mapped. */
static inline unsigned int conn_fds(const struct hypercall_conn *conn)
{
	unsigned int nr_fds = 1 + list_length(&conn->shares);
	struct share_use *use;
	struct notify *notify;

	list_for_each(use, &conn->uses, conn_link) {
		list_for_each(notify, &use->notifies, link)
			nr_fds += notify->offset != NONE;
		MUST(!use->share->owner || use->share->memfd >= 0);
	}
	return nr_fds;
}

/* What a domain pays for event channels: each descriptor that is open. */
static inline unsigned int channel_fds(const struct domain *dom)
{
	struct channel *channel;
	unsigned int nr_fds = 0;

	list_for_each(channel, &dom->channels, payer_link) {
		unsigned int nr = 0;

		for (int side = 0; side < 2; side++)
			nr += (channel->fd[side] >= 0) + (channel->wake_fd[side] >= 0);
		MUST(channel->payer == dom && channel->nr_paid == nr);
		MUST(channel->ports[0] || channel->ports[1]);
		nr_fds += nr;
	}
	return nr_fds;
}

/* Shared areas that it pays for. */
static inline unsigned int area_fds(const struct domain *dom)
{
	unsigned int nr_fds = 0;

	for (const struct shm_area *area = hv.shm_areas; area; area = area->next) {
		MUST((area->payer != NULL) == (area->memfd >= 0));
		MUST(area->nr_mappings == list_length(&area->mappings) && area->nr_mappings > 0);
		nr_fds += area->payer == dom;
	}
	return nr_fds;
}

/* The counts of a domain whose connections are all in its list agree with what it holds. */
static inline void check_domain(const struct domain *dom)
{
	unsigned int nr_ports = 0, nr_maps = 0, nr_uses = 0, nr_fds = FDS_OF_DOMAIN;
	struct hypercall_conn *conn;

	check_grants(dom);
	for (unsigned int i = 0; i < dom->nr_port_slots; i++)
		nr_ports += dom->ports[i] != NULL;
	MUST(nr_ports == dom->nr_ports && nr_ports <= hv.limits.nr_ports);
	list_for_each(conn, &dom->hypercall_conns, link) {
		MUST(conn->dom == dom);
		nr_maps += conn->nr_mapped;
		nr_uses += list_length(&conn->uses);
		nr_fds += conn_fds(conn);
	}
	MUST(nr_maps == dom->nr_maps && nr_maps <= hv.limits.nr_maps);
	MUST(nr_uses == dom->nr_uses);
	MUST(list_length(&dom->hypercall_conns) == dom->nr_hypercall_conns);
	MUST(list_length(&dom->store_conns) == dom->nr_store_conns);
	MUST(dom->nr_hypercall_conns <= hv.limits.nr_connections);
	nr_fds += dom->hypercall_path_fd >= 0 ? FDS_OF_PATHS : 0;
	nr_fds += channel_fds(dom) + area_fds(dom) + dom->nr_store_conns;
	MUST(nr_fds == dom->nr_fds);
}

static inline unsigned int nr_shares(void)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < SHARE_HASH_SIZE; i++)
		nr += list_length(&hv.share_hash[i]);
	return nr;
}

static inline void hv_check(void)
{
	unsigned int nr_fds = 0, nr_extra_fds = 0, nr_domains = 0;
	struct domain *dom;

	list_for_each(dom, &hv.domain_list, link) {
		check_domain(dom);
		nr_fds += dom->nr_fds;
		if (dom->nr_fds > DOMAIN_FDS_GUARANTEED)
			nr_extra_fds += dom->nr_fds - DOMAIN_FDS_GUARANTEED;
		nr_domains++;
	}
	MUST(nr_domains == hv.nr_domains && nr_domains <= hv.limits.nr_domains);
	MUST(nr_fds == hv.nr_fds && nr_extra_fds == hv.nr_extra_fds);
	MUST(hv.nr_guaranteed_fds == DOMAIN_FDS_GUARANTEED * nr_domains);
	MUST(hv.nr_guaranteed_fds + nr_extra_fds <= hv.max_fds);
}

/* Ends all domains; then there is nothing left of them. */
static inline void hv_end_domains(void)
{
	struct store_stats stats;

	while (!list_empty(&hv.domain_list)) {
		domain_destroy(list_first(&hv.domain_list, struct domain, link));
		hv_check();
	}
	MUST(hv.nr_fds == 0 && hv.nr_domains == 0);
	MUST(nr_shares() == 0);
	vbd_forget_all(&hv);
	disk_undefine_all(&hv);
	store_get_stats(hv.store, &stats);
	MUST(stats.nr_nodes == hv_nodes);
	MUST(stats.nr_domains <= 1 && stats.nr_watches == 0 && stats.nr_transactions == 0);
}

static inline void hv_close(void)
{
	hv_end_domains();
	store_server_fini(&hv);
	loop_fini(&hv.loop);
	close(hv.run_dir_fd);
	MUST(rmdir(hv.run_dir) == 0); /* nothing was left in it */
}

/* A handle of a domain, without a socket; known to its domain, so that it can be checked. */
static inline void conn_init(struct hypercall_conn *conn, struct domain *dom)
{
	memset(conn, 0, sizeof(*conn));
	conn->dom = dom;
	conn->only_domid = HYPERCALL_DOMID_ANY;
	list_init(&conn->shares);
	list_init(&conn->uses);
	list_init(&conn->ports);
	MUST(domain_take_fds(dom, 1) == 0);
	list_add_tail(&dom->hypercall_conns, &conn->link);
	dom->nr_hypercall_conns++;
}

static inline void conn_fini(struct hypercall_conn *conn)
{
	grant_conn_closed(conn);
	evtchn_conn_closed(conn);
	list_del(&conn->link);
	conn->dom->nr_hypercall_conns--;
	domain_return_fds(conn->dom, 1);
}

#endif
