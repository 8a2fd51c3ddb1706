/* SPDX-License-Identifier: MIT */
/*
 * A blkif front end by hand, for programs that break its rules: a guest domain of one thread with
 * one disk, xvda. Every step of the handshake can be left out or done wrongly. What goes wrong
 * unasked ends the program with a message; every wait is bounded.
 */
#ifndef RF_TESTS_HOSTILE_FRONT_H
#define RF_TESTS_HOSTILE_FRONT_H

#include <ringfence/domain.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ringmb.h"

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
#include <xen/grant_table.h>
#include <xen/event_channel.h>
#include <xen/io/xenbus.h>
#include <xen/io/ring.h>
#include <xen/io/blkif.h>

#include "common/clock.h"

#define FRONT_BOUND_MS 20000
#define FRONT_PAGE 4096u
#define FRONT_DATA_PAGES 64u
#define FRONT_DIR "device/vbd/51712"
#define STATE(s) (1u << XenbusState##s)

struct front {
	struct rf_domain *domain;
	struct xs_handle *xs;
	xengntshr_handle *xgs;
	xenevtchn_handle *xce;
	char back[256];
	uint32_t back_domid;
	unsigned int nr_ring_pages;
	blkif_sring_t *sring;
	uint32_t ring_refs[16];
	blkif_front_ring_t ring;
	int port;
	char *data; /* FRONT_DATA_PAGES pages that the back end may write */
	uint32_t data_refs[FRONT_DATA_PAGES];
};

static inline void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	_Exit(1);
}

/* ---- the domain ---- */

static inline char *front_read(struct front *f, const char *dir, const char *node)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, node);
	return xs_read(f->xs, XBT_NULL, path, NULL);
}

static inline void __attribute__((format(printf, 3, 4))) front_write(
	struct front *f, const char *node, const char *fmt, ...)
{
	char path[512], value[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), FRONT_DIR "/%s", node);
	if (!xs_write(f->xs, XBT_NULL, path, value, (unsigned int)strlen(value)))
		die("cannot write %s: %s", path, strerror(errno));
}

static inline void front_remove(struct front *f, const char *node)
{
	char path[512];

	snprintf(path, sizeof(path), FRONT_DIR "/%s", node);
	if (!xs_rm(f->xs, XBT_NULL, path) && errno != ENOENT)
		die("cannot remove %s: %s", path, strerror(errno));
}

/* Becomes a domain with this disk; nothing of the handshake is done. */
static inline void front_enter(struct front *f, const char *disk)
{
	char error[256] = "", path[300], *text;

	*f = (struct front){.port = -1};
	if (rf_domain_enter(NULL, &f->domain, error, sizeof(error)) ||
		rf_domain_attach_disk(f->domain, disk, "xvda", error, sizeof(error)))
		die("%s", error);
	f->xs = xs_open(0);
	f->xgs = xengntshr_open(NULL, 0);
	f->xce = xenevtchn_open(NULL, 0);
	if (!f->xs || !f->xgs || !f->xce)
		die("cannot open the domain's handles");
	fcntl(xenevtchn_fd(f->xce), F_SETFL, O_NONBLOCK);
	text = front_read(f, FRONT_DIR, "backend");
	if (!text)
		die("no back end");
	snprintf(f->back, sizeof(f->back), "%s", text);
	free(text);
	text = front_read(f, FRONT_DIR, "backend-id");
	if (!text)
		die("no back end id");
	f->back_domid = (uint32_t)atoi(text);
	free(text);
	snprintf(path, sizeof(path), "%s/state", f->back);
	if (!xs_watch(f->xs, path, "state"))
		die("cannot watch %s", path);
	f->data = xengntshr_share_pages(f->xgs, f->back_domid, FRONT_DATA_PAGES, f->data_refs, 1);
	if (!f->data)
		die("cannot share pages: %s", strerror(errno));
}

