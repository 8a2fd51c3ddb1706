/* SPDX-License-Identifier: MIT */
/*
 * Requests that a back end must refuse, one by one, each followed by a good one:
 *	blkfront_requests DISK r|w|4k PERSISTENT(0|1)
 * Mode 4k is for a writable disk with logical sectors of 4096 bytes. Prints how many cases passed.
 */
#include "front.h"

static struct front f;
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

static void others(bool writable)
{
	blkif_request_indirect_t indirect;
	blkif_request_t req;

	for (unsigned int op = 0; op < 256; op++) {
		bool known = op == BLKIF_OP_READ || op == BLKIF_OP_WRITE ||
			op == BLKIF_OP_FLUSH_DISKCACHE || op == BLKIF_OP_DISCARD;

		if (!known)
			expect("an operation that is not offered",
				front_request(&f, (uint8_t)op, 0, 1, 0), BLKIF_RSP_EOPNOTSUPP);
	}
	memset(&indirect, 0, sizeof(indirect));
	memset(&req, 0, sizeof(req));
	indirect.operation = BLKIF_OP_INDIRECT;
	indirect.nr_segments = 32;
	indirect.indirect_grefs[0] = f.data_refs[0];
	memcpy(&req, &indirect, sizeof(indirect));
	expect("indirect segments", req, BLKIF_RSP_EOPNOTSUPP);
	expect("flush", front_request(&f, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0), BLKIF_RSP_OKAY);
	expect("flush with nonsense in it",
		front_request(&f, BLKIF_OP_FLUSH_DISKCACHE, UINT64_MAX, 255, 0), BLKIF_RSP_OKAY);
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

int main(int argc, char **argv)
{
	bool writable;
	char *text;

	if (argc != 4)
		die("usage: blkfront_requests DISK r|w|4k 0|1");
	writable = argv[2][0] != 'r';
	unit = argv[2][0] == '4' ? 8 : 1;
	front_enter(&f, argv[1]);
	front_connect(&f, 0, argv[3][0] == '1');
	text = front_read(&f, f.back, "sectors");
	nr_sectors = text ? strtoull(text, NULL, 10) : 0;
	free(text);
	if (nr_sectors < 64)
		die("too small a disk");
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
	others(writable);
	same_ids();
	front_disconnect(&f);
	front_leave(&f);
	printf("%u of %u cases are right\n", nr_cases - nr_failed, nr_cases);
	return nr_failed ? 1 : 0;
}
