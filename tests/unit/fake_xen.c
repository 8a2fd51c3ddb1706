/* SPDX-License-Identifier: MIT */
/*
 * Grants and event channels of the stand-in, and its failure injection. One lock for all of it:
 * speed is not wanted here. The store is in fake_store.c.
 */
#include "fake_xen.h"
#include "fake_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#define PAGE 4096
#define MAX_REFS 65536
#define MAX_PORTS 4096

struct xengntdev_handle {
	int unused;
};

struct xenevtchn_handle {
	int fd;
	bool dead;
};

struct port {
	xenevtchn_handle *owner; /* NULL: unused */
	int back_fd;
	bool masked, pending;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *_Atomic pages[MAX_REFS];
static bool granted[MAX_REFS];
static unsigned int next_ref = 8, nr_grants, grant_limit = MAX_REFS, nr_ports, nr_handles;
static unsigned int port_limit = MAX_PORTS;
static struct port ports[MAX_PORTS];
static unsigned int next_port = 1;
static unsigned int fail_at, nr_calls;
static int fail_errno;
static bool fail_sticky;

/* ---- injection and accounts ---- */

bool fake_fails(void)
{
	bool fails;

	pthread_mutex_lock(&lock);
	nr_calls++;
	fails = fail_at && (nr_calls == fail_at || (fail_sticky && nr_calls > fail_at));
	pthread_mutex_unlock(&lock);
	if (fails)
		errno = fail_errno;
	return fails;
}

void fake_fail_at(unsigned int nth, int err, bool sticky)
{
	pthread_mutex_lock(&lock);
	fail_at = nth;
	fail_errno = err;
	fail_sticky = sticky;
	nr_calls = 0;
	pthread_mutex_unlock(&lock);
}

static unsigned int get(const unsigned int *value)
{
	unsigned int copy;

	pthread_mutex_lock(&lock);
	copy = *value;
	pthread_mutex_unlock(&lock);
	return copy;
}

unsigned int fake_nr_calls(void)
{
	return get(&nr_calls);
}

unsigned int fake_nr_grants(void)
{
	return get(&nr_grants);
}

unsigned int fake_nr_ports(void)
{
	return get(&nr_ports);
}

unsigned int fake_nr_handles(void)
{
	return get(&nr_handles);
}

void fake_handle_opened(int by)
{
	pthread_mutex_lock(&lock);
	nr_handles += (unsigned int)by;
	pthread_mutex_unlock(&lock);
}

void fake_set_grant_limit(unsigned int limit)
{
	pthread_mutex_lock(&lock);
	grant_limit = limit;
	pthread_mutex_unlock(&lock);
}

void fake_set_port_limit(unsigned int limit)
{
	pthread_mutex_lock(&lock);
	port_limit = limit;
	pthread_mutex_unlock(&lock);
}

void fake_reset(void)
{
	fake_fail_at(0, 0, false);
	for (unsigned int i = 0; i < MAX_REFS; i++) {
		if (pages[i])
			munmap(pages[i], PAGE);
		pages[i] = NULL;
	}
	memset(granted, 0, sizeof(granted));
	for (unsigned int i = 0; i < next_port; i++) {
		if (ports[i].back_fd > 0)
			close(ports[i].back_fd);
	}
	memset(ports, 0, sizeof(ports));
	next_ref = 8;
	next_port = 1;
	nr_grants = nr_ports = nr_handles = 0;
	grant_limit = MAX_REFS;
	port_limit = MAX_PORTS;
	fake_store_reset();
}

/* ---- grants ---- */

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags)
{
	xengntshr_handle *handle;

	(void)logger, (void)open_flags;
	if (fake_fails())
		return NULL;
	handle = calloc(1, sizeof(*handle));
	fake_handle_opened(1);
	return handle;
}

int xengntshr_close(xengntshr_handle *xgs)
{
	fake_handle_opened(-1);
	free(xgs);
	return 0;
}

