/* SPDX-License-Identifier: MIT */
/* Conversations with the hypervisor; see service_session.h. Every wait has a bound. */
#include "service/service_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/control.h"
#include "service/common_program.h"
#include "service/service_hypervisor.h"
#include "service/service_stats.h"

#define MAX_ARGS 6

int session_call(int control_fd, char **text, const char *verb, const char *const *args)
{
	const char *words[1 + MAX_ARGS + 1] = {verb};
	char *reply = NULL;
	int rc;

	for (unsigned int i = 0; i < MAX_ARGS && args && args[i]; i++)
		words[1 + i] = args[i];
	rc = control_call(control_fd, words, SESSION_TIMEOUT_MS, &reply, NULL, NULL);
	if (rc)
		complain("%s: %s", verb, reply && reply[0] ? reply : strerror(-rc));
	if (rc == 0 && text)
		*text = reply;
	else
		free(reply);
	return rc;
}

void session_get_image(int control_fd, int timeout_ms, char *image, size_t size)
{
	const char *const words[] = {"disk-list", NULL};
	char name[STATS_NAME_SIZE], *text = NULL;

	image[0] = '\0';
	if (control_call(control_fd, words, timeout_ms, &text, NULL, NULL) == 0) {
		for (const char *line = text; line && *line; line = strchr(line, '\n')) {
			line += *line == '\n';
			if (field_get(line, "name", name, sizeof(name)) &&
				strcmp(name, SERVICE_DISK) == 0 &&
				field_get_rest(line, "target", image, size))
				break;
		}
	}
	free(text);
}

/* Asks for an orderly end. 0 when the hypervisor agreed; it may still be at it. */
static int request_shutdown(const char *run_dir, int timeout_ms, char **text)
{
	const char *const words[] = {"shutdown", NULL};
	char *reply = NULL;
	int rc, fd = control_connect(run_dir);

	if (fd < 0)
		return fd;
	rc = control_call(fd, words, timeout_ms, &reply, NULL, NULL);
	close(fd);
	if (rc == 0 && text)
		*text = reply;
	else
		free(reply);
	return rc;
}

int session_end(const char *run_dir, int timeout_ms, char **text)
{
	struct hypervisor_processes procs;
	int rc;

	if (text)
		*text = NULL;
	hypervisor_find(run_dir, &procs);
	rc = request_shutdown(run_dir, timeout_ms, text);
	if (rc == -EACCES || rc == -EPERM) {
		complain("not permitted to use %s; are you the user who started it?", run_dir);
		goto release;
	}
	if (procs.pidfd < 0) {
		/* Nobody holds the lock: a connection could not have come from a hypervisor. */
		rc = rc == 0 ? 1 : 0;
		goto clean;
	}
	/* It has answered, so only its processes' last steps are left; or it did not, and has had
	 * its time, or refuses connections while it is ending. */
	if (rc != -ETIMEDOUT && hypervisor_wait(&procs, timeout_ms)) {
		rc = rc == 0 ? 1 : -ETIME;
		if (rc < 0)
			complain("the hypervisor ended without a last word");
		goto clean;
	}
	complain("the hypervisor (pid %ld) did not end in time; killing it", (long)procs.pid);
	rc = hypervisor_kill(&procs) ? -ETIME : -EBUSY;
	if (rc == -EBUSY)
		complain("its processes do not end even so; is the disk hanging?");
clean:
	hypervisor_clean(run_dir);
release:
	hypervisor_release(&procs);
	return rc;
}
