/* SPDX-License-Identifier: MIT */
/* What xengnttab.h and xenevtchn.h promise beside the plain use of grants and ports. */
#include "domain_check.h"

static struct party a, b;

static void enter_both(void)
{
	party_enter(&a, "header-a");
	party_enter(&b, "header-b");
}

static void leave_both(void)
{
	expect_holdings(a.id, 0, 0, 0);
	expect_holdings(b.id, 0, 0, 0);
	party_leave(&b);
	party_leave(&a);
}

/* The limit is the handle's own: of what it has mapped, in whatever pieces. */
static void max_grants(void)
{
	xengnttab_handle *other;
	uint32_t refs[8];
	void *mine, *one, *two;

	enter_both();
	other = xengnttab_open(quiet(), 0);
	CHECK(other && xengnttab_set_max_grants(b.tab, 3) == 0);
	mine = share(&a, &b, 8, refs, 1);
	one = map(&b, &a, refs[0], PROT_READ);
	two = xengnttab_map_domain_grant_refs(b.tab, 2, a.id, refs + 4, PROT_READ);
	CHECK(one && two);
	CHECK_FAILS(!map(&b, &a, refs[1], PROT_READ), ENOSPC);
	/* The same page again counts as well. */
	CHECK_FAILS(!map(&b, &a, refs[0], PROT_READ), ENOSPC);
	CHECK(xengnttab_unmap(b.tab, one, 1) == 0);
	one = map(&b, &a, refs[1], PROT_READ);
	CHECK(one);
	/* Another handle of the same domain has no limit. */
	void *all = xengnttab_map_domain_grant_refs(other, 8, a.id, refs, PROT_READ);

	CHECK(all && xengnttab_unmap(other, all, 8) == 0 && xengnttab_close(other) == 0);
	CHECK(xengnttab_unmap(b.tab, one, 1) == 0 && xengnttab_unmap(b.tab, two, 2) == 0);
	CHECK(xengntshr_unshare(a.shr, mine, 8) == 0);
	leave_both();
}

/* A copy's virtual side may cross pages; its granted side may not. */
static void copies_across_pages(void)
{
	static char memory[4 * PAGE] __attribute__((aligned(4096)));
	static char back[4 * PAGE] __attribute__((aligned(4096)));
	uint32_t refs[2];
	char *mine;

	enter_both();
	mine = share(&a, &b, 2, refs, 1);
	for (unsigned int i = 0; i < sizeof(memory); i++)
		memory[i] = (char)(i * 7 + i / PAGE);
	xengnttab_grant_copy_segment_t segs[] = {
		{.source.virt = memory + 100,
			.dest.foreign = {refs[0], 0, (uint16_t)a.id},
			.len = PAGE,
			.flags = GNTCOPY_dest_gref},
		{.source.virt = memory + 2 * PAGE - 1,
			.dest.foreign = {refs[1], PAGE - 2, (uint16_t)a.id},
			.len = 2,
			.flags = GNTCOPY_dest_gref},
		{.source.foreign = {refs[0], 0, (uint16_t)a.id},
			.dest.virt = back + PAGE - 3,
			.len = PAGE,
			.flags = GNTCOPY_source_gref},
		{.source.foreign = {refs[0], 10, (uint16_t)a.id},
			.dest.foreign = {refs[1], 20, (uint16_t)a.id},
			.len = 1000,
			.flags = GNTCOPY_source_gref | GNTCOPY_dest_gref},
		{.source.foreign = {refs[0], 1, (uint16_t)a.id},
			.dest.virt = back,
			.len = PAGE,
			.flags = GNTCOPY_source_gref},
		{.source.foreign = {refs[0], 0, (uint16_t)a.id},
			.dest.virt = back,
			.len = PAGE + 1,
			.flags = GNTCOPY_source_gref},
		{.source.foreign = {refs[0], UINT16_MAX, (uint16_t)a.id},
			.dest.virt = back,
			.len = 1,
			.flags = GNTCOPY_source_gref},
		{.source.foreign = {refs[0], 0, (uint16_t)b.id},
			.dest.virt = back,
			.len = 1,
			.flags = GNTCOPY_source_gref},
	};
	const int16_t expected[] = {GNTST_okay, GNTST_okay, GNTST_okay, GNTST_okay,
		GNTST_bad_copy_arg, GNTST_bad_copy_arg, GNTST_bad_copy_arg, GNTST_bad_gntref};

	CHECK(xengnttab_grant_copy(b.tab, sizeof(segs) / sizeof(segs[0]), segs) == 0);
	for (unsigned int i = 0; i < sizeof(segs) / sizeof(segs[0]); i++)
		CHECK(segs[i].status == expected[i]);
	CHECK(memcmp(mine, memory + 100, PAGE) == 0);
	CHECK(memcmp(mine + 2 * PAGE - 2, memory + 2 * PAGE - 1, 2) == 0);
	CHECK(memcmp(back + PAGE - 3, memory + 100, PAGE) == 0);
	CHECK(back[PAGE - 4] == 0 && back[2 * PAGE - 3] == 0);
	CHECK(memcmp(mine + PAGE + 20, mine + 10, 1000) == 0);
	/* Not granted to oneself; and a copy that involves no grant is none. */
	segs[0].status = 99;
	CHECK(xengnttab_grant_copy(a.tab, 1, segs) == 0);
	CHECK(segs[0].status == GNTST_permission_denied);
	CHECK(xengnttab_grant_copy(b.tab, 0, NULL) == 0);
	segs[0].flags = 0;
	CHECK_FAILS(xengnttab_grant_copy(b.tab, 1, segs) < 0, EINVAL);
	CHECK(xengntshr_unshare(a.shr, mine, 2) == 0);
	leave_both();
}