void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs,
	int writable)
{
	void *base = NULL;

	(void)xgs, (void)domid, (void)writable;
	if (fake_fails())
		return NULL;
	pthread_mutex_lock(&lock);
	if (nr_grants + (unsigned int)count > grant_limit ||
		next_ref + (unsigned int)count > MAX_REFS) {
		errno = ENOSPC;
	} else {
		base = mmap(NULL, (size_t)count * PAGE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		for (int i = 0; i < count; i++) {
			refs[i] = next_ref++;
			granted[refs[i]] = true;
			pages[refs[i]] = (char *)base + (size_t)i * PAGE;
		}
		nr_grants += (unsigned int)count;
	}
	pthread_mutex_unlock(&lock);
	return base;
}

int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count)
{
	(void)xgs;
	pthread_mutex_lock(&lock);
	for (uint32_t ref = 0; ref < next_ref; ref++) {
		char *page = pages[ref];

		if (granted[ref] && page >= (char *)start_address &&
			page < (char *)start_address + (size_t)count * PAGE) {
			granted[ref] = false;
			nr_grants--;
		}
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

void *fake_map(uint32_t ref)
{
	return ref < MAX_REFS ? atomic_load(&pages[ref]) : NULL;
}

/* ---- event channels ---- */

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
	xenevtchn_handle *xce;

	(void)logger, (void)flags;
	if (fake_fails())
		return NULL;
	xce = calloc(1, sizeof(*xce));
	xce->fd = eventfd(0, EFD_CLOEXEC);
	fake_handle_opened(1);
	return xce;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
	close(xce->fd);
	free(xce);
	fake_handle_opened(-1);
	return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
	return xce->fd;
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *xce, uint32_t domid)
{
	int number = -1;

	(void)domid;
	if (fake_fails())
		return -1;
	pthread_mutex_lock(&lock);
	if (nr_ports == port_limit) {
		errno = ENOSPC;
	} else {
		number = (int)next_port++;
		ports[number] = (struct port){.owner = xce, .back_fd = eventfd(0, EFD_CLOEXEC)};
		nr_ports++;
	}
	pthread_mutex_unlock(&lock);
	return number;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce;
	pthread_mutex_lock(&lock);
	ports[port].owner = NULL;
	nr_ports--;
	pthread_mutex_unlock(&lock);
	return 0;
}

static void signal_fd(int fd)
{
	static const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		abort();
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce;
	pthread_mutex_lock(&lock);
	signal_fd(ports[port].back_fd);
	pthread_mutex_unlock(&lock);
	return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
	uint64_t count;
	int number = -1;

	if (read(xce->fd, &count, sizeof(count)) < 0)
		return -1;
	pthread_mutex_lock(&lock);
	if (xce->dead) {
		signal_fd(xce->fd);
		errno = ENODEV;
	} else {
		for (unsigned int i = 1; i < next_port; i++) {
			if (ports[i].owner == xce) {
				ports[i].masked = true;
				number = (int)i;
			}
		}
	}
	pthread_mutex_unlock(&lock);
	return number;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
	pthread_mutex_lock(&lock);
	ports[port].masked = false;
	if (ports[port].pending)
		signal_fd(xce->fd);
	ports[port].pending = false;
	pthread_mutex_unlock(&lock);
	return 0;
}

void fake_notify(uint32_t port)
{
	pthread_mutex_lock(&lock);
	if (port < next_port && ports[port].owner) {
		if (ports[port].masked)
			ports[port].pending = true;
		else
			signal_fd(ports[port].owner->fd);
	}
	pthread_mutex_unlock(&lock);
}

bool fake_wait_events(const uint32_t *wanted, unsigned int nr, int timeout_ms)
{
	struct pollfd pfds[16];
	uint64_t count;
	bool any = false;

	for (unsigned int i = 0; i < nr; i++)
		pfds[i] = (struct pollfd){.fd = ports[wanted[i]].back_fd, .events = POLLIN};
	if (poll(pfds, nr, timeout_ms) <= 0)
		return false;
	for (unsigned int i = 0; i < nr; i++)
		any |= pfds[i].revents && read(pfds[i].fd, &count, sizeof(count)) > 0;
	return any;
}

void fake_kill_evtchn(void)
{
	pthread_mutex_lock(&lock);
	for (unsigned int i = 1; i < next_port; i++) {
		if (ports[i].owner) {
			ports[i].owner->dead = true;
			signal_fd(ports[i].owner->fd);
		}
	}
	pthread_mutex_unlock(&lock);
}
