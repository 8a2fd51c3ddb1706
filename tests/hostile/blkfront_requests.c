/* SPDX-License-Identifier: MIT */
/*
 * Requests that a back end must refuse, one by one, each followed by a good one:
 *	blkfront_requests DISK r|w|4k PERSISTENT(0|1) [32|linux]
 * Mode 4k is for a writable disk with logical sectors of 4096 bytes; 32: by the ring of a
 * 32-bit x86 guest; linux: the back end is Linux's xen-blkback, whose answers differ in some cases.
 * Prints how many cases passed.
 */
#include "front.h"

static struct front f;
static bool linux_back;
static uint64_t nr_sectors;
static uint64_t unit = 1;
static unsigned int nr_cases, nr_failed;
static uint64_t next_id = 0x1122334455667788ull;

static void expect(const char *name, blkif_request_t req, int status)
{
	blkif_request_t good = front_request(&f, BLKIF_OP_READ, 0, 1, 0);
	int got;

	/* An id can have any value, also twice. */
	req.id = next_id;
	next_id += nr_cases & 1 ? 0x0123456789abcdefull : 0;
	got = front_call(&f, &req);
	nr_cases++;
	if (got != status) {
		printf("%s: status %d, expected %d\n", name, got, status);
		nr_failed++;
	}
	got = front_call(&f, &good);
	if (got != BLKIF_RSP_OKAY)
		die("%s: a good request after it got status %d", name, got);
}

static blkif_request_t rw(uint8_t op, uint64_t sector, unsigned int first, unsigned int last)
{
	blkif_request_t req = front_request(&f, op, sector, 1, 0);

	req.seg[0].first_sect = (uint8_t)first;
	req.seg[0].last_sect = (uint8_t)last;
	return req;
}

/* Seven sectors of one page and one of another. */
static blkif_request_t two_pieces(uint8_t op)
{
	blkif_request_t req = front_request(&f, op, 0, 2, 0);

	req.seg[0].first_sect = 1;
	req.seg[1].last_sect = 0;
	return req;
}

static blkif_request_t with_gref(uint8_t op, uint32_t gref)
{
	blkif_request_t req = front_request(&f, op, 0, 2, 0);

	req.seg[1].gref = gref;
	return req;
}

static blkif_request_t discard(uint64_t sector, uint64_t nr)
{
	blkif_request_discard_t d;
	blkif_request_t req;

	memset(&d, 0, sizeof(d));
	d.operation = BLKIF_OP_DISCARD;
	d.sector_number = sector;
	d.nr_sectors = nr;
	memset(&req, 0, sizeof(req));
	memcpy(&req, &d, sizeof(d));
	return req;
}

static void segments(uint8_t op)
{
	blkif_request_t req = front_request(&f, op, 0, 1, 0);

	for (unsigned int nr = BLKIF_MAX_SEGMENTS_PER_REQUEST + 1; nr < 256; nr++) {
		req.nr_segments = (uint8_t)nr;
		expect("too many segments", req, BLKIF_RSP_ERROR);
	}
	req.nr_segments = 0;
	expect("no segments", req, BLKIF_RSP_ERROR);
	expect("first behind last", rw(op, 0, 5, 4), BLKIF_RSP_ERROR);
	expect("last_sect 8", rw(op, 0, 0, 8), BLKIF_RSP_ERROR);
	expect("last_sect 255", rw(op, 0, 0, 255), BLKIF_RSP_ERROR);
	expect("both beyond the page", rw(op, 0, 254, 255), BLKIF_RSP_ERROR);
	req = front_request(&f, op, 0, BLKIF_MAX_SEGMENTS_PER_REQUEST, 0);
	req.seg[BLKIF_MAX_SEGMENTS_PER_REQUEST - 1].last_sect = 8;
	expect("the last segment is wrong", req, BLKIF_RSP_ERROR);
}

