/* SPDX-License-Identifier: MIT */
/* Device nodes of vbds (xen/io/blkif.h, libxl's conventions). Main thread only. */
#include "hypervisor/vbd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/io/xenbus.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/parse.h"

#define CLOSE_TIMEOUT_NS (10 * NSEC_PER_SEC)
#define PATH_SIZE 128

/* One attached device: exists from attach until its back end directory is removed. */
struct vbd {
	struct list link; /* hv->vbds, those that are closing first */
	struct hypervisor *hv;
	unsigned int frontend_domid, backend_domid, device;
	bool closing;
	struct loop_timer timer; /* closing: bounds the wait; then: remove outside the store's hook */
};

/* ---- definitions ---- */

static struct disk *disk_find(struct hypervisor *hv, const char *name)
{
	struct disk *disk;

	list_for_each(disk, &hv->disks, link) {
		if (strcmp(disk->name, name) == 0)
			return disk;
	}
	return NULL;
}

int disk_define(struct hypervisor *hv, const char *name, const char *target, const char *mode,
	const char *backend, const struct disk_share *share)
{
	size_t target_len = strlen(target);
	struct disk *disk;

	if (!domain_name_valid(name) || target_len == 0 || target_len > 1024 ||
		(strcmp(mode, "r") != 0 && strcmp(mode, "w") != 0))
		return -EINVAL;
	if (disk_find(hv, name))
		return -EEXIST;
	if (!domain_by_name(hv, backend))
		return -ENOENT;
	disk = calloc(1, sizeof(*disk) + target_len + 1);
	if (!disk)
		return -ENOMEM;
	snprintf(disk->name, sizeof(disk->name), "%s", name);
	snprintf(disk->backend, sizeof(disk->backend), "%s", backend);
	disk->mode = mode[0];
	disk->share = *share;
	memcpy(disk->target, target, target_len + 1);
	list_add_tail(&hv->disks, &disk->link);
	return 0;
}

void disk_undefine_all(struct hypervisor *hv)
{
	struct disk *disk, *tmp;

	list_for_each_safe(disk, tmp, &hv->disks, link) {
		list_del(&disk->link);
		free(disk);
	}
}

/* ---- attaching ---- */

/*
 * xvdX and sdX-style names of whole disks: xen's docs/misc/vbd-interface.txt gives 202<<8|disk<<4
 * for the first sixteen disks and 1<<28|disk<<8 for later ones.
 */
static int parse_vdev(const char *vdev, unsigned int *device)
{
	unsigned int disk = 0;
	const char *c;

	if (strncmp(vdev, "xvd", 3) != 0 || !vdev[3] || strlen(vdev) > 5)
		return -EINVAL;
	for (c = vdev + 3; *c; c++) {
		if (*c < 'a' || *c > 'z')
			return -EINVAL;
		disk = disk * 26 + (unsigned int)(*c - 'a') + 1;
	}
	disk--;
	*device = disk < 16 ? 202u << 8 | disk << 4 : 1u << 28 | disk << 8;
	return 0;
}

static void backend_path(const struct vbd *vbd, char *path)
{
	snprintf(path, PATH_SIZE, "/local/domain/%u/backend/vbd/%u/%u", vbd->backend_domid,
		vbd->frontend_domid, vbd->device);
}

static void frontend_path(const struct vbd *vbd, char *path)
{
	snprintf(path, PATH_SIZE, "/local/domain/%u/device/vbd/%u", vbd->frontend_domid,
		vbd->device);
}

/* One node of a device directory that `owner` owns and `reader` may read. */
static int write_node(struct hypervisor *hv, const char *dir, const char *node,
	const struct store_perm *perms, const char *value)
{
	char path[PATH_SIZE + 32];

	snprintf(path, sizeof(path), "%s%s%s", dir, *node ? "/" : "", node);
	return store_write(hv->store, path, value, strlen(value), perms, 2);
}

