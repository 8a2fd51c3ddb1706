/* SPDX-License-Identifier: MIT */
/* Which devices there are: watches, the directories below backend/vbd, and whose device each is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blkback/vbd_internal.h"

#define BACKEND_DIR "backend/vbd"
#define OWN_SCRIPT "block-ringfence"

/* libxl names the hotplug script of every disk; by ours we know that a disk is for us. */
static bool script_is_ours(struct vbd *vbd, bool *has_script)
{
	char *script = xenbus_read(vbd->ctx->xs, vbd->path, "script");
	const char *name = script ? strrchr(script, '/') : NULL;
	bool ours = !script || vbd->ctx->any_script ||
		strcmp(name ? name + 1 : script, OWN_SCRIPT) == 0;

	*has_script = script != NULL;
	if (!ours && !vbd->foreign)
		log_info("domain %u device %u: left alone, its script is %.200s and not " OWN_SCRIPT,
			vbd->domid, vbd->device, script);
	free(script);
	return ours;
}

/* The guest's name; libxl does not repeat it in our directory. */
static char *read_name(struct vbd *vbd)
{
	char *name = xenbus_read(vbd->ctx->xs, vbd->path, "domain");
	char dir[40];

	if (name)
		return name;
	snprintf(dir, sizeof(dir), "/local/domain/%u", vbd->domid);
	return xenbus_read(vbd->ctx->xs, dir, "name");
}

bool vbd_adopt(struct vbd *vbd)
{
	struct xs_handle *xs = vbd->ctx->xs;
	char *frontend;

	if (vbd->frontend[0])
		return true;
	vbd->foreign = !script_is_ours(vbd, &vbd->has_script);
	if (vbd->foreign)
		return false;
	frontend = xenbus_read(xs, vbd->path, "frontend");
	/* Room for the nodes of its queues. */
	if (!frontend || frontend[0] != '/' || strlen(frontend) >= sizeof(vbd->frontend) - 40) {
		free(frontend);
		return false;
	}
	strcpy(vbd->frontend, frontend);
	free(frontend);
	vbd->name = read_name(vbd);
	if (!xs_watch(xs, vbd->frontend, vbd->path))
		log_error("domain %u device %u: cannot watch %s: %s", vbd->domid, vbd->device,
			vbd->frontend, strerror(errno));
	return true;
}

static struct vbd *find(struct vbd_context *ctx, unsigned int domid, unsigned int device)
{
	struct vbd *vbd;

	list_for_each(vbd, &ctx->vbds, link) {
		if (vbd->domid == domid && vbd->device == device)
			return vbd;
	}
	return NULL;
}

/* A device directory that we did not know. NULL if it is not there. */
static struct vbd *discover(struct vbd_context *ctx, unsigned int domid, unsigned int device)
{
	struct vbd *vbd = calloc(1, sizeof(*vbd));

	if (!vbd)
		return NULL;
	vbd->ctx = ctx;
	vbd->domid = domid;
	vbd->device = device;
	list_init(&vbd->changed_link);
	list_init(&vbd->timer_link);
	snprintf(vbd->path, sizeof(vbd->path), BACKEND_DIR "/%u/%u", domid, device);
	if (xenbus_read_state(ctx->xs, XBT_NULL, vbd->path) == XenbusStateUnknown) {
		free(vbd);
		return NULL;
	}
	list_add_tail(&ctx->vbds, &vbd->link);
	return vbd;
}

void vbd_free(struct vbd *vbd)
{
	if (vbd->frontend[0])
		xs_unwatch(vbd->ctx->xs, vbd->frontend, vbd->path);
	image_put(vbd->image);
	list_del(&vbd->link);
	list_del(&vbd->changed_link);
	list_del(&vbd->timer_link);
	free(vbd->name);
	free(vbd);
}

void vbd_find_and_mark(struct vbd_context *ctx, unsigned int domid, unsigned int device)
{
	struct vbd *vbd = find(ctx, domid, device);

	if (!vbd)
		vbd = discover(ctx, domid, device);
	if (vbd)
		vbd_mark(vbd);
}

/* Marks every device below backend/vbd, or of one domain. */
static void scan(struct vbd_context *ctx, const char *dir)
{
	unsigned int domid, device, nr = 0;
	char path[XENBUS_PATH_MAX];
	char **names = xs_directory(ctx->xs, XBT_NULL, dir, &nr);

	for (unsigned int i = 0; names && i < nr; i++) {
		if (snprintf(path, sizeof(path), "%s/%s", dir, names[i]) >= (int)sizeof(path))
			continue;
		if (sscanf(path, BACKEND_DIR "/%u/%u", &domid, &device) == 2)
			vbd_find_and_mark(ctx, domid, device);
		else if (sscanf(path, BACKEND_DIR "/%u", &domid) == 1)
			scan(ctx, path);
	}
	free(names);
}

void vbd_watch_event(struct vbd_context *ctx, const char *path, const char *token)
{
	unsigned int domid, device;
	const char *where = path;
	struct vbd *vbd;

	/* The front end's directory: the token is the path of our own. */
	if (strncmp(token, BACKEND_DIR "/", strlen(BACKEND_DIR "/")) == 0)
		where = token;
	if (sscanf(where, BACKEND_DIR "/%u/%u", &domid, &device) == 2) {
		vbd_find_and_mark(ctx, domid, device);
	} else if (sscanf(where, BACKEND_DIR "/%u", &domid) == 1) {
		/* A whole domain's devices came or went. */
		scan(ctx, where);
		list_for_each(vbd, &ctx->vbds, link) {
			if (vbd->domid == domid)
				vbd_mark(vbd);
		}
	} else {
		scan(ctx, BACKEND_DIR);
		/* It may have gone with all that was in it. */
		list_for_each(vbd, &ctx->vbds, link)
			vbd_mark(vbd);
	}
}
