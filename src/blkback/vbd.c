/* SPDX-License-Identifier: MIT */
/*
 * The state machine of a disk. Every change in xenstore leads to the same question, asked in
 * update(): given both ends' states, the toolstack's wish and what we hold, what is next?
 */
#include "blkback/vbd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "blkback/stats.h"
#include "blkback/vbd_internal.h"
#include "blkback/xenhost.h"
#include "common/clock.h"

/* libxl complains if a directory goes at once, and waits 10 s for one that stays. */
#define REMOVE_AFTER_NS (500 * NSEC_PER_MSEC)
/* libxl waits to see InitWait; a quick front end must not carry us past it unseen. */
#define SHOW_INITWAIT_NS (100 * NSEC_PER_MSEC)

bool vbd_may_log(struct vbd *vbd)
{
	return ratelimit_pass(&vbd->log_limit, 20, 10 * NSEC_PER_SEC);
}

void vbd_set_state(struct vbd *vbd, enum xenbus_state state)
{
	int rc = xenbus_write_state(vbd->ctx->xs, vbd->path, state);

	if (rc && rc != -ENOENT)
		log_error("domain %u device %u: cannot write state %d: %s", vbd->domid, vbd->device,
			state, strerror(-rc));
}

void vbd_fail(struct vbd *vbd, const char *why)
{
	if (vbd_may_log(vbd))
		log_error("domain %u device %u: %s; the device is closed", vbd->domid, vbd->device,
			why);
	vbd->failed = true;
	if (xenbus_write_error(vbd->ctx->xs, vbd->path, why))
		log_debug("cannot write the error node");
	vbd_set_state(vbd, XenbusStateClosing);
}

/* ---- when to look ---- */

void vbd_mark(struct vbd *vbd)
{
	if (list_empty(&vbd->changed_link))
		list_add_tail(&vbd->ctx->changed, &vbd->changed_link);
}

/* Has it looked at then; a later call replaces an earlier one. */
static void set_timer(struct vbd *vbd, uint64_t due_ns)
{
	struct list *at;

	list_del(&vbd->timer_link);
	vbd->due_ns = due_ns;
	/* Those of a kind come in order, so the end is near. */
	for (at = vbd->ctx->timers.prev; at != &vbd->ctx->timers; at = at->prev) {
		if (container_of(at, struct vbd, timer_link)->due_ns <= due_ns)
			break;
	}
	list_insert(at, &vbd->timer_link);
}

int vbd_timeout_ms(const struct vbd_context *ctx, uint64_t now_ns, int max_ms)
{
	const struct vbd *first;
	uint64_t ms;

	if (list_empty(&ctx->timers))
		return max_ms;
	first = list_first(&ctx->timers, struct vbd, timer_link);
	if (first->due_ns <= now_ns)
		return 0;
	ms = (first->due_ns - now_ns) / NSEC_PER_MSEC + 1;
	return ms < (uint64_t)max_ms ? (int)ms : max_ms;
}

/* ---- closing ---- */

/* Both ends agree to part: Closing until nothing is in use, then Closed. */
static void close_down(struct vbd *vbd, enum xenbus_state own)
{
	if (!vbd_disconnect(vbd)) {
		if (own != XenbusStateClosing)
			vbd_set_state(vbd, XenbusStateClosing);
		return;
	}
	if (own != XenbusStateClosed)
		vbd_set_state(vbd, XenbusStateClosed);
}

/* One end wants to part, but the front end still uses the disk and is served until it is Closed. */
static void wait_for_front(struct vbd *vbd, enum xenbus_state own)
{
	if (own != XenbusStateClosing)
		vbd_set_state(vbd, XenbusStateClosing);
}

/*
 * The device is Closed and given up by the toolstack: its directory is ours to remove, but not at
 * once. In a driver domain nobody else does; in dom0 libxl may be the first.
 */
static void remove_later(struct vbd *vbd)
{
	uint64_t now = clock_ns();
	int rc;

	if (!vbd->remove_ns) {
		vbd->remove_ns = now + REMOVE_AFTER_NS;
		set_timer(vbd, vbd->remove_ns);
		return;
	}
	if (now < vbd->remove_ns)
		return;
	rc = xenbus_remove_closed(vbd->ctx->xs, vbd->path);
	if (rc && rc != -ENOENT && rc != -ECANCELED && vbd_may_log(vbd))
		log_error("domain %u device %u: cannot remove %s: %s", vbd->domid, vbd->device,
			vbd->path, strerror(-rc));
}

/* The toolstack takes the disk away: online is 0. */
static void follow_toolstack(struct vbd *vbd, enum xenbus_state own, enum xenbus_state front)
{
	bool used = vbd->state == VBD_CONNECTED && !vbd->failed &&
		front != XenbusStateInitialising && front != XenbusStateClosed &&
		front != XenbusStateUnknown;

	if (used)
		wait_for_front(vbd, own);
	else if (own != XenbusStateClosed || vbd->state != VBD_DISCONNECTED)
		close_down(vbd, own);
	else
		remove_later(vbd);
}

/* ---- connecting ---- */

/*
 * True once libxl has seen InitWait: it says so by running the hotplug script, which tells us in
 * hotplug-status. Not every script does, and in a driver domain there may be nobody to run one: so
 * a moment is enough.
 */
