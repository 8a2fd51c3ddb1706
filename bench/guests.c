/* SPDX-License-Identifier: MIT */
/*
 * guests: idle guests. Makes domains, each with the disk attached, connected and read from once,
 * says "ready" and how many there are, and holds them until its standard input ends; then it ends,
 * and they with it. If it cannot make as many as asked for, it gives some back, so that others
 * find room.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ringfence/blkfront.h>
#include <ringfence/domain.h>

#include "common/fdlimit.h"
#include "common/parse.h"

#define GUESTS_MAX 20000
#define GIVEN_BACK 20 /* of the last ones, when there is no room for another one */

struct guest {
	struct rf_domain *dom;
	struct rf_blk *blk;
};

static void guest_destroy(struct guest *guest)
{
	rf_blk_close(guest->blk);
	rf_domain_leave(guest->dom);
}

/*
 * Entering a domain leaves its sockets in the environment, where the Xen libraries look when the
 * disk is opened: so one process can be many domains, one after the other.
 */
static bool guest_create(const char *disk, unsigned int i, struct guest *guest)
{
	struct rf_blk_options opt = {.wait_policy = RF_BLK_WAIT_EVENT};
	char name[64], error[256] = "", sector[RF_BLK_SECTOR_SIZE];
	int rc;

	snprintf(name, sizeof(name), "idle-%d-%u", (int)getpid(), i);
	rc = rf_domain_enter(name, &guest->dom, error, sizeof(error));
	if (rc == 0)
		rc = rf_domain_attach_disk(guest->dom, disk, "xvda", error, sizeof(error));
	if (rc == 0)
		rc = rf_blk_open("xvda", &opt, &guest->blk);
	if (rc == 0)
		rc = rf_blk_read(guest->blk, 0, 1, sector);
	if (rc == 0)
		return true;
	fprintf(stderr, "guests: no room for guest %u: %s\n", i + 1,
		*error ? error : strerror(-rc));
	guest_destroy(guest);
	*guest = (struct guest){0};
	return false;
}

static unsigned int create_all(const char *disk, struct guest *guests, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (guest_create(disk, i, &guests[i]))
			continue;
		for (unsigned int n = 0; n < GIVEN_BACK && i > 0; n++)
			guest_destroy(&guests[--i]);
		return i;
	}
	return nr;
}

int main(int argc, char **argv)
{
	struct guest *guests;
	uint64_t nr;
	char byte;

	if (argc != 3 || parse_u64(argv[1], 1, GUESTS_MAX, &nr)) {
		fputs("Usage: guests NUMBER DISK\n", stderr);
		return 2;
	}
	fdlimit_raise();
	guests = calloc(nr, sizeof(*guests));
	if (!guests)
		return 1;
	printf("ready %u\n", create_all(argv[2], guests, (unsigned int)nr));
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	/* Closing the disks would take the back end's help, which may be paused. */
	_exit(0);
}
