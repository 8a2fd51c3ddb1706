/* SPDX-License-Identifier: MIT */
/* Control verbs about disks and their attachments. */
#include "hypervisor/control_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/vdev.h"
#include "hypervisor/vbd.h"

static bool disk_share_arguments(
	struct control_conn *conn, const struct control_request *req, struct disk_share *share)
{
	return control_optional_number(conn, req, "weight", DISK_WEIGHT_MAX, &share->weight) &&
		control_optional_number(conn, req, "iops", UINT32_MAX, &share->iops) &&
		control_optional_number(conn, req, "iops-burst", UINT32_MAX, &share->iops_burst) &&
		control_optional_number(conn, req, "bps", INT64_MAX, &share->bps) &&
		control_optional_number(conn, req, "bps-burst", INT64_MAX, &share->bps_burst);
}

static void do_disk_define(struct control_conn *conn, const struct control_request *req)
{
	const char *name = control_required(conn, req, "name");
	const char *target = name ? control_required(conn, req, "target") : NULL;
	const char *backend = target ? control_required(conn, req, "backend") : NULL;
	const char *mode = control_argument(req, "mode");
	struct disk_share share;
	int rc;

	if (!backend || !disk_share_arguments(conn, req, &share))
		return;
	rc = disk_define(conn->hv, name, target, mode ? mode : "r", backend, &share);
	if (rc)
		control_reply(conn, rc, "cannot define disk %s: %s", name,
			rc == -EEXIST	? "the name is taken"
			: rc == -ENOENT ? "there is no such driver domain"
					: strerror(-rc));
	else
		control_reply(conn, 0, "%s", "");
}

static void print_disks(struct hypervisor *hv, FILE *out)
{
	struct disk *disk;

	list_for_each(disk, &hv->disks, link)
		fprintf(out, "name=%s mode=%c backend=%s target=%s\n", disk->name, disk->mode,
			disk->backend, disk->target);
}

static void do_disk_list(struct control_conn *conn, const struct control_request *req)
{
	(void)req;
	control_reply_printed(conn, print_disks);
}

/* The definition that `disk=NAME` means, or one that the arguments spell out. False: answered. */
static bool attach_arguments(
	struct control_conn *conn, const struct control_request *req, struct vbd_config *config)
{
	const char *name = control_argument(req, "disk"), *backend, *mode;
	const struct disk *disk = name ? disk_find(conn->hv, name) : NULL;

	if (name && !disk) {
		control_reply(conn, -ENOENT, "cannot attach disk %s: there is no such disk", name);
		return false;
	}
	if (disk) {
		config->target = disk->target;
		config->mode = disk->mode;
		config->share = disk->share;
		backend = disk->backend;
	} else {
		config->target = control_required(conn, req, "target");
		backend = config->target ? control_required(conn, req, "backend") : NULL;
		mode = control_argument(req, "mode");
		config->mode = !mode ? 'r' : strlen(mode) == 1 ? mode[0] : '?';
		if (!backend || !disk_share_arguments(conn, req, &config->share))
			return false;
	}
	config->backend = control_domain(conn, backend);
	return config->backend != NULL;
}

static void do_block_attach(struct control_conn *conn, const struct control_request *req)
{
	struct domain *dom = control_domain_argument(conn, req);
	struct vbd_config config = {.vdev = dom ? control_required(conn, req, "vdev") : NULL};
	unsigned int device;
	int rc;

	if (!config.vdev || !attach_arguments(conn, req, &config))
		return;
	rc = vbd_attach(conn->hv, dom, &config, &device);
	if (rc)
		control_reply(conn, rc, "cannot attach %s to domain %u as %s: %s", config.target,
			dom->id, config.vdev,
			rc == -EEXIST	? "the device is there already"
			: rc == -EINVAL ? "not a device name (xvda, xvdb, ...), target or mode (r, w)"
					: strerror(-rc));
	else
		control_reply(conn, 0, "device=%u frontend=/local/domain/%u/device/vbd/%u", device,
			dom->id, device);
}

static void print_devices(struct hypervisor *hv, FILE *out)
{
	vbd_print(hv, NULL, out);
}

static void do_block_list(struct control_conn *conn, const struct control_request *req)
{
	const char *text = control_argument(req, "domain");
	struct domain *dom = text ? control_domain(conn, text) : NULL;

	if (dom)
		control_reply_printed_of(conn, dom, vbd_print);
	else if (!text)
		control_reply_printed(conn, print_devices);
}

static void detached(void *data, int status)
{
	struct control_conn *conn = data;

	if (status)
		control_reply(conn, status,
			"the guest has not let go of the device within 10 s; it goes as soon as the "
			"guest does, and at once if forced");
	else
		control_reply(conn, 0, "%s", "");
}

static void do_block_detach(struct control_conn *conn, const struct control_request *req)
{
	struct domain *dom = control_domain_argument(conn, req);
	const char *vdev = dom ? control_required(conn, req, "vdev") : NULL;
	const char *force = control_argument(req, "force");
	struct vbd *vbd = NULL;
	uint32_t device;
	int rc;

	if (!vdev)
		return;
	if (vdev_parse(vdev, &device) == 0)
		vbd = vbd_find(conn->hv, dom->id, device);
	rc = vbd ? vbd_detach(vbd, force && strcmp(force, "1") == 0, detached, conn) : -ENOENT;
	if (rc)
		control_reply(conn, rc, "cannot detach %s from domain %u: %s", vdev, dom->id,
			rc == -ENOENT ? "it has no such device" : strerror(-rc));
}

const struct control_verb control_disk_verbs[] = {{"disk-define", do_disk_define},
	{"disk-list", do_disk_list}, {"block-attach", do_block_attach},
	{"block-list", do_block_list}, {"block-detach", do_block_detach}, {0}};
