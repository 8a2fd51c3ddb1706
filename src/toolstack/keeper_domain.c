/* SPDX-License-Identifier: MIT */
/*
 * Creating the domain of a configuration. Runs in the keeper; everything hangs on its connection.
 */
#include "toolstack/keeper_domain.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xen/io/xenbus.h>

#include "common/clock.h"
#include "toolstack/attach.h"
#include "toolstack/command.h"
#include "toolstack/environment.h"

#define LEAVE_TIMEOUT_MS 5000
#define DISKS_TIMEOUT_NS (10 * NSEC_PER_SEC) /* all of them */
#define PATH_SIZE 128

/* ---- xenstore ---- */

/* As domain 0 of the instance, whatever the environment says. */
static struct xs_handle *open_store(void)
{
	static struct environment env; /* putenv keeps it */
	int rc = environment_domain0(&env);

	if (rc || putenv(env.text[0])) {
		errno = rc ? -rc : ENOMEM;
		return NULL;
	}
	return xs_open(0);
}

/* A node of the domain, to be freed, or NULL. */
static char *read_node(const struct kept_domain *dom, const char *node)
{
	char path[PATH_SIZE + 32];

	snprintf(path, sizeof(path), "/local/domain/%u/%s", dom->domid, node);
	return xs_read(dom->xs, XBT_NULL, path, NULL);
}

static void write_node(const struct kept_domain *dom, const char *node, const char *value)
{
	char path[PATH_SIZE + 32];

	snprintf(path, sizeof(path), "/local/domain/%u/%s", dom->domid, node);
	if (!xs_write(dom->xs, XBT_NULL, path, value, (unsigned int)strlen(value)))
		fprintf(stderr, "ringfence: cannot write %s: %s\n", path, strerror(errno));
}

enum shutdown_request kept_domain_shutdown_request(struct kept_domain *dom)
{
	enum shutdown_request request = SHUTDOWN_NONE;
	char **event, *value;

	while ((event = xs_check_watch(dom->xs)))
		free(event);
	value = read_node(dom, "control/shutdown");
	if (value && (strcmp(value, "poweroff") == 0 || strcmp(value, "halt") == 0))
		request = SHUTDOWN_POWEROFF;
	else if (value && strcmp(value, "reboot") == 0)
		request = SHUTDOWN_REBOOT;
	free(value);
	/* Taken: as a guest answers, which lets it be asked again. */
	if (request != SHUTDOWN_NONE)
		write_node(dom, "control/shutdown", "");
	return request;
}

void kept_domain_ended(const struct kept_domain *dom, const char *how)
{
	write_node(dom, "control/ended", how);
}

void kept_domain_read_name(const struct kept_domain *dom, char *name)
{
	char *value = dom->xs ? read_node(dom, "name") : NULL;

	if (value && *value && strlen(value) < DOMAIN_NAME_SIZE)
		strcpy(name, value);
	free(value);
}

/*
 * The node that asks the domain to end is there from the start, and the domain's own, as in libxl.
 */
static int watch_shutdown(struct kept_domain *dom)
{
	struct xs_permissions own = {.id = dom->domid, .perms = XS_PERM_NONE};
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", dom->domid);
	if (dom->xs && xs_write(dom->xs, XBT_NULL, path, "", 0) &&
		xs_set_permissions(dom->xs, XBT_NULL, path, &own, 1) &&
		xs_watch(dom->xs, path, "shutdown"))
		return 0;
	fprintf(stderr, "ringfence: cannot watch xenstore: %s\n", strerror(errno));
	return -1;
}

/* ---- disks ---- */

/* 1: the back end serves it, or has begun to; 0: not yet; -1: it does not, and that was said. */
static int disk_state(const struct kept_domain *dom, const struct disk_config *disk, const char *dir)
{
	char path[PATH_SIZE], *state, *error;
	int rc = 0;

	snprintf(path, sizeof(path), "%s/state", dir);
	state = xs_read(dom->xs, XBT_NULL, path, NULL);
	snprintf(path, sizeof(path), "%s/error", dir);
	error = xs_read(dom->xs, XBT_NULL, path, NULL);
	if (error || !state) {
		fprintf(stderr, "ringfence: %s of driver domain %s: %s\n", disk->vdev, disk->backend,
			error ? error : "the device has vanished");
		rc = -1;
	} else if (atoi(state) >= XenbusStateInitWait) {
		rc = 1;
	}
	free(state);
	free(error);
	return rc;
}

