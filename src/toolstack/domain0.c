/* SPDX-License-Identifier: MIT */
/* Entering as domain 0. The sockets come through the environment, as for any other Xen program. */
#include "toolstack/domain0.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolstack/command.h"
#include "toolstack/environment.h"

/* Makes sure that there is an instance, and points the libraries to it. 0 or the exit status. */
static int find_instance(void)
{
	static struct environment env; /* putenv keeps it */
	int status, rc, fd = command_connect(&status);

	if (fd < 0)
		return status;
	close(fd);
	rc = environment_domain0(&env);
	/* Not LD_LIBRARY_PATH: this program's own libraries are loaded already. */
	if (rc == 0 && (putenv(env.text[0]) || putenv(env.text[1])))
		rc = -errno;
	if (rc == 0)
		return 0;
	fprintf(stderr, "ringfence: %s\n", strerror(-rc));
	return 1;
}

int domain0_enter(struct domain0 *dom0, bool elsewhere)
{
	int status = 0;

	*dom0 = (struct domain0){0};
	if (!elsewhere)
		status = find_instance();
	if (status)
		return status;
	/* The libraries keep quiet about grants that cannot be mapped: those are a guest's doing. */
	dom0->logger = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_CRITICAL, 0);
	dom0->xs = dom0->logger ? xs_open(0) : NULL;
	dom0->xgt = dom0->xs ? xengnttab_open(dom0->logger, 0) : NULL;
	if (dom0->xgt)
		return 0;
	fprintf(stderr, "ringfence: cannot act as domain 0: no %s: %s\n",
		dom0->xs ? "grants" : "xenstore", strerror(errno));
	domain0_leave(dom0);
	return 1;
}

void domain0_leave(struct domain0 *dom0)
{
	if (dom0->xgt)
		xengnttab_close(dom0->xgt);
	xs_close(dom0->xs);
	if (dom0->logger)
		xtl_logger_destroy(dom0->logger);
	*dom0 = (struct domain0){0};
}
