/* SPDX-License-Identifier: MIT */
/* The library's look at this domain's shared areas. xenstore is trusted; the memory is not touched. */
#include <ringfence/shm.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenstore.h>

#define PATH_SIZE 96

/* A node of this area, to be freed, or NULL with errno. */
static char *read_node(struct xs_handle *xs, uint32_t id, const char *node)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/local/shared_mem/%" PRIu32 "/%s", id, node);
	return xs_read(xs, XBT_NULL, path, NULL);
}

/* One of the nodes that tell of this domain; its text goes to `value`. 0 or -errno. */
static int read_own(struct xs_handle *xs, uint32_t id, const char *domid, const char *directory,
	const char *node, char *value, size_t size)
{
	char path[PATH_SIZE / 2], *text;
	int rc = 0;

	snprintf(path, sizeof(path), "%s/%.8s%s", directory, domid, node);
	text = read_node(xs, id, path);
	if (!text)
		return -errno;
	if (snprintf(value, size, "%s", text) >= (int)size)
		rc = -EPROTO;
	free(text);
	return rc;
}

static int read_area(struct xs_handle *xs, uint32_t id, const char *domid,
	struct rf_shm_area *area)
{
	char range[48], role[16], prot[8], offset[24];
	uint64_t begin, end, at;
	int rc = read_own(xs, id, domid, "mappings", "", range, sizeof(range));

	if (rc == 0)
		rc = read_own(xs, id, domid, "domains", "/role", role, sizeof(role));
	if (rc == 0)
		rc = read_own(xs, id, domid, "domains", "/prot", prot, sizeof(prot));
	if (rc == 0)
		rc = read_own(xs, id, domid, "domains", "/offset", offset, sizeof(offset));
	if (rc)
		return rc;
	if (sscanf(range, "0x%" SCNx64 "-0x%" SCNx64, &begin, &end) != 2 || end <= begin ||
		end > UINTPTR_MAX || sscanf(offset, "0x%" SCNx64, &at) != 1)
		return -EPROTO;
	*area = (struct rf_shm_area){.addr = (void *)(uintptr_t)begin,
		.size = (size_t)(end - begin),
		.offset = (size_t)at,
		.writable = strcmp(prot, "rw") == 0,
		.owner = strcmp(role, "owner") == 0};
	return 0;
}

int rf_shm_find(uint32_t id, struct rf_shm_area *area)
{
	struct xs_handle *xs = xs_open(0);
	char *domid;
	int rc;

	if (!xs)
		return -errno;
	domid = xs_read(xs, XBT_NULL, "domid", NULL);
	rc = domid ? read_area(xs, id, domid, area) : -errno;
	free(domid);
	xs_close(xs);
	/* Fails where anything in the range is not mapped, and does nothing else. */
	if (rc == 0 && msync(area->addr, area->size, MS_ASYNC) < 0)
		rc = -EFAULT;
	return rc;
}