static inline unsigned int front_back_state(struct front *f)
{
	char *text = front_read(f, f->back, "state");
	unsigned int state = text ? (unsigned int)atoi(text) : 0;

	free(text);
	return state;
}

/* Waits until the back end is in one of these states (a mask of STATE()). Returns which. */
static inline unsigned int front_wait_back(struct front *f, unsigned int mask)
{
	uint64_t end = clock_ns() + FRONT_BOUND_MS * NSEC_PER_MSEC;
	struct pollfd pfd = {.fd = xs_fileno(f->xs), .events = POLLIN};
	unsigned int state;
	char **event;

	for (;;) {
		while ((event = xs_check_watch(f->xs)) != NULL)
			free(event);
		state = front_back_state(f);
		if (mask >> state & 1)
			return state;
		if (clock_ns() > end)
			die("the back end stays in state %u, wanted %#x", state, mask);
		poll(&pfd, 1, 100);
	}
}

static inline void front_set_state(struct front *f, enum xenbus_state state)
{
	front_write(f, "state", "%d", state);
}

/* ---- connecting ---- */

static inline void front_make_ring(struct front *f, unsigned int order)
{
	f->nr_ring_pages = 1u << order;
	f->sring = xengntshr_share_pages(
		f->xgs, f->back_domid, (int)f->nr_ring_pages, f->ring_refs, 1);
	if (!f->sring)
		die("cannot share the ring: %s", strerror(errno));
	SHARED_RING_INIT(f->sring);
	FRONT_RING_INIT(&f->ring, f->sring, f->nr_ring_pages * FRONT_PAGE);
	f->port = xenevtchn_bind_unbound_port(f->xce, f->back_domid);
	if (f->port < 0)
		die("cannot make a port: %s", strerror(errno));
}

/* Writes the nodes of a ring that was made; the state is the caller's. */
static inline void front_publish(struct front *f, bool persistent)
{
	char node[24];

	for (unsigned int i = 0; i < f->nr_ring_pages; i++) {
		snprintf(node, sizeof(node), "ring-ref%u", i);
		front_write(f, f->nr_ring_pages == 1 ? "ring-ref" : node, "%u", f->ring_refs[i]);
	}
	if (f->nr_ring_pages > 1)
		front_write(f, "ring-page-order", "%d", __builtin_ctz(f->nr_ring_pages));
	front_write(f, "event-channel", "%d", f->port);
	front_write(f, "protocol", "x86_64-abi");
	front_write(f, "feature-persistent", "%d", persistent);
}

static inline void front_connect(struct front *f, unsigned int order, bool persistent)
{
	front_wait_back(f, STATE(InitWait));
	front_make_ring(f, order);
	front_publish(f, persistent);
	front_set_state(f, XenbusStateInitialised);
	front_wait_back(f, STATE(Connected));
	front_set_state(f, XenbusStateConnected);
}

