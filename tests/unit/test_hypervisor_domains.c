/* SPDX-License-Identifier: MIT */
/*
 * Domains, grants and ports without sockets: above all what needs a domain id to be used again,
 * which takes 32 000 domains from outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hypervisor/control_server.h"
#include "hypervisor/domain.h"
#include "hypervisor/evtchn.h"
#include "hypervisor/grant.h"
#include "hypervisor/hypercall.h"
#include "hypervisor/store_server.h"
#include "hypervisor/vbd.h"

#define NONE HYPERCALL_NO_NOTIFY

/* main.c's; nothing here shuts down. */
void hypervisor_shutdown(struct hypervisor *hv, const char *reason)
{
	(void)hv, (void)reason;
}

static struct hypervisor hv;

static int setup(void **state)
{
	char dir[] = "/tmp/rf-unit.XXXXXX";

	(void)state;
	memset(&hv, 0, sizeof(hv));
	for (unsigned int i = 0; i < SHARE_HASH_SIZE; i++)
		list_init(&hv.share_hash[i]);
	struct list *lists[] = {&hv.domain_list, &hv.disks, &hv.vbds, &hv.drivers,
		&hv.control_conns, &hv.dom0_conns, &hv.store_flush};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		list_init(lists[i]);
	hv.limits = (struct domain_limits){32000, 4096, 4096, 64, 16};
	hv.max_fds = 1000;
	hv.port_kind = evtchn_probe();
	log_setup("test", LOG_ERROR);
	assert_non_null(mkdtemp(dir));
	snprintf(hv.run_dir, sizeof(hv.run_dir), "%s", dir);
	hv.run_dir_fd = open(dir, O_DIRECTORY | O_CLOEXEC);
	assert_true(hv.run_dir_fd >= 0);
	assert_int_equal(loop_init(&hv.loop), 0);
	assert_int_equal(store_server_init(&hv), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (!list_empty(&hv.domain_list))
		domain_destroy(list_first(&hv.domain_list, struct domain, link));
	assert_int_equal(hv.nr_fds, 0);
	assert_int_equal(hv.nr_guaranteed_fds + hv.nr_extra_fds, 0);
	assert_int_equal(hv.nr_domains, 0);
	vbd_forget_all(&hv);
	store_server_fini(&hv);
	loop_fini(&hv.loop);
	close(hv.run_dir_fd);
	assert_int_equal(rmdir(hv.run_dir), 0); /* nothing was left in it */
	return 0;
}

static struct domain *create(const char *name)
{
	struct domain *dom;

	assert_int_equal(domain_create(&hv, name, DOMAIN_GUEST, 0, &dom), 0);
	return dom;
}

/* A handle of a domain, without a socket. */
static void conn_init(struct hypercall_conn *conn, struct domain *dom)
{
	memset(conn, 0, sizeof(*conn));
	conn->dom = dom;
	conn->only_domid = HYPERCALL_DOMID_ANY;
	list_init(&conn->shares);
	list_init(&conn->uses);
	list_init(&conn->ports);
}

static void conn_fini(struct hypercall_conn *conn)
{
	grant_conn_closed(conn);
	evtchn_conn_closed(conn);
}

static struct share *share(struct hypercall_conn *conn, unsigned int domid, uint32_t nr_pages)
{
	struct hypercall_request req = {.op = HYPERCALL_SHARE,
		.flags = HYPERCALL_WRITABLE,
		.share = {domid, nr_pages, NONE, NONE}};
	struct share *made;

	assert_int_equal(grant_share(conn, &req, &made), 0);
	return made;
}

static uint32_t first_gref(const struct share *of)
{
	const uint32_t *grefs;

	assert_true(share_grefs(of, &grefs) >= 1);
	return grefs[0];
}

static int map(struct hypercall_conn *conn, unsigned int domid, uint32_t gref,
	struct hypercall_mapped *mapped)
{
	struct hypercall_request req = {.op = HYPERCALL_MAP, .map = {1, NONE, NONE}};
	struct hypercall_gref ref = {domid, gref};

	return grant_map(conn, &req, &ref, mapped);
}

/* ---- domains ---- */

static void test_names(void **state)
{
	char longest[DOMAIN_NAME_MAX + 2];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[DOMAIN_NAME_MAX] = '\0';
	assert_true(domain_name_valid(longest));
	longest[DOMAIN_NAME_MAX] = 'x';
	longest[DOMAIN_NAME_MAX + 1] = '\0';
	assert_false(domain_name_valid(longest));
	assert_true(domain_name_valid("0"));
	assert_true(domain_name_valid("a.b-c_d9"));
	static const char *const bad[] = {
		"", ".", "..", "-a", "_a", "a/b", "a b", "a\n", "\xc3\xa4"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(domain_name_valid(bad[i]));
}

static void test_ids_are_used_again_as_late_as_possible(void **state)
{
	struct domain *first, *dom;

	(void)state;
	first = create("first");
	assert_int_equal(first->id, 1);
	domain_destroy(create("second"));
	assert_int_equal(create("third")->id, 3);
	hv.last_domid = DOMAIN_FIRST_RESERVED - 2;
	dom = create("last");
	assert_int_equal(dom->id, DOMAIN_FIRST_RESERVED - 1);
	assert_int_equal(create("again")->id, 2); /* 1 is in use */
	assert_int_equal(create("further")->id, 4);
	assert_ptr_equal(domain_by_name(&hv, "last"), dom);
	assert_null(domain_by_name(&hv, "second"));
	assert_null(domain_by_id(&hv, DOMAIN_FIRST_RESERVED));
}

static void test_failed_creation_leaves_nothing(void **state)
{
	struct store_stats before, after;
	struct domain *dom;

	(void)state;
	create("taken");
	store_get_stats(hv.store, &before);
	assert_int_equal(domain_create(&hv, "taken", DOMAIN_GUEST, 0, &dom), -EEXIST);
	assert_int_equal(domain_create(&hv, "no/name", DOMAIN_GUEST, 0, &dom), -EINVAL);
	hv.limits.nr_domains = 1;
	assert_int_equal(domain_create(&hv, "more", DOMAIN_GUEST, 0, &dom), -ENOSPC);
	hv.limits.nr_domains = 32000;
	hv.max_fds = hv.nr_guaranteed_fds + DOMAIN_FDS_GUARANTEED - 1;
	assert_int_equal(domain_create(&hv, "more", DOMAIN_GUEST, 0, &dom), -EMFILE);
	hv.max_fds = 1000;
	/* Its sockets cannot be made: the folder is gone. */
	int run_dir_fd = hv.run_dir_fd;
	hv.run_dir_fd = open("/proc/self/fdinfo", O_DIRECTORY | O_CLOEXEC);
	assert_true(domain_create(&hv, "more", DOMAIN_GUEST, 0, &dom) < 0);
	close(hv.run_dir_fd);
	hv.run_dir_fd = run_dir_fd;
	store_get_stats(hv.store, &after);
	assert_int_equal(after.nr_nodes, before.nr_nodes);
	assert_int_equal(hv.nr_domains, 1);
}

/* ---- grants ---- */

/* XSA-414 and its like: a new domain of an old id inherits nothing. */
static void test_successor_cannot_map_what_was_granted_to_the_dead(void **state)
{
	struct domain *granter, *mapper;
	struct hypercall_conn shr, tab;
	struct hypercall_mapped mapped;
	struct share *early, *to_first;
	unsigned int id = 77;

	(void)state;
	granter = create("granter");
	conn_init(&shr, granter);
	early = share(&shr, id, 1); /* nobody has that id yet */
	hv.last_domid = id - 1;
	mapper = create("mapper");
	assert_int_equal(mapper->id, id);
	to_first = share(&shr, id, 1);
	conn_init(&tab, mapper);
	assert_int_equal(map(&tab, granter->id, first_gref(to_first), &mapped), 0);
	assert_int_equal(map(&tab, granter->id, first_gref(early), &mapped), 0);
	conn_fini(&tab);
	domain_destroy(mapper);

	hv.last_domid = id - 1;
	mapper = create("successor");
	assert_int_equal(mapper->id, id);
	conn_init(&tab, mapper);
	assert_int_equal(map(&tab, granter->id, first_gref(to_first), &mapped), -EPERM);
	conn_fini(&tab);
	conn_fini(&shr);
	assert_int_equal(granter->nr_grants, 0);
}

static void test_successor_cannot_bind_what_waited_for_the_dead(void **state)
{
	struct domain *waiter, *binder;
	struct hypercall_conn waiting, binding;
	uint32_t port, other;
	unsigned int id = 77;

	(void)state;
	waiter = create("waiter");
	conn_init(&waiting, waiter);
	hv.last_domid = id - 1;
	binder = create("binder");
	assert_int_equal(evtchn_bind_unbound(&waiting, id, &port), 0);
	conn_init(&binding, binder);
	assert_int_equal(evtchn_bind_interdomain(&binding, waiter->id, port, &other), 0);
	conn_fini(&binding);
	/* The same domain may come back. */
	assert_int_equal(evtchn_bind_interdomain(&binding, waiter->id, port, &other), 0);
	conn_fini(&binding);
	domain_destroy(binder);
	hv.last_domid = id - 1;
	binder = create("successor");
	assert_int_equal(binder->id, id);
	conn_init(&binding, binder);
	assert_int_equal(evtchn_bind_interdomain(&binding, waiter->id, port, &other), -EINVAL);
	conn_fini(&waiting);
	assert_int_equal(waiter->nr_ports, 0);
}

static void test_references_are_used_again_as_late_as_possible(void **state)
{
	struct hypercall_conn conn;
	struct domain *dom = create("granter");
	uint32_t first, gref;
	unsigned int nr = 0;

	(void)state;
	conn_init(&conn, dom);
	first = first_gref(share(&conn, dom->id, 1));
	assert_true(first >= 8);
	assert_int_equal(grant_unshare(&conn, hv.last_share_id, 0, 1), 0);
	do {
		gref = first_gref(share(&conn, dom->id, 1));
		assert_int_equal(grant_unshare(&conn, hv.last_share_id, 0, 1), 0);
		nr++;
	} while (gref != first);
	assert_true(nr > 50);
	conn_fini(&conn);
}

/* Tables that grow and shrink in every order keep their counts. */
static void test_many_grants_in_any_order(void **state)
{
	enum { NR = 400 };
	struct hypercall_conn conn;
	struct domain *dom = create("granter");
	uint64_t ids[NR];
	bool seen[8192] = {false};

	(void)state;
	hv.max_fds = 10 * NR;
	conn_init(&conn, dom);
	for (unsigned int i = 0; i < NR; i++) {
		const uint32_t *grefs;
		struct share *made = share(&conn, dom->id, 1 + i % 10);
		unsigned int nr = share_grefs(made, &grefs);

		for (unsigned int k = 0; k < nr; k++) {
			assert_true(grefs[k] < 8192 && !seen[grefs[k]]);
			seen[grefs[k]] = true;
		}
		ids[i] = share_id(made);
	}
	assert_int_equal(dom->nr_grants, NR / 10 * 55);
	for (unsigned int i = 0; i < NR; i++) {
		unsigned int at = i * 7 % NR;

		assert_int_equal(grant_unshare(&conn, ids[at], 0, 1 + at % 10), 0);
		assert_int_equal(grant_unshare(&conn, ids[at], 0, 1), -ENOENT);
	}
	assert_int_equal(dom->nr_grants, 0);
	conn_fini(&conn);
}

static void test_one_page_has_a_bounded_number_of_maps(void **state)
{
	struct hypercall_conn shr, tab;
	struct hypercall_mapped mapped;
	struct domain *dom = create("both");
	uint32_t gref;

	(void)state;
	hv.limits.nr_maps = 1u << 20;
	conn_init(&shr, dom);
	conn_init(&tab, dom);
	gref = first_gref(share(&shr, dom->id, 1));
	for (unsigned int i = 0; i < UINT16_MAX; i++)
		assert_int_equal(map(&tab, dom->id, gref, &mapped), 0);
	assert_int_equal(map(&tab, dom->id, gref, &mapped), -ENOSPC);
	assert_int_equal(dom->nr_maps, UINT16_MAX);
	conn_fini(&tab);
	assert_int_equal(dom->nr_maps, 0);
	conn_fini(&shr);
}

/* Ports that notifications hold go when those do, in whatever order handles close. */
static void test_held_ports_go_with_the_last_notification(void **state)
{
	struct hypercall_request req = {
		.op = HYPERCALL_SHARE, .flags = HYPERCALL_WRITABLE, .share = {1, 1, 0, NONE}};
	struct hypercall_conn shr, ev;
	struct domain *dom = create("holder");
	struct share *made;
	uint32_t port;

	(void)state;
	for (unsigned int events_first = 0; events_first < 2; events_first++) {
		conn_init(&shr, dom);
		conn_init(&ev, dom);
		assert_int_equal(evtchn_bind_unbound(&ev, dom->id, &port), 0);
		req.share.notify_port = port;
		for (int i = 0; i < 3; i++)
			assert_int_equal(grant_share(&shr, &req, &made), 0);
		if (events_first) {
			evtchn_conn_closed(&ev);
			assert_int_equal(dom->nr_ports, 1);
			/* Closed is closed for whoever asks now. */
			assert_int_equal(grant_share(&shr, &req, &made), -EINVAL);
			assert_int_equal(evtchn_unbind(&ev, port), -EINVAL);
		}
		grant_conn_closed(&shr);
		if (!events_first)
			evtchn_conn_closed(&ev);
		assert_int_equal(dom->nr_ports, 0);
		assert_int_equal(dom->nr_grants, 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_names),
		TEST(test_ids_are_used_again_as_late_as_possible),
		TEST(test_failed_creation_leaves_nothing),
		TEST(test_successor_cannot_map_what_was_granted_to_the_dead),
		TEST(test_successor_cannot_bind_what_waited_for_the_dead),
		TEST(test_references_are_used_again_as_late_as_possible),
		TEST(test_many_grants_in_any_order),
		TEST(test_one_page_has_a_bounded_number_of_maps),
		TEST(test_held_ports_go_with_the_last_notification),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("hypervisor: domains", tests, NULL, NULL);
}