static void ranges(uint8_t op)
{
	static const uint64_t wraps[] = {UINT64_MAX, UINT64_MAX - 7, 1ull << 63, 1ull << 55,
		(1ull << 55) - 8, UINT64_MAX / 512 + 1};

	expect("behind the last sector", rw(op, nr_sectors, 0, 7), BLKIF_RSP_ERROR);
	expect("over the end", rw(op, nr_sectors - unit, 0, 7), unit == 8 ? 0 : BLKIF_RSP_ERROR);
	expect("over the end by more", front_request(&f, op, nr_sectors - 8, 2, 0), BLKIF_RSP_ERROR);
	for (unsigned int i = 0; i < sizeof(wraps) / sizeof(wraps[0]); i++)
		expect("wraps around", rw(op, wraps[i], 0, 7), BLKIF_RSP_ERROR);
	expect("the last sectors", rw(op, nr_sectors - 8, 0, 7), BLKIF_RSP_OKAY);
	if (unit == 8) {
		expect("unaligned start", rw(op, 1, 0, 7), BLKIF_RSP_ERROR);
		expect("unaligned length", rw(op, 0, 0, 6), BLKIF_RSP_ERROR);
		expect("unaligned in the page", rw(op, 0, 1, 7), BLKIF_RSP_ERROR);
		expect("unaligned pieces, aligned in sum", two_pieces(op), BLKIF_RSP_ERROR);
	} else {
		expect("pieces of pages", two_pieces(op), BLKIF_RSP_OKAY);
		expect("the last sector", rw(op, nr_sectors - 1, 3, 3), BLKIF_RSP_OKAY);
	}
}

static void grants(uint8_t op)
{
	uint32_t readonly_ref, foreign_ref;
	void *readonly, *foreign;

	readonly = xengntshr_share_pages(f.xgs, f.back_domid, 1, &readonly_ref, 0);
	foreign = xengntshr_share_pages(f.xgs, f.back_domid + 1, 1, &foreign_ref, 1);
	if (!readonly || !foreign)
		die("cannot share: %s", strerror(errno));
	/* On a real Xen that is the guest's console, granted to dom0. */
	if (f.domain)
		expect("gref 0", with_gref(op, 0), BLKIF_RSP_ERROR);
	expect("no such gref", with_gref(op, 31999), BLKIF_RSP_ERROR);
	expect("gref far out", with_gref(op, UINT32_MAX), BLKIF_RSP_ERROR);
	expect("granted to somebody else", with_gref(op, foreign_ref), BLKIF_RSP_ERROR);
	expect("granted read-only", with_gref(op, readonly_ref),
		op == BLKIF_OP_READ ? BLKIF_RSP_ERROR : BLKIF_RSP_OKAY);
	if (op == BLKIF_OP_WRITE)
		expect("a read into what a write used", with_gref(BLKIF_OP_READ, readonly_ref),
			BLKIF_RSP_ERROR);
	expect("the same page twice", with_gref(op, f.data_refs[0]), BLKIF_RSP_OKAY);
	if (op == BLKIF_OP_WRITE)
		expect("a write of the ring itself", with_gref(op, f.ring_refs[0]), BLKIF_RSP_OKAY);
	xengntshr_unshare(f.xgs, foreign, 1);
}

/* Indirect requests, with an otherwise good one of nr segments on whole pages. */
static void indirect_numbers(uint8_t op)
{
	for (unsigned int nr = 1; nr <= FRONT_MAX_SEGMENTS; nr += nr < 20 ? 1 : 59)
		expect("a good indirect request", front_indirect(&f, op, 0, nr, 0), BLKIF_RSP_OKAY);
	expect("all segments", front_indirect(&f, op, 0, FRONT_MAX_SEGMENTS, 0), BLKIF_RSP_OKAY);
	expect("no indirect segments", front_indirect(&f, op, 0, 0, 0), BLKIF_RSP_ERROR);
	expect("one segment too many", front_indirect(&f, op, 0, FRONT_MAX_SEGMENTS + 1, 0),
		BLKIF_RSP_ERROR);
	expect("a page full of segments", front_indirect(&f, op, 0, 512, 0), BLKIF_RSP_ERROR);
	expect("65535 segments", front_indirect(&f, op, 0, UINT16_MAX, 0), BLKIF_RSP_ERROR);
	expect("over the end", front_indirect(&f, op, nr_sectors - 8, 2, 0), BLKIF_RSP_ERROR);
	expect("wraps around", front_indirect(&f, op, UINT64_MAX - 7, 20, 0), BLKIF_RSP_ERROR);
}

