/* SPDX-License-Identifier: MIT */
/*
 * Control connections. Who can connect is trusted with the instance, but not to be correct: every
 * request is checked. A connection may hold one domain, which lives as long as it does.
 */
#include "hypervisor/control_server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/unixsock.h"
#include "hypervisor/domain.h"
#include "hypervisor/supervisor.h"
#include "hypervisor/vbd.h"

struct control_conn {
	struct loop_source source;
	struct list link;
	struct hypervisor *hv;
	unsigned int domid; /* of the domain that it holds, or 0 */
	uint64_t dom_serial;
	pid_t peer_pid;
	bool waits_for_shutdown;
};

/* A request's words; args[i] are "key=value". */
struct request {
	const char *verb;
	const char *args[CONTROL_MAX_WORDS];
	unsigned int nr_args;
};

/* ---- replies ---- */

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

/* Sends a reply in as many packets as it takes. The descriptors go with the first. */
static void reply_text(struct control_conn *conn, int status, const char *text, size_t len,
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

static void reply(struct control_conn *conn, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void reply(struct control_conn *conn, int status, const char *fmt, ...)
{
	char text[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	reply_text(conn, status, text,
		(size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1, NULL, 0);
}

/* Replies with what `print` writes. */
static void reply_printed(
	struct control_conn *conn, void (*print)(struct hypervisor *hv, FILE *out))
{
	size_t size = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	if (out) {
		print(conn->hv, out);
		if (fclose(out) == 0) {
			reply_text(conn, 0, text, size, NULL, 0);
			free(text);
			return;
		}
		free(text);
	}
	reply(conn, -ENOMEM, "out of memory");
}

/* ---- arguments ---- */

/* The value of `key=`, or NULL. */
static const char *argument(const struct request *req, const char *key)
{
	size_t len = strlen(key);

	for (unsigned int i = 0; i < req->nr_args; i++) {
		if (strncmp(req->args[i], key, len) == 0 && req->args[i][len] == '=')
			return req->args[i] + len + 1;
	}
	return NULL;
}

/* As argument(), but replies with an error when it is missing. */
static const char *required(struct control_conn *conn, const struct request *req, const char *key)
{
	const char *value = argument(req, key);

	if (!value)
		reply(conn, -EINVAL, "%s: argument %s= is missing", req->verb, key);
	return value;
}

/* ---- verbs ---- */

static void do_ping(struct control_conn *conn, const struct request *req)
{
	struct hypervisor *hv = conn->hv;

	(void)req;
	reply(conn, 0, "version=%d pid=%d domains=%u uptime_s=%llu", CONTROL_VERSION, getpid(),
		hv->nr_domains, (unsigned long long)((clock_ns() - hv->start_ns) / NSEC_PER_SEC));
}

/* The domain's user, if it is to be another than ours. 0 or -errno. */
static int set_user(struct domain *dom, const char *uid_text)
{
	uint64_t uid;

	if (!uid_text)
		return 0;
	if (parse_u64(uid_text, 0, UINT32_MAX - 1, &uid))
		return -EDOM;
	return uid == geteuid() ? 0 : domain_set_user(dom, (uid_t)uid);
}

static void do_domain_create(struct control_conn *conn, const struct request *req)
{
	const char *name = required(conn, req, "name");
	struct domain *dom;
	int fds[2], rc;
	char text[128];

	if (!name)
		return;
	if (conn->domid) {
		reply(conn, -EBUSY, "this connection has a domain already");
		return;
	}
	rc = domain_create(conn->hv, name, DOMAIN_GUEST, conn->peer_pid, &dom);
	if (rc == 0) {
		rc = set_user(dom, argument(req, "uid"));
		if (rc)
			domain_destroy(dom);
	}
	if (rc) {
		reply(conn, rc, "cannot create domain %s: %s", name,
			rc == -EEXIST	? "the name is taken"
			: rc == -ENOSPC ? "there are too many domains"
			: rc == -EINVAL ? "bad name (letters, digits, '.', '_', '-'; at most 63)"
			: rc == -EDOM	? "bad user id"
					: strerror(-rc));
		return;
	}
	conn->domid = dom->id;
	conn->dom_serial = dom->serial;
	fds[0] = dom->hypercall_path_fd;
	fds[1] = dom->store_path_fd;
	snprintf(text, sizeof(text), "domid=%u name=%s", dom->id, dom->name);
	reply_text(conn, 0, text, strlen(text), fds, 2);
	domain_handed_over(dom);
}

static void driver_started(void *data, int status, unsigned int domid, const char *text)
{
	struct control_conn *conn = data;

	if (status)
		reply(conn, status, "%s", text);
	else
		reply(conn, 0, "domid=%u", domid);
}

static void do_driver_start(struct control_conn *conn, const struct request *req)
{
	const char *name = required(conn, req, "name");
	const char *program = name ? required(conn, req, "program") : NULL;
	const char *argv[CONTROL_MAX_WORDS + 1];
	unsigned int argc = 0;
	int rc;

	if (!program)
		return;
	argv[argc++] = program;
	for (unsigned int i = 0; i < req->nr_args; i++) {
		if (strncmp(req->args[i], "arg=", 4) == 0)
			argv[argc++] = req->args[i] + 4;
	}
	argv[argc] = NULL;
	rc = driver_start(conn->hv, name, (char *const *)argv, driver_started, conn);
	if (rc)
		reply(conn, rc, "cannot start driver domain %s (%s): %s", name, program,
			rc == -EEXIST	? "the name is taken"
			: rc == -EINVAL ? "bad name (letters, digits, '.', '_', '-'; at most 63)"
			: rc == -EDOM	? "bad user id"
					: strerror(-rc));
}

/* A number that may be given. False, and answered, if it is not one. */
static bool optional_number(struct control_conn *conn, const struct request *req, const char *key,
	uint64_t max, uint64_t *value)
{
	const char *text = argument(req, key);

	*value = 0;
	if (!text || parse_u64(text, 1, max, value) == 0)
		return true;
	reply(conn, -EINVAL, "%s=%s is not a number from 1 to %llu", key, text,
		(unsigned long long)max);
	return false;
}

static bool disk_share_arguments(
	struct control_conn *conn, const struct request *req, struct disk_share *share)
{
	return optional_number(conn, req, "weight", DISK_WEIGHT_MAX, &share->weight) &&
		optional_number(conn, req, "iops", UINT32_MAX, &share->iops) &&
		optional_number(conn, req, "iops-burst", UINT32_MAX, &share->iops_burst) &&
		optional_number(conn, req, "bps", INT64_MAX, &share->bps) &&
		optional_number(conn, req, "bps-burst", INT64_MAX, &share->bps_burst);
}

static void do_disk_define(struct control_conn *conn, const struct request *req)
{
	const char *name = required(conn, req, "name");
	const char *target = name ? required(conn, req, "target") : NULL;
	const char *backend = target ? required(conn, req, "backend") : NULL;
	const char *mode = argument(req, "mode");
	struct disk_share share;
	int rc;

	if (!backend || !disk_share_arguments(conn, req, &share))
		return;
	rc = disk_define(conn->hv, name, target, mode ? mode : "r", backend, &share);
	if (rc)
		reply(conn, rc, "cannot define disk %s: %s", name,
			rc == -EEXIST	? "the name is taken"
			: rc == -ENOENT ? "there is no such driver domain"
					: strerror(-rc));
	else
		reply(conn, 0, "%s", "");
}

static void print_disks(struct hypervisor *hv, FILE *out)
{
	struct disk *disk;

	list_for_each(disk, &hv->disks, link)
		fprintf(out, "name=%s mode=%c backend=%s target=%s\n", disk->name, disk->mode,
			disk->backend, disk->target);
}

static void do_disk_list(struct control_conn *conn, const struct request *req)
{
	(void)req;
	reply_printed(conn, print_disks);
}

static void do_block_attach(struct control_conn *conn, const struct request *req)
{
	const char *domid_text = required(conn, req, "domain");
	const char *disk = domid_text ? required(conn, req, "disk") : NULL;
	const char *vdev = disk ? required(conn, req, "vdev") : NULL;
	struct domain *dom;
	unsigned int device;
	uint64_t domid;
	int rc;

	if (!vdev)
		return;
	dom = parse_u64(domid_text, 1, DOMAIN_FIRST_RESERVED - 1, &domid)
		? NULL : domain_by_id(conn->hv, (unsigned int)domid);
	if (!dom) {
		reply(conn, -ENOENT, "there is no domain %s", domid_text);
		return;
	}
	rc = vbd_attach(conn->hv, dom, disk, vdev, &device);
	if (rc)
		reply(conn, rc, "cannot attach disk %s to domain %u as %s: %s", disk, dom->id, vdev,
			rc == -ENOENT	? "there is no such disk, or its driver domain does not run"
			: rc == -EEXIST ? "the device is there already"
			: rc == -EINVAL ? "not a device name (xvda, xvdb, ...)"
					: strerror(-rc));
	else
		reply(conn, 0, "device=%u frontend=/local/domain/%u/device/vbd/%u", device, dom->id,
			device);
}

static void print_domains(struct hypervisor *hv, FILE *out)
{
	struct domain *dom;

	list_for_each(dom, &hv->domain_list, link)
		fprintf(out, "domid=%u name=%s kind=%s pid=%d grants=%u maps=%u ports=%u "
			     "connections=%u\n",
			dom->id, dom->name, dom->kind == DOMAIN_DRIVER ? "driver" : "guest",
			dom->pid, dom->nr_grants, dom->nr_maps, dom->nr_ports,
			dom->nr_hypercall_conns + dom->nr_store_conns);
}

static void do_domain_list(struct control_conn *conn, const struct request *req)
{
	(void)req;
	reply_printed(conn, print_domains);
}

static void do_stats(struct control_conn *conn, const struct request *req)
{
	(void)req;
	reply_printed(conn, drivers_print_stats);
}

static void do_shutdown(struct control_conn *conn, const struct request *req)
{
	(void)req;
	conn->waits_for_shutdown = true;
	hypervisor_shutdown(conn->hv, "asked over the control socket");
}

static const struct {
	const char *name;
	void (*run)(struct control_conn *conn, const struct request *req);
} verbs[] = {
	{"ping", do_ping},
	{"domain-create", do_domain_create},
	{"driver-start", do_driver_start},
	{"disk-define", do_disk_define},
	{"disk-list", do_disk_list},
	{"block-attach", do_block_attach},
	{"domain-list", do_domain_list},
	{"stats", do_stats},
	{"shutdown", do_shutdown},
};

/* ---- connections ---- */

/* Splits a packet into words. False if it does not end a word or has too many. */
static bool split_words(char *packet, size_t len, struct request *req)
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

static void run_request(struct control_conn *conn, const struct request *req)
{
	if (conn->hv->shutting_down && strcmp(req->verb, "shutdown") != 0) {
		reply(conn, -ESHUTDOWN, "the hypervisor is shutting down");
		return;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, req->verb) == 0) {
			verbs[i].run(conn, req);
			return;
		}
	}
	reply(conn, -ENOSYS, "unknown request: %.64s", req->verb);
}

static void conn_ready(struct loop_source *source, uint32_t events)
{
	struct control_conn *conn = container_of(source, struct control_conn, source);
	char packet[CONTROL_PACKET_MAX];
	struct request req;
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
			reply_printed(conn, drivers_print_stats);
	}
}
