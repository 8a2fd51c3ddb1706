/* SPDX-License-Identifier: MIT */
/* Client side of the control socket. Trusts the hypervisor, but bounds every wait. */
#include "common/control.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/unixsock.h"

int control_connect(const char *run_dir)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/control", run_dir);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return unixsock_connect(path, SOCK_SEQPACKET);
}

static int send_words(int fd, const char *const *words)
{
	char packet[CONTROL_PACKET_MAX];
	size_t used = 0, len;

	for (; *words; words++) {
		len = strlen(*words) + 1;
		if (len > sizeof(packet) - used)
			return -EMSGSIZE;
		memcpy(packet + used, *words, len);
		used += len;
	}
	return unixsock_send(fd, packet, used, NULL, 0, 0);
}

static int wait_readable(int fd, uint64_t deadline_ns)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	uint64_t now;
	int rc;

	do {
		now = clock_ns();
		if (now >= deadline_ns)
			return -ETIMEDOUT;
		rc = poll(&pfd, 1, (int)((deadline_ns - now) / NSEC_PER_MSEC) + 1);
	} while (rc == 0 || (rc < 0 && errno == EINTR));
	return rc < 0 ? -errno : 0;
}

/* Appends the packet's text to *text. */
static int append_text(char **text, size_t *text_len, const char *more, size_t len)
{
	char *grown = realloc(*text, *text_len + len + 1);

	if (!grown)
		return -ENOMEM;
	memcpy(grown + *text_len, more, len);
	*text_len += len;
	grown[*text_len] = '\0';
	*text = grown;
	return 0;
}

static int receive_reply(
	int fd, uint64_t deadline_ns, char **text, int *fds, unsigned int *nr_fds)
{
	char packet[CONTROL_PACKET_MAX];
	struct control_reply head;
	size_t text_len = 0;
	unsigned int nr;
	ssize_t n;
	int rc;

	do {
		rc = wait_readable(fd, deadline_ns);
		if (rc)
			return rc;
		nr = 0;
		n = unixsock_recv(fd, packet, sizeof(packet), fds, fds ? CONTROL_MAX_FDS : 0, &nr, 0);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0)
			return (int)n;
		if ((size_t)n < sizeof(head))
			return -EPROTO;
		if (nr && nr_fds)
			*nr_fds = nr;
		memcpy(&head, packet, sizeof(head));
		rc = append_text(text, &text_len, packet + sizeof(head), (size_t)n - sizeof(head));
		if (rc)
			return rc;
	} while (head.more);
	return head.status;
}

int control_call(int fd, const char *const *words, int timeout_ms, char **text, int *fds,
	unsigned int *nr_fds)
{
	uint64_t deadline_ns = clock_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	int rc;

	*text = NULL;
	if (nr_fds)
		*nr_fds = 0;
	rc = send_words(fd, words);
	if (rc)
		return rc == -EPIPE ? -ECONNRESET : rc;
	return receive_reply(fd, deadline_ns, text, fds, nr_fds);
}
