/* SPDX-License-Identifier: MIT */
/* ringfence block-attach: gives a domain another disk. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xen/io/xenbus.h>

#include "toolstack/attach.h"
#include "toolstack/block_wait.h"
#include "toolstack/command.h"
#include "toolstack/config.h"
#include "toolstack/find.h"
#include "toolstack/request.h"

#define ATTACH_TIMEOUT_S 10

static const char usage[] =
	"Usage: ringfence block-attach DOMAIN SPECIFICATION...\n"
	"       ringfence block-attach -d NAME DOMAIN DEVICE\n"
	"Gives a running domain, by name or id, another disk, as 'disk' in ringfence.cfg(5) specifies\n"
	"them; several words are one specification, as if there were commas between. What follows\n"
	"target= is the target to its end. Returns when the back end offers the disk.\n"
	"\n"
	"  -d, --disk=NAME   a disk that is defined at the hypervisor by this name\n"
	"  -h, --help        show this\n"
	"\n"
	"    ringfence block-attach alice vdev=xvdb,access=rw,backend=storage,target=/srv/b.img\n";

/* "a", "b" as "a,b"; to be freed. */
static char *join(char **words)
{
	char *all = strdup(words[0]), *both;

	for (words++; all && *words; words++) {
		if (asprintf(&both, "%s,%s", all, *words) < 0)
			both = NULL;
		free(all);
		all = both;
	}
	return all;
}

/* 0 or the exit status. */
static int attach_specified(
	int control_fd, const struct domain_line *dom, char **words, unsigned int *device)
{
	char *specification = join(words), *why = NULL;
	struct disk_config disk = {0};
	int rc;

	if (!specification || config_parse_disk(specification, &disk, &why)) {
		fprintf(stderr, "ringfence: disk '%s': %s\n", specification ? specification : words[0],
			why ? why : "out of memory");
		free(specification);
		free(why);
		return 1;
	}
	rc = attach_disk(control_fd, dom->domid, &disk, device);
	config_free_disk(&disk);
	free(specification);
	return rc ? 1 : 0;
}

static int attach_defined(int control_fd, const struct domain_line *dom, const char *name,
	const char *vdev, unsigned int *device)
{
	char domid[16], *text;
	int status = 1;

	snprintf(domid, sizeof(domid), "%u", dom->domid);
	text = request(control_fd, REQUEST_TIMEOUT_S, "block-attach", "domain", domid, "disk", name,
		"vdev", vdev, (char *)NULL);
	if (text && sscanf(text, "device=%u", device) == 1)
		status = 0;
	free(text);
	return status;
}

static bool is_offered(const struct domain0 *dom0, const struct block_line *disk, void *data)
{
	(void)data;
	return block_wait_number(dom0, disk, "state") >= XenbusStateInitWait;
}

static bool find_device(const char *lines, unsigned int device, struct block_line *disk)
{
	while (block_next(&lines, disk)) {
		if (disk->device == device)
			return true;
	}
	return false;
}

/* Not served, it is taken away again. */
static int wait_for_back_end(int control_fd, const struct domain_line *dom, unsigned int device)
{
	char domid[16], vdev[16], *lines, *error = NULL;
	struct block_line disk;
	struct domain0 dom0;
	int rc = -ENODEV, status;

	snprintf(domid, sizeof(domid), "%u", dom->domid);
	snprintf(vdev, sizeof(vdev), "%u", device);
	lines = request(control_fd, REQUEST_TIMEOUT_S, "block-list", "domain", domid, (char *)NULL);
	status = lines ? domain0_enter(&dom0, false) : 1;
	if (status == 0) {
		if (find_device(lines, device, &disk))
			rc = block_wait(&dom0, &disk, ATTACH_TIMEOUT_S, is_offered, NULL, &error);
		domain0_leave(&dom0);
		status = rc ? 1 : 0;
	}
	free(lines);
	if (rc == 0)
		return status;
	if (status)
		fprintf(stderr, "ringfence: the back end does not offer it: %s\n",
			error ? error : strerror(-rc));
	free(error);
	free(request(control_fd, REQUEST_TIMEOUT_S, "block-detach", "domain", domid, "vdev", vdev,
		"force", "1", (char *)NULL));
	return 1;
}

static int attach(char **args, const char *name)
{
	struct domain_line dom;
	unsigned int device;
	int fd, status = domain_find(args[0], &dom);

	if (status)
		return status;
	fd = command_connect(&status);
	if (fd < 0)
		return status;
	if (name)
		status = attach_defined(fd, &dom, name, args[1], &device);
	else
		status = attach_specified(fd, &dom, args + 1, &device);
	if (status == 0)
		status = wait_for_back_end(fd, &dom, device);
	close(fd);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option longs[] = {{"disk", required_argument, NULL, 'd'}, {0}};
	const char *name = NULL;
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+d:", longs, NULL)) != -1) {
		if (c != 'd')
			return command_usage(
				&command_block_attach, "unknown option, or one without its value");
		name = optarg;
	}
	if (name ? optind + 2 != argc : optind + 2 > argc)
		return command_usage(&command_block_attach,
			name ? "it takes a domain and a device" : "it takes a domain and a disk");
	return attach(argv + optind, name);
}

const struct command command_block_attach = {.name = "block-attach",
	.summary = "give a domain another disk", .usage = usage, .run = run};
