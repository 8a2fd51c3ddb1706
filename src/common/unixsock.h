/* SPDX-License-Identifier: MIT */
/*
 * AF_UNIX sockets: listening and connecting by paths of any length, and packets with descriptors.
 * All descriptors are close-on-exec.
 */
#ifndef RF_COMMON_UNIXSOCK_H
#define RF_COMMON_UNIXSOCK_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * Binds `name` in the directory `dir_fd` and listens; an existing socket of that name is replaced.
 * SOCK_NONBLOCK, mode 0600. Returns the descriptor or -errno.
 */
int unixsock_listen(int dir_fd, const char *name, int type) __attribute__((warn_unused_result));

/*
 * Connects to the socket at `path`; waits at most 5 seconds (-EAGAIN then). Returns a blocking
 * descriptor or -errno.
 */
int unixsock_connect(const char *path, int type) __attribute__((warn_unused_result));

/*
 * Refuses descriptors from the peer (SO_PASSRIGHTS=0), where the kernel can: receiving one could
 * block us at its close.
 */
void unixsock_refuse_fds(int fd);

/*
 * Sends one packet (with `flags`, MSG_NOSIGNAL added) and up to 2 descriptors. 0 or -errno; a
 * packet is sent whole or not at all.
 */
int unixsock_send(int fd, const void *buf, size_t len, const int *fds, unsigned int nr_fds,
	int flags) __attribute__((warn_unused_result));

/*
 * Receives one packet into the buffers of `iov` and exactly the descriptors that came, at most
 * max_fds (0..2); more than that, or a truncated packet, is -EMSGSIZE and everything received is
 * closed. Returns its length, 0 at end of stream, or -errno. Waits for as long as the descriptor's
 * mode or `flags` say.
 */
ssize_t unixsock_recvv(int fd, const struct iovec *iov, size_t nr_iov, int *fds,
	unsigned int max_fds, unsigned int *nr_fds, int flags) __attribute__((warn_unused_result));

/* unixsock_recvv into one buffer. */
ssize_t unixsock_recv(int fd, void *buf, size_t size, int *fds, unsigned int max_fds,
	unsigned int *nr_fds, int flags) __attribute__((warn_unused_result));

#endif
