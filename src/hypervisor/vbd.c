/* SPDX-License-Identifier: MIT */
/* Device nodes of vbds (xen/io/blkif.h, libxl's conventions). Main thread only. */
#include "hypervisor/vbd_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/io/xenbus.h>

#include "common/vdev.h"

#define PATH_SIZE VBD_PATH_SIZE

/* ---- definitions ---- */

struct disk *disk_find(struct hypervisor *hv, const char *name)
{
	struct disk *disk;

	list_for_each(disk, &hv->disks, link) {
		if (strcmp(disk->name, name) == 0)
			return disk;
	}
	return NULL;
}

static bool disk_target_valid(const char *target)
{
	size_t len = strlen(target);

	return len > 0 && len <= DISK_TARGET_MAX;
}

int disk_define(struct hypervisor *hv, const char *name, const char *target, const char *mode,
	const char *backend, const struct disk_share *share)
{
	size_t target_len = strlen(target);
	struct disk *disk;

	if (!domain_name_valid(name) || !disk_target_valid(target) ||
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

void disk_backend_renamed(struct hypervisor *hv, const char *from, const char *to)
{
	struct disk *disk;

	list_for_each(disk, &hv->disks, link) {
		if (strcmp(disk->backend, from) == 0)
			snprintf(disk->backend, sizeof(disk->backend), "%s", to);
	}
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

void vbd_backend_path(const struct vbd *vbd, char path[VBD_PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "/local/domain/%u/backend/vbd/%u/%u", vbd->backend_domid,
		vbd->frontend_domid, vbd->device);
}

void vbd_frontend_path(const struct vbd *vbd, char path[VBD_PATH_SIZE])
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

static int write_backend(
	const struct vbd *vbd, const struct domain *frontend_dom, const struct vbd_config *config)
{
	const struct store_perm perms[] = {
		{vbd->backend_domid, 'n'}, {vbd->frontend_domid, 'r'}};
	char dir[PATH_SIZE], frontend[PATH_SIZE], domid[16], state[4], mode[2] = {config->mode, '\0'};
	int rc;

	vbd_backend_path(vbd, dir);
	vbd_frontend_path(vbd, frontend);
	snprintf(domid, sizeof(domid), "%u", vbd->frontend_domid);
	snprintf(state, sizeof(state), "%d", XenbusStateInitialising);
	const char *const nodes[][2] = {{"", ""}, {"frontend", frontend}, {"frontend-id", domid},
		{"domain", frontend_dom->name}, {"online", "1"}, {"removable", "0"},
		{"bootable", "1"}, {"dev", config->vdev},
		{"type", "phy"}, {"device-type", "disk"}, {"mode", mode}, {"params", config->target}};

	rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(nodes) / sizeof(nodes[0]); i++)
		rc = write_node(vbd->hv, dir, nodes[i][0], perms, nodes[i][1]);
	if (rc == 0)
		rc = write_share(vbd, dir, perms, &config->share);
	/* Last: with it the device is there. */
	return rc ? rc : write_node(vbd->hv, dir, "state", perms, state);
}

static int write_frontend(const struct vbd *vbd)
{
	const struct store_perm perms[] = {
		{vbd->frontend_domid, 'n'}, {vbd->backend_domid, 'r'}};
	char dir[PATH_SIZE], backend[PATH_SIZE], domid[16], device[16], state[4];
	int rc;

	vbd_frontend_path(vbd, dir);
	vbd_backend_path(vbd, backend);
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

void vbd_remove_nodes(const struct vbd *vbd)
{
	char path[PATH_SIZE];

	vbd_frontend_path(vbd, path);
	store_rm(vbd->hv->store, path);
	vbd_backend_path(vbd, path);
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

static struct vbd *vbd_alloc(struct hypervisor *hv, const struct domain *dom,
	const struct domain *backend, unsigned int device)
{
	struct vbd *vbd = calloc(1, sizeof(*vbd));

	if (!vbd)
		return NULL;
	vbd->hv = hv;
	vbd->frontend_domid = dom->id;
	vbd->backend_domid = backend->id;
	vbd->device = device;
	list_init(&vbd->waiters);
	vbd_timer_init(vbd);
	list_add_tail(&hv->vbds, &vbd->link);
	return vbd;
}

struct vbd *vbd_find(struct hypervisor *hv, unsigned int domid, unsigned int device)
{
	struct vbd *vbd;

	list_for_each(vbd, &hv->vbds, link) {
		if (vbd->frontend_domid == domid && vbd->device == device)
			return vbd;
	}
	return NULL;
}

int vbd_attach(struct hypervisor *hv, struct domain *dom, const struct vbd_config *config,
	unsigned int *device)
{
	struct vbd *vbd;
	int rc;

	if (!disk_target_valid(config->target) || (config->mode != 'r' && config->mode != 'w') ||
		vdev_parse(config->vdev, device) || *device == 0)
		return -EINVAL;
	if (vbd_find(hv, dom->id, *device))
		return -EEXIST;
	vbd = vbd_alloc(hv, dom, config->backend, *device);
	if (!vbd)
		return -ENOMEM;
	rc = write_frontend(vbd);
	if (rc == 0)
		rc = write_backend(vbd, dom, config);
	if (rc) {
		vbd_remove_nodes(vbd);
		vbd_free(vbd);
	}
	return rc;
}

void vbd_forget_all(struct hypervisor *hv)
{
	struct vbd *vbd, *tmp;

	list_for_each_safe(vbd, tmp, &hv->vbds, link)
		vbd_free(vbd);
}