/* Gives ring and port back; the back end has let go. */
static inline void front_drop_ring(struct front *f)
{
	static const char *const nodes[] = {"ring-ref", "ring-page-order", "event-channel",
		"protocol", "feature-persistent"};
	char node[24];

	if (!f->sring)
		return;
	xenevtchn_unbind(f->xce, (evtchn_port_t)f->port);
	xengntshr_unshare(f->xgs, f->sring, f->nr_ring_pages);
	for (unsigned int i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		front_remove(f, nodes[i]);
	for (unsigned int i = 0; f->nr_ring_pages > 1 && i < f->nr_ring_pages; i++) {
		snprintf(node, sizeof(node), "ring-ref%u", i);
		front_remove(f, node);
	}
	f->sring = NULL;
}

/* Parts from the back end and is ready to connect again. */
static inline void front_disconnect(struct front *f)
{
	front_set_state(f, XenbusStateClosing);
	front_wait_back(f, STATE(Closing) | STATE(Closed));
	front_set_state(f, XenbusStateClosed);
	front_wait_back(f, STATE(Closed));
	front_drop_ring(f);
	front_set_state(f, XenbusStateInitialising);
}

static inline void front_leave(struct front *f)
{
	front_drop_ring(f);
	xengntshr_unshare(f->xgs, f->data, FRONT_DATA_PAGES);
	xengntshr_close(f->xgs);
	xenevtchn_close(f->xce);
	xs_close(f->xs);
	rf_domain_leave(f->domain);
}

/* ---- requests ---- */

/* A request of nr_segments whole pages, data page `page` and following. */
static inline blkif_request_t front_request(struct front *f, uint8_t op, uint64_t sector,
	unsigned int nr_segments, unsigned int page)
{
	blkif_request_t req;

	memset(&req, 0, sizeof(req));
	req.operation = op;
	req.nr_segments = (uint8_t)nr_segments;
	req.sector_number = sector;
	for (unsigned int i = 0; i < nr_segments && i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++)
		req.seg[i] = (struct blkif_request_segment){
			.gref = f->data_refs[(page + i) % FRONT_DATA_PAGES], .last_sect = 7};
	return req;
}

/* Puts it on the ring, which must have room; front_push shows it. */
static inline void front_put(struct front *f, const blkif_request_t *req)
{
	ring_copy_to(RING_GET_REQUEST(&f->ring, f->ring.req_prod_pvt), req, sizeof(*req));
	f->ring.req_prod_pvt++;
}

static inline void front_push(struct front *f)
{
	uint32_t old = ring_load_event(&f->sring->req_prod), new = f->ring.req_prod_pvt;

	ring_store_prod(&f->sring->req_prod, new);
	/*
	 * Orders: the producer index before the look at the event index.
	 * Pairs with: the back end's queue_arm.
	 * Without it: it would sleep on requests that nobody tells it about.
	 */
	xen_mb();
	if (new - ring_load_event(&f->sring->req_event) < new - old)
		xenevtchn_notify(f->xce, (evtchn_port_t)f->port);
}

static inline void front_take_events(struct front *f)
{
	int port;

	while ((port = xenevtchn_pending(f->xce)) >= 0)
		xenevtchn_unmask(f->xce, (evtchn_port_t)port);
}

static inline bool front_has_response(struct front *f)
{
	return ring_load_prod(&f->sring->rsp_prod) != f->ring.rsp_cons;
}

/* One response, false after so many ms without. Bytes beyond its fields must be zero (XSA-216). */
static inline bool front_take(struct front *f, blkif_response_t *rsp, int timeout_ms)
{
	uint64_t end = clock_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	struct pollfd pfd = {.fd = xenevtchn_fd(f->xce), .events = POLLIN};
	const unsigned char *bytes = (const unsigned char *)rsp;

	while (!front_has_response(f)) {
		ring_store_event(&f->sring->rsp_event, f->ring.rsp_cons + 1);
		/*
		 * Orders: the event index before the last look at the producer index.
		 * Pairs with: the back end's queue_push.
		 * Without it: the response would be found only after the time-out.
		 */
		xen_mb();
		if (front_has_response(f))
			break;
		if (clock_ns() > end)
			return false;
		poll(&pfd, 1, timeout_ms);
		front_take_events(f);
	}
	ring_copy_from(rsp, RING_GET_RESPONSE(&f->ring, f->ring.rsp_cons), sizeof(*rsp));
	f->ring.rsp_cons++;
	if (bytes[9] || memcmp(bytes + 12, "\0\0\0\0", 4))
		die("a response has bytes beyond its fields");
	return true;
}

/* One request and its response. Returns the status. */
static inline int front_call(struct front *f, const blkif_request_t *req)
{
	blkif_response_t rsp;

	front_put(f, req);
	front_push(f);
	if (!front_take(f, &rsp, FRONT_BOUND_MS))
		die("operation %u at sector %llu was never answered", req->operation,
			(unsigned long long)req->sector_number);
	if (rsp.id != req->id || rsp.operation != req->operation)
		die("the answer is to another request");
	return rsp.status;
}

#endif
