/* SPDX-License-Identifier: MIT */
/* AF_UNIX helpers. Whatever arrives is bounded and every unexpected descriptor is closed at once. */
#include "common/unixsock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16, asm-generic/socket.h */
#endif

#define MAX_FDS 2

/* sun_path holds 108 bytes; /proc/self/fd/N stands in for a directory of any length. */
static int fill_address(struct sockaddr_un *sa, int dir_fd, const char *name)
{
	int n;

	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (dir_fd >= 0)
		n = snprintf(sa->sun_path, sizeof(sa->sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
	else
		n = snprintf(sa->sun_path, sizeof(sa->sun_path), "%s", name);
	return n < 0 || (size_t)n >= sizeof(sa->sun_path) ? -ENAMETOOLONG : 0;
}

int unixsock_listen(int dir_fd, const char *name, int type)
{
	struct sockaddr_un sa;
	struct stat st;
	mode_t old_mask;
	int fd, rc;

	rc = fill_address(&sa, dir_fd, name);
	if (rc)
		return rc;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode) &&
		unlinkat(dir_fd, name, 0) < 0)
		return -errno;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	old_mask = umask(0177);
	rc = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(old_mask);
	if (rc == 0 && listen(fd, SOMAXCONN) < 0) {
		rc = -errno;
		unlinkat(dir_fd, name, 0);
	}
	if (rc) {
		close(fd);
		return rc;
	}
	unixsock_refuse_fds(fd);
	return fd;
}

static int connect_address(const struct sockaddr_un *sa, int type)
{
	/* A listener that does not accept must not hold us for ever. */
	const struct timeval limit = {.tv_sec = 5}, none = {0};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	do {
		rc = connect(fd, (const struct sockaddr *)sa, sizeof(*sa));
	} while (rc < 0 && errno == EINTR);
	if (rc < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	return fd;
}

int unixsock_connect(const char *path, int type)
{
	struct sockaddr_un sa;
	char fd_path[40];
	int path_fd, fd;

	if (fill_address(&sa, -1, path) == 0)
		return connect_address(&sa, type);
	path_fd = open(path, O_PATH | O_CLOEXEC);
	if (path_fd < 0)
		return -errno;
	snprintf(fd_path, sizeof(fd_path), "/proc/self/fd/%d", path_fd);
	fd = fill_address(&sa, -1, fd_path);
	if (fd == 0)
		fd = connect_address(&sa, type);
	close(path_fd);
	return fd;
}

void unixsock_refuse_fds(int fd)
{
	int off = 0;

	/* Older kernels do not know the option; there the descriptor is closed on receipt. */
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

int unixsock_send(
	int fd, const void *buf, size_t len, const int *fds, unsigned int nr_fds, int flags)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control = {.buf = {0}};
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cmsg;
	ssize_t n;

	if (nr_fds > MAX_FDS)
		return -EINVAL;
	if (nr_fds) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
	}
	do {
		n = sendmsg(fd, &msg, flags | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

/* Moves what arrived to fds[]; closes what does not fit. Returns false if anything was closed. */
static bool take_fds(struct msghdr *msg, int *fds, unsigned int max_fds, unsigned int *nr_fds)
{
	bool all = true;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*nr_fds < max_fds) {
				fds[(*nr_fds)++] = fd;
			} else {
				close(fd);
				all = false;
			}
		}
	}
	return all;
}

ssize_t unixsock_recvv(int fd, const struct iovec *iov, size_t nr_iov, int *fds,
	unsigned int max_fds, unsigned int *nr_fds, int flags)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = nr_iov};
	unsigned int nr = 0;
	ssize_t n;

	if (max_fds) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(max_fds * sizeof(int));
	}
	do {
		n = recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	bool whole = take_fds(&msg, fds, max_fds, &nr) && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
	if (!whole) {
		for (unsigned int i = 0; i < nr; i++)
			close(fds[i]);
		return -EMSGSIZE;
	}
	if (nr_fds)
		*nr_fds = nr;
	return n;
}

ssize_t unixsock_recv(int fd, void *buf, size_t size, int *fds, unsigned int max_fds,
	unsigned int *nr_fds, int flags)
{
	const struct iovec iov = {.iov_base = buf, .iov_len = size};

	return unixsock_recvv(fd, &iov, 1, fds, max_fds, nr_fds, flags);
}