static bool may_leave_initwait(struct vbd *vbd)
{
	uint64_t until = vbd->offered_ns + SHOW_INITWAIT_NS;
	char *status;
	bool done;

	if (!vbd->has_script || clock_ns() >= until)
		return true;
	status = xenbus_read(vbd->ctx->xs, vbd->path, "hotplug-status");
	done = status && strcmp(status, "connected") == 0;
	free(status);
	if (!done)
		set_timer(vbd, until);
	return done;
}

/* It is Connected, but not to this process; to which no ring can tell what is unanswered. */
static void leave_alone(struct vbd *vbd)
{
	if (!vbd->orphan)
		log_error("domain %u device %u: connected to another process, which may have ended; "
			  "left alone until it is detached", vbd->domid, vbd->device);
	vbd->orphan = true;
}

static void follow_front(struct vbd *vbd, enum xenbus_state own, enum xenbus_state front)
{
	/* InitWait without us: by a process before this one. */
	bool is_new = own == XenbusStateInitialising ||
		(own == XenbusStateInitWait && !vbd->offered);

	switch (front) {
	case XenbusStateInitialising:
		if (own == XenbusStateClosing) /* it did not wait for us: first things first */
			close_down(vbd, own);
		else if ((is_new || own == XenbusStateClosed) && vbd_disconnect(vbd))
			vbd_offer(vbd);
		break;
	case XenbusStateInitialised:
	case XenbusStateConnected:
		if (is_new)
			vbd_offer(vbd);
		else if (vbd->state != VBD_DISCONNECTED)
			break;
		else if (own == XenbusStateInitWait && may_leave_initwait(vbd))
			vbd_connect(vbd);
		else if (own == XenbusStateConnected)
			leave_alone(vbd);
		break;
	case XenbusStateClosing:
		if (vbd->state == VBD_CONNECTED)
			wait_for_front(vbd, own);
		else
			close_down(vbd, own);
		break;
	case XenbusStateClosed:
	case XenbusStateUnknown: /* its nodes are gone, and so is the domain; or it is nonsense */
		close_down(vbd, own);
		break;
	default:
		break;
	}
}

/* ---- the state machine ---- */

/* The kernel's back end may have been loaded since we started; what it has is not ours. */
static bool has_rival(struct vbd *vbd)
{
	if (!vbd->ctx->sysfs || vbd->offered || !xenhost_has_kernel_blkback(vbd->ctx->sysfs))
		return false;
	if (!vbd->rivalled)
		log_error("domain %u device %u: not served: " XENHOST_RIVAL, vbd->domid,
			vbd->device);
	vbd->rivalled = true;
	return true;
}

/* The directory went; and perhaps another one of the same name has come before we looked. */
static void end_life(struct vbd *vbd)
{
	struct vbd_context *ctx = vbd->ctx;
	unsigned int domid = vbd->domid, device = vbd->device;

	vbd->gone = true;
	if (!vbd_disconnect(vbd))
		return;
	stats_vbd_gone(vbd);
	vbd_free(vbd);
	vbd_find_and_mark(ctx, domid, device);
}

static void update(struct vbd *vbd)
{
	struct xs_handle *xs = vbd->ctx->xs;
	enum xenbus_state own = xenbus_read_state(xs, XBT_NULL, vbd->path), front;

	/* Nobody but the toolstack writes Initialising: then it made the directory anew. */
	if (vbd->gone || own == XenbusStateUnknown ||
		(own == XenbusStateInitialising && (vbd->offered || vbd->refused))) {
		end_life(vbd);
		return;
	}
	if (!vbd_adopt(vbd) || has_rival(vbd))
		return;
	vbd_read_share(vbd);
	front = xenbus_read_state(xs, XBT_NULL, vbd->frontend);
	if (vbd->ctx->stopping) {
		if (!vbd->orphan)
			close_down(vbd, own);
	} else if (!xenbus_is_online(xs, XBT_NULL, vbd->path)) {
		follow_toolstack(vbd, own, front);
	} else if (vbd->failed &&
		   (front != XenbusStateInitialising || own != XenbusStateClosed)) {
		close_down(vbd, own);
	} else {
		follow_front(vbd, own, front);
	}
}

void vbd_look(struct vbd_context *ctx, uint64_t now_ns)
{
	struct vbd *vbd;

	while (!list_empty(&ctx->timers)) {
		vbd = list_first(&ctx->timers, struct vbd, timer_link);
		if (vbd->due_ns > now_ns)
			break;
		list_del(&vbd->timer_link);
		vbd_mark(vbd);
	}
	while (!list_empty(&ctx->changed)) {
		vbd = list_first(&ctx->changed, struct vbd, changed_link);
		list_del(&vbd->changed_link);
		update(vbd);
	}
}

void vbd_stop_all(struct vbd_context *ctx)
{
	struct vbd *vbd;

	ctx->stopping = true;
	list_for_each(vbd, &ctx->vbds, link)
		vbd_mark(vbd);
}

bool vbd_are_idle(const struct vbd_context *ctx)
{
	const struct vbd *vbd;

	list_for_each(vbd, &ctx->vbds, link) {
		if (vbd->state != VBD_DISCONNECTED)
			return false;
	}
	return list_empty(&ctx->changed);
}

void vbd_free_all(struct vbd_context *ctx)
{
	while (!list_empty(&ctx->vbds))
		vbd_free(list_first(&ctx->vbds, struct vbd, link));
}
