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
#include "hypervisor/vbd.h"

/* ---- replies ---- */

/* Whoever does not read its replies loses them; the end is noticed by the connection's source. */
static void lose(struct control_conn *conn)
{
	shutdown(conn->source.fd, SHUT_RDWR);
}

/* As many packets as the socket has room for. How much of the text went; *rc is 0 or why not all. */
static size_t send_packets(struct control_conn *conn, int status, const char *text, size_t len,
	const int *fds, unsigned int nr_fds, int *rc)
{
	char packet[CONTROL_PACKET_MAX];
	struct control_reply head = {.status = status};
	size_t room = sizeof(packet) - sizeof(head), part, at = 0;

	do {
		part = len - at < room ? len - at : room;
		head.more = at + part < len;
		memcpy(packet, &head, sizeof(head));
		memcpy(packet + sizeof(head), text + at, part);
		*rc = unixsock_send(
			conn->source.fd, packet, sizeof(head) + part, fds, nr_fds, MSG_DONTWAIT);
		if (*rc)
			return at;
		at += part;
		nr_fds = 0;
	} while (head.more);
	return at;
}

void control_reply_text(struct control_conn *conn, int status, const char *text, size_t len,
	const int *fds, unsigned int nr_fds)
{
	size_t at;
	int rc;

	if (conn->unsent) {
		lose(conn);
		return;
	}
	at = send_packets(conn, status, text, len, fds, nr_fds, &rc);
	if (rc == 0)
		return;
	/* What is longer than the socket's room goes on when its reader has made some. */
	if (rc == -EAGAIN && at > 0)
		conn->unsent = malloc(len - at);
	if (!conn->unsent) {
		lose(conn);
		return;
	}
	memcpy(conn->unsent, text + at, len - at);
	conn->unsent_at = 0;
	conn->unsent_len = len - at;
	loop_modify(&conn->hv->loop, &conn->source, EPOLLIN | EPOLLOUT);
}

static void flush_unsent(struct control_conn *conn)
{
	int rc;

	conn->unsent_at += send_packets(conn, 0, conn->unsent + conn->unsent_at,
		conn->unsent_len - conn->unsent_at, NULL, 0, &rc);
	if (rc == -EAGAIN)
		return;
	free(conn->unsent);
	conn->unsent = NULL;
	loop_modify(&conn->hv->loop, &conn->source, EPOLLIN);
	if (rc)
		lose(conn);
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

/* What a print function gets to write to. */
struct memory_text {
	char *text;
	size_t size;
	FILE *out;
};

static bool open_text(struct control_conn *conn, struct memory_text *mem)
{
	*mem = (struct memory_text){0};
	mem->out = open_memstream(&mem->text, &mem->size);
	if (!mem->out)
		control_reply(conn, -ENOMEM, "out of memory");
	return mem->out != NULL;
}

static void reply_and_close(struct control_conn *conn, struct memory_text *mem)
{
	if (fclose(mem->out) == 0)
		control_reply_text(conn, 0, mem->text, mem->size, NULL, 0);
	else
		control_reply(conn, -ENOMEM, "out of memory");
	free(mem->text);
}

void control_reply_printed(
	struct control_conn *conn, void (*print)(struct hypervisor *hv, FILE *out))
{
	struct memory_text mem;

	if (!open_text(conn, &mem))
		return;
	print(conn->hv, mem.out);
	reply_and_close(conn, &mem);
}

void control_reply_printed_of(struct control_conn *conn, const struct domain *dom,
	void (*print)(struct hypervisor *hv, const struct domain *dom, FILE *out))
{
	struct memory_text mem;

	if (!open_text(conn, &mem))
		return;
	print(conn->hv, dom, mem.out);
	reply_and_close(conn, &mem);
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

struct domain *control_find_domain(struct hypervisor *hv, const char *text)
{
	uint64_t id;

	if (!text[0] || text[strspn(text, "0123456789")])
		return domain_by_name(hv, text);
	if (parse_u64(text, 0, DOMAIN_FIRST_RESERVED - 1, &id))
		return NULL;
	return domain_by_id(hv, (unsigned int)id);
}

struct domain *control_any_domain(struct control_conn *conn, const char *text)
{
	struct domain *dom = control_find_domain(conn->hv, text);

	if (!dom)
		control_reply(conn, -ENOENT, "there is no domain %.100s", text);
	return dom;
}

struct domain *control_domain(struct control_conn *conn, const char *text)
{
	struct domain *dom = control_any_domain(conn, text);

	if (!dom || dom->id)
		return dom;
	control_reply(conn, -ENOENT, "domain 0 is not one to do this with");
	return NULL;
}

struct domain *control_domain_argument(
	struct control_conn *conn, const struct control_request *req)
{
	const char *text = control_required(conn, req, "domain");

	return text ? control_domain(conn, text) : NULL;
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
	vbd_forget_waiter(hv, conn);
	close(conn->source.fd);
	list_del(&conn->link);
	/* It may have been destroyed by another way, and its id be another domain's by now. */
	if (dom && dom->serial == conn->dom_serial)
		domain_destroy(dom);
	free(conn->unsent);
	free(conn);
}

void control_end_domain(struct control_conn *conn, struct domain *dom)
{
	struct control_conn *holder;

	list_for_each(holder, &conn->hv->control_conns, link) {
		if (holder->dom_serial != dom->serial)
			continue;
		if (holder == conn) {
			/* This one is still to be answered. */
			holder->domid = 0;
			domain_destroy(dom);
		} else {
			conn_close(holder);
		}
		return;
	}
}

bool control_is_changing(const struct control_conn *conn, const struct domain *dom)
{
	struct control_conn *other;

	list_for_each(other, &conn->hv->control_conns, link) {
		if (other != conn && other->changing == dom->serial)
			return true;
	}
	return false;
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

	if (conn->unsent && (events & (EPOLLIN | EPOLLOUT)) == EPOLLOUT) {
		flush_unsent(conn);
		return;
	}
	/* Who has not read the answer to one request does not make another. */
	if ((events & EPOLLIN) && !conn->unsent)
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
