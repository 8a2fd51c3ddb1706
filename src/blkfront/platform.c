/* SPDX-License-Identifier: MIT */
/*
 * What the platform says to us, and what we say of it. Xen's libraries write to standard error when
 * a call fails, also where that is part of the plan (a smaller pool will do); here they are silent,
 * and what matters goes to the caller's log in words that say what to do.
 */
#include "blkfront/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xentoollog.h>

static void drop_message(xentoollog_logger *logger, xentoollog_level level, int errnoval,
	const char *context, const char *format, va_list al)
{
	(void)logger, (void)level, (void)errnoval, (void)context, (void)format, (void)al;
}

static void drop_logger(xentoollog_logger *logger)
{
	(void)logger;
}

struct xentoollog_logger *blk_quiet_logger(void)
{
	/* Without state, so that one is enough; the libraries take it as not constant. */
	static xentoollog_logger quiet = {.vmessage = drop_message, .destroy = drop_logger};

	return &quiet;
}

void blk_log(struct rf_blk *blk, const char *fmt, ...)
{
	char text[384];
	va_list ap;
	int len;

	if (!blk->options.log)
		return;
	if (blk->dev.front[0])
		len = snprintf(text, sizeof(text), "disk %u: ", blk->dev.vdev);
	else
		len = snprintf(text, sizeof(text), "disk: ");
	va_start(ap, fmt);
	vsnprintf(text + len, sizeof(text) - (size_t)len, fmt, ap);
	va_end(ap);
	blk->options.log(blk->options.log_data, text);
}

void blk_log_no_device(struct rf_blk *blk, const char *what, const char *device)
{
	const char *why = strerror(errno);

	blk_log(blk, "no %s (%s): in a domain of Xen, load the module xen-%s and see that "
		"/dev/xen/%s can be opened; without Xen, start the program by 'ringfence exec'",
		what, why, device, device);
}

void blk_log_open_error(struct rf_blk *blk, int err)
{
	switch (err) {
	case -ENOENT:
		if (!blk->dev.front[0])
			blk_log(blk, "no xenstore: in a domain of Xen, see that /dev/xen/xenbus "
				"can be opened; without Xen, start the program by "
				"'ringfence exec'");
		return;
	case -ENODEV:
		blk_log(blk, "no such disk: this domain's are the nodes below device/vbd in "
			"xenstore");
		return;
	case -ENOSPC:
		blk_log(blk, "not grants or event channels enough: Linux gives a domain 1024 "
			"grants (parameter 'limit' of the module xen-gntalloc)");
		return;
	case -EBUSY:
		blk_log(blk, "it is in use, or was by a program that did not close it: its state "
			"in xenstore is that of a connection");
		return;
	case -ETIMEDOUT:
		blk_log(blk, "the back end in domain %u did not answer in time (%s/state is %d)",
			blk->dev.back_domid, blk->dev.back, xenbus_back_state(&blk->dev));
		return;
	case -EPROTO:
		blk_log(blk, "the back end published nonsense below %s", blk->dev.back);
		return;
	case -EIO:
		blk_log(blk, "the back end in domain %u refused the connection, or is gone",
			blk->dev.back_domid);
		return;
	default:
		return;
	}
}
