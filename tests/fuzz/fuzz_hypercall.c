/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer: the hypercall socket. Three domains and eight connections to a hypervisor in this
 * process, over its real sockets. Input: a byte that chooses limits and the kind of ports, then
 * steps: a byte that says what (bits 0-3), through which connection (bits 4-6) and whether the
 * hypervisor runs afterwards (bit 7 clear), and the bytes that the step takes. After each run every
 * count must agree with what is held, at the end nothing may be left. Nothing here ever waits.
 */
#include <stdint.h>
#include <sys/eventfd.h>

#include "../unit/test_hypervisor_fixture.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define NR_DOMAINS 3u
#define NR_CLIENTS 8u
#define NR_KNOWN 8u
#define NR_UNANSWERED 64u

struct expected {
	uint32_t op, count;
};

struct client {
	int fd; /* -1: not connected */
	bool mute; /* does not take its replies */
	struct expected sent[NR_UNANSWERED];
	unsigned int first, nr;
};

/* Values of earlier replies, so that later requests can mean something. */
struct known {
	uint64_t share_id[NR_KNOWN];
	uint32_t gref[NR_KNOWN], port[NR_KNOWN];
	int memfd[NR_KNOWN], port_fds[NR_KNOWN][2];
	unsigned int at;
};

struct fuzz {
	const uint8_t *in;
	size_t left;
	unsigned int nr_names;
	struct domain *dom[NR_DOMAINS];
	struct client client[NR_CLIENTS];
	struct known known;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t take(struct fuzz *fuzz)
{
	if (fuzz->left == 0)
		return 0;
	fuzz->left--;
	return *fuzz->in++;
}

/* One of eight known values, a special one, or a small one. */
static uint32_t take_value(struct fuzz *fuzz, const uint32_t known[NR_KNOWN])
{
	static const uint32_t special[] = {UINT32_MAX, UINT32_MAX - 1, 1u << 31, 0x7ff0, 4095, 4096,
		4097, 65536};
	uint8_t b = take(fuzz);

	if (b < 128)
		return known[b % NR_KNOWN];
	return b < 192 ? special[b % 8] : b & 63u;
}

static uint32_t take_domid(struct fuzz *fuzz)
{
	uint32_t ids[NR_KNOWN] = {0};

	for (unsigned int i = 0; i < NR_KNOWN; i++)
		ids[i] = fuzz->dom[i % NR_DOMAINS] ? fuzz->dom[i % NR_DOMAINS]->id : 99;
	return take_value(fuzz, ids);
}

static uint32_t take_small(struct fuzz *fuzz)
{
	static const uint32_t small[NR_KNOWN] = {0, 1, 2, 3, 4, 1, 0, 8};

	return take_value(fuzz, small);
}

static uint64_t take_share_id(struct fuzz *fuzz)
{
	uint8_t b = take(fuzz);

	return b < 224 ? fuzz->known.share_id[b % NR_KNOWN] : b - 224u;
}

static void put_fd(int *slot, int fd)
{
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
}

/* ---- connections ---- */

static void disconnect(struct client *client)
{
	put_fd(&client->fd, -1);
	client->nr = 0;
	client->mute = false;
}

static void connect_to(struct client *client, const struct domain *dom)
{
	char path[40];

	disconnect(client);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dom->hypercall_path_fd);
	client->fd = unixsock_connect(path, SOCK_SEQPACKET);
	MUST(client->fd >= 0);
}

static void send_packet(struct client *client, const void *packet, size_t len, int fd)
{
	const struct hypercall_request *req = packet;
	struct expected *sent = &client->sent[(client->first + client->nr) % NR_UNANSWERED];

	if (client->fd < 0 || client->nr == NR_UNANSWERED)
		return;
	*sent = (struct expected){0};
	if (len >= sizeof(*req)) {
		sent->op = req->op;
		sent->count = req->op == HYPERCALL_SHARE ? req->share.nr_pages
			: req->op == HYPERCALL_MAP	 ? req->map.nr_grefs
							 : 0;
	}
	if (unixsock_send(client->fd, packet, len, &fd, fd >= 0, MSG_DONTWAIT) == 0)
		client->nr++;
}

