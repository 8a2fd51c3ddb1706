/* SPDX-License-Identifier: MIT */
/* Control verbs about disks and their attachments. */
#include "hypervisor/control_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"
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

static void do_block_attach(struct control_conn *conn, const struct control_request *req)
{
	const char *domid_text = control_required(conn, req, "domain");
	const char *disk = domid_text ? control_required(conn, req, "disk") : NULL;
	const char *vdev = disk ? control_required(conn, req, "vdev") : NULL;
	struct domain *dom;
	unsigned int device;
	uint64_t domid;
	int rc;

	if (!vdev)
		return;
	dom = parse_u64(domid_text, 1, DOMAIN_FIRST_RESERVED - 1, &domid)
		? NULL : domain_by_id(conn->hv, (unsigned int)domid);
	if (!dom) {
		control_reply(conn, -ENOENT, "there is no domain %s", domid_text);
		return;
	}
	rc = vbd_attach(conn->hv, dom, disk, vdev, &device);
	if (rc)
		control_reply(conn, rc, "cannot attach disk %s to domain %u as %s: %s", disk, dom->id, vdev,
			rc == -ENOENT	? "there is no such disk, or its driver domain does not run"
			: rc == -EEXIST ? "the device is there already"
			: rc == -EINVAL ? "not a device name (xvda, xvdb, ...)"
					: strerror(-rc));
	else
		control_reply(conn, 0, "device=%u frontend=/local/domain/%u/device/vbd/%u", device, dom->id,
			device);
}

const struct control_verb control_disk_verbs[] = {{"disk-define", do_disk_define},
	{"disk-list", do_disk_list}, {"block-attach", do_block_attach}, {0}};
