/* SPDX-License-Identifier: MIT */
/*
 * A domain whose trace areas (docs/protocol/trace.md) are full of lies:
 *	trace_area scribble   writes anything anywhere into them, all the time
 *	trace_area records    announces whole records of disks that it does not have, with times that
 *	                      cannot be, and a counter that leaps
 *	trace_area nonsense   nodes that name no areas
 * It says "ready" and goes on until its standard input ends.
 */
#include "front.h"

#include <unistd.h>

#include "common/stamps.h"

#define NR_PAGES 4u
#define NR_WORDS (NR_PAGES * FRONT_PAGE / 8)

struct area {
	struct rf_domain *domain;
	struct xs_handle *xs;
	xengntshr_handle *xgs;
	uint64_t *words[2]; /* of a front end's area, and of a back end's */
	uint64_t state;
};

static void announce(struct area *a, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "data/trace/%s", name);
	if (!xs_write(a->xs, XBT_NULL, path, value, (unsigned int)strlen(value)))
		die("cannot write %s: %s", path, strerror(errno));
}

static void share(struct area *a, enum stamps_side side, const char *name)
{
	struct stamps_area area;
	uint32_t refs[NR_PAGES];
	char text[128];
	void *pages = xengntshr_share_pages(a->xgs, 0, NR_PAGES, refs, 0);

	if (!pages)
		die("cannot share pages: %s", strerror(errno));
	a->words[side - 1] = pages;
	stamps_area_init(&area, pages, NR_PAGES * FRONT_PAGE, side);
	snprintf(text, sizeof(text), "%u %u %u %u", refs[0], refs[1], refs[2], refs[3]);
	announce(a, name, text);
}

static uint64_t next_random(struct area *a)
{
	a->state ^= a->state << 13;
	a->state ^= a->state >> 7;
	a->state ^= a->state << 17;
	return a->state;
}

static void scribble(struct area *a)
{
	for (unsigned int i = 0; i < 10000; i++) {
		uint64_t value = next_random(a);

		__atomic_store_n(&a->words[i % 2][value % NR_WORDS],
			next_random(a) >> (value >> 58), __ATOMIC_RELAXED);
	}
}

/* Whole ones, as far as their numbers say. */
static void lie_in(struct area *a, struct stamps_header *header)
{
	struct stamps_slot *slots = (struct stamps_slot *)(void *)(header + 1);
	static uint64_t nr;
	struct stamps_record record;
	uint64_t words[STAMPS_RECORD_WORDS];

	nr += next_random(a) % 8 ? 1 : next_random(a);
	for (unsigned int i = 0; i < header->nr_records; i++) {
		uint64_t n = nr - 1 - i;

		record = (struct stamps_record){.index = (uint32_t)next_random(a),
			.device = 51712, .domid = (uint16_t)next_random(a),
			.queue = (uint8_t)next_random(a), .operation = (uint8_t)next_random(a),
			.flags = (uint32_t)next_random(a),
			.ns = {1, 1, UINT64_MAX - i, UINT64_MAX, UINT64_MAX}};
		memcpy(words, &record, sizeof(words));
		for (unsigned int j = 0; j < STAMPS_RECORD_WORDS; j++)
			atomic_store(&slots[n % header->nr_records].words[j], words[j]);
		atomic_store(&slots[n % header->nr_records].seq, n + 1);
	}
	atomic_store(&header->nr_written, nr);
}

static void lie(struct area *a)
{
	for (unsigned int i = 0; i < 2; i++)
		lie_in(a, (struct stamps_header *)(void *)a->words[i]);
}

static void announce_nonsense(struct area *a)
{
	static const char *const values[] = {"", " ", "x", "-1", "99999999999", "4294967295", "7 7 7",
		"1 2 3 4 5 6 7 8 9 x", "1\n2"};
	char name[200], value[1800] = "";

	for (unsigned int i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		snprintf(name, sizeof(name), "nonsense-%u", i);
		announce(a, name, values[i]);
	}
	for (unsigned int i = 0; i < 300; i++)
		snprintf(value + strlen(value), sizeof(value) - strlen(value), "%u ", i);
	announce(a, "many", value);
	memset(name, 'x', 190);
	name[190] = '\0';
	announce(a, name, "8");
	for (unsigned int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "vbd-%u", i);
		announce(a, name, "8 9 10 11");
	}
}

int main(int argc, char **argv)
{
	struct area a = {.state = 88172645463325252ull};
	struct pollfd pfd = {.fd = STDIN_FILENO, .events = POLLIN};
	const char *mode = argc == 2 ? argv[1] : "";
	void (*go_on)(struct area *a) = NULL;
	char error[256];

	if (rf_domain_enter("liar", &a.domain, error, sizeof(error)) ||
		rf_domain_attach_disk(a.domain, "null", "xvda", error, sizeof(error)))
		die("%s", error);
	a.xs = xs_open(0);
	a.xgs = xengntshr_open(NULL, 0);
	if (!a.xs || !a.xgs)
		die("no Xen: %s", strerror(errno));
	/* As if it were a back end; it may also be that it cannot write there. */
	(void)xs_write(a.xs, XBT_NULL, "backend/vbd/1/51712", "", 0);
	/* One that is right in its form, as either end. */
	share(&a, STAMPS_FRONT, "vbd-51712");
	share(&a, STAMPS_BACK, "blkback");
	if (strcmp(mode, "scribble") == 0)
		go_on = scribble;
	else if (strcmp(mode, "records") == 0)
		go_on = lie;
	else if (strcmp(mode, "nonsense") == 0)
		announce_nonsense(&a);
	else
		die("which?");
	if (puts("ready") < 0 || fflush(stdout))
		return 1;
	/* A pause between: there are other processes on the machine. */
	while (poll(&pfd, 1, go_on ? 1 : -1) == 0)
		go_on(&a);
	xengntshr_close(a.xgs);
	xs_close(a.xs);
	rf_domain_leave(a.domain);
	return 0;
}
