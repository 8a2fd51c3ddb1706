/* SPDX-License-Identifier: MIT */
/* What the toolstack says about a disk, opening it, and describing it to the front end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blkback/vbd_internal.h"
#include "common/clock.h"
#include "common/ring_status.h"

/* ---- publishing ---- */

static bool node_is(struct vbd *vbd, const char *node, const char *value)
{
	char *text = xenbus_read(vbd->ctx->xs, vbd->path, node);
	bool is = text && strcmp(text, value) == 0;

	free(text);
	return is;
}

/* The bits of node `info`. */
static unsigned int disk_info(struct vbd *vbd)
{
	unsigned int info = vbd->image->read_only ? VDISK_READONLY : 0;

	if (node_is(vbd, "device-type", "cdrom"))
		info |= VDISK_CDROM;
	return info;
}

static int write_offer(void *data, xs_transaction_t t)
{
	struct vbd *vbd = data;
	const struct driver_geometry *geo = &vbd->image->disk->geometry;
	const struct vbd_offer *offer = &vbd->ctx->offer;
	struct xs_handle *xs = vbd->ctx->xs;
	const struct {
		const char *node;
		unsigned long long value;
	} nodes[] = {
		{"sectors", image_size(vbd->image) / 512},
		{"sector-size", geo->sector_size},
		{"physical-sector-size", geo->physical_sector_size},
		{"info", disk_info(vbd)},
		{"feature-flush-cache", 1},
		{"feature-persistent",
			offer->grants == GRANT_AUTO || offer->grants == GRANT_PERSISTENT},
		{"feature-discard", vbd->can_discard},
		{"discard-granularity", geo->discard_granularity},
		{"discard-alignment", 0},
		{"feature-max-indirect-segments", offer->max_indirect_segments},
		{"max-ring-page-order", VBD_MAX_RING_PAGE_ORDER},
		{"multi-queue-max-queues", offer->max_queues},
		{RING_STATUS_NODE, offer->status},
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(nodes) / sizeof(nodes[0]); i++)
		rc = xenbus_printf(xs, t, vbd->path, nodes[i].node, "%llu", nodes[i].value);
	if (rc == 0)
		rc = xenbus_printf(xs, t, vbd->path, "state", "%d", XenbusStateInitWait);
	return rc;
}

/* ---- the disk behind it ---- */

/* A node's text, to be freed; NULL if it is missing or empty. */
static char *read_text(struct vbd *vbd, const char *node)
{
	char *text = xenbus_read(vbd->ctx->xs, vbd->path, node);

	if (text && *text)
		return text;
	free(text);
	return NULL;
}

/*
 * What the disk is: `params`; where that is empty, the device that a hotplug script has found for
 * us, by its path or by major:minor in hexadecimal. To be freed; NULL if there is none.
 */
static char *read_target(struct vbd *vbd)
{
	unsigned int major, minor;
	char *target = read_text(vbd, "params"), *numbers;

	if (!target)
		target = read_text(vbd, "physical-device-path");
	if (target)
		return target;
	numbers = read_text(vbd, "physical-device");
	if (numbers && (sscanf(numbers, "%x:%x", &major, &minor) != 2 ||
			asprintf(&target, "/dev/block/%u:%u", major, minor) < 0))
		target = NULL;
	free(numbers);
	return target;
}

/* Tells people why a disk is not served: in the log, and in xenstore. */
static void explain(struct vbd *vbd, const char *text)
{
	log_error("domain %u device %u: %s", vbd->domid, vbd->device, text);
	if (xenbus_write_error(vbd->ctx->xs, vbd->path, text))
		log_debug("cannot write the error node");
}

static int open_image(struct vbd *vbd)
{
	char *target = read_target(vbd);
	char *mode = xenbus_read(vbd->ctx->xs, vbd->path, "mode");
	char error[192] = "", text[448];
	int rc = -ENOENT;

	if (target && mode)
		rc = image_get(target, mode[0] != 'w', &vbd->ctx->cache, &vbd->image, error,
			sizeof(error));
	if (rc) {
		snprintf(text, sizeof(text), "cannot open %.200s: %s", target ? target : "(no params)",
			error[0] ? error : strerror(-rc));
		explain(vbd, text);
	}
	free(target);
	free(mode);
	return rc;
}

void vbd_offer(struct vbd *vbd)
{
	int rc;

	if (vbd->refused)
		return;
	if (!vbd->image && open_image(vbd)) {
		vbd->refused = true;
		vbd_set_state(vbd, XenbusStateClosed);
		return;
	}
	vbd->failed = false;
	vbd->can_discard = vbd->image->disk->geometry.can_discard && !vbd->image->read_only &&
		!node_is(vbd, "discard-enable", "0");
	rc = xenbus_update(vbd->ctx->xs, vbd->path, write_offer, vbd);
	if (rc && rc != -ENOENT)
		log_error("domain %u device %u: cannot publish the disk: %s", vbd->domid,
			vbd->device, strerror(-rc));
	vbd->offered = rc == 0;
	vbd->offered_ns = clock_ns();
}

/* ---- weight and limits ---- */

/* A number that the toolstack may have set; 0 if it is missing, or out of range, which is said. */
static uint64_t read_setting(struct vbd *vbd, const char *node, uint64_t max)
{
	uint64_t value = 0;
	int rc = xenbus_read_u64(vbd->ctx->xs, vbd->path, node, 0, max, &value);

	if (rc && rc != -ENOENT && vbd_may_log(vbd))
		log_warn("domain %u device %u: %s is not a number up to %llu; not used", vbd->domid,
			vbd->device, node, (unsigned long long)max);
	return rc ? 0 : value;
}

void vbd_read_share(struct vbd *vbd)
{
	struct sched_share *share = &vbd->share;

	atomic_store_explicit(&share->weight,
		(uint32_t)read_setting(vbd, "weight", SCHED_WEIGHT_MAX), memory_order_relaxed);
	limit_set(&share->operations, read_setting(vbd, "limit-iops", UINT32_MAX),
		read_setting(vbd, "limit-iops-burst", UINT32_MAX));
	limit_set(&share->bytes, read_setting(vbd, "limit-bps", INT64_MAX),
		read_setting(vbd, "limit-bps-burst", INT64_MAX));
}

/* ---- another size ---- */

/* Linux's front end looks at `sectors` when our state is written again while it is connected. */
static int write_size(void *data, xs_transaction_t t)
{
	struct vbd *vbd = data;
	struct xs_handle *xs = vbd->ctx->xs;
	enum xenbus_state own = xenbus_read_state(xs, t, vbd->path);
	int rc;

	if (own != XenbusStateInitWait && own != XenbusStateConnected)
		return 0;
	rc = xenbus_printf(xs, t, vbd->path, "sectors", "%llu",
		(unsigned long long)(image_size(vbd->image) / 512));
	if (rc == 0 && own == XenbusStateConnected)
		rc = xenbus_printf(xs, t, vbd->path, "state", "%d", own);
	return rc;
}

void vbd_image_resized(struct vbd_context *ctx, const struct image *image)
{
	struct vbd *vbd;
	int rc;

	list_for_each(vbd, &ctx->vbds, link) {
		if (vbd->image != image || !vbd->offered)
			continue;
		rc = xenbus_update(ctx->xs, vbd->path, write_size, vbd);
		if (rc && rc != -ENOENT)
			log_error("domain %u device %u: cannot publish the new size: %s",
				vbd->domid, vbd->device, strerror(-rc));
	}
}
