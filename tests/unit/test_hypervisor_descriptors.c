/* SPDX-License-Identifier: MIT */
/*
 * Who pays for the hypervisor's descriptors, and who gets one: each domain has a part of its own, a
 * back end needs none for its guests, and nothing that a domain leaves behind costs anybody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "test_hypervisor_fixture.h"

enum { MAX_FDS = 1000, SHARES_OF_GUEST = 3, HANDLES_OF_GUEST = 3 };

static const struct domain_limits limits = {32000, 4096, 4096, 512, 16};

static int setup(void **state)
{
	(void)state;
	hv_open(&limits, MAX_FDS, evtchn_probe());
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hv_close();
	return 0;
}

static struct domain *create(const char *name, unsigned int number)
{
	struct domain *dom;
	char full[32];

	snprintf(full, sizeof(full), "%s-%u", name, number);
	assert_int_equal(domain_create(&hv, full, DOMAIN_GUEST, 0, &dom), 0);
	domain_handed_over(dom);
	return dom;
}

static unsigned int take_all(struct domain *dom)
{
	unsigned int nr = 0;

	while (domain_take_fds(dom, 1) == 0)
		nr++;
	return nr;
}

static void give_back(struct domain *dom)
{
	domain_return_fds(dom, dom->nr_fds - FDS_OF_DOMAIN);
}

static unsigned int extra(const struct domain *dom)
{
	return dom->nr_fds - DOMAIN_FDS_GUARANTEED;
}

/* ---- admission ---- */

static void what_is_guaranteed_can_be_had_whatever_others_took(void **state)
{
	struct domain *early = create("early", 0), *hogs[20];

	(void)state;
	for (unsigned int i = 0; i < 20; i++) {
		hogs[i] = create("hog", i);
		take_all(hogs[i]);
	}
	assert_int_equal(domain_take_fds(early, DOMAIN_FDS_GUARANTEED - early->nr_fds), 0);
	assert_true(hv.nr_guaranteed_fds + hv.nr_extra_fds <= hv.max_fds);
	give_back(early);
	for (unsigned int i = 0; i < 20; i++)
		give_back(hogs[i]);
	hv_check();
}

/* Each takes a third of what there is beyond the guaranteed parts; so something stays for the next. */
static void whoever_takes_what_there_is_leaves_twice_as_much(void **state)
{
	unsigned int left = MAX_FDS / 2;
	struct domain *hogs[4];

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		hogs[i] = create("hog", i);
		take_all(hogs[i]);
		left -= extra(hogs[i]);
		assert_true(extra(hogs[i]) >= 40 && extra(hogs[i]) <= left / 2 + 1);
	}
	for (unsigned int i = 0; i < 4; i++)
		give_back(hogs[i]);
}

/* However many take what there is, half of it is for others to be created, and to work. */
static void half_of_all_is_for_new_domains(void **state)
{
	struct domain *dom;

	(void)state;
	for (unsigned int i = 0; i < MAX_FDS / 2 / DOMAIN_FDS_GUARANTEED; i++)
		take_all(create("hog", i));
	assert_true(hv.nr_extra_fds <= MAX_FDS / 2);
	list_for_each(dom, &hv.domain_list, link)
		give_back(dom);
}

static void as_many_domains_as_have_their_guaranteed_part(void **state)
{
	struct domain *dom;

	(void)state;
	for (unsigned int i = 0; i < MAX_FDS / DOMAIN_FDS_GUARANTEED; i++)
		create("guest", i);
	assert_int_equal(domain_create(&hv, "more", DOMAIN_GUEST, 0, &dom), -EMFILE);
	list_for_each(dom, &hv.domain_list, link)
		assert_int_equal(domain_take_fds(dom, DOMAIN_FDS_GUARANTEED - dom->nr_fds), 0);
	assert_true(hv.nr_fds <= hv.max_fds);
	list_for_each(dom, &hv.domain_list, link)
		give_back(dom);
}

/* ---- a back end and its guests ---- */

struct guest {
	struct domain *dom;
	struct hypercall_conn shr, ev, store;
};

static struct share *share(struct hypercall_conn *conn, unsigned int peer)
{
	struct hypercall_request req = {
		.op = HYPERCALL_SHARE, .flags = HYPERCALL_WRITABLE, .share = {peer, 1, NONE, NONE}};
	struct share *made;

	assert_int_equal(grant_share(conn, &req, &made), 0);
	return made;
}

static int map(struct hypercall_conn *conn, const struct domain *owner, const struct share *made,
	uint32_t notify_offset)
{
	struct hypercall_request req = {.op = HYPERCALL_MAP, .flags = HYPERCALL_WRITABLE,
		.map = {1, notify_offset, NONE}};
	struct hypercall_gref ref = {owner->id, made->grefs[0]};
	struct hypercall_mapped mapped;

	return grant_map(conn, &req, &ref, &mapped);
}