static void make_pair(int *port_a, int *port_b)
{
	bind_pair(&a, &b, port_a, port_b);
}

/* Takes the next event and lets the port go on. */
static void take(struct party *party, int port)
{
	expect_event(party->ev, port);
	CHECK(xenevtchn_unmask(party->ev, (evtchn_port_t)port) == 0);
	expect_silence(party->ev);
}

/* Each side has a status byte and a port; each end clears its own byte only. */
static void notify_both_sides(void)
{
	volatile char *mine, *theirs;
	int port_a, port_b;
	uint32_t ref;

	enter_both();
	make_pair(&port_a, &port_b);
	mine = xengntshr_share_page_notify(a.shr, b.id, &ref, 1, 0, (evtchn_port_t)port_a);
	CHECK(mine);
	theirs = xengnttab_map_grant_ref_notify(
		b.tab, a.id, ref, PROT_READ | PROT_WRITE, 1, (evtchn_port_t)port_b);
	CHECK(theirs);
	mine[0] = mine[1] = mine[2] = 1;
	CHECK(xengnttab_unmap(b.tab, (void *)theirs, 1) == 0);
	take(&a, port_a);
	CHECK(mine[0] == 1 && mine[1] == 0 && mine[2] == 1);

	theirs = xengnttab_map_grant_ref_notify(
		b.tab, a.id, ref, PROT_READ | PROT_WRITE, 1, (evtchn_port_t)port_b);
	CHECK(theirs);
	mine[1] = 1;
	CHECK(xengntshr_unshare(a.shr, (void *)mine, 1) == 0);
	take(&b, port_b);
	CHECK(theirs[0] == 0 && theirs[1] == 1 && theirs[2] == 1);
	/* The owner is gone, and still the mapper's end is announced. */
	CHECK(xengnttab_unmap(b.tab, (void *)theirs, 1) == 0);
	take(&a, port_a);
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port_a) == 0);
	CHECK(xenevtchn_unbind(b.ev, (evtchn_port_t)port_b) == 0);
	leave_both();
}

