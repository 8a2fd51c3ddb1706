/* SPDX-License-Identifier: MIT */
/* Hypercalls over the domain's socket. */
#include "xenlibs/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/unixsock.h"

void link_log_error(struct link *link, const char *context, const char *what)
{
	int saved = errno;

	xtl_log(link->logger, XTL_ERROR, saved, context, "%s", what);
	errno = saved;
}

static int connect_domain(struct link *link)
{
	const char *path = getenv(HYPERCALL_ENV);

	if (!path || !*path) {
		errno = ENOENT;
		return -1;
	}
	link->fd = unixsock_connect(path, SOCK_SEQPACKET);
	if (link->fd < 0) {
		errno = -link->fd;
		return -1;
	}
	return 0;
}

int link_open(struct link *link, xentoollog_logger *logger, enum hypercall_interface interface)
{
	struct hypercall_request req = {.op = HYPERCALL_OPEN,
		.open = {.version = HYPERCALL_VERSION, .interface = interface}};
	struct hypercall_reply reply;

	memset(link, 0, sizeof(*link));
	link->fd = -1;
	link->pid = getpid();
	pthread_mutex_init(&link->lock, NULL);
	link->logger = logger;
	if (!logger) {
		link->own_logger = (xentoollog_logger *)xtl_createlogger_stdiostream(
			stderr, XTL_PROGRESS, 0);
		link->logger = link->own_logger;
		if (!link->logger)
			goto err;
	}
	if (connect_domain(link) < 0) {
		link_log_error(link, "ringfence",
			"no hypervisor: is this process a domain (" HYPERCALL_ENV ")?");
		goto err;
	}
	if (link_call(link, &req, NULL, 0, &reply, NULL, 0, NULL, 0) < 0) {
		link_log_error(link, "ringfence", "the hypervisor refused the connection");
		goto err;
	}
	link->domid = reply.open.domid;
	return 0;
err:
	link_close(link);
	return -1;
}

void link_close(struct link *link)
{
	int saved = errno;

	/* A forked child may hold the connection too; what it stood for ends now all the same. */
	if (link->fd >= 0 && !link_inherited(link))
		shutdown(link->fd, SHUT_RDWR);
	if (link->fd >= 0)
		close(link->fd);
	if (link->own_logger)
		xtl_logger_destroy(link->own_logger);
	pthread_mutex_destroy(&link->lock);
	errno = saved;
}

bool link_inherited(const struct link *link)
{
	return link->pid != getpid();
}

static int send_request(
	struct link *link, const struct hypercall_request *req, const void *extra, size_t extra_len)
{
	struct iovec iov[2] = {{(void *)req, sizeof(*req)}, {(void *)extra, extra_len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = extra_len ? 2 : 1};
	ssize_t n;

	do {
		n = sendmsg(link->fd, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Receives the reply's head and payload; returns the payload's length or -errno. */
static ssize_t receive_reply(struct link *link, struct hypercall_reply *reply, void *payload,
	size_t payload_size, int *fds, unsigned int max_fds, unsigned int *nr_fds)
{
	const struct iovec iov[] = {{reply, sizeof(*reply)}, {payload, payload_size}};
	ssize_t n = unixsock_recvv(
		link->fd, iov, payload_size ? 2 : 1, fds, max_fds, nr_fds, 0);

	if (n < 0)
		return n;
	if ((size_t)n < sizeof(*reply))
		return n == 0 ? -ENODEV : -EPROTO;
	return n - (ssize_t)sizeof(*reply);
}

/* As link_call; *received is the number of descriptors that came, closed on error. */
static int call(struct link *link, const struct hypercall_request *req, const void *extra,
	size_t extra_len, struct hypercall_reply *reply, void *payload, size_t payload_size,
	int *fds, unsigned int max_fds, unsigned int min_fds, unsigned int *received)
{
	ssize_t n;
	int rc;

	*received = 0;
	pthread_mutex_lock(&link->lock);
	rc = send_request(link, req, extra, extra_len);
	if (rc == 0) {
		n = receive_reply(link, reply, payload, payload_size, fds, max_fds, received);
		rc = n < 0 ? (int)n : reply->status;
	}
	pthread_mutex_unlock(&link->lock);
	if (rc == 0 && *received < min_fds)
		rc = -EPROTO;
	if (rc == 0)
		return 0;
	for (unsigned int i = 0; i < *received; i++)
		close(fds[i]);
	/* The connection is gone: so is the hypervisor. */
	errno = rc == -EPIPE || rc == -ECONNRESET ? ENODEV : -rc;
	return -1;
}

int link_call(struct link *link, const struct hypercall_request *req, const void *extra,
	size_t extra_len, struct hypercall_reply *reply, void *payload, size_t payload_size,
	int *fds, unsigned int nr_fds)
{
	unsigned int received;

	return call(link, req, extra, extra_len, reply, payload, payload_size, fds, nr_fds, nr_fds,
		&received);
}

int link_call_any(struct link *link, const struct hypercall_request *req,
	struct hypercall_reply *reply, int *fds, unsigned int *nr_fds)
{
	return call(link, req, NULL, 0, reply, NULL, 0, fds, *nr_fds, 1, nr_fds);
}
