/* SPDX-License-Identifier: MIT */
/*
 * Control connections. Who can connect is trusted with the instance, but not to be correct: every
 * request is checked. A connection may hold one domain, which lives as long as it does.
 */
#include "hypervisor/control_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/parse.h"
#include "common/unixsock.h"
#include "hypervisor/domain.h"
#include "hypervisor/supervisor.h"

/* ---- replies ---- */

void control_reply_text(struct control_conn *conn, int status, const char *text, size_t len,
	const int *fds, unsigned int nr_fds)
{
	char packet[CONTROL_PACKET_MAX];
	struct control_reply head = {.status = status};
	size_t room = sizeof(packet) - sizeof(head), part;

	do {
		part = len < room ? len : room;
		head.more = part < len;
		memcpy(packet, &head, sizeof(head));
		memcpy(packet + sizeof(head), text, part);
		if (unixsock_send(conn->source.fd, packet, sizeof(head) + part, fds, nr_fds,
			    MSG_DONTWAIT)) {
			/* Whoever does not read its replies loses them; the end of the
			 * connection is noticed by its source. */
			shutdown(conn->source.fd, SHUT_RDWR);
			return;
		}
		text += part;
		len -= part;
		nr_fds = 0;
	} while (head.more);
}

void control_reply(struct control_conn *conn, int status, const char *fmt, ...)
{
	char text[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	control_reply_text(conn, status, text,
		(size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1, NULL, 0);
}

void control_reply_printed(
	struct control_conn *conn, void (*print)(struct hypervisor *hv, FILE *out))
{
	size_t size = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	if (out) {
		print(conn->hv, out);
		if (fclose(out) == 0) {
			control_reply_text(conn, 0, text, size, NULL, 0);
			free(text);
			return;
		}
		free(text);
	}
	control_reply(conn, -ENOMEM, "out of memory");
}

/* ---- arguments ---- */

const char *control_argument(const struct control_request *req, const char *key)
{
	size_t len = strlen(key);

	for (unsigned int i = 0; i < req->nr_args; i++) {
		if (strncmp(req->args[i], key, len) == 0 && req->args[i][len] == '=')
			return req->args[i] + len + 1;
	}
	return NULL;
}

const char *control_required(
	struct control_conn *conn, const struct control_request *req, const char *key)
{
	const char *value = control_argument(req, key);

	if (!value)
		control_reply(conn, -EINVAL, "%s: argument %s= is missing", req->verb, key);
	return value;
}

bool control_optional_number(struct control_conn *conn, const struct control_request *req,
	const char *key, uint64_t max, uint64_t *value)
{
	const char *text = control_argument(req, key);

	*value = 0;
	if (!text || parse_u64(text, 1, max, value) == 0)
		return true;
	control_reply(conn, -EINVAL, "%s=%s is not a number from 1 to %llu", key, text,
		(unsigned long long)max);
	return false;
}

/* ---- connections ---- */

static const struct control_verb *const verb_tables[] = {control_hypervisor_verbs,
	control_domain_verbs, control_driver_verbs, control_disk_verbs, control_shm_verbs};

static const struct control_verb *find_verb(const char *name)
{
	const struct control_verb *verb;

	for (size_t i = 0; i < sizeof(verb_tables) / sizeof(verb_tables[0]); i++) {
		for (verb = verb_tables[i]; verb->name; verb++) {
			if (strcmp(verb->name, name) == 0)
				return verb;
		}
	}
	return NULL;
}

static void conn_close(struct control_conn *conn)
{
	struct hypervisor *hv = conn->hv;
	struct domain *dom = conn->domid ? domain_by_id(hv, conn->domid) : NULL;

	loop_remove(&hv->loop, &conn->source);
	driver_forget_waiter(hv, conn);
	close(conn->source.fd);
	list_del(&conn->link);
	/* It may have been destroyed by another way, and its id be another domain's by now. */
	if (dom && dom->serial == conn->dom_serial)
		domain_destroy(dom);
	free(conn);
}

/* Splits a packet into words. False if it does not end a word or has too many. */
static bool split_words(char *packet, size_t len, struct control_request *req)
{
	size_t at;

	if (len == 0 || packet[len - 1] != '\0')
		return false;
	req->verb = packet;
	req->nr_args = 0;
	for (at = strlen(packet) + 1; at < len; at += strlen(packet + at) + 1) {
		if (req->nr_args == CONTROL_MAX_WORDS - 1)
			return false;
		req->args[req->nr_args++] = packet + at;
	}
	return true;
}

static void run_request(struct control_conn *conn, const struct control_request *req)
{
	const struct control_verb *verb = find_verb(req->verb);

	if (conn->hv->shutting_down && strcmp(req->verb, "shutdown") != 0)
		control_reply(conn, -ESHUTDOWN, "the hypervisor is shutting down");
	else if (!verb)
		control_reply(conn, -ENOSYS, "unknown request: %.64s", req->verb);
	else
		verb->run(conn, req);
}

static void conn_ready(struct loop_source *source, uint32_t events)
{
	struct control_conn *conn = container_of(source, struct control_conn, source);
	char packet[CONTROL_PACKET_MAX];
	struct control_request req;
	ssize_t n = 0;

	if (events & EPOLLIN)
		n = unixsock_recv(source->fd, packet, sizeof(packet), NULL, 0, NULL, MSG_DONTWAIT);
	if (n == -EAGAIN)
		return;
	if (n <= 0 || !split_words(packet, (size_t)n, &req)) {
		conn_close(conn);
		return;
	}
	run_request(conn, &req);
}

static void accept_conn(struct loop_source *source, uint32_t events)
{
	struct hypervisor *hv = container_of(source, struct hypervisor, control_source);
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	int fd = loop_accept(&hv->loop, source->fd);
	struct control_conn *conn;

	(void)events;
	if (fd < 0)
		return;
	conn = calloc(1, sizeof(*conn));
	if (!conn || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		goto err;
	unixsock_refuse_fds(fd);
	conn->source = (struct loop_source){fd, conn_ready};
	conn->hv = hv;
	conn->peer_pid = cred.pid;
	if (loop_add(&hv->loop, &conn->source, EPOLLIN))
		goto err;
	list_add_tail(&hv->control_conns, &conn->link);
	return;
err:
	free(conn);
	close(fd);
}

int control_server_init(struct hypervisor *hv)
{
	int fd = unixsock_listen(hv->run_dir_fd, "control", SOCK_SEQPACKET);

	if (fd < 0)
		return fd;
	hv->control_source = (struct loop_source){fd, accept_conn};
	return loop_add(&hv->loop, &hv->control_source, EPOLLIN);
}

void control_server_fini(struct hypervisor *hv)
{
	while (!list_empty(&hv->control_conns))
		conn_close(list_first(&hv->control_conns, struct control_conn, link));
	loop_remove(&hv->loop, &hv->control_source);
	close(hv->control_source.fd);
	unlinkat(hv->run_dir_fd, "control", 0);
}

void control_server_shutdown_done(struct hypervisor *hv)
{
	struct control_conn *conn;

	list_for_each(conn, &hv->control_conns, link) {
		if (conn->waits_for_shutdown)
			control_reply_printed(conn, drivers_print_stats);
	}
}
