/* SPDX-License-Identifier: MIT */
/*
 * blkback: the block back end. Runs in a driver domain (or dom0) and serves the vbds that it finds
 * below its own backend/vbd in xenstore. The main thread follows xenstore; workers serve the rings.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "blkback/options.h"
#include "blkback/stats.h"
#include "blkback/trace.h"
#include "blkback/vbd.h"
#include "blkback/worker.h"
#include "blkback/xenhost.h"
#include "common/clock.h"
#include "common/fdlimit.h"

#define STATS_MS 1000
#define STOP_TIMEOUT_NS (4 * NSEC_PER_SEC)
#define WATCHES_MAX 4096 /* taken in a turn */
/* Figures of disks that are gone: under our own hypervisor its clients ask for them; on a Xen host
 * a driver domain's store is small. */
#define GONE_NODES_MAX 256
#define GONE_NODES_MAX_XEN 16
#define SYSFS "/sys"

/* ---- messages from the workers ---- */

struct message {
	struct vbd_queue *queue; /* NULL: the hypervisor is gone */
	enum vbd_message what;
};

static int post_fds[2] = {-1, -1}; /* a pipe of messages */

static void post(struct vbd_queue *queue, enum vbd_message what)
{
	struct message message = {.queue = queue, .what = what};

	/* Less than PIPE_BUF is written whole; a full pipe waits for the main thread. */
	if (write(post_fds[1], &message, sizeof(message)) != sizeof(message))
		log_error("cannot wake the main thread: %s", strerror(errno));
}

static void post_lost(void)
{
	post(NULL, VBD_QUEUE_DETACHED);
}

/* False when the hypervisor is gone. */
static bool read_posts(void)
{
	struct message message;

	while (read(post_fds[0], &message, sizeof(message)) == sizeof(message)) {
		if (!message.queue)
			return false;
		vbd_message(message.queue, message.what);
	}
	return true;
}

/* ---- the main loop ---- */

/*
 * Only marks the devices that events concern: each is looked at once a turn, so that a front end
 * which rewrites its nodes all the time costs one look, and its events do not pile up. Bounded; the
 * descriptor stays readable while there are more. False when xenstore is lost.
 */
static bool read_watches(struct vbd_context *ctx)
{
	char **event = NULL;

	for (int i = 0; i < WATCHES_MAX && (event = xs_check_watch(ctx->xs)) != NULL; i++) {
		vbd_watch_event(ctx, event[XS_WATCH_PATH], event[XS_WATCH_TOKEN]);
		free(event);
	}
	return event || errno == EAGAIN;
}

/* Tells the supervisor that somebody still uses us (docs/protocol/control.md). */
static void publish(struct vbd_context *ctx, bool force)
{
	static unsigned long nr_activities;

	if (stats_publish(ctx, force))
		stats_check(ctx, xenbus_printf(ctx->xs, XBT_NULL, "data", "activity", "%lu",
			++nr_activities));
}

static void image_resized(void *data, const struct image *image)
{
	vbd_image_resized(data, image);
}

/* What is done every second. */
static void tick(struct vbd_context *ctx)
{
	images_refresh(image_resized, ctx);
	publish(ctx, false);
}

/* Takes what has come. False when the hypervisor went away. */
static bool take_events(struct vbd_context *ctx, bool watches)
{
	if ((watches && !read_watches(ctx)) || !read_posts()) {
		log_error("lost the connection to the hypervisor");
		return false;
	}
	vbd_look(ctx, clock_ns());
	return true;
}