/* What a front end makes for its disk, and what the back end does with it. */
static void connect_guest(struct guest *guest, unsigned int number, struct hypercall_conn *tab,
	struct hypercall_conn *ev)
{
	uint32_t port, other;

	guest->dom = create("guest", number);
	conn_init(&guest->shr, guest->dom);
	conn_init(&guest->ev, guest->dom);
	conn_init(&guest->store, guest->dom);
	for (unsigned int i = 0; i < SHARES_OF_GUEST; i++) {
		struct share *made = share(&guest->shr, tab->dom->id);

		assert_int_equal(map(tab, guest->dom, made, NONE), 0);
		assert_true(grant_map_fd(tab, made->id) >= 0);
	}
	assert_int_equal(evtchn_bind_unbound(&guest->ev, tab->dom->id, &port), 0);
	assert_int_equal(evtchn_bind_interdomain(ev, guest->dom->id, port, &other), 0);
}

static void disconnect_guest(struct guest *guest)
{
	conn_fini(&guest->shr);
	conn_fini(&guest->ev);
	conn_fini(&guest->store);
}

/* Also beside domains that took what they could: the guests have their part, which is enough. */
static void a_back_end_needs_no_descriptor_for_its_guests(void **state)
{
	enum { NR = 30 };
	static struct guest guests[NR];
	struct domain *driver = create("driver", 0), *hog;
	struct hypercall_conn tab, ev;
	unsigned int nr_fds;

	(void)state;
	conn_init(&tab, driver);
	conn_init(&ev, driver);
	nr_fds = driver->nr_fds;
	hog = create("hog", 0);
	take_all(hog);
	for (unsigned int i = 0; i < NR; i++)
		connect_guest(&guests[i], i, &tab, &ev);
	assert_int_equal(driver->nr_fds, nr_fds);
	assert_true(guests[0].dom->nr_fds <= DOMAIN_FDS_GUARANTEED);
	give_back(hog);
	hv_check();
	/* Guests go before their back end, and after it. */
	for (unsigned int i = 0; i < NR / 2; i++)
		disconnect_guest(&guests[i]);
	hv_check();
	conn_fini(&tab);
	conn_fini(&ev);
	hv_check();
	for (unsigned int i = NR / 2; i < NR; i++)
		disconnect_guest(&guests[i]);
	hv_check();
}

/* ---- what is left behind ---- */

static void what_is_no_longer_granted_costs_nothing(void **state)
{
	struct domain *owner = create("owner", 0), *mapper = create("mapper", 0);
	struct hypercall_conn shr, tab;
	unsigned int owner_fds, mapper_fds, open_fds;

	(void)state;
	conn_init(&shr, owner);
	conn_init(&tab, mapper);
	owner_fds = owner->nr_fds;
	mapper_fds = mapper->nr_fds;
	open_fds = nr_open_fds();
	for (unsigned int i = 0; i < 200; i++) {
		uint64_t id = share(&shr, mapper->id)->id;

		assert_int_equal(map(&tab, owner, grant_find_share(&hv, id), NONE), 0);
		assert_int_equal(grant_unshare(&shr, id, 0, 1), 0);
		assert_int_equal(grant_map_fd(&tab, id), -ENOENT);
	}
	assert_int_equal(owner->nr_fds, owner_fds);
	assert_int_equal(mapper->nr_fds, mapper_fds);
	assert_int_equal(nr_open_fds(), open_fds);
	assert_int_equal(mapper->nr_uses, 200);
	hv_check();
	conn_fini(&tab);
	assert_int_equal(nr_shares(), 0);
	conn_fini(&shr);
}

/* Its memfd is needed until then; who wants the byte cleared pays for that. */
static void a_byte_to_be_cleared_is_paid_for_by_who_wants_it(void **state)
{
	struct domain *owner = create("owner", 0), *mapper = create("mapper", 0);
	struct hypercall_conn shr, tab;
	struct share *made;
	unsigned int nr_fds;
	uint64_t id;
	char *page;

	(void)state;
	conn_init(&shr, owner);
	conn_init(&tab, mapper);
	nr_fds = mapper->nr_fds;
	made = share(&shr, mapper->id);
	id = made->id;
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, share_memfd(made), 0);
	assert_true(page != MAP_FAILED);
	page[7] = 'x';
	assert_int_equal(map(&tab, owner, made, 7), 0);
	assert_int_equal(mapper->nr_fds, nr_fds + 1);
	conn_fini(&shr);
	assert_int_equal(grant_map_fd(&tab, id), -ENOENT);
	hv_check();
	assert_int_equal(page[7], 'x');
	assert_int_equal(grant_unmap(&tab, id, 0, 1), 0);
	assert_int_equal(page[7], 0);
	assert_int_equal(mapper->nr_fds, nr_fds);
	take_all(mapper);
	conn_init(&shr, owner);
	assert_int_equal(map(&tab, owner, share(&shr, mapper->id), 7), -EMFILE);
	domain_return_fds(mapper, mapper->nr_fds - nr_fds);
	munmap(page, PAGE);
	conn_fini(&shr);
	conn_fini(&tab);
}

