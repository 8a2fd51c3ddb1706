/* SPDX-License-Identifier: MIT */
/* Grants between two domains, as xengnttab.h describes them, and what must not work. */
#include "domain_check.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static struct party a, b;

static void enter_both(void)
{
	party_enter(&a, "grants-a");
	party_enter(&b, "grants-b");
}

static void leave_both(void)
{
	expect_holdings(a.id, 0, 0, 0);
	expect_holdings(b.id, 0, 0, 0);
	party_leave(&b);
	party_leave(&a);
}

static void shared_both_ways(void)
{
	uint32_t refs[3];
	char *mine, *theirs;

	enter_both();
	mine = share(&a, &b, 3, refs, 1);
	theirs = xengnttab_map_domain_grant_refs(b.tab, 3, a.id, refs, PROT_READ | PROT_WRITE);
	CHECK(theirs);
	for (unsigned int i = 0; i < 3; i++) {
		snprintf(mine + i * PAGE, PAGE, "owner %u", i);
		CHECK(memcmp(mine + i * PAGE, theirs + i * PAGE, PAGE) == 0);
		snprintf(theirs + i * PAGE + 100, 100, "peer %u", i);
		CHECK(memcmp(mine + i * PAGE, theirs + i * PAGE, PAGE) == 0);
	}
	expect_holdings(a.id, 3, 0, 0);
	expect_holdings(b.id, 0, 3, 0);
	CHECK(xengnttab_unmap(b.tab, theirs, 3) == 0);
	CHECK(xengntshr_unshare(a.shr, mine, 3) == 0);
	leave_both();
}

/* As in Xen: the owner can end a grant, but not take away what the peer has mapped. */
static void unshared_while_mapped(void)
{
	uint32_t ref;
	char *mine, *theirs;

	enter_both();
	mine = share(&a, &b, 1, &ref, 1);
	theirs = map(&b, &a, ref, PROT_READ | PROT_WRITE);
	CHECK(theirs);
	strcpy(mine, "kept");
	CHECK(xengntshr_unshare(a.shr, mine, 1) == 0);
	CHECK(strcmp(theirs, "kept") == 0);
	CHECK_FAILS(!map(&b, &a, ref, PROT_READ), ENOENT);
	/* What comes next is other memory. */
	mine = share(&a, &b, 1, &ref, 1);
	strcpy(mine, "new");
	CHECK(strcmp(theirs, "kept") == 0);
	CHECK(xengnttab_unmap(b.tab, theirs, 1) == 0);
	CHECK(xengntshr_unshare(a.shr, mine, 1) == 0);
	leave_both();
}

static void read_only_is_enforced(void)
{
	char path[64], *mine, *theirs;
	uint64_t share_id;
	int raw, memfd, again;
	uint32_t ref;

	enter_both();
	mine = share(&a, &b, 1, &ref, 0);
	strcpy(mine, "look");
	CHECK_FAILS(!map(&b, &a, ref, PROT_READ | PROT_WRITE), EACCES);
	theirs = map(&b, &a, ref, PROT_READ);
	CHECK(theirs && strcmp(theirs, "look") == 0);
	CHECK_FAILS(mprotect(theirs, PAGE, PROT_READ | PROT_WRITE) < 0, EACCES);

	/* A domain that talks to the hypervisor itself gets the descriptor. */
	raw = raw_open(HYPERCALL_GNTTAB);
	CHECK(raw_map(raw, a.id, ref, HYPERCALL_WRITABLE, &share_id) == -EACCES);
	CHECK(raw_map(raw, a.id, ref, 0, &share_id) == 0);
	memfd = raw_map_fd(raw, share_id);
	CHECK_FAILS(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, memfd, 0) == MAP_FAILED, EPERM);
	CHECK_FAILS(pwrite(memfd, "x", 1, 0) < 0, EPERM);
	CHECK_FAILS(ftruncate(memfd, 0) < 0, EPERM);
	CHECK_FAILS(
		fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) < 0, EPERM);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again >= 0) {
		CHECK_FAILS(
			mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED, EPERM);
		CHECK_FAILS(pwrite(again, "x", 1, 0) < 0, EPERM);
		close(again);
	}
	CHECK(strcmp(mine, "look") == 0);
	/* The owner's own mapping is from before. */
	strcpy(mine, "changed");
	CHECK(strcmp(theirs, "changed") == 0);
	close(memfd);
	close(raw);
	CHECK(xengnttab_unmap(b.tab, theirs, 1) == 0);
	CHECK(xengntshr_unshare(a.shr, mine, 1) == 0);
	leave_both();
}

