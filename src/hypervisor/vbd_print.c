/* SPDX-License-Identifier: MIT */
/* What there is to say about attached devices. Both ends' nodes are theirs: read as numbers. */
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "hypervisor/vbd_internal.h"

const char *vbd_read(const struct vbd *vbd, const char *dir, const char *node)
{
	char path[VBD_PATH_SIZE + 32];

	snprintf(path, sizeof(path), "%s/%s", dir, node);
	return store_read(vbd->hv->store, path, NULL);
}

int vbd_backend_state(const struct vbd *vbd)
{
	char dir[VBD_PATH_SIZE];
	const char *state;

	vbd_backend_path(vbd, dir);
	state = vbd_read(vbd, dir, "state");
	return state ? atoi(state) : 0;
}

/* " KEY=N"; nothing where the node is missing or no number. */
static void print_number(
	const struct vbd *vbd, const char *dir, const char *node, const char *key, FILE *out)
{
	const char *text = vbd_read(vbd, dir, node);
	uint64_t value;

	if (text && parse_u64(text, 0, UINT64_MAX, &value) == 0)
		fprintf(out, " %s=%llu", key, (unsigned long long)value);
}

/* The first ring and port: of a front end with one queue, or of its first. */
static void print_connection(const struct vbd *vbd, const char *dir, FILE *out)
{
	static const char *const rings[] = {
		"ring-ref", "ring-ref0", "queue-0/ring-ref", "queue-0/ring-ref0"};
	static const char *const ports[] = {"event-channel", "queue-0/event-channel"};

	for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
		if (!vbd_read(vbd, dir, rings[i]))
			continue;
		print_number(vbd, dir, rings[i], "ring_ref", out);
		break;
	}
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		if (!vbd_read(vbd, dir, ports[i]))
			continue;
		print_number(vbd, dir, ports[i], "event_channel", out);
		break;
	}
}

static void print_line(const struct vbd *vbd, FILE *out)
{
	const struct domain *backend = domain_by_id(vbd->hv, vbd->backend_domid);
	char back[VBD_PATH_SIZE], front[VBD_PATH_SIZE];
	const char *mode, *target;

	vbd_backend_path(vbd, back);
	vbd_frontend_path(vbd, front);
	mode = vbd_read(vbd, back, "mode");
	target = vbd_read(vbd, back, "params");
	fprintf(out, "domid=%u device=%u backend_domid=%u backend=%s closing=%d mode=%c",
		vbd->frontend_domid, vbd->device, vbd->backend_domid, backend ? backend->name : "?",
		vbd->closing, mode && *mode == 'w' ? 'w' : 'r');
	print_number(vbd, back, "state", "state", out);
	print_number(vbd, front, "state", "frontend_state", out);
	print_number(vbd, back, "sectors", "sectors", out);
	print_number(vbd, back, "sector-size", "sector_size", out);
	print_connection(vbd, front, out);
	fprintf(out, " target=");
	for (; target && *target; target++)
		fputc((unsigned char)*target < ' ' || *target == 0x7f ? '?' : *target, out);
	fputc('\n', out);
}

void vbd_print(struct hypervisor *hv, const struct domain *dom, FILE *out)
{
	struct vbd *vbd;

	list_for_each(vbd, &hv->vbds, link) {
		if (!dom || vbd->frontend_domid == dom->id)
			print_line(vbd, out);
	}
}

bool vbd_serves(struct hypervisor *hv, unsigned int domid)
{
	struct vbd *vbd;

	list_for_each(vbd, &hv->vbds, link) {
		if (vbd->backend_domid == domid)
			return true;
	}
	return false;
}
