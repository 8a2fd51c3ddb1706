/* SPDX-License-Identifier: MIT */
/*
 * Random grants, maps, ports and ends of handles and domains, against a model that is as simple as
 * possible: tables that are searched. Every status, every notification and every count must agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "test_hypervisor_fixture.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

enum {
	NR_DOMS = 3,
	CONNS_EACH = 3,
	NR_CONNS = NR_DOMS * CONNS_EACH,
	NR_SHARES = 128,
	NR_PORTS = 64,
	NR_NOTIFIES = 128,
	PAGES_MAX = 4,
	NR_SEEDS = 12,
	NR_STEPS = 3000,
};

static const struct domain_limits limits = {8, 20, 14, 7, CONNS_EACH};

struct m_share {
	bool exists, writable, ready, sealed;
	int conn; /* the owner's; -1: all grants have ended */
	unsigned int peer, peer_life, nr_pages;
	uint64_t id;
	uint32_t grefs[PAGES_MAX];
	unsigned int maps[NR_CONNS][PAGES_MAX];
	int memfd;
};

struct m_port {
	bool exists, closed;
	int conn, dom, peer; /* peer: index of a port, or -1 */
	unsigned int remote, remote_life, nr_holds;
	uint32_t number;
	int fds[2];
	bool pending;
};

struct m_notify {
	bool exists;
	int share, conn; /* conn: who mapped, or -1: the share's owner */
	int dom, port;	 /* port: index, or -1 */
	uint32_t page, offset;
};

static struct {
	struct domain *dom[NR_DOMS];
	unsigned int life[NR_DOMS], lives, max_grants[NR_CONNS];
	struct m_share share[NR_SHARES];
	struct m_port port[NR_PORTS];
	struct m_notify notify[NR_NOTIFIES];
	struct hypercall_conn conn[NR_CONNS];
	uint64_t random;
	unsigned long nr_good, nr_bad, nr_fired;
} m;

/* ---- chance ---- */

static uint32_t chance(uint32_t below)
{
	m.random ^= m.random << 13;
	m.random ^= m.random >> 7;
	m.random ^= m.random << 17;
	return (uint32_t)(m.random >> 32) % below;
}

static int dom_of(int conn)
{
	return conn / CONNS_EACH;
}

static int dom_by_id(unsigned int id)
{
	for (int i = 0; i < NR_DOMS; i++) {
		if (m.dom[i]->id == id)
			return i;
	}
	return -1;
}

static unsigned int any_domid(void)
{
	if (chance(20) == 0)
		return chance(2) ? DOMAIN_FIRST_RESERVED : 77;
	return m.dom[chance(NR_DOMS)]->id;
}

/* An existing one, most of the time: those that do not exist have numbers of their own. */
static int any_share(void)
{
	int i = (int)chance(NR_SHARES);

	for (int n = 0; n < NR_SHARES && !m.share[i].exists; n++)
		i = (i + 1) % NR_SHARES;
	return i;
}

static int any_port(void)
{
	int i = (int)chance(NR_PORTS);

	for (int n = 0; n < NR_PORTS && !m.port[i].exists; n++)
		i = (i + 1) % NR_PORTS;
	return i;
}

static int port_by_number(int dom, uint32_t number)
{
	for (int i = 0; i < NR_PORTS; i++) {
		if (m.port[i].exists && m.port[i].dom == dom && m.port[i].number == number)
			return i;
	}
	return -1;
}

/* ---- what the model does by itself ---- */

static void m_port_close(int i)
{
	struct m_port *port = &m.port[i];

	if (!port->closed)
		for (int k = 0; k < 2; k++)
			if (port->fds[k] >= 0)
				close(port->fds[k]);
	port->closed = true;
	if (port->nr_holds)
		return;
	if (port->peer >= 0) {
		m.port[port->peer].peer = -1;
		m.port[port->peer].remote = m.dom[port->dom]->id;
		m.port[port->peer].remote_life = m.life[port->dom];
	}
	port->exists = false;
}

