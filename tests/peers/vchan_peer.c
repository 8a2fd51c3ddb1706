/* SPDX-License-Identifier: MIT */
/*
 * One side of vchans: vchan_peer SCENARIO server|client BYTES NR_RINGS LEFT RIGHT. The toolstack
 * names the peer in data/peer; we report in data/state and end when data/end appears, so that what
 * the domain still holds can be looked at in between. LEFT is the ring that the server reads.
 */
#include "peer.h"

#include <poll.h>

#include <libxenvchan.h>

#define RINGS_MAX 16
#define CHUNK 100000 /* more than most rings, and no power of two */

static struct {
	bool server;
	uint64_t bytes;
	unsigned int nr_rings;
	size_t left, right;
	struct xs_handle *xs;
	struct libxenvchan *chans[RINGS_MAX];
} self;

/* ---- the data: each byte follows from its stream and position ---- */

static unsigned char byte_at(unsigned int stream, uint64_t position)
{
	uint64_t x = ((position >> 3) + 1) * 0x9e3779b97f4a7c15u + stream * 0xbf58476d1ce4e5b9u;

	x ^= x >> 29;
	return (unsigned char)(x >> (8 * (position & 7)));
}

static void fill(unsigned char *buffer, size_t len, unsigned int stream, uint64_t position)
{
	for (size_t i = 0; i < len; i++)
		buffer[i] = byte_at(stream, position + i);
}

static bool same(const unsigned char *buffer, size_t len, unsigned int stream, uint64_t position)
{
	for (size_t i = 0; i < len; i++) {
		if (buffer[i] != byte_at(stream, position + i))
			return false;
	}
	return true;
}

/* The two directions of a ring are different streams. */
static unsigned int stream_out(unsigned int ring)
{
	return 2 * ring + self.server;
}

static unsigned int stream_in(unsigned int ring)
{
	return 2 * ring + !self.server;
}

/* ---- connecting ---- */

static void parse(char **args)
{
	CHECK(args[0] && args[1] && args[2] && args[3] && args[4]);
	self.server = strcmp(args[0], "server") == 0;
	self.bytes = strtoull(args[1], NULL, 10);
	self.nr_rings = (unsigned int)atoi(args[2]);
	self.left = strtoul(args[3], NULL, 10);
	self.right = strtoul(args[4], NULL, 10);
	CHECK(self.nr_rings >= 1 && self.nr_rings <= RINGS_MAX);
}

static void open_chan(unsigned int ring, int peer, int own)
{
	char path[128], node[160];

	snprintf(path, sizeof(path), "/local/domain/%d/data/ring-%u", self.server ? own : peer,
		ring);
	if (self.server) {
		self.chans[ring] = libxenvchan_server_init(NULL, peer, path, self.left, self.right);
	} else {
		snprintf(node, sizeof(node), "%s/event-channel", path);
		free(wait_for_node(self.xs, node));
		self.chans[ring] = libxenvchan_client_init(NULL, peer, path);
	}
	CHECK(self.chans[ring]);
}

static void open_all(char **args)
{
	int peer, own;

	parse(args);
	self.xs = xs_open(0);
	CHECK(self.xs);
	own = wait_for_number(self.xs, "domid");
	peer = wait_for_number(self.xs, "data/peer");
	for (unsigned int i = 0; i < self.nr_rings; i++)
		open_chan(i, peer, own);
}

static void close_all(const char *state)
{
	for (unsigned int i = 0; i < self.nr_rings; i++)
		libxenvchan_close(self.chans[i]);
	put(self.xs, "data/state", state);
	free(wait_for_node(self.xs, "data/end"));
	xs_close(self.xs);
}

/* ---- streams, without blocking ---- */

struct progress {
	uint64_t sent, received;
};

/* As much as goes now. False when the other side is gone. */
static bool pump(unsigned int ring, struct progress *at)
{
	static unsigned char buffer[CHUNK];
	struct libxenvchan *chan = self.chans[ring];
	uint64_t left;
	int n;

	while ((left = self.bytes - at->sent) > 0) {
		size_t len = left < sizeof(buffer) ? left : sizeof(buffer);
		int space = libxenvchan_buffer_space(chan);

		CHECK(space >= 0);
		fill(buffer, len < (size_t)space + 1 ? len : (size_t)space + 1, stream_out(ring),
			at->sent);
		/* One byte more than there seems to be room for. */
		if (len > (size_t)space + 1)
			len = (size_t)space + 1;
		n = libxenvchan_write(chan, buffer, len);
		if (n < 0)
			return false;
		at->sent += (uint64_t)n;
		if (n == 0)
			break;
	}
	while (at->received < self.bytes) {
		n = libxenvchan_read(chan, buffer, sizeof(buffer));
		if (n < 0)
			return false;
		CHECK(same(buffer, (size_t)n, stream_in(ring), at->received));
		at->received += (uint64_t)n;
		CHECK(at->received <= self.bytes);
		if (n == 0)
			break;
	}
	return true;
}

