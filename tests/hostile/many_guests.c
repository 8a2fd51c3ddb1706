/* SPDX-License-Identifier: MIT */
/*
 * many_guests MAX [hog]: as many guests as there is room for, MAX at most, each with a disk that it
 * reads from. With `hog` a domain has taken every descriptor that it gets before. A guest that does
 * not fit must be refused as a domain, never in the middle of its handshake; all others work, and
 * when one has left another one fits. Prints their number.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xengnttab.h>

#include <ringfence/blkfront.h>
#include <ringfence/domain.h>

#include "common/fdlimit.h"

#define MAX 2000
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not true: %s (guest %u, %s, %s)\n", __FILE__,     \
				__LINE__, #condition, nr_guests, error, strerror(errno));          \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static struct guest {
	struct rf_domain *dom;
	struct rf_blk *blk;
} guests[MAX];
static unsigned int nr_guests, nr_names;
static char error[256];

static void guest_read(struct guest *guest)
{
	char sector[RF_BLK_SECTOR_SIZE];

	CHECK(rf_blk_read(guest->blk, 0, 1, sector) == 0);
}

/* False if there is no room for another domain. */
static bool guest_add(void)
{
	struct rf_blk_options opt = {.wait_policy = RF_BLK_WAIT_EVENT};
	struct guest *guest = &guests[nr_guests];
	char name[32];
	int rc;

	snprintf(name, sizeof(name), "many-%u", nr_names++);
	rc = rf_domain_enter(name, &guest->dom, error, sizeof(error));
	if (rc && strstr(error, strerror(EMFILE)))
		return false;
	CHECK(rc == 0);
	CHECK(rf_domain_attach_disk(guest->dom, "disk1", "xvda", error, sizeof(error)) == 0);
	CHECK(rf_blk_open("xvda", &opt, &guest->blk) == 0);
	guest_read(guest);
	nr_guests++;
	return true;
}

static void guest_remove(void)
{
	struct guest *guest = &guests[--nr_guests];

	rf_blk_close(guest->blk);
	rf_domain_leave(guest->dom);
}

static struct {
	struct rf_domain *dom;
	xengntshr_handle *shr;
} hog;

static void hog_open(void)
{
	unsigned int nr = 0;
	uint32_t ref;

	CHECK(rf_domain_enter("hog", &hog.dom, error, sizeof(error)) == 0);
	hog.shr = xengntshr_open(NULL, 0);
	CHECK(hog.shr);
	while (xengntshr_share_pages(hog.shr, rf_domain_id(hog.dom), 1, &ref, 1))
		nr++;
	CHECK(errno == EMFILE && nr > 50);
}

int main(int argc, char **argv)
{
	unsigned int max = argc > 1 ? (unsigned int)atoi(argv[1]) : 0;
	bool refused = false;

	CHECK(max > 0 && max <= MAX);
	fdlimit_raise();
	if (argc > 2)
		hog_open();
	while (nr_guests < max && !refused)
		refused = !guest_add();
	for (unsigned int i = 0; i < nr_guests; i++)
		guest_read(&guests[i]);
	printf("%u\n", nr_guests);
	if (refused) {
		guest_remove();
		CHECK(guest_add());
		CHECK(!guest_add());
	}
	while (nr_guests)
		guest_remove();
	xengntshr_close(hog.shr);
	rf_domain_leave(hog.dom);
	return 0;
}