static int seals_of(uint32_t ref)
{
	uint64_t share_id;
	int raw = raw_open(HYPERCALL_GNTTAB), memfd, seals;

	CHECK(raw_map(raw, a.id, ref, 0, &share_id) == 0);
	memfd = raw_map_fd(raw, share_id);
	seals = fcntl(memfd, F_GET_SEALS);
	CHECK_FAILS(ftruncate(memfd, 2 * PAGE) < 0, EPERM);
	CHECK_FAILS(ftruncate(memfd, 0) < 0, EPERM);
	CHECK_FAILS(fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE) < 0, EPERM);
	close(memfd);
	close(raw);
	return seals &
	       (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
}

static void seals_are_present(void)
{
	uint32_t ref_w, ref_r;
	void *page_w, *page_r;

	enter_both();
	page_w = share(&a, &b, 1, &ref_w, 1);
	page_r = share(&a, &b, 1, &ref_r, 0);
	CHECK(seals_of(ref_w) == (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW));
	CHECK(seals_of(ref_r) == (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE));
	CHECK(xengntshr_unshare(a.shr, page_w, 1) == 0);
	CHECK(xengntshr_unshare(a.shr, page_r, 1) == 0);
	leave_both();
}

/* An owner that says it sealed a read-only share, but did not, is not believed. */
static void unready_is_not_mappable(void)
{
	struct hypercall_request req = {.op = HYPERCALL_SHARE,
		.share = {.nr_pages = 1, .notify_offset = NONE, .notify_port = NONE}};
	char packet[sizeof(struct hypercall_reply) + sizeof(uint32_t)];
	struct hypercall_reply reply;
	int raw, memfd = -1;
	unsigned int nr = 0;
	uint32_t ref;

	party_enter(&b, "grants-b");
	party_enter(&a, "grants-a");
	raw = raw_open(HYPERCALL_GNTSHR);
	req.share.domid = b.id;
	CHECK(send(raw, &req, sizeof(req), 0) == sizeof(req));
	CHECK(unixsock_recv(raw, packet, sizeof(packet), &memfd, 1, &nr, 0) == sizeof(packet));
	memcpy(&reply, packet, sizeof(reply));
	memcpy(&ref, packet + sizeof(reply), sizeof(ref));
	CHECK(reply.status == 0 && nr == 1);
	CHECK_FAILS(!map(&b, &a, ref, PROT_READ), ENOENT);
	req = (struct hypercall_request){
		.op = HYPERCALL_SHARE_READY, .range = {.share_id = reply.share.share_id}};
	CHECK(raw_call(raw, &req, NULL, 0, NULL, NULL) == -EPERM);
	CHECK_FAILS(!map(&b, &a, ref, PROT_READ), ENOENT);
	CHECK(fcntl(memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0);
	CHECK(raw_call(raw, &req, NULL, 0, NULL, NULL) == 0);
	CHECK(raw_call(raw, &req, NULL, 0, NULL, NULL) == -EALREADY);
	CHECK(map(&b, &a, ref, PROT_READ));
	close(memfd);
	close(raw);
	CHECK(xengnttab_close(b.tab) == 0);
	b.tab = NULL;
	expect_holdings(a.id, 0, 0, 0);
	expect_holdings(b.id, 0, 0, 0);
}

static void wrong_references(void)
{
	static struct party c;
	uint32_t ref, other;
	void *page;

	enter_both();
	party_enter(&c, "grants-c");
	page = share(&a, &b, 1, &ref, 1);
	CHECK_FAILS(!xengnttab_map_grant_ref(b.tab, 30000, ref, PROT_READ), ESRCH);
	CHECK_FAILS(!xengnttab_map_grant_ref(b.tab, 0x7ff0, ref, PROT_READ), ESRCH);
	CHECK_FAILS(!xengnttab_map_grant_ref(b.tab, UINT32_MAX, ref, PROT_READ), ESRCH);
	CHECK_FAILS(!map(&b, &a, ref + 1, PROT_READ), ENOENT);
	CHECK_FAILS(!map(&b, &a, UINT32_MAX, PROT_READ), ENOENT);
	for (uint32_t reserved = 0; reserved < 8; reserved++)
		CHECK_FAILS(!map(&b, &a, reserved, PROT_READ), ENOENT);
	CHECK_FAILS(!map(&b, &b, ref, PROT_READ), ENOENT);
	CHECK_FAILS(!map(&c, &a, ref, PROT_READ), EPERM);
	CHECK_FAILS(!map(&a, &a, ref, PROT_READ), EPERM);
	CHECK(xengntshr_unshare(a.shr, page, 1) == 0);
	CHECK_FAILS(!map(&b, &a, ref, PROT_READ), ENOENT);

	CHECK_FAILS(!xengntshr_share_pages(a.shr, 0x7ff0, 1, &other, 1), ESRCH);
	CHECK_FAILS(!xengntshr_share_pages(a.shr, b.id, 0, &other, 1), EINVAL);
	CHECK_FAILS(!xengntshr_share_pages(a.shr, b.id, -1, &other, 1), EINVAL);
	CHECK_FAILS(
		!xengntshr_share_pages(a.shr, b.id, HYPERCALL_MAX_PAGES + 1, &other, 1), EINVAL);
	CHECK_FAILS(!xengnttab_map_domain_grant_refs(b.tab, 0, a.id, &ref, PROT_READ), EINVAL);
	CHECK_FAILS(xengnttab_unmap(b.tab, &ref, 1) < 0, EINVAL);
	CHECK_FAILS(xengntshr_unshare(a.shr, &ref, 1) < 0, EINVAL);
	party_leave(&c);
	leave_both();
}

static void dead_domain(void)
{
	uint32_t ref, ref_to_dead;
	unsigned int dead;
	char *theirs;

	enter_both();
	share(&a, &b, 1, &ref, 1);
	theirs = map(&b, &a, ref, PROT_READ | PROT_WRITE);
	CHECK(theirs);
	dead = a.id;
	party_leave(&a);
	expect_gone(dead);
	theirs[0] = 'x'; /* what is mapped stays */
	CHECK_FAILS(!xengnttab_map_grant_ref(b.tab, dead, ref, PROT_READ), ESRCH);
	expect_holdings(b.id, 0, 1, 0);
	CHECK(xengnttab_unmap(b.tab, theirs, 1) == 0);
	/* To somebody who is not there: legal, as in Xen, and of no use to others. */
	CHECK(xengntshr_share_pages(b.shr, dead, 1, &ref_to_dead, 1));
	party_enter(&a, "grants-a");
	CHECK(a.id != dead);
	CHECK_FAILS(!map(&a, &b, ref_to_dead, PROT_READ), EPERM);
	CHECK(xengntshr_close(b.shr) == 0);
	expect_holdings(b.id, 0, 0, 0);
}

static void many_shares(void)
{
	enum { NR = 3000 };
	static uint32_t refs[NR];
	static void *mine[NR], *theirs[NR];

	enter_both();
	for (unsigned int i = 0; i < NR; i++) {
		mine[i] = share(&a, &b, 1, &refs[i], 1);
		theirs[i] = map(&b, &a, refs[i], PROT_READ | PROT_WRITE);
		CHECK(theirs[i]);
		*(unsigned int *)mine[i] = i;
	}
	expect_holdings(a.id, NR, 0, 0);
	expect_holdings(b.id, 0, NR, 0);
	for (unsigned int i = 0; i < NR; i++) {
		unsigned int k = i * 7 % NR;

		CHECK(*(unsigned int *)theirs[k] == k);
		CHECK(xengnttab_unmap(b.tab, theirs[k], 1) == 0);
		CHECK(xengntshr_unshare(a.shr, mine[k], 1) == 0);
	}
	leave_both();
}

/* Run with --max-grants=64 --max-maps=32 --max-ports=8 --max-connections=16. */
static void limits_hold(void)
{
	uint32_t refs[65];
	int raw[64], port, nr = 0;
	void *mine, *theirs;
	char byte;

	enter_both();
	CHECK_FAILS(!xengntshr_share_pages(a.shr, b.id, 65, refs, 1), ENOSPC);
	mine = share(&a, &b, 64, refs, 1);
	CHECK_FAILS(!xengntshr_share_pages(a.shr, b.id, 1, &refs[64], 1), ENOSPC);
	CHECK_FAILS(!xengnttab_map_domain_grant_refs(b.tab, 33, a.id, refs, PROT_READ), ENOSPC);
	theirs = xengnttab_map_domain_grant_refs(b.tab, 32, a.id, refs, PROT_READ);
	CHECK(theirs);
	CHECK_FAILS(!map(&b, &a, refs[0], PROT_READ), ENOSPC);
	CHECK(xengnttab_unmap(b.tab, theirs, 32) == 0);
	CHECK(xengnttab_set_max_grants(b.tab, 2) == 0);
	CHECK_FAILS(!xengnttab_map_domain_grant_refs(b.tab, 3, a.id, refs, PROT_READ), ENOSPC);
	theirs = xengnttab_map_domain_grant_refs(b.tab, 2, a.id, refs, PROT_READ);
	CHECK(theirs && xengnttab_unmap(b.tab, theirs, 2) == 0);
	CHECK(xengntshr_unshare(a.shr, mine, 64) == 0);

	for (int i = 0; i < 8; i++)
		CHECK(xenevtchn_bind_unbound_port(a.ev, b.id) > 0);
	CHECK_FAILS(xenevtchn_bind_unbound_port(a.ev, b.id) < 0, ENOSPC);
	port = xenevtchn_bind_unbound_port(b.ev, a.id);
	CHECK(port > 0);
	CHECK_FAILS(xenevtchn_bind_interdomain(a.ev, b.id, (evtchn_port_t)port) < 0, ENOSPC);
	CHECK(xenevtchn_close(a.ev) == 0);
	CHECK(xenevtchn_unbind(b.ev, (evtchn_port_t)port) == 0);

	/* The environment names b, which has three connections. */
	for (; nr < 13; nr++)
		raw[nr] = raw_open(HYPERCALL_GNTTAB);
	raw[nr] = raw_connect();
	CHECK(recv(raw[nr], &byte, 1, 0) <= 0);
	while (nr >= 0)
		close(raw[nr--]);
	expect_holdings(a.id, 0, 0, 0);
	expect_holdings(b.id, 0, 0, 0);
}

static void partial_unmap_and_unshare(void)
{
	uint32_t refs[8], more[8];
	char *mine, *theirs, *other;

	enter_both();
	mine = share(&a, &b, 8, refs, 1);
	theirs = xengnttab_map_domain_grant_refs(b.tab, 8, a.id, refs, PROT_READ | PROT_WRITE);
	CHECK(theirs);
	for (unsigned int i = 0; i < 8; i++)
		mine[i * PAGE] = (char)i;
	CHECK(xengnttab_unmap(b.tab, theirs + 2 * PAGE, 3) == 0);
	expect_holdings(b.id, 0, 5, 0);
	CHECK_FAILS(xengnttab_unmap(b.tab, theirs + 2 * PAGE, 1) < 0, EINVAL);
	CHECK_FAILS(xengnttab_unmap(b.tab, theirs + 6 * PAGE, 3) < 0, EINVAL);
	CHECK_FAILS(xengnttab_unmap(b.tab, theirs + 1, 1) < 0, EINVAL);
	CHECK_FAILS(xengnttab_unmap(b.tab, theirs, 0) < 0, EINVAL);
	CHECK(theirs[0] == 0 && theirs[7 * PAGE] == 7);
	/* The same pages again, and one of them twice. */
	CHECK(map(&b, &a, refs[3], PROT_READ | PROT_WRITE) == theirs + 3 * PAGE);
	CHECK(map(&b, &a, refs[3], PROT_READ | PROT_WRITE) == theirs + 3 * PAGE);
	expect_holdings(b.id, 0, 7, 0);
	CHECK(xengnttab_unmap(b.tab, theirs + 3 * PAGE, 1) == 0);
	CHECK(theirs[3 * PAGE] == 3);
	CHECK(xengnttab_unmap(b.tab, theirs + 3 * PAGE, 1) == 0);

	/* Pages that are unshared in the middle leave no room for others' addresses. */
	for (unsigned int i = 1; i < 7; i++) {
		CHECK(xengntshr_unshare(a.shr, mine + i * PAGE, 1) == 0);
		other = share(&a, &b, 1, &more[i], 1);
		CHECK(other < mine || other >= mine + 8 * PAGE);
		CHECK_FAILS(!map(&b, &a, refs[i], PROT_READ), ENOENT);
	}
	expect_holdings(a.id, 8, 0, 0);
	mine[0] = 42;
	CHECK(theirs[0] == 42);
	CHECK(xengntshr_unshare(a.shr, mine, 1) == 0);
	CHECK(xengntshr_unshare(a.shr, mine + 7 * PAGE, 1) == 0);
	CHECK_FAILS(xengntshr_unshare(a.shr, mine, 1) < 0, EINVAL);
	CHECK(xengnttab_close(b.tab) == 0 && xengntshr_close(a.shr) == 0);
	expect_holdings(a.id, 0, 0, 0);
	expect_holdings(b.id, 0, 0, 0);
}

static void scattered(void)
{
	uint32_t refs_a[4], refs_c[4], refs[6], domids[6];
	static struct party c;
	char *from_a, *from_c, *theirs;

	enter_both();
	party_enter(&c, "grants-c");
	from_a = share(&a, &b, 4, refs_a, 1);
	from_c = share(&c, &b, 4, refs_c, 1);
	for (unsigned int i = 0; i < 6; i++) {
		domids[i] = i % 2 ? c.id : a.id;
		refs[i] = i % 2 ? refs_c[3 - i / 2] : refs_a[i / 2];
		*(i % 2 ? from_c + (3 - i / 2) * PAGE : from_a + i / 2 * PAGE) = (char)(10 + i);
	}
	theirs = xengnttab_map_grant_refs(b.tab, 6, domids, refs, PROT_READ | PROT_WRITE);
	CHECK(theirs);
	for (unsigned int i = 0; i < 6; i++)
		CHECK(theirs[i * PAGE] == (char)(10 + i));
	theirs[3 * PAGE] = 99;
	CHECK(from_c[2 * PAGE] == 99);
	expect_holdings(b.id, 0, 6, 0);
	CHECK(xengnttab_unmap(b.tab, theirs, 6) == 0);
	expect_holdings(b.id, 0, 0, 0);

	/* The same page twice, in one call. */
	refs[0] = refs[1] = refs_a[1];
	theirs = xengnttab_map_domain_grant_refs(b.tab, 2, a.id, refs, PROT_READ | PROT_WRITE);
	CHECK(theirs);
	theirs[0] = 7;
	/* For the compiler these are different bytes. */
	__asm__ volatile("" ::: "memory");
	CHECK(theirs[PAGE] == 7 && from_a[PAGE] == 7);
	CHECK(xengnttab_unmap(b.tab, theirs, 2) == 0);
	CHECK(xengntshr_close(a.shr) == 0 && xengntshr_close(c.shr) == 0);
	expect_holdings(a.id, 0, 0, 0);
	expect_holdings(b.id, 0, 0, 0);
	expect_holdings(c.id, 0, 0, 0);
}

/* For every k, the k-th of the references is bad: nothing is mapped and no count remains. */
static void failed_maps_leave_nothing(void)
{
	enum { NR = 12 };
	uint32_t refs[NR], saved;
	void *mine[NR / 3], *theirs;

	enter_both();
	for (unsigned int i = 0; i < NR / 3; i++)
		mine[i] = share(&a, &b, 3, &refs[3 * i], 1);
	for (unsigned int k = 0; k < NR; k++) {
		saved = refs[k];
		refs[k] = 5000;
		CHECK_FAILS(
			!xengnttab_map_domain_grant_refs(b.tab, NR, a.id, refs, PROT_READ), ENOENT);
		expect_holdings(b.id, 0, 0, 0);
		refs[k] = saved;
	}
	theirs = xengnttab_map_domain_grant_refs(b.tab, NR, a.id, refs, PROT_READ);
	CHECK(theirs && xengnttab_unmap(b.tab, theirs, NR) == 0);
	for (unsigned int i = 0; i < NR / 3; i++)
		CHECK(xengntshr_unshare(a.shr, mine[i], 3) == 0);
	leave_both();
}

static void copies(void)
{
	char source[64] = "from here", sink[64] = "", *page, *read_only;
	uint32_t ref, ref_ro;

	enter_both();
	page = share(&a, &b, 1, &ref, 1);
	read_only = share(&a, &b, 1, &ref_ro, 0);
	strcpy(read_only, "read only");
	xengnttab_grant_copy_segment_t segs[] = {
		{.source.virt = source,
			.dest.foreign = {ref, 4000, (uint16_t)a.id},
			.len = 64,
			.flags = GNTCOPY_dest_gref},
		{.source.foreign = {ref, 4000, (uint16_t)a.id},
			.dest.virt = sink,
			.len = 64,
			.flags = GNTCOPY_source_gref},
		{.source.foreign = {ref_ro, 0, (uint16_t)a.id},
			.dest.foreign = {ref, 100, (uint16_t)a.id},
			.len = 10,
			.flags = GNTCOPY_source_gref | GNTCOPY_dest_gref},
		{.source.virt = source,
			.dest.foreign = {ref_ro, 0, (uint16_t)a.id},
			.len = 64,
			.flags = GNTCOPY_dest_gref},
		{.source.virt = source,
			.dest.foreign = {ref, 4033, (uint16_t)a.id},
			.len = 64,
			.flags = GNTCOPY_dest_gref},
		{.source.virt = source,
			.dest.foreign = {ref + 100, 0, (uint16_t)a.id},
			.len = 64,
			.flags = GNTCOPY_dest_gref},
		{.source.virt = source,
			.dest.foreign = {ref, 0, 30000},
			.len = 64,
			.flags = GNTCOPY_dest_gref},
		{.source.virt = source,
			.dest.foreign = {ref, 4096, (uint16_t)a.id},
			.len = 0,
			.flags = GNTCOPY_dest_gref},
	};
	const int16_t expected[] = {GNTST_okay, GNTST_okay, GNTST_okay, GNTST_permission_denied,
		GNTST_bad_copy_arg, GNTST_bad_gntref, GNTST_bad_domain, GNTST_okay};

	CHECK(xengnttab_grant_copy(b.tab, sizeof(segs) / sizeof(segs[0]), segs) == 0);
	for (unsigned int i = 0; i < sizeof(segs) / sizeof(segs[0]); i++)
		CHECK(segs[i].status == expected[i]);
	CHECK(strcmp(page + 4000, "from here") == 0);
	CHECK(strcmp(sink, "from here") == 0);
	CHECK(strcmp(page + 100, "read only") == 0);
	CHECK(strcmp(read_only, "read only") == 0);
	CHECK(xengntshr_close(a.shr) == 0);
	expect_holdings(a.id, 0, 0, 0);
	expect_holdings(b.id, 0, 0, 0);
}

enum { NR_COPIES = 150, COPY_BYTES = 1000 };

/* Each segment from or to a place of its own in `ours`. */
static void fill_copies(xengnttab_grant_copy_segment_t *segs, const uint32_t *refs,
	char (*ours)[COPY_BYTES], bool to_guest)
{
	for (int i = 0; i < NR_COPIES; i++) {
		union xengnttab_copy_ptr guests = {
			.foreign = {refs[i], (uint16_t)(i * 7), (uint16_t)a.id}};
		union xengnttab_copy_ptr local = {.virt = ours[i]};

		segs[i] = (xengnttab_grant_copy_segment_t){
			.source = to_guest ? local : guests,
			.dest = to_guest ? guests : local,
			.len = (uint16_t)(COPY_BYTES - i),
			.flags = to_guest ? GNTCOPY_dest_gref : GNTCOPY_source_gref,
			.status = GNTST_general_error};
	}
}

/* Writes and reads them all; the one with index `bad` (if any) does not exist. */
static void copy_many(const uint32_t *refs, char **pages, int bad)
{
	static xengnttab_grant_copy_segment_t segs[NR_COPIES];
	static char out[NR_COPIES][COPY_BYTES], in[NR_COPIES][COPY_BYTES];
	static char value;

	memset(out, ++value, sizeof(out));
	memset(in, 0, sizeof(in));
	for (int to_guest = 1; to_guest >= 0; to_guest--) {
		fill_copies(segs, refs, to_guest ? out : in, to_guest);
		if (bad >= 0) {
			union xengnttab_copy_ptr *ptr =
				to_guest ? &segs[bad].dest : &segs[bad].source;

			ptr->foreign.ref = 5000;
		}
		CHECK(xengnttab_grant_copy(b.tab, NR_COPIES, segs) == 0);
		for (int i = 0; i < NR_COPIES; i++)
			CHECK(segs[i].status == (i == bad ? GNTST_bad_gntref : GNTST_okay));
	}
	for (int i = 0; i < NR_COPIES; i++) {
		char expected = i == bad ? 0 : value;

		CHECK(in[i][0] == expected && in[i][COPY_BYTES - i - 1] == expected);
		CHECK(i == bad || pages[i][i * 7 + COPY_BYTES - i - 1] == value);
		/* Nothing beyond. */
		CHECK(pages[i][i * 7 + COPY_BYTES - i] == 0 && (!i || !in[i][COPY_BYTES - i]));
	}
}

/* As many as a large request has: of one share, or each page of another; one of them may be bad. */
static void copies_of_many_pages(void)
{
	static const int bad[] = {-1, 0, 1, 63, 64, 149};
	uint32_t refs[NR_COPIES];
	char *pages[NR_COPIES];

	enter_both();
	for (int each = 0; each < 2; each++) {
		for (int i = 0; i < NR_COPIES; i++) {
			if (each)
				pages[i] = share(&a, &b, 1, &refs[i], 1);
			else
				pages[i] = i ? pages[0] + i * 4096
					     : share(&a, &b, NR_COPIES, refs, 1);
		}
		for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
			copy_many(refs, pages, bad[k]);
		expect_holdings(b.id, 0, 0, 0);
		for (int i = 0; i < (each ? NR_COPIES : 1); i++)
			CHECK(xengntshr_unshare(a.shr, pages[i], each ? 1 : NR_COPIES) == 0);
	}
	leave_both();
}

/* Two handles of a domain have nothing to do with each other. */
static void handles_are_separate(void)
{
	static xengnttab_handle *other;
	static xengntshr_handle *other_shr;
	uint32_t ref;
	void *mine, *first, *second;

	enter_both();
	other = xengnttab_open(quiet(), 0); /* b's: it entered last */
	other_shr = xengntshr_open(quiet(), 0);
	CHECK(other && other_shr);
	mine = share(&a, &b, 1, &ref, 1);
	first = map(&b, &a, ref, PROT_READ);
	second = xengnttab_map_grant_ref(other, a.id, ref, PROT_READ);
	CHECK(first && second && first != second);
	CHECK_FAILS(xengnttab_unmap(other, first, 1) < 0, EINVAL);
	CHECK_FAILS(xengntshr_unshare(other_shr, mine, 1) < 0, EINVAL);
	CHECK(xengnttab_close(other) == 0);
	expect_holdings(b.id, 0, 1, 0);
	CHECK(xengnttab_unmap(b.tab, first, 1) == 0);
	CHECK(xengntshr_unshare(a.shr, mine, 1) == 0);
	leave_both();
}

/* A forked child has no mappings and may only close; what its parent closes ends at once. */
static void forked_child(void)
{
	struct child child;
	char *mine, *theirs;
	uint32_t ref;

	enter_both();
	mine = share(&a, &b, 1, &ref, 1);
	theirs = map(&b, &a, ref, PROT_READ | PROT_WRITE);
	CHECK(theirs);
	if (child_start(&child)) {
		unsigned char resident;

		CHECK_FAILS(mincore(mine, PAGE, &resident) < 0, ENOMEM);
		CHECK_FAILS(mincore(theirs, PAGE, &resident) < 0, ENOMEM);
		say(&child, 1);
		hear(&child);
		CHECK(xengnttab_close(b.tab) == 0 && xengntshr_close(a.shr) == 0);
		say(&child, 2);
		hear(&child);
		_exit(0);
	}
	CHECK(hear(&child) == 1);
	say(&child, 0);
	CHECK(hear(&child) == 2);
	strcpy(mine, "still here");
	CHECK(strcmp(theirs, "still here") == 0);
	expect_holdings(b.id, 0, 1, 0);
	CHECK(xengnttab_unmap(b.tab, theirs, 1) == 0);
	say(&child, 0);
	child_join(&child);

	theirs = map(&b, &a, ref, PROT_READ | PROT_WRITE);
	CHECK(theirs);
	if (child_start(&child)) {
		hear(&child);
		_exit(0);
	}
	CHECK(xengnttab_close(b.tab) == 0 && xengntshr_close(a.shr) == 0);
	expect_holdings(a.id, 0, 0, 0);
	expect_holdings(b.id, 0, 0, 0);
	say(&child, 0);
	child_join(&child);
}

static void without_dmabufs(void)
{
	uint32_t fd, ref = 8;

	party_enter(&a, "grants-a");
	CHECK_FAILS(xengnttab_dmabuf_exp_from_refs(a.tab, 1, 0, 1, &ref, &fd) < 0, EOPNOTSUPP);
	CHECK_FAILS(xengnttab_dmabuf_exp_wait_released(a.tab, 1, 0) < 0, EOPNOTSUPP);
	CHECK_FAILS(xengnttab_dmabuf_imp_to_refs(a.tab, 1, 1, 1, &ref) < 0, EOPNOTSUPP);
	CHECK_FAILS(xengnttab_dmabuf_imp_release(a.tab, 1) < 0, EOPNOTSUPP);
	CHECK(xengnttab_fd(a.tab) >= 0 && xengntshr_fd(a.shr) >= 0);
	party_leave(&a);
}

static void no_domain(void)
{
	unsetenv(HYPERCALL_ENV);
	CHECK_FAILS(!xengnttab_open(quiet(), 0), ENOENT);
	CHECK_FAILS(!xengntshr_open(quiet(), 0), ENOENT);
	CHECK_FAILS(!xenevtchn_open(quiet(), 0), ENOENT);
	setenv(HYPERCALL_ENV, "/nowhere/hypercall", 1);
	CHECK_FAILS(!xengnttab_open(quiet(), 0), ENOENT);
}

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{"shared-both-ways", shared_both_ways},
		{"unshared-while-mapped", unshared_while_mapped},
		{"read-only-is-enforced", read_only_is_enforced},
		{"seals-are-present", seals_are_present},
		{"unready-is-not-mappable", unready_is_not_mappable},
		{"wrong-references", wrong_references},
		{"dead-domain", dead_domain},
		{"many-shares", many_shares},
		{"limits-hold", limits_hold},
		{"partial-unmap-and-unshare", partial_unmap_and_unshare},
		{"scattered", scattered},
		{"failed-maps-leave-nothing", failed_maps_leave_nothing},
		{"copies", copies},
		{"copies-of-many-pages", copies_of_many_pages},
		{"handles-are-separate", handles_are_separate},
		{"forked-child", forked_child},
		{"without-dmabufs", without_dmabufs},
		{"no-domain", no_domain},
	};

	return RUN_SCENARIO(argc, argv, scenarios);
}