/* A reply has the form that its request asks for. */
static void check_reply(const struct expected *sent, const struct hypercall_reply *head, size_t len,
	unsigned int nr_fds)
{
	size_t element = sent->op == HYPERCALL_SHARE ? sizeof(uint32_t)
						     : sizeof(struct hypercall_mapped);
	bool bind = sent->op == HYPERCALL_BIND_UNBOUND || sent->op == HYPERCALL_BIND_INTERDOMAIN;

	MUST(head->status <= 0 && head->status > -4096);
	if (head->status) {
		MUST(len == sizeof(*head) && nr_fds == 0);
		return;
	}
	MUST(len == sizeof(*head) + sent->count * element);
	MUST(head->count == sent->count);
	if (bind)
		MUST(nr_fds == (hv.port_kind == HYPERCALL_PORT_EVENTFD ? 2 : 1));
	else
		MUST(nr_fds == (sent->op == HYPERCALL_SHARE || sent->op == HYPERCALL_MAP_FD));
}

static void remember(struct known *known, const struct expected *sent, const char *packet,
	const int *fds, unsigned int nr_fds)
{
	const struct hypercall_reply *head = (const void *)packet;
	const struct hypercall_mapped *mapped = (const void *)(packet + sizeof(*head));
	unsigned int at = known->at++ % NR_KNOWN;

	if (sent->op == HYPERCALL_SHARE) {
		known->share_id[at] = head->share.share_id;
		known->gref[at] = *(const uint32_t *)(const void *)(packet + sizeof(*head));
		put_fd(&known->memfd[at], fds[0]);
	} else if (sent->op == HYPERCALL_MAP) {
		known->share_id[at] = mapped->share_id;
	} else if (nr_fds && sent->op != HYPERCALL_MAP_FD) {
		known->port[at] = head->evtchn.port;
		put_fd(&known->port_fds[at][0], fds[0]);
		put_fd(&known->port_fds[at][1], nr_fds == 2 ? fds[1] : -1);
	} else if (nr_fds) {
		put_fd(&known->memfd[at], fds[0]);
	}
}

static void take_replies(struct fuzz *fuzz, struct client *client)
{
	static _Alignas(8) char packet[HYPERCALL_REPLY_MAX];
	const struct hypercall_reply *head = (const void *)packet;
	unsigned int nr_fds;
	int fds[HYPERCALL_MAX_FDS];
	ssize_t n;

	while (client->fd >= 0) {
		nr_fds = 0;
		n = unixsock_recv(client->fd, packet, sizeof(packet), fds, HYPERCALL_MAX_FDS,
			&nr_fds, MSG_DONTWAIT);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			disconnect(client);
			return;
		}
		MUST(client->nr > 0 && (size_t)n >= sizeof(*head));
		check_reply(&client->sent[client->first], head, (size_t)n, nr_fds);
		if (head->status == 0)
			remember(&fuzz->known, &client->sent[client->first], packet, fds, nr_fds);
		client->first = (client->first + 1) % NR_UNANSWERED;
		client->nr--;
	}
}

/* ---- steps ---- */

static void new_domain(struct fuzz *fuzz, unsigned int i, bool same_id)
{
	char name[16];

	if (fuzz->dom[i]) {
		if (same_id)
			hv.last_domid = fuzz->dom[i]->id - 1;
		domain_destroy(fuzz->dom[i]);
		fuzz->dom[i] = NULL;
	}
	snprintf(name, sizeof(name), "d%u", fuzz->nr_names++);
	if (domain_create(&hv, name, DOMAIN_GUEST, 0, &fuzz->dom[i]))
		fuzz->dom[i] = NULL;
}

static void step_connect(struct fuzz *fuzz, struct client *client)
{
	uint8_t b = take(fuzz);
	struct domain *dom = fuzz->dom[b % NR_DOMAINS];
	struct hypercall_request req = {.op = HYPERCALL_OPEN,
		.open = {HYPERCALL_VERSION, HYPERCALL_GNTSHR + (b >> 2) % 3}};

	if (!dom)
		return;
	connect_to(client, dom);
	if (b < 240)
		send_packet(client, &req, sizeof(req), -1);
}