/* Serves until SIGTERM. 0, or 1 when the hypervisor went away or I/O does not end. */
static int serve(struct vbd_context *ctx, int signal_fd)
{
	struct pollfd fds[] = {{.fd = xs_fileno(ctx->xs), .events = POLLIN},
		{.fd = post_fds[0], .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
	uint64_t stop_ns = 0, tick_ns = 0, now;

	for (;;) {
		if (poll(fds, 3, vbd_timeout_ms(ctx, clock_ns(), STATS_MS)) < 0 && errno != EINTR)
			return 1;
		if (fds[2].revents && !stop_ns) {
			log_info("closing the disks");
			stop_ns = clock_ns() + STOP_TIMEOUT_NS;
			vbd_stop_all(ctx);
		}
		if (!take_events(ctx, fds[0].revents != 0))
			return 1;
		now = clock_ns();
		if (now - tick_ns >= STATS_MS * NSEC_PER_MSEC) {
			tick(ctx);
			tick_ns = now;
		}
		if (stop_ns && (vbd_are_idle(ctx) || now > stop_ns)) {
			publish(ctx, true);
			return !vbd_are_idle(ctx);
		}
	}
}

static int watch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int start_workers(struct vbd_context *ctx, const struct options *opt)
{
	int rc;

	ctx->workers = calloc(opt->nr_workers, sizeof(*ctx->workers));
	if (!ctx->workers)
		return -ENOMEM;
	while (ctx->nr_workers < opt->nr_workers) {
		rc = worker_create(&opt->worker, &ctx->workers[ctx->nr_workers]);
		if (rc)
			return rc;
		ctx->nr_workers++;
	}
	return 0;
}

static int announce(struct vbd_context *ctx)
{
	publish(ctx, true);
	if (!xs_watch(ctx->xs, "backend/vbd", "backend"))
		return -errno;
	stats_check(ctx, xenbus_printf(ctx->xs, XBT_NULL, "data", "ready", "1"));
	return 0;
}

/* False if a back end in the kernel would take the same disks. */
static bool check_rival(const struct options *opt, struct vbd_context *ctx)
{
	if (!xenhost_is_real() || opt->beside_xen_blkback)
		return true;
	ctx->sysfs = SYSFS;
	if (!xenhost_has_kernel_blkback(SYSFS))
		return true;
	log_error("cannot start: " XENHOST_RIVAL " (or --beside-xen-blkback, if you know that it "
		  "has other disks)");
	return false;
}

static int set_up_events(void)
{
	int signal_fd = watch_signals();

	if (signal_fd < 0 || pipe2(post_fds, O_CLOEXEC) < 0 ||
		fcntl(post_fds[0], F_SETFL, O_NONBLOCK) < 0) {
		log_error("cannot start: %s", strerror(errno));
		return -1;
	}
	return signal_fd;
}

/* Connects to the domain, and serves. The exit status. */
static int run_domain(struct vbd_context *ctx, const struct options *opt, int signal_fd)
{
	int rc, status = 1;

	ctx->xs = xs_open(0);
	if (!ctx->xs) {
		log_error("cannot connect to xenstore: %s; is this process a domain?",
			strerror(errno));
		return 1;
	}
	trace_open(ctx->trace, ctx->xs);
	rc = start_workers(ctx, opt);
	if (rc == 0)
		rc = announce(ctx);
	if (rc)
		log_error("cannot start: %s", strerror(-rc));
	else
		status = serve(ctx, signal_fd);
	/* With I/O that does not end there is nothing to tear down in an orderly way. */
	if (status)
		_exit(status);
	for (unsigned int i = 0; i < ctx->nr_workers; i++)
		worker_destroy(ctx->workers[i]);
	free(ctx->workers);
	vbd_free_all(ctx);
	trace_close(ctx->trace, ctx->xs);
	xs_close(ctx->xs);
	return status;
}

static int run(const struct options *opt)
{
	struct trace trace = {0};
	struct vbd_totals totals = {
		.max_gone_nodes = xenhost_is_real() ? GONE_NODES_MAX_XEN : GONE_NODES_MAX};
	struct vbd_context ctx = {.cache = opt->cache, .offer = opt->offer,
		.any_script = opt->any_script, .totals = &totals, .trace = &trace, .post = post};
	struct image *kept = NULL;
	char error[192] = "out of memory";
	int signal_fd, status;

	list_init(&ctx.vbds);
	list_init(&ctx.changed);
	list_init(&ctx.timers);
	signal_fd = set_up_events();
	if (signal_fd < 0 || !check_rival(opt, &ctx))
		return 1;
	if (opt->image && image_get(opt->image, !opt->image_writable, &opt->cache, &kept, error,
				  sizeof(error))) {
		log_error("cannot open %s: %s", opt->image, error);
		return 1;
	}
	status = run_domain(&ctx, opt, signal_fd);
	close(signal_fd);
	close(post_fds[0]);
	close(post_fds[1]);
	image_put(kept);
	return status;
}

int main(int argc, char **argv)
{
	struct options opt;

	options_parse(argc, argv, &opt);
	opt.worker.lost = post_lost;
	log_setup("blkback", opt.log_level);
	fdlimit_raise(); /* two for each queue, where event channels are eventfds */
	return run(&opt);
}