/* Both may use the same byte, or have a byte and no port, or a port and no byte. */
static void notify_one_byte(void)
{
	volatile char *mine, *theirs;
	int port_a, port_b;
	uint32_t ref;

	enter_both();
	make_pair(&port_a, &port_b);
	mine = xengntshr_share_page_notify(a.shr, b.id, &ref, 1, PAGE - 1, NONE);
	CHECK(mine);
	theirs = xengnttab_map_grant_ref_notify(
		b.tab, a.id, ref, PROT_READ | PROT_WRITE, PAGE - 1, NONE);
	CHECK(theirs);
	mine[PAGE - 1] = 7;
	CHECK(xengnttab_unmap(b.tab, (void *)theirs, 1) == 0);
	CHECK(mine[PAGE - 1] == 0);
	expect_silence(a.ev);
	theirs = map(&b, &a, ref, PROT_READ);
	CHECK(theirs);
	mine[PAGE - 1] = 8;
	CHECK(xengntshr_unshare(a.shr, (void *)mine, 1) == 0);
	CHECK(theirs[PAGE - 1] == 0);
	expect_silence(b.ev);
	CHECK(xengnttab_unmap(b.tab, (void *)theirs, 1) == 0);
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port_a) == 0);
	CHECK(xenevtchn_unbind(b.ev, (evtchn_port_t)port_b) == 0);
	leave_both();
}

static bool closes_on_exec(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	CHECK(flags >= 0);
	return flags & FD_CLOEXEC;
}

static void descriptors(void)
{
	xenevtchn_handle *kept;

	enter_both();
	CHECK(closes_on_exec(xengnttab_fd(a.tab)) && closes_on_exec(xengntshr_fd(a.shr)));
	CHECK(closes_on_exec(xenevtchn_fd(a.ev)));
	CHECK(xengnttab_fd(a.tab) != xengnttab_fd(b.tab));
	kept = xenevtchn_open(quiet(), XENEVTCHN_NO_CLOEXEC);
	CHECK(kept && !closes_on_exec(xenevtchn_fd(kept)));
	/* As documented: a handle cannot be made from a descriptor. */
	CHECK_FAILS(!xenevtchn_fdopen(quiet(), xenevtchn_fd(kept), 0), EOPNOTSUPP);
	CHECK_FAILS(
		!xenevtchn_fdopen(quiet(), xenevtchn_fd(kept), XENEVTCHN_NO_CLOEXEC), EOPNOTSUPP);
	CHECK(xenevtchn_close(kept) == 0);
	CHECK_FAILS(!xenevtchn_open(quiet(), 2), EINVAL);
	CHECK(xenevtchn_close(NULL) == 0 && xengnttab_close(NULL) == 0 &&
		xengntshr_close(NULL) == 0);
	for (unsigned int virq = 0; virq < 24; virq++)
		CHECK_FAILS(xenevtchn_bind_virq(a.ev, virq) < 0, EOPNOTSUPP);
	leave_both();
}