static void indirect_segments(uint8_t op)
{
	static const struct {
		uint8_t first, last;
	} bad[] = {{5, 4}, {0, 8}, {0, 255}, {254, 255}};
	static const unsigned int numbers[] = {1, 11, 12, FRONT_MAX_SEGMENTS};

	for (unsigned int i = 0; i < 16; i++) {
		unsigned int nr = numbers[i / 4];
		blkif_request_t req = front_indirect(&f, op, 0, nr, 0);

		f.descs[nr - 1].first_sect = bad[i % 4].first;
		f.descs[nr - 1].last_sect = bad[i % 4].last;
		expect("a bad indirect segment", req, BLKIF_RSP_ERROR);
		req = front_indirect(&f, op, 0, nr, 0);
		f.descs[nr - 1].gref = i & 1 ? 31999 : UINT32_MAX;
		expect("an indirect segment without a grant", req, BLKIF_RSP_ERROR);
	}
}

static void indirect_pages(uint8_t op)
{
	static const uint32_t bad_refs[] = {0, 31999, UINT32_MAX};

	for (unsigned int i = 0; i < 3; i++)
		expect("no page of descriptors", front_indirect_header(op, 0, 4, bad_refs[i]),
			BLKIF_RSP_ERROR);
	/* A page of the guest's that is no descriptors: sectors 90, which no page has. */
	memset(f.data, 0x5a, FRONT_PAGE);
	expect("nonsense for descriptors", front_indirect_header(op, 0, 4, f.data_refs[0]),
		BLKIF_RSP_ERROR);
	for (unsigned int inner = 0; inner < 256; inner++) {
		if (inner != BLKIF_OP_READ && inner != BLKIF_OP_WRITE)
			expect("not a read or write within",
				front_indirect(&f, (uint8_t)inner, 0, 4, 0), BLKIF_RSP_ERROR);
	}
}

static void indirect(uint8_t op)
{
	indirect_numbers(op);
	indirect_segments(op);
	indirect_pages(op);
}

static void others(bool writable)
{
	for (unsigned int op = 0; op < 256; op++) {
		bool known = op == BLKIF_OP_READ || op == BLKIF_OP_WRITE ||
			op == BLKIF_OP_FLUSH_DISKCACHE || op == BLKIF_OP_DISCARD ||
			op == BLKIF_OP_INDIRECT || (linux_back && op == BLKIF_OP_WRITE_BARRIER);

		if (!known)
			expect("an operation that is not offered",
				front_request(&f, (uint8_t)op, 0, 1, 0), BLKIF_RSP_EOPNOTSUPP);
	}
	expect("flush", front_request(&f, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0), BLKIF_RSP_OKAY);
	/* Linux's looks at the segments of a flush; and it carries out barriers, offered or not. */
	expect("flush with nonsense in it",
		front_request(&f, BLKIF_OP_FLUSH_DISKCACHE, UINT64_MAX, 255, 0),
		linux_back ? BLKIF_RSP_ERROR : BLKIF_RSP_OKAY);
	if (linux_back)
		expect("a barrier", front_request(&f, BLKIF_OP_WRITE_BARRIER, 0, 1, 0),
			writable ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR);
	expect("discard", discard(0, 8), writable ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR);
	expect("discard everything", discard(0, nr_sectors),
		writable ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR);
	expect("discard nothing", discard(0, 0), BLKIF_RSP_ERROR);
	expect("discard over the end", discard(nr_sectors - 8, 16), BLKIF_RSP_ERROR);
	expect("discard behind the end", discard(nr_sectors, 8), BLKIF_RSP_ERROR);
	expect("discard that wraps", discard(8, UINT64_MAX), BLKIF_RSP_ERROR);
	expect("discard that wraps to good", discard(UINT64_MAX - 7, 16), BLKIF_RSP_ERROR);
	expect("a huge discard", discard(0, 1ull << 60), BLKIF_RSP_ERROR);
	if (unit == 8)
		expect("unaligned discard", discard(1, 8), BLKIF_RSP_ERROR);
}

