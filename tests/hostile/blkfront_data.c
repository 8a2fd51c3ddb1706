/* SPDX-License-Identifier: MIT */
/*
 * Whether data come and go as they should, request by request, whatever kind and shape these are:
 *	blkfront_data DISK IMAGE PERSISTENT(0|1) ROUNDS [32]
 * Random reads, writes, flushes and discards with direct and indirect segments, several under way
 * at a time; sectors are checked against a model, also around the segments, and at the end in the
 * image itself. The disk must be writable and its file's unused space read as zeroes. 32: by the
 * ring of a 32-bit x86 guest.
 */
#include "front.h"

#define SECTOR 512u
#define PAGE_SECTORS (FRONT_PAGE / SECTOR)
#define NR_UNDER_WAY 6u
#define PAGES_EACH (FRONT_DATA_PAGES / NR_UNDER_WAY) /* of one request's segments */
#define AREA 4096u				    /* sectors that are used, in one part per request */
#define PART (AREA / NR_UNDER_WAY)

/* A request under way, in its own pages and its own part of the disk. */
struct job {
	blkif_request_t req;
	unsigned int nr_segments, kind;
	uint64_t sector, nr_sectors;
	struct blkif_request_segment segs[FRONT_MAX_SEGMENTS];
	struct blkif_request_segment *descs;
	uint32_t descs_ref;
	char want[PAGES_EACH * FRONT_PAGE]; /* its pages afterwards */
};

static struct front f;
static struct job jobs[NR_UNDER_WAY];
static char model[AREA * SECTOR];
static unsigned long nr_requests;

static unsigned int rnd(unsigned int below)
{
	return (unsigned int)random() % below;
}

static void fill_random(char *at, size_t len)
{
	for (size_t i = 0; i < len; i += 4) {
		uint32_t word = (uint32_t)random();

		memcpy(at + i, &word, 4);
	}
}

static char *pages_of(unsigned int n)
{
	return f.data + (size_t)n * PAGES_EACH * FRONT_PAGE;
}

/* Random segments that fit into the job's part of the disk: pages in any order, each once. */
static void choose_segments(unsigned int n, unsigned int max)
{
	unsigned int order[PAGES_EACH];
	struct job *job = &jobs[n];
	bool whole = rnd(3) == 0;

	for (unsigned int i = 0; i < PAGES_EACH; i++)
		order[i] = i;
	for (unsigned int i = PAGES_EACH - 1; !whole && i > 0; i--) {
		unsigned int j = rnd(i + 1), page = order[i];

		order[i] = order[j];
		order[j] = page;
	}
	job->nr_segments = 1 + rnd(rnd(2) ? max : 3);
	job->nr_sectors = 0;
	for (unsigned int i = 0; i < job->nr_segments; i++) {
		unsigned int first = whole ? 0 : rnd(PAGE_SECTORS);
		unsigned int last = whole ? 7 : first + rnd(PAGE_SECTORS - first);

		job->segs[i] = (struct blkif_request_segment){
			.gref = f.data_refs[n * PAGES_EACH + order[i]],
			.first_sect = (uint8_t)first, .last_sect = (uint8_t)last};
		job->nr_sectors += last - first + 1;
	}
	job->sector = n * PART + rnd((unsigned int)(PART - job->nr_sectors + 1));
}

/* Where segment i of a job is in memory. */
static char *segment_at(unsigned int n, unsigned int i, char *pages, size_t *len)
{
	const struct blkif_request_segment *seg = &jobs[n].segs[i];
	unsigned int page = 0;

	while (f.data_refs[n * PAGES_EACH + page] != seg->gref)
		page++;
	*len = (seg->last_sect - seg->first_sect + 1u) * SECTOR;
	return pages + page * FRONT_PAGE + seg->first_sect * SECTOR;
}

/* Carries the job out in the model: on the disk, or in what its pages shall hold. */
static void model_job(unsigned int n)
{
	struct job *job = &jobs[n];
	char *disk = model + job->sector * SECTOR;
	size_t len;

	memcpy(job->want, pages_of(n), sizeof(job->want));
	if (job->kind == BLKIF_OP_DISCARD)
		memset(disk, 0, job->nr_sectors * SECTOR);
	for (unsigned int i = 0; i < job->nr_segments; i++) {
		char *at = segment_at(n, i, job->want, &len);

		if (job->kind == BLKIF_OP_WRITE)
			memcpy(disk, at, len);
		else
			memcpy(at, disk, len);
		disk += len;
	}
}

static void make_rw(unsigned int n, bool indirect)
{
	struct job *job = &jobs[n];

	choose_segments(n, indirect ? PAGES_EACH : BLKIF_MAX_SEGMENTS_PER_REQUEST);
	if (indirect) {
		memcpy(job->descs, job->segs, job->nr_segments * sizeof(job->segs[0]));
		job->req = front_indirect_header(
			(uint8_t)job->kind, job->sector, job->nr_segments, job->descs_ref);
	} else {
		job->req = front_request(&f, (uint8_t)job->kind, job->sector, job->nr_segments, 0);
		memcpy(job->req.seg, job->segs, job->nr_segments * sizeof(job->segs[0]));
	}
}

