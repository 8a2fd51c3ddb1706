/* SPDX-License-Identifier: MIT */
/*
 * A guest whose disk, xvda, is attached by somebody else, who plays libxl: it follows commands from
 * standard input, one a line, and answers each with a line, "ok" or what went wrong.
 *	blkfront_libxl
 *
 * At first it says "ready DOMID". Then:
 * publish    waits for the back end's InitWait, publishes a ring, goes to Initialised
 * connect    waits for the back end to be Connected, and is so itself
 * read N     reads sectors N..N+7: "ok", or "error" if the request failed
 * state N    writes this text as its state
 * back N     waits for the back end to be in state N
 * drop       gives ring and port back, and forgets the back end
 */
#include "front.h"

#include <unistd.h>

static struct front f;

/* A domain without a disk; its handles. */
static unsigned int enter(void)
{
	char error[256] = "", *path;
	unsigned int domid;

	f = (struct front){.port = -1};
	if (rf_domain_enter(NULL, &f.domain, error, sizeof(error)))
		die("%s", error);
	f.xs = xs_open(0);
	f.xgs = xengntshr_open(NULL, 0);
	f.xce = xenevtchn_open(NULL, 0);
	if (!f.xs || !f.xgs || !f.xce)
		die("cannot open the domain's handles");
	fcntl(xenevtchn_fd(f.xce), F_SETFL, O_NONBLOCK);
	path = xs_read(f.xs, XBT_NULL, "domid", NULL);
	if (!path)
		die("no domid");
	domid = (unsigned int)atoi(path);
	free(path);
	return domid;
}

/* Finds the back end in the nodes that the toolstack wrote. */
static void find_back(void)
{
	char *text = front_read(&f, FRONT_DIR, "backend"), path[300];

	if (!text)
		die("no back end");
	snprintf(f.back, sizeof(f.back), "%s", text);
	free(text);
	text = front_read(&f, FRONT_DIR, "backend-id");
	if (!text)
		die("no back end id");
	f.back_domid = (uint32_t)atoi(text);
	free(text);
	snprintf(path, sizeof(path), "%s/state", f.back);
	if (!xs_watch(f.xs, path, "state"))
		die("cannot watch %s", path);
	f.data = xengntshr_share_pages(f.xgs, f.back_domid, FRONT_DATA_PAGES, f.data_refs, 1);
	if (!f.data)
		die("cannot share pages: %s", strerror(errno));
}

static void forget_back(void)
{
	char path[300];

	front_drop_ring(&f);
	snprintf(path, sizeof(path), "%s/state", f.back);
	xs_unwatch(f.xs, path, "state");
	xengntshr_unshare(f.xgs, f.data, FRONT_DATA_PAGES);
	f.data = NULL;
}

static const char *read_sectors(const char *arg)
{
	blkif_request_t req = front_request(&f, BLKIF_OP_READ, strtoull(arg, NULL, 10), 1, 0);

	return front_call(&f, &req) == BLKIF_RSP_OKAY ? "ok" : "error";
}

static const char *obey(const char *command, const char *arg)
{
	if (strcmp(command, "publish") == 0) {
		find_back();
		front_wait_back(&f, STATE(InitWait));
		front_make_ring(&f, 0);
		front_publish(&f, true);
		front_set_state(&f, XenbusStateInitialised);
	} else if (strcmp(command, "connect") == 0) {
		front_wait_back(&f, STATE(Connected));
		front_set_state(&f, XenbusStateConnected);
	} else if (strcmp(command, "read") == 0) {
		return read_sectors(arg);
	} else if (strcmp(command, "state") == 0) {
		front_write(&f, "state", "%s", arg);
	} else if (strcmp(command, "back") == 0) {
		front_wait_back(&f, 1u << atoi(arg));
	} else if (strcmp(command, "drop") == 0) {
		forget_back();
	} else {
		return "no such command";
	}
	return "ok";
}

int main(void)
{
	char line[80], *arg;

	printf("ready %u\n", enter());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		arg = strchr(line, ' ');
		if (arg)
			*arg++ = '\0';
		puts(obey(line, arg ? arg : ""));
		fflush(stdout);
	}
	return 0;
}