static void m_fire(struct m_notify *notify)
{
	struct m_port *port = notify->port >= 0 ? &m.port[notify->port] : NULL;
	char byte = 1;

	notify->exists = false;
	m.nr_fired++;
	if (notify->offset != NONE) {
		MUST(pread(m.share[notify->share].memfd, &byte, 1,
			     (off_t)(notify->page * PAGE + notify->offset)) == 1);
		MUST(byte == 0);
	}
	if (!port)
		return;
	if (port->peer >= 0)
		m.port[port->peer].pending = true;
	if (--port->nr_holds == 0 && port->closed)
		m_port_close(notify->port);
}

static void m_share_settle(int i)
{
	struct m_share *share = &m.share[i];

	if (share->conn >= 0)
		return;
	for (int c = 0; c < NR_CONNS; c++)
		for (unsigned int p = 0; p < share->nr_pages; p++)
			if (share->maps[c][p])
				return;
	close(share->memfd);
	share->exists = false;
}

static void m_unmap(int i, int conn, uint32_t page)
{
	if (--m.share[i].maps[conn][page] == 0) {
		for (int n = 0; n < NR_NOTIFIES; n++) {
			struct m_notify *notify = &m.notify[n];

			if (notify->exists && notify->share == i && notify->conn == conn &&
				notify->page == page)
				m_fire(notify);
		}
	}
}

static void m_unshare(int i, uint32_t page, uint32_t nr)
{
	struct m_share *share = &m.share[i];
	bool granted = false;

	for (uint32_t p = page; p < page + nr; p++)
		share->grefs[p] = 0;
	for (int n = 0; page == 0 && n < NR_NOTIFIES; n++) {
		if (m.notify[n].exists && m.notify[n].share == i && m.notify[n].conn < 0)
			m_fire(&m.notify[n]);
	}
	for (uint32_t p = 0; p < share->nr_pages; p++)
		granted |= share->grefs[p] != 0;
	if (!granted)
		share->conn = -1;
	m_share_settle(i);
}

static void m_conn_close(int conn)
{
	for (int i = 0; i < NR_SHARES; i++) {
		for (uint32_t p = 0; m.share[i].exists && p < m.share[i].nr_pages; p++)
			while (m.share[i].maps[conn][p])
				m_unmap(i, conn, p);
		if (m.share[i].exists)
			m_share_settle(i);
	}
	for (int i = 0; i < NR_SHARES; i++) {
		if (m.share[i].exists && m.share[i].conn == conn)
			m_unshare(i, 0, m.share[i].nr_pages);
	}
	for (int i = 0; i < NR_PORTS; i++) {
		if (m.port[i].exists && !m.port[i].closed && m.port[i].conn == conn)
			m_port_close(i);
	}
	m.max_grants[conn] = 0;
}

/* ---- counts ---- */

static unsigned int m_nr_grants(int dom)
{
	unsigned int nr = 0;

	for (int i = 0; i < NR_SHARES; i++)
		for (unsigned int p = 0; m.share[i].exists && p < m.share[i].nr_pages; p++)
			nr += m.share[i].grefs[p] && dom_of(m.share[i].conn) == dom;
	return nr;
}

static unsigned int m_nr_mapped(int conn)
{
	unsigned int nr = 0;

	for (int i = 0; i < NR_SHARES; i++)
		for (unsigned int p = 0; m.share[i].exists && p < m.share[i].nr_pages; p++)
			nr += m.share[i].maps[conn][p];
	return nr;
}

static unsigned int m_nr_maps(int dom)
{
	unsigned int nr = 0;

	for (int c = dom * CONNS_EACH; c < (dom + 1) * CONNS_EACH; c++)
		nr += m_nr_mapped(c);
	return nr;
}

