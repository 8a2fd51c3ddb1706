/* SPDX-License-Identifier: MIT */
/*
 * Becoming a domain: a thin client of the control socket (docs/protocol/control.md). One thread at
 * a time per domain. The hypervisor is trusted.
 */
#include <ringfence/domain.h>

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/control.h"
#include "common/parse.h"
#include "common/rundir.h"

#define CALL_TIMEOUT_MS 10000
#define PATH_SIZE 256
#define WORD_SIZE 128

struct rf_domain {
	unsigned int domid;
	int control_fd; /* the domain lives as long as this connection */
	int fds[2];	/* O_PATH: hypercall socket, xenstore socket */
};

static void set_error(char *error, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void set_error(char *error, size_t size, const char *fmt, ...)
{
	va_list ap;

	if (!error || !size)
		return;
	va_start(ap, fmt);
	vsnprintf(error, size, fmt, ap);
	va_end(ap);
}

/* The number behind "key=" among the words of a reply. */
static int reply_number(const char *text, const char *key, uint64_t max, uint64_t *out)
{
	size_t len = strlen(key);

	for (const char *p = text; p; p = strchr(p, ' ')) {
		char number[24];
		size_t digits;

		p += *p == ' ';
		if (strncmp(p, key, len) != 0 || p[len] != '=')
			continue;
		digits = strcspn(p + len + 1, " \n");
		if (digits >= sizeof(number))
			return -EPROTO;
		memcpy(number, p + len + 1, digits);
		number[digits] = '\0';
		return parse_u64(number, 0, max, out) < 0 ? -EPROTO : 0;
	}
	return -EPROTO;
}

/* One request; its result goes to *text if that is wanted, its error message to `error`. */
static int call(int fd, const char *const *words, char **text, int *fds, unsigned int *nr_fds,
	char *error, size_t error_size)
{
	char *reply = NULL;
	int err = control_call(fd, words, CALL_TIMEOUT_MS, &reply, fds, nr_fds);

	if (err) {
		const char *why = reply && *reply ? reply : strerror(-err);

		set_error(error, error_size, "%s: %s", words[0], why);
	}
	if (err || !text)
		free(reply);
	else
		*text = reply;
	return err;
}

static int connect_control(char *error, size_t error_size)
{
	char run_dir[PATH_SIZE];
	int fd = rundir_path(run_dir, sizeof(run_dir));

	if (fd < 0) {
		set_error(error, error_size, "the path of the runtime directory is too long");
		return fd;
	}
	fd = control_connect(run_dir);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		set_error(error, error_size,
			"no hypervisor runs in %s: start ringfenced or set RINGFENCE_RUN", run_dir);
	else if (fd < 0)
		set_error(error, error_size, "cannot connect to the hypervisor in %s: %s", run_dir,
			strerror(-fd));
	return fd;
}

static int check_version(int fd, char *error, size_t error_size)
{
	static const char *const words[] = {"ping", NULL};
	char *text = NULL;
	uint64_t version = 0;
	int err = call(fd, words, &text, NULL, NULL, error, error_size);

	if (err)
		return err;
	err = text ? reply_number(text, "version", UINT32_MAX, &version) : -EPROTO;
	free(text);
	if (err || version == CONTROL_VERSION)
		return err;
	set_error(error, error_size, "the hypervisor speaks version %llu, this program %d",
		(unsigned long long)version, CONTROL_VERSION);
	return -EPROTO;
}

static int set_environment(const struct rf_domain *domain)
{
	static const char *const names[2] = {"RINGFENCE_HYPERCALL", "XENSTORED_PATH"};

	for (unsigned int i = 0; i < 2; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", domain->fds[i]);
		if (setenv(names[i], path, 1) < 0)
			return -errno;
	}
	return 0;
}

static int create_domain(struct rf_domain *domain, const char *name, char *error,
	size_t error_size)
{
	char name_word[WORD_SIZE];
	const char *words[] = {"domain-create", name_word, NULL};
	unsigned int nr_fds = 0;
	uint64_t domid = 0;
	char *text = NULL;
	int fds[CONTROL_MAX_FDS];
	int err;

	if (name)
		err = snprintf(name_word, sizeof(name_word), "name=%s", name);
	else
		err = snprintf(name_word, sizeof(name_word), "name=process-%d", (int)getpid());
	if (err >= (int)sizeof(name_word)) {
		set_error(error, error_size, "the domain's name is too long");
		return -EINVAL;
	}
	err = call(domain->control_fd, words, &text, fds, &nr_fds, error, error_size);
	for (unsigned int i = 0; i < nr_fds && i < 2; i++)
		domain->fds[i] = fds[i];
	if (!err)
		err = text && nr_fds == 2 ? reply_number(text, "domid", UINT16_MAX, &domid)
					  : -EPROTO;
	if (err == -EPROTO)
		set_error(error, error_size, "the hypervisor's answer makes no sense");
	domain->domid = (unsigned int)domid;
	free(text);
	return err;
}

int rf_domain_enter(const char *name, struct rf_domain **out, char *error, size_t error_size)
{
	struct rf_domain *domain = malloc(sizeof(*domain));
	int err;

	if (!domain)
		return -ENOMEM;
	*domain = (struct rf_domain){.fds = {-1, -1}};
	domain->control_fd = connect_control(error, error_size);
	err = domain->control_fd < 0 ? domain->control_fd : 0;
	if (!err)
		err = check_version(domain->control_fd, error, error_size);
	if (!err)
		err = create_domain(domain, name, error, error_size);
	if (!err)
		err = set_environment(domain);
	if (err) {
		rf_domain_leave(domain);
		return err;
	}
	*out = domain;
	return 0;
}

unsigned int rf_domain_id(const struct rf_domain *domain)
{
	return domain->domid;
}

int rf_domain_attach_disk(struct rf_domain *domain, const char *disk, const char *vdev,
	char *error, size_t error_size)
{
	char domain_word[32], disk_word[WORD_SIZE], vdev_word[WORD_SIZE];
	const char *const words[] = {"block-attach", domain_word, disk_word, vdev_word, NULL};

	snprintf(domain_word, sizeof(domain_word), "domain=%u", domain->domid);
	if (snprintf(disk_word, sizeof(disk_word), "disk=%s", disk) >= (int)sizeof(disk_word) ||
		snprintf(vdev_word, sizeof(vdev_word), "vdev=%s", vdev) >= (int)sizeof(vdev_word)) {
		set_error(error, error_size, "the disk's name is too long");
		return -EINVAL;
	}
	return call(domain->control_fd, words, NULL, NULL, NULL, error, error_size);
}

void rf_domain_leave(struct rf_domain *domain)
{
	if (!domain)
		return;
	for (unsigned int i = 0; i < 2; i++) {
		if (domain->fds[i] >= 0)
			close(domain->fds[i]);
	}
	if (domain->control_fd >= 0)
		close(domain->control_fd);
	free(domain);
}