static int write_share(const struct vbd *vbd, const char *dir, const struct store_perm *perms,
	const struct disk_share *share)
{
	const struct {
		const char *node;
		uint64_t value;
	} nodes[] = {{"weight", share->weight}, {"limit-iops", share->iops},
		{"limit-iops-burst", share->iops_burst}, {"limit-bps", share->bps},
		{"limit-bps-burst", share->bps_burst}};
	char text[24];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		if (!nodes[i].value)
			continue;
		snprintf(text, sizeof(text), "%llu", (unsigned long long)nodes[i].value);
		rc = write_node(vbd->hv, dir, nodes[i].node, perms, text);
	}
	return rc;
}

static int write_backend(const struct vbd *vbd, const struct domain *frontend_dom,
	const struct disk *disk, const char *vdev)
{
	const struct store_perm perms[] = {
		{vbd->backend_domid, 'n'}, {vbd->frontend_domid, 'r'}};
	char dir[PATH_SIZE], frontend[PATH_SIZE], domid[16], state[4], mode[2] = {disk->mode, '\0'};
	int rc;

	backend_path(vbd, dir);
	frontend_path(vbd, frontend);
	snprintf(domid, sizeof(domid), "%u", vbd->frontend_domid);
	snprintf(state, sizeof(state), "%d", XenbusStateInitialising);
	const char *const nodes[][2] = {{"", ""}, {"frontend", frontend}, {"frontend-id", domid},
		{"domain", frontend_dom->name}, {"online", "1"}, {"removable", "0"}, {"bootable", "1"}, {"dev", vdev},
		{"type", "phy"}, {"device-type", "disk"}, {"mode", mode}, {"params", disk->target}};

	rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(nodes) / sizeof(nodes[0]); i++)
		rc = write_node(vbd->hv, dir, nodes[i][0], perms, nodes[i][1]);
	if (rc == 0)
		rc = write_share(vbd, dir, perms, &disk->share);
	/* Last: with it the device is there. */
	return rc ? rc : write_node(vbd->hv, dir, "state", perms, state);
}

static int write_frontend(const struct vbd *vbd)
{
	const struct store_perm perms[] = {
		{vbd->frontend_domid, 'n'}, {vbd->backend_domid, 'r'}};
	char dir[PATH_SIZE], backend[PATH_SIZE], domid[16], device[16], state[4];
	int rc;

	frontend_path(vbd, dir);
	backend_path(vbd, backend);
	snprintf(domid, sizeof(domid), "%u", vbd->backend_domid);
	snprintf(device, sizeof(device), "%u", vbd->device);
	snprintf(state, sizeof(state), "%d", XenbusStateInitialising);
	const char *const nodes[][2] = {{"", ""}, {"backend", backend}, {"backend-id", domid},
		{"virtual-device", device}, {"handle", device}, {"device-type", "disk"},
		{"state", state}};

	rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(nodes) / sizeof(nodes[0]); i++)
		rc = write_node(vbd->hv, dir, nodes[i][0], perms, nodes[i][1]);
	return rc;
}

static void remove_nodes(const struct vbd *vbd)
{
	char path[PATH_SIZE];

	frontend_path(vbd, path);
	store_rm(vbd->hv->store, path);
	backend_path(vbd, path);
	store_rm(vbd->hv->store, path);
	snprintf(path, sizeof(path), "/local/domain/%u/backend/vbd/%u", vbd->backend_domid,
		vbd->frontend_domid);
	/* Another disk of the same pair may still be there; rm would take it along. */
	struct vbd *other;
	list_for_each(other, &vbd->hv->vbds, link) {
		if (other != vbd && other->frontend_domid == vbd->frontend_domid &&
			other->backend_domid == vbd->backend_domid)
			return;
	}
	store_rm(vbd->hv->store, path);
}

static void vbd_free(struct vbd *vbd)
{
	loop_timer_cancel(&vbd->timer);
	list_del(&vbd->link);
	free(vbd);
}