/* Waits for something in xenstore, until the deadline. */
static int wait_for_store(const struct kept_domain *dom, uint64_t deadline_ns)
{
	struct pollfd pfds[2] = {{.fd = xs_fileno(dom->xs), .events = POLLIN},
		{.fd = dom->control_fd, .events = POLLIN}};
	uint64_t now = clock_ns();
	char **event;

	if (now >= deadline_ns)
		return -ETIMEDOUT;
	if (poll(pfds, 2, (int)((deadline_ns - now) / NSEC_PER_MSEC) + 1) < 0 && errno != EINTR)
		return -errno;
	if (pfds[1].revents)
		return -ECONNRESET;
	while (pfds[0].revents && (event = xs_check_watch(dom->xs)))
		free(event);
	return 0;
}

/* The driver domain opens the image now: its errors are the user's to know. */
static int wait_for_disk(const struct kept_domain *dom, const struct disk_config *disk,
	unsigned int device, uint64_t deadline_ns)
{
	char node[PATH_SIZE], *dir;
	int rc, state;

	snprintf(node, sizeof(node), "device/vbd/%u/backend", device);
	dir = read_node(dom, node);
	if (!dir || !xs_watch(dom->xs, dir, "disk")) {
		fprintf(stderr, "ringfence: cannot watch %s: %s\n", disk->vdev, strerror(errno));
		free(dir);
		return -1;
	}
	while ((state = disk_state(dom, disk, dir)) == 0) {
		rc = wait_for_store(dom, deadline_ns);
		if (rc == 0)
			continue;
		fprintf(stderr, "ringfence: %s: driver domain %s does not serve it: %s\n", disk->vdev,
			disk->backend, strerror(-rc));
		break;
	}
	if (!xs_unwatch(dom->xs, dir, "disk"))
		state = -1;
	free(dir);
	return state == 1 ? 0 : -1;
}

static int attach_disks(const struct kept_domain *dom, const struct domain_config *config)
{
	uint64_t deadline_ns = clock_ns() + DISKS_TIMEOUT_NS;
	unsigned int device[CONFIG_DISKS_MAX];

	for (unsigned int i = 0; i < config->nr_disks; i++) {
		if (attach_disk(dom->control_fd, dom->domid, &config->disks[i], &device[i]))
			return -1;
	}
	for (unsigned int i = 0; i < config->nr_disks; i++) {
		if (wait_for_disk(dom, &config->disks[i], device[i], deadline_ns))
			return -1;
	}
	return 0;
}

/* ---- the domain ---- */

static int create(struct kept_domain *dom, const struct domain_config *config)
{
	char name[DOMAIN_NAME_SIZE + 8], uid[32];
	const char *const words[] = {"domain-create", name, uid, "keeper=1", NULL};
	unsigned int nr_fds;
	char *text;
	int rc = -1;

	snprintf(name, sizeof(name), "name=%s", config->name);
	snprintf(uid, sizeof(uid), "uid=%u",
		(unsigned int)(config->has_user ? config->uid : getuid()));
	text = command_call(dom->control_fd, words, dom->fds, &nr_fds);
	if (!text)
		return -1;
	if (nr_fds == 2 && sscanf(text, "domid=%u", &dom->domid) == 1)
		rc = 0;
	else
		fprintf(stderr, "ringfence: the hypervisor's answer makes no sense: %s\n", text);
	free(text);
	return rc;
}

int kept_domain_make(struct kept_domain *dom, const struct domain_config *config, bool restarted)
{
	int status;

	*dom = (struct kept_domain){.fds = {-1, -1}};
	dom->control_fd = command_connect(&status);
	if (dom->control_fd < 0)
		return status;
	if (create(dom, config))
		goto err;
	dom->xs = open_store();
	if (shm_take(dom->control_fd, &config->shm, restarted, &dom->shm) ||
		watch_shutdown(dom) || attach_disks(dom, config))
		goto err;
	return 0;
err:
	kept_domain_leave(dom);
	return 1;
}

void kept_domain_handed_over(struct kept_domain *dom)
{
	for (int i = 0; i < 2; i++) {
		if (dom->fds[i] >= 0)
			close(dom->fds[i]);
		dom->fds[i] = -1;
	}
	shm_close(&dom->shm);
}

/* The hypervisor answers the end of the connection with its own, once the domain is gone. */
void kept_domain_leave(struct kept_domain *dom)
{
	struct pollfd pfd = {.fd = dom->control_fd, .events = POLLIN};
	int rc;

	xs_close(dom->xs);
	dom->xs = NULL;
	kept_domain_handed_over(dom);
	if (dom->control_fd < 0)
		return;
	shutdown(dom->control_fd, SHUT_WR);
	do {
		rc = poll(&pfd, 1, LEAVE_TIMEOUT_MS);
	} while (rc < 0 && errno == EINTR);
	close(dom->control_fd);
	dom->control_fd = -1;
}