static void step_share(struct fuzz *fuzz, struct client *client)
{
	uint8_t flags = take(fuzz);
	struct hypercall_request req = {.op = HYPERCALL_SHARE,
		.flags = flags & HYPERCALL_WRITABLE,
		.share = {take_domid(fuzz), take_small(fuzz), NONE, NONE}};

	if (flags & 2)
		req.share.notify_offset = take_small(fuzz);
	if (flags & 4)
		req.share.notify_port = take_value(fuzz, fuzz->known.port);
	send_packet(client, &req, sizeof(req), -1);
}

/* Not always with the seals that the hypervisor asks for. */
static void step_ready(struct fuzz *fuzz, struct client *client)
{
	uint8_t b = take(fuzz);
	struct hypercall_request req = {.op = HYPERCALL_SHARE_READY,
		.range = {.share_id = fuzz->known.share_id[b % NR_KNOWN]}};
	int memfd = fuzz->known.memfd[b % NR_KNOWN];

	if (memfd >= 0 && b < 192)
		(void)fcntl(memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | (b < 160 ? F_SEAL_SEAL : 0));
	send_packet(client, &req, sizeof(req), -1);
}

static void step_range(struct fuzz *fuzz, struct client *client, uint32_t op)
{
	struct hypercall_request req = {.op = op,
		.range = {take_share_id(fuzz), take_small(fuzz), take_small(fuzz)}};

	send_packet(client, &req, sizeof(req), -1);
}

static void step_map(struct fuzz *fuzz, struct client *client)
{
	static struct {
		struct hypercall_request req;
		struct hypercall_gref grefs[HYPERCALL_MAX_PAGES];
	} packet;
	uint8_t flags = take(fuzz);
	uint32_t nr = flags & 128 ? take_small(fuzz) % (HYPERCALL_MAX_PAGES + 1) : flags >> 3 & 7;
	struct hypercall_gref gref = {0};

	packet.req = (struct hypercall_request){.op = HYPERCALL_MAP,
		.flags = flags & HYPERCALL_WRITABLE,
		.map = {nr, flags & 2 ? take_small(fuzz) : NONE,
			flags & 4 ? take_value(fuzz, fuzz->known.port) : NONE}};
	for (uint32_t i = 0; i < nr; i++) {
		if (i < 16 && (i < 8 || !(flags & 64))) {
			gref.domid = take_domid(fuzz);
			gref.gref = take_value(fuzz, fuzz->known.gref);
		} else if (flags & 64) {
			gref.gref++; /* many pages of one share */
		}
		packet.grefs[i] = gref;
	}
	send_packet(client, &packet, sizeof(packet.req) + nr * sizeof(gref), -1);
}

static void step_port(struct fuzz *fuzz, struct client *client)
{
	static const uint32_t ops[] = {HYPERCALL_BIND_UNBOUND, HYPERCALL_BIND_INTERDOMAIN,
		HYPERCALL_UNBIND, HYPERCALL_BIND_INTERDOMAIN};
	uint8_t b = take(fuzz);
	struct hypercall_request req = {.op = b == 255 ? HYPERCALL_RESTRICT : ops[b % 4],
		.evtchn = {take_domid(fuzz), take_value(fuzz, fuzz->known.port)}};

	send_packet(client, &req, sizeof(req), -1);
}

static void step_max(struct fuzz *fuzz, struct client *client)
{
	struct hypercall_request req = {
		.op = HYPERCALL_SET_MAX_GRANTS, .max = {take_small(fuzz)}};

	send_packet(client, &req, sizeof(req), -1);
}

/* Any bytes, perhaps with a descriptor. */
static void step_raw(struct fuzz *fuzz, struct client *client)
{
	_Alignas(8) uint8_t packet[128];
	uint8_t b = take(fuzz);
	size_t len = b & 127;

	for (size_t i = 0; i < len; i++)
		packet[i] = take(fuzz);
	send_packet(client, packet, len, b & 128 ? hv.run_dir_fd : -1);
}