static void vbd_close_done(struct loop_timer *timer)
{
	struct vbd *vbd = container_of(timer, struct vbd, timer);

	remove_nodes(vbd);
	vbd_free(vbd);
}

int vbd_attach(struct hypervisor *hv, struct domain *dom, const char *disk_name, const char *vdev,
	unsigned int *device)
{
	struct disk *disk = disk_find(hv, disk_name);
	struct domain *backend = disk ? domain_by_name(hv, disk->backend) : NULL;
	struct vbd *vbd;
	int rc;

	if (!backend)
		return -ENOENT;
	rc = parse_vdev(vdev, device);
	if (rc)
		return rc;
	list_for_each(vbd, &hv->vbds, link) {
		if (vbd->frontend_domid == dom->id && vbd->device == *device)
			return -EEXIST;
	}
	vbd = calloc(1, sizeof(*vbd));
	if (!vbd)
		return -ENOMEM;
	vbd->hv = hv;
	vbd->frontend_domid = dom->id;
	vbd->backend_domid = backend->id;
	vbd->device = *device;
	loop_timer_init(&vbd->timer, vbd_close_done);
	list_add_tail(&hv->vbds, &vbd->link);
	rc = write_frontend(vbd);
	if (rc == 0)
		rc = write_backend(vbd, dom, disk, vdev);
	if (rc) {
		remove_nodes(vbd);
		vbd_free(vbd);
	}
	return rc;
}

/* ---- closing ---- */

/* Called at every write to the store: looks at no more vbds than are closing, the first ones. */
void vbd_store_changed(struct hypervisor *hv, const char *path)
{
	char state_path[PATH_SIZE + 8];
	const char *state;
	struct vbd *vbd;

	list_for_each(vbd, &hv->vbds, link) {
		if (!vbd->closing || !strstr(path, "/backend/vbd/"))
			return;
		backend_path(vbd, state_path);
		strcat(state_path, "/state");
		if (strcmp(path, state_path) != 0)
			continue;
		state = store_read(hv->store, state_path, NULL);
		if (!state || atoi(state) == XenbusStateClosed)
			loop_timer_set(&hv->loop, &vbd->timer, clock_ns());
		return;
	}
}

/* As libxl when a domain is destroyed: offline, Closing, and a bounded wait for Closed. */
static void begin_close(struct vbd *vbd)
{
	char dir[PATH_SIZE], path[PATH_SIZE + 16];
	const char *state;
	int rc;

	backend_path(vbd, dir);
	vbd->closing = true;
	list_del(&vbd->link);
	list_insert(&vbd->hv->vbds, &vbd->link); /* before all that are not */
	snprintf(path, sizeof(path), "%s/online", dir);
	rc = store_printf(vbd->hv->store, path, "0");
	snprintf(path, sizeof(path), "%s/state", dir);
	state = store_read(vbd->hv->store, path, NULL);
	if (rc == 0 && state && atoi(state) != XenbusStateClosed) {
		loop_timer_set(&vbd->hv->loop, &vbd->timer, clock_ns() + CLOSE_TIMEOUT_NS);
		rc = store_printf(vbd->hv->store, path, "%d", XenbusStateClosing);
		if (rc == 0)
			return;
	}
	loop_timer_set(&vbd->hv->loop, &vbd->timer, clock_ns());
}

void vbd_domain_gone(struct hypervisor *hv, unsigned int domid)
{
	struct vbd *vbd, *tmp;

	list_for_each_safe(vbd, tmp, &hv->vbds, link) {
		if (vbd->backend_domid == domid) {
			/* The back end's directory vanishes: that is what its front end sees. */
			remove_nodes(vbd);
			vbd_free(vbd);
		} else if (vbd->frontend_domid == domid && !vbd->closing) {
			begin_close(vbd);
		}
	}
}

void vbd_forget_all(struct hypervisor *hv)
{
	struct vbd *vbd, *tmp;

	list_for_each_safe(vbd, tmp, &hv->vbds, link)
		vbd_free(vbd);
}
