/* SPDX-License-Identifier: MIT */
/*
 * vchan-send PEER [NAME]: connects to the vchan that vchan-recv offers in domain PEER, as soon as
 * it is there, and copies standard input to it. PEER is a domain id, or "-" to wait for the one
 * that the toolstack writes to the node data/peer.
 *
 *     cc -o vchan-send vchan-send.c -lxenvchan -lxenstore
 *
 * Runs on Xen, and without Xen under `ringfence exec`.
 */
#include <errno.h>
#include <unistd.h>

#include <libxenvchan.h>

#include "vchan-peer.h"

static int send_input(struct libxenvchan *chan)
{
	static char buffer[65536];
	ssize_t n;

	chan->blocking = 1;
	for (;;) {
		n = read(STDIN_FILENO, buffer, sizeof(buffer));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			perror("vchan-send: standard input");
		if (n <= 0)
			return n < 0;
		if (libxenvchan_write(chan, buffer, (size_t)n) != n) {
			fprintf(stderr, "vchan-send: the receiver is gone\n");
			return 1;
		}
	}
}

/* Waits for the offer: the event channel is the last node that the server writes. */
static int wait_for_offer(struct xs_handle *xs, const char *path)
{
	char node[PATH_SIZE + 16];
	char *value;

	snprintf(node, sizeof(node), "%s/event-channel", path);
	value = wait_for_node(xs, node);
	free(value);
	return value ? 0 : -1;
}

int main(int argc, char **argv)
{
	const char *name = argc > 2 ? argv[2] : "example";
	struct libxenvchan *chan = NULL;
	struct xs_handle *xs;
	char path[PATH_SIZE];
	int peer, status;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: vchan-send PEER [NAME]\n");
		return 2;
	}
	xs = xs_open(0);
	peer = xs ? find_peer(xs, argv[1]) : -1;
	if (peer < 0) {
		fprintf(stderr, "vchan-send: no xenstore, or no peer\n");
		return 1;
	}
	snprintf(path, sizeof(path), "/local/domain/%d/data/vchan-%s", peer, name);
	if (wait_for_offer(xs, path) == 0)
		chan = libxenvchan_client_init(NULL, peer, path);
	xs_close(xs);
	if (!chan) {
		fprintf(stderr, "vchan-send: cannot connect to %s: %s\n", path, strerror(errno));
		return 1;
	}
	status = send_input(chan);
	/* What is in the ring can still be read. */
	libxenvchan_close(chan);
	return status;
}