/* Serves all rings until everything has been sent and received, or the other side is gone. */
static bool stream_all(void)
{
	struct progress at[RINGS_MAX] = {{0, 0}};
	struct pollfd fds[RINGS_MAX];
	unsigned int nr_done;

	for (unsigned int i = 0; i < self.nr_rings; i++) {
		self.chans[i]->blocking = 0;
		fds[i] = (struct pollfd){libxenvchan_fd_for_select(self.chans[i]), POLLIN, 0};
	}
	for (;;) {
		nr_done = 0;
		for (unsigned int i = 0; i < self.nr_rings; i++) {
			if (!pump(i, &at[i]))
				return false;
			nr_done += at[i].sent == self.bytes && at[i].received == self.bytes;
		}
		if (nr_done == self.nr_rings)
			return true;
		CHECK(poll(fds, self.nr_rings, -1) > 0);
		for (unsigned int i = 0; i < self.nr_rings; i++) {
			/* Does not block, since the descriptor is readable. */
			if (fds[i].revents)
				libxenvchan_wait(self.chans[i]);
		}
	}
}

static void run_stream(char **args)
{
	open_all(args);
	CHECK(stream_all());
	close_all("done");
}

/* Until the other side is killed. */
static void run_endless(char **args)
{
	open_all(args);
	self.bytes = UINT64_MAX;
	put(self.xs, "data/state", "running");
	CHECK(!stream_all());
	CHECK(libxenvchan_is_open(self.chans[0]) == 0);
	close_all("peer is gone");
}

/* ---- blocking ---- */

static bool send_blocking(struct libxenvchan *chan, uint64_t position)
{
	static unsigned char buffer[CHUNK];

	fill(buffer, sizeof(buffer), 7, position);
	return libxenvchan_write(chan, buffer, sizeof(buffer)) == CHUNK;
}

static bool receive_blocking(struct libxenvchan *chan, uint64_t *position)
{
	static unsigned char buffer[CHUNK];
	int n = libxenvchan_read(chan, buffer, sizeof(buffer));

	if (n < 0)
		return false;
	CHECK(n > 0 && same(buffer, (size_t)n, 7, *position));
	*position += (uint64_t)n;
	return true;
}

/* One way, then the other. BYTES is rounded up to whole chunks. */
static void run_blocking(char **args)
{
	uint64_t total, position;

	open_all(args);
	self.chans[0]->blocking = 1;
	total = (self.bytes + CHUNK - 1) / CHUNK * CHUNK;
	for (int turn = 0; turn < 2; turn++) {
		position = 0;
		if (self.server == (turn == 0)) {
			while (position < total)
				CHECK(receive_blocking(self.chans[0], &position));
		} else {
			for (; position < total; position += CHUNK)
				CHECK(send_blocking(self.chans[0], position));
		}
	}
	CHECK(libxenvchan_data_ready(self.chans[0]) == 0);
	close_all("done");
}

/* The client sends for ever, until one of them is killed. */
static void run_endless_blocking(char **args)
{
	uint64_t position = 0;

	open_all(args);
	put(self.xs, "data/state", "running");
	self.chans[0]->blocking = 1;
	if (self.server) {
		while (receive_blocking(self.chans[0], &position))
			;
	} else {
		for (; send_blocking(self.chans[0], position); position += CHUNK)
			;
	}
	CHECK(libxenvchan_is_open(self.chans[0]) == 0);
	close_all("peer is gone");
}

/* Whole packets: the client sends, the server sends back, sizes up to what the ring holds. */
static void run_packets(char **args)
{
	static unsigned char out[1 << 20], in[1 << 20];
	size_t len = 1, size, max;

	open_all(args);
	self.chans[0]->blocking = 1;
	/* Both directions must hold it. */
	size = self.left < self.right ? self.left : self.right;
	CHECK(size <= sizeof(out));
	max = (size_t)1 << (self.server ? self.chans[0]->read.order : self.chans[0]->write.order);
	CHECK(max >= self.left);
	/* What can never fit is refused instead of waited for. */
	CHECK(libxenvchan_send(self.chans[0], out, sizeof(out) + 1) == -1);
	for (uint64_t i = 0; i < self.bytes; i++) {
		len = (len * 1103515245 + 12345) % size + 1;
		if (i % 16 == 0)
			len = size;
		fill(out, len, 3, i * 1000);
		if (!self.server)
			CHECK(libxenvchan_send(self.chans[0], out, len) == (int)len);
		CHECK(libxenvchan_recv(self.chans[0], in, len) == (int)len);
		CHECK(memcmp(in, out, len) == 0);
		if (self.server)
			CHECK(libxenvchan_send(self.chans[0], in, len) == (int)len);
	}
	close_all("done");
}