static void make_discard(struct job *job, unsigned int n)
{
	blkif_request_discard_t *discard = (void *)&job->req;

	job->nr_sectors = 1 + rnd(PART);
	job->sector = n * PART + rnd((unsigned int)(PART - job->nr_sectors + 1));
	job->req = front_request(&f, BLKIF_OP_DISCARD, job->sector, 0, 0);
	discard->nr_sectors = job->nr_sectors;
}

static void start(unsigned int n)
{
	struct job *job = &jobs[n];
	unsigned int kind = rnd(16);

	job->nr_segments = 0;
	job->kind = kind < 7 ? BLKIF_OP_READ : kind < 14 ? BLKIF_OP_WRITE
		: kind == 14 ? BLKIF_OP_DISCARD : BLKIF_OP_FLUSH_DISKCACHE;
	fill_random(pages_of(n), PAGES_EACH * FRONT_PAGE);
	if (kind < 14)
		make_rw(n, rnd(2));
	else if (kind == 14)
		make_discard(job, n);
	else
		job->req = front_request(&f, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0);
	model_job(n);
	job->req.id = nr_requests++ * NR_UNDER_WAY + n;
	front_put(&f, &job->req);
}

static void finish(void)
{
	blkif_response_t rsp;
	unsigned int n;

	if (!front_take(&f, &rsp, FRONT_BOUND_MS))
		die("a request was never answered");
	n = (unsigned int)(rsp.id % NR_UNDER_WAY);
	if (rsp.id != jobs[n].req.id || rsp.operation != front_echo(&jobs[n].req, rsp.status))
		die("an answer to no request");
	if (rsp.status)
		die("operation %u with %u segments: status %d", jobs[n].req.operation,
			jobs[n].nr_segments, rsp.status);
	if (memcmp(jobs[n].want, pages_of(n), sizeof(jobs[n].want)) != 0)
		die("operation %u (%u), %u segments at sector %llu: the pages are not as they should be",
			jobs[n].req.operation, jobs[n].kind, jobs[n].nr_segments,
			(unsigned long long)jobs[n].sector);
	jobs[n].req.id = UINT64_MAX;
}

static void check_image(const char *path)
{
	static char image[AREA * SECTOR];
	FILE *file = fopen(path, "re");

	if (!file || fread(image, sizeof(image), 1, file) != 1)
		die("cannot read %s", path);
	fclose(file);
	if (memcmp(image, model, sizeof(image)) != 0)
		die("the image is not as it should be");
}

/* Both start with zeroes. */
static void clear_disk(void)
{
	blkif_request_t req = front_request(&f, BLKIF_OP_DISCARD, 0, 0, 0);

	((blkif_request_discard_t *)(void *)&req)->nr_sectors = AREA;
	if (front_call(&f, &req) != BLKIF_RSP_OKAY)
		die("cannot clear the disk");
}

/* As much as one request can move, there and back. */
static void move_most(void)
{
	size_t len = (size_t)FRONT_MAX_SEGMENTS * FRONT_PAGE;
	blkif_request_t req = front_indirect(&f, BLKIF_OP_WRITE, 8, FRONT_MAX_SEGMENTS, 3);

	/* The request begins at the fourth page and goes around. */
	fill_random(f.data, len);
	memcpy(model + 8 * SECTOR, f.data + 3 * FRONT_PAGE, len - 3 * FRONT_PAGE);
	memcpy(model + 8 * SECTOR + len - 3 * FRONT_PAGE, f.data, 3 * FRONT_PAGE);
	if (front_call(&f, &req) != BLKIF_RSP_OKAY)
		die("the largest write failed");
	fill_random(f.data, len);
	req = front_indirect(&f, BLKIF_OP_READ, 8, FRONT_MAX_SEGMENTS, 0);
	if (front_call(&f, &req) != BLKIF_RSP_OKAY)
		die("the largest read failed");
	if (memcmp(f.data, model + 8 * SECTOR, len) != 0)
		die("the largest read has other data");
}

int main(int argc, char **argv)
{
	unsigned long nr_rounds;

	if (argc < 5)
		die("usage: blkfront_data DISK IMAGE 0|1 ROUNDS [32]");
	nr_rounds = strtoul(argv[4], NULL, 10);
	srandom(4711);
	front_enter(&f, argv[1]);
	f.x86_32 = argc == 6;
	for (unsigned int n = 0; n < NR_UNDER_WAY; n++) {
		jobs[n].descs = xengntshr_share_pages(
			f.xgs, f.back_domid, 1, &jobs[n].descs_ref, n & 1);
		if (!jobs[n].descs)
			die("cannot share a page: %s", strerror(errno));
	}
	front_connect(&f, (unsigned int)(f.x86_32 ? 4 : 0), argv[3][0] == '1');
	clear_disk();
	for (unsigned long round = 0; round < nr_rounds; round++) {
		for (unsigned int n = 0; n < NR_UNDER_WAY; n++)
			start(n);
		front_push(&f);
		for (unsigned int n = 0; n < NR_UNDER_WAY; n++)
			finish();
	}
	move_most();
	front_disconnect(&f);
	for (unsigned int n = 0; n < NR_UNDER_WAY; n++)
		xengntshr_unshare(f.xgs, jobs[n].descs, 1);
	front_leave(&f);
	check_image(argv[2]);
	printf("%lu requests are right\n", nr_requests);
	return 0;
}