/* What a domain does with the ends it got: notifies, or fills and reconfigures them. */
static void step_ends(struct fuzz *fuzz)
{
	uint8_t b = take(fuzz);
	const int *fds = fuzz->known.port_fds[b % NR_KNOWN];
	int end = hv.port_kind == HYPERCALL_PORT_EVENTFD ? fds[1] : fds[0];
	uint64_t value = b & 64 ? UINT64_MAX - 1 : 1;

	if (end < 0)
		return;
	if (b & 8)
		(void)fcntl(end, F_SETFL, 0);
	if (hv.port_kind == HYPERCALL_PORT_SEQPACKET) {
		if (send(end, &value, sizeof(value), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			return;
	} else if (fcntl(end, F_GETFL) & O_NONBLOCK && write(end, &value, sizeof(value)) < 0) {
		return; /* without O_NONBLOCK ours could block, too */
	}
	if (b & 128 && hv.port_kind == HYPERCALL_PORT_SEQPACKET)
		shutdown(end, SHUT_RDWR);
}

static void settle(struct fuzz *fuzz)
{
	hv_turn();
	for (unsigned int i = 0; i < NR_CLIENTS; i++) {
		if (!fuzz->client[i].mute)
			take_replies(fuzz, &fuzz->client[i]);
	}
	hv_turn();
	hv_check();
}

static void step(struct fuzz *fuzz)
{
	uint8_t b = take(fuzz), which = b >> 4 & 7;
	struct client *client = &fuzz->client[which];

	switch (b & 15) {
	case 0:
	case 1:
		step_connect(fuzz, client);
		break;
	case 2:
		disconnect(client);
		break;
	case 3:
		step_share(fuzz, client);
		break;
	case 4:
		step_ready(fuzz, client);
		break;
	case 5:
		step_range(fuzz, client, HYPERCALL_UNSHARE);
		break;
	case 6:
	case 7:
		step_map(fuzz, client);
		break;
	case 8:
		step_range(fuzz, client, HYPERCALL_UNMAP);
		break;
	case 9:
		step_range(fuzz, client, HYPERCALL_MAP_FD);
		break;
	case 10:
	case 11:
		step_port(fuzz, client);
		break;
	case 12:
		new_domain(fuzz, which % NR_DOMAINS, take(fuzz) & 1);
		break;
	case 13:
		step_ends(fuzz);
		break;
	case 14:
		if (take(fuzz) & 1)
			client->mute = !client->mute;
		else
			step_max(fuzz, client);
		break;
	default:
		step_raw(fuzz, client);
	}
	if (!(b & 128))
		settle(fuzz);
}

static void fuzz_open(struct fuzz *fuzz)
{
	static const struct domain_limits limits[2] = {{5, 24, 24, 5, 4}, {5, 5000, 9000, 40, 8}};
	uint8_t b = take(fuzz);

	hv_open(&limits[b & 1], b & 2 ? 80 : 2000,
		b & 4 ? HYPERCALL_PORT_SEQPACKET : HYPERCALL_PORT_EVENTFD);
	for (unsigned int i = 0; i < NR_CLIENTS; i++)
		fuzz->client[i].fd = -1;
	for (unsigned int i = 0; i < NR_KNOWN; i++)
		fuzz->known.memfd[i] = fuzz->known.port_fds[i][0] =
			fuzz->known.port_fds[i][1] = -1;
	for (unsigned int i = 0; i < NR_DOMAINS; i++)
		new_domain(fuzz, i, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int nr_fds = nr_open_fds();
	struct fuzz fuzz = {.in = data, .left = size};

	fuzz_open(&fuzz);
	while (fuzz.left > 0)
		step(&fuzz);
	settle(&fuzz);
	for (unsigned int i = 0; i < NR_KNOWN; i++) {
		put_fd(&fuzz.known.memfd[i], -1);
		put_fd(&fuzz.known.port_fds[i][0], -1);
		put_fd(&fuzz.known.port_fds[i][1], -1);
	}
	for (unsigned int i = 0; i < NR_CLIENTS; i++) {
		/* Half of them go before their domain, half after it. */
		if (i % 2)
			disconnect(&fuzz.client[i]);
	}
	settle(&fuzz);
	for (unsigned int i = 0; i < NR_CLIENTS; i += 2)
		fuzz.client[i].mute = true;
	hv_end_domains();
	for (unsigned int i = 0; i < NR_CLIENTS; i++)
		disconnect(&fuzz.client[i]);
	hv_close();
	MUST(nr_open_fds() == nr_fds);
	return 0;
}