struct pair {
	struct domain *maker, *peer;
	struct hypercall_conn maker_ev, peer_ev;
	uint32_t maker_port, peer_port;
	int maker_fds[2], peer_fds[2];
};

/* Two bound ports, events taken. Eventfds. */
static void pair_bind(struct pair *pair)
{
	struct epoll_event ev[HYPERCALL_WAIT_EVENTS];
	unsigned int nr;

	hv.port_kind = HYPERCALL_PORT_EVENTFD;
	pair->maker = create("maker", 0);
	pair->peer = create("peer", 0);
	conn_init(&pair->maker_ev, pair->maker);
	conn_init(&pair->peer_ev, pair->peer);
	MUST(evtchn_bind_unbound(&pair->maker_ev, pair->peer->id, &pair->maker_port) == 0);
	MUST(evtchn_bind_interdomain(&pair->peer_ev, pair->maker->id, pair->maker_port,
		     &pair->peer_port) == 0);
	MUST(evtchn_port_fds(pair->maker, pair->maker_port, pair->maker_fds, &nr) == 0);
	MUST(evtchn_port_fds(pair->peer, pair->peer_port, pair->peer_fds, &nr) == 0);
	epoll_wait(pair->maker_fds[0], ev, HYPERCALL_WAIT_EVENTS, 0);
	epoll_wait(pair->peer_fds[0], ev, HYPERCALL_WAIT_EVENTS, 0);
}

static bool peer_is_notified(const struct pair *pair)
{
	struct epoll_event ev[HYPERCALL_WAIT_EVENTS];

	return epoll_wait(pair->peer_fds[0], ev, HYPERCALL_WAIT_EVENTS, 0) > 0;
}

static void pair_close(struct pair *pair)
{
	close(pair->maker_fds[0]);
	close(pair->peer_fds[0]);
	conn_fini(&pair->peer_ev);
	hv_check();
}

static void the_last_event_of_a_dead_domain_arrives(void **state)
{
	struct pair pair;
	unsigned int nr_fds;

	(void)state;
	if (evtchn_probe() != HYPERCALL_PORT_EVENTFD)
		skip();
	pair_bind(&pair);
	nr_fds = pair.peer->nr_fds;
	evtchn_send(pair.maker, pair.maker_port);
	conn_fini(&pair.maker_ev);
	hv_check();
	domain_destroy(pair.maker);
	hv_check();
	/* Only what is needed for that. */
	assert_int_equal(pair.peer->nr_fds, nr_fds + 2);
	assert_true(peer_is_notified(&pair));
	assert_false(peer_is_notified(&pair));
	assert_int_equal(evtchn_unbind(&pair.peer_ev, pair.peer_port), 0);
	assert_int_equal(pair.peer->nr_fds, nr_fds);
	pair_close(&pair);
}

/* Else those who die could give it more than it may take. */
static void a_domain_without_descriptors_inherits_none(void **state)
{
	struct pair pair;
	unsigned int nr_fds, open_fds, nr_taken;

	(void)state;
	if (evtchn_probe() != HYPERCALL_PORT_EVENTFD)
		skip();
	pair_bind(&pair);
	nr_taken = take_all(pair.peer);
	nr_fds = pair.peer->nr_fds;
	open_fds = nr_open_fds();
	evtchn_send(pair.maker, pair.maker_port);
	conn_fini(&pair.maker_ev);
	domain_destroy(pair.maker);
	assert_int_equal(pair.peer->nr_fds, nr_fds);
	assert_int_equal(nr_open_fds(), open_fds - 4 - 2); /* of the channel, and its two sockets */
	assert_false(peer_is_notified(&pair));
	domain_return_fds(pair.peer, nr_taken);
	pair_close(&pair);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_guaranteed_can_be_had_whatever_others_took),
		TEST(whoever_takes_what_there_is_leaves_twice_as_much),
		TEST(half_of_all_is_for_new_domains),
		TEST(as_many_domains_as_have_their_guaranteed_part),
		TEST(a_back_end_needs_no_descriptor_for_its_guests),
		TEST(what_is_no_longer_granted_costs_nothing),
		TEST(a_byte_to_be_cleared_is_paid_for_by_who_wants_it),
		TEST(the_last_event_of_a_dead_domain_arrives),
		TEST(a_domain_without_descriptors_inherits_none),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("hypervisor: descriptors", tests, NULL, NULL);
}
