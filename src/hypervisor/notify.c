/* SPDX-License-Identifier: MIT */
/*
 * The client's side of sd_notify(3): a datagram to a socket. libsystemd has the same, but would
 * bring libraries for compression and cryptography into the process that all domains trust.
 */
#include "hypervisor/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

#define SEND_TIMEOUT_S 5

/* A path, or '@' and a name in the abstract name space. 0 or -errno. */
static int notify_address(const char *name, struct sockaddr_un *address, socklen_t *len)
{
	size_t name_len = strlen(name);

	if (name[0] != '/' && name[0] != '@')
		return -EAFNOSUPPORT;
	if (name_len >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, name, name_len + 1);
	if (name[0] == '@')
		address->sun_path[0] = '\0';
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name_len);
	return 0;
}

static int notify_connect(const char *name)
{
	const struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
	struct sockaddr_un address;
	socklen_t len;
	int fd, rc = notify_address(name, &address, &len);

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
		connect(fd, (const struct sockaddr *)&address, len) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int notify_open(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	int fd = -1;

	if (name && *name) {
		fd = notify_connect(name);
		if (fd < 0) {
			log_warn("cannot reach the service manager at %s: %s", name, strerror(-fd));
			fd = -1;
		}
	}
	unsetenv("NOTIFY_SOCKET");
	return fd;
}

void notify_send(int fd, const char *state)
{
	if (fd >= 0 && send(fd, state, strlen(state), MSG_NOSIGNAL) < 0)
		log_warn("cannot tell the service manager %s: %s", state, strerror(errno));
}
