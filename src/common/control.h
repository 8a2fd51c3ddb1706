/* SPDX-License-Identifier: MIT */
/*
 * The toolstack's side of the control socket (docs/protocol/control.md): a SOCK_SEQPACKET socket
 * `control` in the runtime directory. A request is one packet of NUL-terminated words, the verb
 * first; a reply is one or more packets, each a struct control_reply and text.
 */
#ifndef RF_COMMON_CONTROL_H
#define RF_COMMON_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#define CONTROL_PACKET_MAX 32768 /* bytes of a request, and of a reply packet with its header */
#define CONTROL_MAX_WORDS 256
#define CONTROL_MAX_FDS 2
#define CONTROL_VERSION 1

struct control_reply {
	int32_t status;	 /* 0 or -errno; the text is then the result or the error message */
	uint32_t more;	 /* 1: another packet of this reply follows */
};

/*
 * Connects to the hypervisor of the runtime directory `run_dir`. Returns a close-on-exec
 * descriptor or -errno (-ENOENT, -ECONNREFUSED: none runs there; -EACCES).
 */
int control_connect(const char *run_dir) __attribute__((warn_unused_result));

/*
 * Sends one request (`words`, NULL-terminated array) and waits for its reply, at most timeout_ms.
 * *text receives the reply's text, NUL-terminated, to be freed by the caller (also after an error
 * status; NULL if there was no reply at all). fds/nr_fds: room for CONTROL_MAX_FDS descriptors
 * that came along, or NULL when none are expected.
 * Returns the reply's status, or -ETIMEDOUT, -ECONNRESET, -EMSGSIZE, -EPROTO.
 */
int control_call(int fd, const char *const *words, int timeout_ms, char **text, int *fds,
	unsigned int *nr_fds) __attribute__((warn_unused_result));

#endif
