/* SPDX-License-Identifier: MIT */
/*
 * Taking block devices away. Nothing here waits: the back end's answer comes as a change of the
 * store, and a timer bounds how long it may take. Main thread only.
 */
#include "hypervisor/vbd_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/io/xenbus.h>

#include "common/clock.h"

#define CLOSE_TIMEOUT_NS (10 * NSEC_PER_SEC) /* libxl's LIBXL_DESTROY_TIMEOUT */

struct vbd_waiter {
	struct list link;
	vbd_detached_fn *detached;
	void *data;
};

/* ---- who waits ---- */

static int add_waiter(struct vbd *vbd, vbd_detached_fn *detached, void *data)
{
	struct vbd_waiter *waiter = malloc(sizeof(*waiter));

	if (!waiter)
		return -ENOMEM;
	waiter->detached = detached;
	waiter->data = data;
	list_add_tail(&vbd->waiters, &waiter->link);
	return 0;
}

static void tell_waiters(struct vbd *vbd, int status)
{
	struct vbd_waiter *waiter;

	while (!list_empty(&vbd->waiters)) {
		waiter = list_first(&vbd->waiters, struct vbd_waiter, link);
		list_del(&waiter->link);
		waiter->detached(waiter->data, status);
		free(waiter);
	}
}

void vbd_forget_waiter(struct hypervisor *hv, const void *data)
{
	struct vbd_waiter *waiter, *tmp;
	struct vbd *vbd;

	list_for_each(vbd, &hv->vbds, link) {
		if (!vbd->closing)
			return;
		list_for_each_safe(waiter, tmp, &vbd->waiters, link) {
			if (waiter->data != data)
				continue;
			list_del(&waiter->link);
			free(waiter);
		}
	}
}

/* ---- the end ---- */

void vbd_free(struct vbd *vbd)
{
	loop_timer_cancel(&vbd->timer);
	list_del(&vbd->link);
	tell_waiters(vbd, 0);
	free(vbd);
}

/* The back end has closed it, or took too long. */
static void close_expired(struct loop_timer *timer)
{
	struct vbd *vbd = container_of(timer, struct vbd, timer);
	int state = vbd_backend_state(vbd);

	if (!vbd->forced && state && state != XenbusStateClosed) {
		/* It goes when its guest lets go of it; until then it is in use. */
		tell_waiters(vbd, -ETIMEDOUT);
		return;
	}
	vbd_remove_nodes(vbd);
	vbd_free(vbd);
}

void vbd_timer_init(struct vbd *vbd)
{
	loop_timer_init(&vbd->timer, close_expired);
}

/* Called at every write to the store: looks at no more vbds than are closing, the first ones. */
void vbd_store_changed(struct hypervisor *hv, const char *path)
{
	char state_path[VBD_PATH_SIZE + 8];
	struct vbd *vbd;
	int state;

	list_for_each(vbd, &hv->vbds, link) {
		if (!vbd->closing || !strstr(path, "/backend/vbd/"))
			return;
		vbd_backend_path(vbd, state_path);
		strcat(state_path, "/state");
		if (strcmp(path, state_path) != 0)
			continue;
		state = vbd_backend_state(vbd);
		if (!state || state == XenbusStateClosed)
			loop_timer_set(&hv->loop, &vbd->timer, clock_ns());
		return;
	}
}

/* As libxl: offline, Closing, and a bounded wait for Closed. */
static void begin_close(struct vbd *vbd)
{
	char dir[VBD_PATH_SIZE], path[VBD_PATH_SIZE + 16];
	int rc, state = vbd_backend_state(vbd);

	vbd_backend_path(vbd, dir);
	vbd->closing = true;
	list_del(&vbd->link);
	list_insert(&vbd->hv->vbds, &vbd->link); /* before all that are not */
	snprintf(path, sizeof(path), "%s/online", dir);
	rc = store_printf(vbd->hv->store, path, "0");
	if (rc == 0 && state && state != XenbusStateClosed) {
		snprintf(path, sizeof(path), "%s/state", dir);
		loop_timer_set(&vbd->hv->loop, &vbd->timer, clock_ns() + CLOSE_TIMEOUT_NS);
		rc = store_printf(vbd->hv->store, path, "%d", XenbusStateClosing);
		if (rc == 0)
			return;
	}
	vbd->forced = true;
	loop_timer_set(&vbd->hv->loop, &vbd->timer, clock_ns());
}

int vbd_detach(struct vbd *vbd, bool force, vbd_detached_fn *detached, void *data)
{
	char path[VBD_PATH_SIZE];
	int rc = add_waiter(vbd, detached, data);

	if (rc)
		return rc;
	if (!vbd->closing)
		begin_close(vbd);
	else
		loop_timer_set(&vbd->hv->loop, &vbd->timer, clock_ns() + CLOSE_TIMEOUT_NS);
	if (force && !vbd->forced) {
		vbd->forced = true;
		vbd_frontend_path(vbd, path);
		store_rm(vbd->hv->store, path);
	}
	return 0;
}

void vbd_domain_gone(struct hypervisor *hv, unsigned int domid)
{
	struct vbd *vbd, *tmp;

	list_for_each_safe(vbd, tmp, &hv->vbds, link) {
		if (vbd->backend_domid == domid) {
			/* The back end's directory vanishes: that is what its front end sees. */
			vbd_remove_nodes(vbd);
			vbd_free(vbd);
		} else if (vbd->frontend_domid == domid) {
			if (!vbd->closing)
				begin_close(vbd);
			else if (!vbd->forced)
				loop_timer_set(&hv->loop, &vbd->timer, clock_ns() + CLOSE_TIMEOUT_NS);
			/* Nobody is left who could be using it. */
			vbd->forced = true;
		}
	}
}
