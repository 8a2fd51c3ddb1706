/* SPDX-License-Identifier: MIT */
/*
 * vchan-recv PEER [NAME]: offers a vchan to domain PEER and copies what comes to standard output,
 * until the sender is done. It is the server: the ring's memory is its own. PEER is a domain id,
 * or "-" to wait for the one that the toolstack writes to the node data/peer.
 *
 *     cc -o vchan-recv vchan-recv.c -lxenvchan -lxenstore
 *
 * Runs on Xen, and without Xen under `ringfence exec`.
 */
#include <errno.h>
#include <unistd.h>

#include <libxenvchan.h>

#include "vchan-peer.h"

#define RING_BYTES 65536

static int write_all(const char *bytes, int len)
{
	ssize_t n;

	for (; len > 0; bytes += n, len -= (int)n) {
		n = write(STDOUT_FILENO, bytes, (size_t)len);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n < 0)
			n = 0;
	}
	return 0;
}

static int receive(struct libxenvchan *chan)
{
	static char buffer[RING_BYTES];
	int n;

	chan->blocking = 1;
	for (;;) {
		n = libxenvchan_read(chan, buffer, sizeof(buffer));
		/* Closed, and nothing is left in the ring: the stream's end. */
		if (n < 0)
			return 0;
		if (write_all(buffer, n) < 0) {
			perror("vchan-recv: standard output");
			return 1;
		}
	}
}

int main(int argc, char **argv)
{
	const char *name = argc > 2 ? argv[2] : "example";
	struct libxenvchan *chan;
	struct xs_handle *xs;
	char path[PATH_SIZE];
	int peer, status;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: vchan-recv PEER [NAME]\n");
		return 2;
	}
	xs = xs_open(0);
	peer = xs ? find_peer(xs, argv[1]) : -1;
	if (peer < 0) {
		fprintf(stderr, "vchan-recv: no xenstore, or no peer\n");
		return 1;
	}
	snprintf(path, sizeof(path), "/local/domain/%d/data/vchan-%s", own_domid(xs), name);
	xs_close(xs);
	/* Publishes the grant reference and the event channel below the path, for the peer only. */
	chan = libxenvchan_server_init(NULL, peer, path, RING_BYTES, 0);
	if (!chan) {
		fprintf(stderr, "vchan-recv: cannot offer %s: %s\n", path, strerror(errno));
		return 1;
	}
	status = receive(chan);
	libxenvchan_close(chan);
	return status;
}