static unsigned int m_nr_ports(int dom)
{
	unsigned int nr = 0;

	for (int i = 0; i < NR_PORTS; i++)
		nr += m.port[i].exists && m.port[i].dom == dom;
	return nr;
}

/* ---- notifications ---- */

/* True if the port has been notified since this was last asked. */
static bool take_pending(const struct m_port *port)
{
	struct epoll_event ev[HYPERCALL_WAIT_EVENTS];
	char bytes[16];
	bool any = false;

	if (hv.port_kind == HYPERCALL_PORT_EVENTFD)
		return epoll_wait(port->fds[0], ev, HYPERCALL_WAIT_EVENTS, 0) > 0;
	while (recv(port->fds[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		any = true;
	return any;
}

static void check_all(void)
{
	for (int i = 0; i < NR_PORTS; i++) {
		struct m_port *port = &m.port[i];

		if (port->exists && !port->closed) {
			MUST(take_pending(port) == port->pending);
			port->pending = false;
		}
	}
	for (int i = 0; i < NR_DOMS; i++) {
		MUST(m.dom[i]->nr_grants == m_nr_grants(i));
		MUST(m.dom[i]->nr_maps == m_nr_maps(i));
		MUST(m.dom[i]->nr_ports == m_nr_ports(i));
	}
	hv_check();
}

static void agree(int status, int expected)
{
	if (status != expected)
		fprintf(stderr, "status %d, expected %d\n", status, expected);
	MUST(status == expected);
	*(expected ? &m.nr_bad : &m.nr_good) += 1;
}

/* ---- operations ---- */

/* A random notification for a domain: 0 or the status that asking for it has. */
static int any_notify(int dom, uint32_t *offset, uint32_t *number, int *port)
{
	*offset = *number = NONE;
	*port = -1;
	if (chance(2))
		return 0;
	if (chance(2))
		*offset = chance(12) ? chance(PAGE) : PAGE;
	if (chance(2)) {
		*number = m.port[any_port()].number;
		*port = port_by_number(dom, *number);
	}
	if (*offset == PAGE)
		return -EINVAL;
	return *number != NONE && (*port < 0 || m.port[*port].closed) ? -EINVAL : 0;
}

static void add_notify(int share, int conn, int dom, uint32_t page, uint32_t offset, int port)
{
	struct m_notify *notify = m.notify;

	if (offset == NONE && port < 0)
		return;
	while (notify->exists)
		MUST(++notify < m.notify + NR_NOTIFIES);
	*notify = (struct m_notify){true, share, conn, dom, port, page, offset};
	if (port >= 0)
		m.port[port].nr_holds++;
	/* A share that is sealed against writers has no such notifications. */
	if (offset != NONE)
		MUST(pwrite(m.share[share].memfd, "x", 1, (off_t)(page * PAGE + offset)) == 1);
}

static void check_new_grefs(int dom, const struct m_share *made)
{
	for (unsigned int p = 0; p < made->nr_pages; p++) {
		MUST(made->grefs[p] >= NR_RESERVED_GREFS);
		for (int i = 0; i < NR_SHARES; i++) {
			const struct m_share *share = &m.share[i];

			if (share == made || !share->exists || share->conn < 0 ||
				dom_of(share->conn) != dom)
				continue;
			for (unsigned int q = 0; q < PAGES_MAX; q++)
				MUST(share->grefs[q] != made->grefs[p]);
		}
	}
}

static void op_share(int conn)
{
	int dom = dom_of(conn), port, expected, at = 0;
	struct hypercall_request req = {.op = HYPERCALL_SHARE,
		.flags = chance(3) ? HYPERCALL_WRITABLE : 0,
		.share = {any_domid(), chance(PAGES_MAX + 1), NONE, NONE}};
	int notify = any_notify(dom, &req.share.notify_offset, &req.share.notify_port, &port);
	struct m_share *made;
	struct share *share;
	const uint32_t *grefs;

	expected = req.share.domid >= DOMAIN_FIRST_RESERVED			  ? -ESRCH
		: req.share.nr_pages == 0					  ? -EINVAL
		: m_nr_grants(dom) + req.share.nr_pages > limits.nr_grants ? -ENOSPC
									  : notify;
	agree(grant_share(&m.conn[conn], &req, &share), expected);
	if (expected)
		return;
	while (m.share[at].exists)
		MUST(++at < NR_SHARES);
	made = &m.share[at];
	*made = (struct m_share){.exists = true,
		.writable = req.flags,
		.ready = req.flags,
		.conn = conn,
		.peer = req.share.domid,
		.nr_pages = req.share.nr_pages,
		.id = share_id(share),
		.memfd = fcntl(share_memfd(share), F_DUPFD_CLOEXEC, 0)};
	if (dom_by_id(made->peer) >= 0)
		made->peer_life = m.life[dom_by_id(made->peer)];
	MUST(made->memfd >= 0 && share_grefs(share, &grefs) == made->nr_pages);
	memcpy(made->grefs, grefs, made->nr_pages * sizeof(grefs[0]));
	check_new_grefs(dom, made);
	add_notify(at, -1, dom, 0, req.share.notify_offset, port);
}

static void op_ready(int conn)
{
	struct m_share *share = &m.share[any_share()];
	bool own = share->exists && share->conn == conn;

	if (own && !share->ready && chance(2)) {
		MUST(fcntl(share->memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0);
		share->sealed = true;
	}
	agree(grant_share_ready(&m.conn[conn], share->id),
		!own		  ? -ENOENT
		: share->ready	  ? -EALREADY
		: !share->sealed ? -EPERM
				  : 0);
	if (own && share->sealed)
		share->ready = true;
}

static void op_unshare(int conn)
{
	int at = any_share();

	for (int n = 0; n < 6 && m.share[at].conn != conn; n++)
		at = any_share();
	struct m_share *share = &m.share[at];
	bool own = share->exists && share->conn == conn;
	uint32_t page = chance(2) * chance(PAGES_MAX), nr = chance(PAGES_MAX + 1);
	int expected = !own ? -ENOENT : nr == 0 || page + nr > share->nr_pages ? -EINVAL : 0;

	agree(grant_unshare(&m.conn[conn], share->id, page, nr), expected);
	if (expected == 0)
		m_unshare(at, page, nr);
}

/* What mapping one reference gives, if nothing else is in the way; *at and *page are whose. */
static int expect_map(int conn, const struct hypercall_gref *ref, bool writable, int *at,
	uint32_t *page)
{
	int granter = dom_by_id(ref->domid), dom = dom_of(conn);
	const struct m_share *share = NULL;

	if (granter < 0)
		return -ESRCH;
	for (*at = 0; *at < NR_SHARES; ++*at) {
		share = &m.share[*at];
		for (*page = 0; share->exists && *page < share->nr_pages; ++*page) {
			if (share->grefs[*page] && share->grefs[*page] == ref->gref &&
				dom_of(share->conn) == granter)
				goto found;
		}
	}
	return -ENOENT;
found:
	if (!share->ready)
		return -ENOENT;
	if (share->peer != m.dom[dom]->id)
		return -EPERM;
	if (share->peer_life && share->peer_life != m.life[dom])
		return -EPERM;
	return writable && !share->writable ? -EACCES : 0;
}

static void any_gref(int dom, struct hypercall_gref *ref)
{
	const struct m_share *share = &m.share[any_share()];

	for (int n = 0; n < 6 && share->peer != m.dom[dom]->id; n++)
		share = &m.share[any_share()];
	ref->domid = any_domid();
	ref->gref = chance(80);
	if (chance(10) && share->exists && share->conn >= 0) {
		ref->domid = m.dom[dom_of(share->conn)]->id;
		ref->gref = share->grefs[chance(share->nr_pages)];
	}
}

static void op_map(int conn)
{
	enum { MAX = 3 };
	int dom = dom_of(conn), at[MAX], port, expected, notify;
	struct hypercall_request req = {.op = HYPERCALL_MAP,
		.flags = chance(2) ? HYPERCALL_WRITABLE : 0,
		.map = {chance(4) ? 1 : chance(MAX + 1), NONE, NONE}};
	unsigned int nr = req.map.nr_grefs, max = m.max_grants[conn];
	struct hypercall_mapped mapped[MAX];
	struct hypercall_gref refs[MAX];
	uint32_t page[MAX];

	notify = any_notify(dom, &req.map.notify_offset, &req.map.notify_port, &port);
	expected = nr == 0				      ? -EINVAL
		: m_nr_maps(dom) + nr > limits.nr_maps	      ? -ENOSPC
		: max && m_nr_mapped(conn) + nr > max	      ? -ENOSPC
							      : notify;
	if (expected == 0 && (req.map.notify_offset != NONE || port >= 0) &&
		(nr != 1 || (req.map.notify_offset != NONE && !req.flags)))
		expected = -EINVAL;
	for (unsigned int i = 0; i < nr; i++) {
		any_gref(dom, &refs[i]);
		if (expected == 0)
			expected = expect_map(conn, &refs[i], req.flags, &at[i], &page[i]);
	}
	agree(grant_map(&m.conn[conn], &req, refs, mapped), expected);
	for (unsigned int i = 0; expected == 0 && i < nr; i++) {
		MUST(mapped[i].share_id == m.share[at[i]].id && mapped[i].page == page[i]);
		MUST(mapped[i].nr_pages == m.share[at[i]].nr_pages);
		m.share[at[i]].maps[conn][page[i]]++;
	}
	if (expected == 0)
		add_notify(at[0], conn, dom, page[0], req.map.notify_offset, port);
}

static bool uses(int conn, const struct m_share *share)
{
	for (unsigned int p = 0; share->exists && p < share->nr_pages; p++) {
		if (share->maps[conn][p])
			return true;
	}
	return false;
}

static void op_unmap(int conn)
{
	int at = any_share(), expected;

	for (int n = 0; n < 12 && !uses(conn, &m.share[at]); n++)
		at = any_share();
	struct m_share *share = &m.share[at];
	uint32_t page = chance(share->exists ? share->nr_pages : 1), nr = 1;

	if (chance(4) == 0) {
		page = chance(PAGES_MAX);
		nr = chance(PAGES_MAX + 1);
	}
	expected = !uses(conn, share)			 ? -ENOENT
		: nr == 0 || page + nr > share->nr_pages ? -EINVAL
							 : 0;
	for (uint32_t p = page; expected == 0 && p < page + nr; p++) {
		if (!share->maps[conn][p])
			expected = -EINVAL;
	}
	agree(grant_unmap(&m.conn[conn], share->id, page, nr), expected);
	for (uint32_t p = page; expected == 0 && p < page + nr; p++)
		m_unmap(at, conn, p);
	if (share->exists)
		m_share_settle(at);
}

static void op_map_fd(int conn)
{
	const struct m_share *share = &m.share[any_share()];
	int fd = grant_map_fd(&m.conn[conn], share->id);
	struct stat given, right;

	agree(fd < 0 ? fd : 0, uses(conn, share) && share->conn >= 0 ? 0 : -ENOENT);
	if (fd < 0)
		return;
	MUST(fstat(fd, &given) == 0 && fstat(share->memfd, &right) == 0);
	MUST(given.st_ino == right.st_ino && given.st_dev == right.st_dev);
}

/* The new port has the lowest number that is free, and starts out pending if it is bound. */
static void add_port(int conn, uint32_t number, int peer, unsigned int remote, unsigned int life)
{
	int dom = dom_of(conn), at = 0, fds[2] = {-1, -1};
	struct m_port *port;
	unsigned int nr = 0;
	bool pending;

	for (uint32_t n = 1; n < number; n++)
		MUST(port_by_number(dom, n) >= 0);
	MUST(number >= 1 && port_by_number(dom, number) < 0);
	while (m.port[at].exists)
		MUST(++at < NR_PORTS);
	port = &m.port[at];
	MUST(evtchn_port_fds(m.dom[dom], number, fds, &nr) == 0);
	MUST(nr == (hv.port_kind == HYPERCALL_PORT_EVENTFD ? 2 : 1));
	*port = (struct m_port){.exists = true, .conn = conn, .dom = dom, .peer = peer,
		.remote = remote, .remote_life = life, .number = number, .fds = {-1, -1}};
	/* The set was made for us, the rest is borrowed. */
	port->fds[0] = nr == 2 ? fds[0] : fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	if (nr == 2)
		port->fds[1] = fcntl(fds[1], F_DUPFD_CLOEXEC, 0);
	if (peer >= 0)
		m.port[peer].peer = at;
	pending = take_pending(port);
	MUST(pending == (peer >= 0 || nr == 2));
}

static void op_bind_unbound(int conn)
{
	unsigned int domid = any_domid();
	int dom = dom_of(conn), remote = dom_by_id(domid);
	int expected = domid >= DOMAIN_FIRST_RESERVED	      ? -ESRCH
		: m_nr_ports(dom) >= limits.nr_ports ? -ENOSPC
							      : 0;
	uint32_t number;

	agree(evtchn_bind_unbound(&m.conn[conn], domid, &number), expected);
	if (expected == 0)
		add_port(conn, number, -1, domid, remote >= 0 ? m.life[remote] : 0);
}

static void op_bind_interdomain(int conn)
{
	const struct m_port *port = &m.port[any_port()];
	unsigned int domid = any_domid();
	uint32_t number = chance(8), made;
	int dom = dom_of(conn), remote, expected = 0;

	for (int n = 0; n < 6 && (port->peer >= 0 || port->remote != m.dom[dom]->id); n++)
		port = &m.port[any_port()];
	if (chance(10) && port->exists) {
		domid = m.dom[port->dom]->id;
		number = port->number;
	}
	remote = dom_by_id(domid) < 0 ? -1 : port_by_number(dom_by_id(domid), number);
	port = &m.port[remote < 0 ? 0 : remote];
	if (dom_by_id(domid) < 0)
		expected = -ESRCH;
	else if (remote < 0 || port->peer >= 0 || port->remote != m.dom[dom]->id ||
		(port->remote_life && port->remote_life != m.life[dom]))
		expected = -EINVAL;
	else if (m_nr_ports(dom) >= limits.nr_ports)
		expected = -ENOSPC;
	agree(evtchn_bind_interdomain(&m.conn[conn], domid, number, &made), expected);
	if (expected == 0)
		add_port(conn, made, remote, 0, 0);
}

static void op_unbind(int conn)
{
	int at = any_port();
	const struct m_port *port = &m.port[at];
	bool own = port->exists && !port->closed && port->conn == conn;

	/* A number of another handle's may be one of ours, too. */
	if (port->exists && !own) {
		at = port_by_number(dom_of(conn), port->number);
		own = at >= 0 && !m.port[at].closed && m.port[at].conn == conn;
	}
	agree(evtchn_unbind(&m.conn[conn], port->exists ? port->number : 99), own ? 0 : -EINVAL);
	if (own)
		m_port_close(at);
}

/* A domain notifies by itself; while nobody is bound that is lost. */
static void op_notify(void)
{
	const struct m_port *port = &m.port[any_port()];
	const uint64_t one = 1;

	if (!port->exists || port->closed)
		return;
	if (hv.port_kind == HYPERCALL_PORT_EVENTFD)
		MUST(write(port->fds[1], &one, sizeof(one)) == sizeof(one));
	else
		MUST(send(port->fds[0], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ||
			errno == EAGAIN);
	if (port->peer >= 0)
		m.port[port->peer].pending = true;
}

static void op_close(int conn)
{
	conn_fini(&m.conn[conn]);
	m_conn_close(conn);
	conn_init(&m.conn[conn], m.dom[dom_of(conn)]);
}

static void begin_life(int dom)
{
	char name[24];

	m.life[dom] = ++m.lives;
	snprintf(name, sizeof(name), "life-%u", m.lives);
	MUST(domain_create(&hv, name, DOMAIN_GUEST, 0, &m.dom[dom]) == 0);
	for (int c = dom * CONNS_EACH; c < (dom + 1) * CONNS_EACH; c++)
		conn_init(&m.conn[c], m.dom[dom]);
}

static void end_life(int dom)
{
	for (int c = dom * CONNS_EACH; c < (dom + 1) * CONNS_EACH; c++) {
		conn_fini(&m.conn[c]);
		m_conn_close(c);
	}
	if (chance(2))
		hv.last_domid = m.dom[dom]->id - 1; /* its successor has the same id */
	domain_destroy(m.dom[dom]);
}

static void random_step(void)
{
	static void (*const ops[])(int conn) = {op_share, op_ready, op_unshare, op_unshare, op_map,
		op_map, op_unmap, op_unmap, op_map_fd, op_bind_unbound,
		op_bind_interdomain, op_bind_interdomain, op_unbind};
	enum { NR_OPS = sizeof(ops) / sizeof(ops[0]) };
	int conn = (int)chance(NR_CONNS), dom;
	uint32_t what = chance(8 * NR_OPS + 14);

	if (what < 8 * NR_OPS) {
		ops[what / 8](conn);
	} else if (what < 8 * NR_OPS + 10) {
		op_notify();
	} else if (what < 8 * NR_OPS + 11) {
		m.conn[conn].max_grants = m.max_grants[conn] = chance(3) ? 0 : 1 + chance(6);
	} else if (what < 8 * NR_OPS + 13) {
		op_close(conn);
	} else {
		dom = dom_of(conn);
		end_life(dom);
		begin_life(dom);
	}
}

static void run_seed(uint64_t seed, enum hypercall_port_kind kind)
{
	m.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	hv_open(&limits, 1000, kind);
	for (int i = 0; i < NR_DOMS; i++)
		begin_life(i);
	for (unsigned int i = 0; i < NR_STEPS; i++) {
		snprintf(hv_context, sizeof(hv_context), "(seed %lu, kind %d, step %u)",
			(unsigned long)seed, (int)kind, i);
		random_step();
		check_all();
	}
	for (int i = 0; i < NR_DOMS; i++)
		end_life(i);
	hv_close();
}

static void agrees_with_model(enum hypercall_port_kind kind)
{
	unsigned int nr_fds = nr_open_fds();

	memset(&m, 0, sizeof(m));
	for (uint64_t seed = 1; seed <= NR_SEEDS; seed++)
		run_seed(seed, kind);
	assert_int_equal(nr_open_fds(), nr_fds);
	/* Otherwise this would have tested only refusals, or none. */
	assert_true(m.nr_good > NR_SEEDS * NR_STEPS / 10);
	assert_true(m.nr_bad > NR_SEEDS * NR_STEPS / 10);
	assert_true(m.nr_fired > NR_SEEDS * NR_STEPS / 100);
}

static void random_operations_agree_with_the_model_eventfds(void **state)
{
	(void)state;
	if (evtchn_probe() != HYPERCALL_PORT_EVENTFD)
		skip();
	agrees_with_model(HYPERCALL_PORT_EVENTFD);
}

static void random_operations_agree_with_the_model_sockets(void **state)
{
	(void)state;
	agrees_with_model(HYPERCALL_PORT_SEQPACKET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_agree_with_the_model_eventfds),
		cmocka_unit_test(random_operations_agree_with_the_model_sockets),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("hypervisor: random operations", tests, NULL, NULL);
}