/* Not blocking: the calls say 0 instead of waiting, and the descriptor says when to go on. */
static void run_states(char **args)
{
	struct libxenvchan *chan;
	struct pollfd pfd;
	char bytes[64];
	int space;

	open_all(args);
	chan = self.chans[0];
	chan->blocking = 0;
	pfd = (struct pollfd){libxenvchan_fd_for_select(chan), POLLIN, 0};
	if (self.server) {
		/* 2: nobody has connected yet. */
		while (libxenvchan_is_open(chan) == 2 && poll(&pfd, 1, -1) == 1)
			libxenvchan_wait(chan);
		CHECK(libxenvchan_is_open(chan) == 1);
		CHECK(libxenvchan_read(chan, bytes, sizeof(bytes)) == 0);
		CHECK(libxenvchan_recv(chan, bytes, sizeof(bytes)) == 0);
		CHECK(libxenvchan_data_ready(chan) == 0);
		put(self.xs, "data/state", "empty");
		free(wait_for_node(self.xs, "data/full"));
		space = libxenvchan_data_ready(chan);
		CHECK(space >= (int)self.left);
		/* A part, a packet larger than what is there, the rest. */
		CHECK(libxenvchan_recv(chan, bytes, sizeof(bytes)) == (int)sizeof(bytes));
		for (space -= (int)sizeof(bytes); space > 0; space -= (int)sizeof(bytes))
			CHECK(libxenvchan_read(chan, bytes, sizeof(bytes)) > 0);
		CHECK(libxenvchan_recv(chan, bytes, sizeof(bytes)) == 0);
		close_all("read");
		return;
	}
	CHECK(libxenvchan_is_open(chan) == 1);
	free(wait_for_node(self.xs, "data/empty"));
	space = libxenvchan_buffer_space(chan);
	CHECK(space >= (int)self.left);
	while (libxenvchan_write(chan, bytes, sizeof(bytes)) > 0)
		;
	CHECK(libxenvchan_buffer_space(chan) == 0);
	CHECK(libxenvchan_send(chan, bytes, 1) == 0);
	put(self.xs, "data/state", "full");
	/* The server makes room, and then closes: the descriptor tells of both. */
	while (libxenvchan_is_open(chan) == 1 && poll(&pfd, 1, -1) == 1)
		libxenvchan_wait(chan);
	CHECK(libxenvchan_buffer_space(chan) == space);
	CHECK(libxenvchan_write(chan, bytes, 1) == -1);
	CHECK(libxenvchan_read(chan, bytes, 1) == -1);
	close_all("closed");
}

/* A client that goes and comes again, to a server that stays. */
static void run_reconnect(char **args)
{
	char byte = 0, path[128];
	int peer;

	open_all(args);
	self.chans[0]->blocking = 1;
	if (self.server) {
		self.chans[0]->server_persist = 1;
		for (uint64_t i = 0; i < self.bytes; i++)
			CHECK(libxenvchan_recv(self.chans[0], &byte, 1) == 1 && byte == (char)i);
		close_all("done");
		return;
	}
	peer = wait_for_number(self.xs, "data/peer");
	snprintf(path, sizeof(path), "/local/domain/%d/data/ring-0", peer);
	for (uint64_t i = 0; i < self.bytes; i++) {
		byte = (char)i;
		CHECK(libxenvchan_send(self.chans[0], &byte, 1) == 1);
		if (i + 1 == self.bytes)
			break;
		libxenvchan_close(self.chans[0]);
		self.chans[0] = libxenvchan_client_init(NULL, peer, path);
		CHECK(self.chans[0]);
		self.chans[0]->blocking = 1;
	}
	close_all("done");
}

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{"stream", run_stream},
		{"endless", run_endless},
		{"blocking", run_blocking},
		{"endless-blocking", run_endless_blocking},
		{"packets", run_packets},
		{"states", run_states},
		{"reconnect", run_reconnect},
	};

	return RUN_SCENARIO(argc, argv, scenarios);
}