/* A process that has handles of both domains runs another program: everything is given back. */
static void exec_reclaims(void)
{
	int port_a, port_b;
	struct child child;
	uint32_t ref;

	enter_both();
	if (child_start(&child)) {
		/* Handles of its own, as b: the environment names who entered last. */
		party_open(&b);
		CHECK(xengntshr_share_pages(b.shr, a.id, 1, &ref, 1));
		CHECK(xenevtchn_bind_unbound_port(b.ev, a.id) > 0);
		CHECK(xenevtchn_open(quiet(), XENEVTCHN_NO_CLOEXEC));
		say(&child, ref);
		hear(&child);
		execlp("sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	ref = hear(&child);
	void *theirs = map(&a, &b, ref, PROT_READ);

	CHECK(theirs);
	expect_holdings(b.id, 1, 0, 1);
	say(&child, 0);
	expect_holdings(b.id, 0, 0, 0);
	child_kill(&child);
	CHECK(xengnttab_unmap(a.tab, theirs, 1) == 0);

	/* A child that runs another program takes nothing from its parent, and keeps nothing. */
	make_pair(&port_a, &port_b);
	void *mine = share(&a, &b, 1, &ref, 1);

	if (child_start(&child)) {
		say(&child, 1);
		execlp("sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	hear(&child);
	strcpy(mine, "alive");
	CHECK(xenevtchn_notify(a.ev, (evtchn_port_t)port_a) == 0);
	take(&b, port_b);
	CHECK(xengntshr_unshare(a.shr, mine, 1) == 0);
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port_a) == 0);
	CHECK(xenevtchn_unbind(b.ev, (evtchn_port_t)port_b) == 0);
	expect_holdings(a.id, 0, 0, 0);
	child_kill(&child);
	leave_both();
}

/* A forked child closes its parent's event handle, and the parent's goes on. */
static void forked_events(void)
{
	int port_a, port_b;
	struct child child;

	enter_both();
	make_pair(&port_a, &port_b);
	if (child_start(&child)) {
		CHECK(xenevtchn_close(a.ev) == 0 && xenevtchn_close(b.ev) == 0);
		/* Its own are others. */
		xenevtchn_handle *own = xenevtchn_open(quiet(), 0);

		CHECK(own && xenevtchn_bind_unbound_port(own, a.id) > 0);
		CHECK(xenevtchn_close(own) == 0);
		_exit(0);
	}
	child_join(&child);
	for (int i = 0; i < 3; i++) {
		CHECK(xenevtchn_notify(a.ev, (evtchn_port_t)port_a) == 0);
		take(&b, port_b);
		CHECK(xenevtchn_notify(b.ev, (evtchn_port_t)port_b) == 0);
		take(&a, port_a);
	}
	CHECK(xenevtchn_unbind(a.ev, (evtchn_port_t)port_a) == 0);
	CHECK(xenevtchn_unbind(b.ev, (evtchn_port_t)port_b) == 0);
	leave_both();
}

/* What the headers say about logging: opening, mapping and sharing do, the rest never. */
static void logging(void)
{
	char *text = NULL;
	size_t len = 0, before;
	FILE *out = open_memstream(&text, &len);
	xentoollog_logger *log = (void *)xtl_createlogger_stdiostream(out, XTL_DEBUG, 0);
	xengnttab_handle *tab;
	xengntshr_handle *shr;
	xenevtchn_handle *ev;
	uint32_t ref;

	party_enter(&a, "header-a");
	tab = xengnttab_open(log, 0);
	shr = xengntshr_open(log, 0);
	ev = xenevtchn_open(log, 0);
	CHECK(tab && shr && ev);
	CHECK(fflush(out) == 0 && len == 0);
	CHECK(xengnttab_unmap(tab, &ref, 1) < 0 && xengntshr_unshare(shr, &ref, 1) < 0);
	CHECK(xenevtchn_notify(ev, 9) < 0 && xenevtchn_unbind(ev, 9) < 0);
	CHECK(xenevtchn_bind_interdomain(ev, 30000, 1) < 0 && xenevtchn_unmask(ev, 9) < 0);
	CHECK(xengnttab_set_max_grants(tab, 10) == 0);
	CHECK(fflush(out) == 0 && len == 0);
	CHECK(!xengnttab_map_grant_ref(tab, 30000, 8, PROT_READ));
	CHECK(fflush(out) == 0 && len > 0);
	before = len;
	CHECK(!xengntshr_share_pages(shr, a.id, 0, &ref, 1));
	CHECK(fflush(out) == 0 && len > before);
	before = len;
	CHECK(xengnttab_close(tab) == 0 && xengntshr_close(shr) == 0 && xenevtchn_close(ev) == 0);
	CHECK(fflush(out) == 0 && len == before);
	unsetenv(HYPERCALL_ENV);
	CHECK(!xengnttab_open(log, 0));
	CHECK(fflush(out) == 0 && len > before);
	xtl_logger_destroy(log);
	fclose(out);
	free(text);
	party_leave(&a);
}

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{"max-grants", max_grants},
		{"copies-across-pages", copies_across_pages},
		{"notify-both-sides", notify_both_sides},
		{"notify-one-byte", notify_one_byte},
		{"descriptors", descriptors},
		{"exec-reclaims", exec_reclaims},
		{"forked-events", forked_events},
		{"logging", logging},
	};

	return RUN_SCENARIO(argc, argv, scenarios);
}