/* The ring full of requests with one id: each is answered. */
static void same_ids(void)
{
	unsigned int nr = RING_SIZE(&f.ring);
	blkif_request_t req = front_request(&f, BLKIF_OP_READ, 0, 1, 0);
	blkif_response_t rsp;

	req.id = 7;
	for (unsigned int i = 0; i < nr; i++)
		front_put(&f, &req);
	front_push(&f);
	for (unsigned int i = 0; i < nr; i++) {
		if (!front_take(&f, &rsp, FRONT_BOUND_MS) || rsp.id != 7 || rsp.status)
			die("request %u of %u with the same id", i, nr);
	}
	nr_cases++;
}

static unsigned int offered_segments(void)
{
	char *text = front_read(&f, f.back, "feature-max-indirect-segments");
	unsigned int nr = text ? (unsigned int)strtoul(text, NULL, 10) : 0;

	free(text);
	return nr;
}

static void test_indirect(bool writable)
{
	if (offered_segments() != FRONT_MAX_SEGMENTS) {
		expect("indirect segments, not offered", front_indirect(&f, BLKIF_OP_READ, 0, 4, 0),
			BLKIF_RSP_EOPNOTSUPP);
		return;
	}
	indirect(BLKIF_OP_READ);
	if (writable)
		indirect(BLKIF_OP_WRITE);
	else
		expect("an indirect write to a read-only disk",
			front_indirect(&f, BLKIF_OP_WRITE, 0, 4, 0), BLKIF_RSP_ERROR);
}

static void connect_disk(int argc, char **argv)
{
	char *text;

	unit = argv[2][0] == '4' ? 8 : 1;
	front_enter(&f, argv[1]);
	f.x86_32 = argc == 5 && !linux_back;
	f.keeps_bytes = linux_back;
	front_connect(&f, 0, argv[3][0] == '1');
	text = front_read(&f, f.back, "sectors");
	nr_sectors = text ? strtoull(text, NULL, 10) : 0;
	free(text);
	if (nr_sectors < FRONT_MAX_SEGMENTS * 8)
		die("too small a disk");
}

int main(int argc, char **argv)
{
	bool writable;

	linux_back = argc == 5 && strcmp(argv[4], "linux") == 0;
	if (argc < 4 || argc > 5 || (argc == 5 && !linux_back && strcmp(argv[4], "32") != 0))
		die("usage: blkfront_requests DISK r|w|4k 0|1 [32|linux]");
	writable = argv[2][0] != 'r';
	connect_disk(argc, argv);
	segments(BLKIF_OP_READ);
	ranges(BLKIF_OP_READ);
	grants(BLKIF_OP_READ);
	if (writable) {
		segments(BLKIF_OP_WRITE);
		ranges(BLKIF_OP_WRITE);
		grants(BLKIF_OP_WRITE);
	} else {
		expect("a write to a read-only disk", rw(BLKIF_OP_WRITE, 0, 0, 7), BLKIF_RSP_ERROR);
	}
	test_indirect(writable);
	others(writable);
	same_ids();
	front_disconnect(&f);
	front_leave(&f);
	printf("%u of %u cases are right\n", nr_cases - nr_failed, nr_cases);
	return nr_failed ? 1 : 0;
}
