/* SPDX-License-Identifier: MIT */
/*
 * blkback: the block back end. Runs in a driver domain (or dom0) and serves the vbds that it finds
 * below its own backend/vbd in xenstore. The main thread follows xenstore; workers serve the rings.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "blkback/sched.h"
#include "blkback/stats.h"
#include "blkback/vbd.h"
#include "blkback/worker.h"
#include "common/clock.h"
#include "common/parse.h"

#define EXIT_USAGE 2
#define STATS_MS 1000
#define STOP_TIMEOUT_NS (4 * NSEC_PER_SEC)
#define WORKERS_MAX 64
#define WATCHES_MAX 4096 /* taken in a turn */

struct options {
	struct image_cache_config cache;
	struct worker_config worker;
	unsigned int nr_workers;
	const char *image; /* to be kept open, or NULL */
	bool image_writable;
	enum log_level log_level;
};

static const char usage[] =
	"Usage: blkback [OPTION]...\n"
	"The block back end: serves the virtual block devices of this domain over blkif rings.\n"
	"\n"
	"  -c, --cache=BYTES       read cache of each image, 0 for none (default; K, M, G allowed)\n"
	"      --cache-block=N     bytes of a cache block: 512, 1024, 2048 or 4096 (default)\n"
	"      --cache-percent=N   at most N % of the image for its cache (default 100)\n"
	"  -i, --image=TARGET      open this image read-only now and keep it open, with its cache;\n"
	"                          fail if that is not possible\n"
	"  -I, --image-rw=TARGET   the same for writing\n"
	"  -p, --policy=POLICY     adaptive (default): poll while busy, then sleep;\n"
	"                          event: sleep at once; spin: never sleep\n"
	"  -w, --workers=N         threads that serve rings (default: half of the processors)\n"
	"      --window=N          requests at a device while domains compete for it (default 8)\n"
	"      --aio=KIND          auto (default), uring or threads\n"
	"  -l, --log-level=LEVEL   error, warn, info (default) or debug\n"
	"  -h, --help              show this help\n"
	"  -V, --version           show the version\n"
	"\n"
	"Targets: a path, file:PATH, or null:SIZE (no contents, takes no time).\n"
	"It finds its domain by XENSTORED_PATH and RINGFENCE_HYPERCALL, which the hypervisor sets,\n"
	"or on a Xen host by /dev/xen. SIGTERM closes the disks and ends it.\n"
	"\n"
	"Exit status: 0 ended as asked, 1 failed, 2 wrong usage.\n";

enum { OPT_CACHE_BLOCK = 256, OPT_CACHE_PERCENT, OPT_WINDOW, OPT_AIO };

static void __attribute__((noreturn)) bad_option(const char *option, const char *text)
{
	fprintf(stderr, "blkback: bad value '%s' for --%s\nTry 'blkback --help'.\n", text, option);
	exit(EXIT_USAGE);
}

static unsigned int choose(const char *option, const char *text, const char *const *names)
{
	for (unsigned int i = 0; names[i]; i++) {
		if (strcmp(names[i], text) == 0)
			return i;
	}
	bad_option(option, text);
}

static unsigned int number(const char *option, const char *text, unsigned int min, unsigned int max)
{
	uint64_t value;

	if (parse_u64(text, min, max, &value))
		bad_option(option, text);
	return (unsigned int)value;
}

static void parse_option(int c, struct options *opt)
{
	static const char *const policies[] = {"adaptive", "event", "spin", NULL};
	static const char *const aios[] = {"auto", "uring", "threads", NULL};

	switch (c) {
	case 'c':
		if (parse_size(optarg, &opt->cache.size))
			bad_option("cache", optarg);
		break;
	case OPT_CACHE_BLOCK:
		opt->cache.block_size = number("cache-block", optarg, 512, 4096);
		if (opt->cache.block_size & (opt->cache.block_size - 1))
			bad_option("cache-block", optarg);
		break;
	case OPT_CACHE_PERCENT:
		opt->cache.max_percent = number("cache-percent", optarg, 0, 100);
		break;
	case 'i':
	case 'I':
		opt->image = optarg;
		opt->image_writable = c == 'I';
		break;
	case 'p':
		opt->worker.policy = (enum worker_policy)choose("policy", optarg, policies);
		break;
	case 'w':
		opt->nr_workers = number("workers", optarg, 1, WORKERS_MAX);
		break;
	case OPT_WINDOW:
		opt->worker.window = number("window", optarg, 1, 4096);
		break;
	case OPT_AIO:
		opt->worker.aio_kind = (enum aio_kind)choose("aio", optarg, aios);
		break;
	case 'l':
		if (log_level_parse(optarg, &opt->log_level))
			bad_option("log-level", optarg);
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	case 'V':
		puts("blkback " RINGFENCE_VERSION);
		exit(0);
	default:
		fputs("Try 'blkback --help'.\n", stderr);
		exit(EXIT_USAGE);
	}
}

static void parse_options(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = {{"cache", required_argument, NULL, 'c'},
		{"cache-block", required_argument, NULL, OPT_CACHE_BLOCK},
		{"cache-percent", required_argument, NULL, OPT_CACHE_PERCENT},
		{"image", required_argument, NULL, 'i'},
		{"image-rw", required_argument, NULL, 'I'},
		{"policy", required_argument, NULL, 'p'},
		{"workers", required_argument, NULL, 'w'},
		{"window", required_argument, NULL, OPT_WINDOW},
		{"aio", required_argument, NULL, OPT_AIO},
		{"log-level", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "c:i:I:p:w:l:hV", longs, NULL)) != -1)
		parse_option(c, opt);
	if (optind < argc) {
		fprintf(stderr, "blkback: unexpected argument '%s'\nTry 'blkback --help'.\n",
			argv[optind]);
		exit(EXIT_USAGE);
	}
}

/* ---- messages from the workers ---- */

struct message {
	struct vbd *vbd; /* NULL: the hypervisor is gone */
	enum vbd_message what;
};

static int post_fds[2] = {-1, -1}; /* a pipe of messages */

static void post(struct vbd *vbd, enum vbd_message what)
{
	struct message message = {.vbd = vbd, .what = what};

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
		if (!message.vbd)
			return false;
		vbd_message(message.vbd, message.what);
	}
	return true;
}

/* ---- the main loop ---- */

/*
 * Takes events first and looks at each device that they concern once, so that a front end which
 * rewrites its nodes all the time costs one look a turn, and its events do not pile up. Bounded;
 * the descriptor stays readable while there are more. False when xenstore is lost.
 */
static bool read_watches(struct vbd_context *ctx)
{
	char **event = NULL;
	bool lost;

	for (int i = 0; i < WATCHES_MAX && (event = xs_check_watch(ctx->xs)) != NULL; i++) {
		vbd_watch_event(ctx, event[XS_WATCH_PATH], event[XS_WATCH_TOKEN]);
		free(event);
	}
	lost = !event && errno != EAGAIN;
	vbd_look(ctx);
	return !lost;
}

/* Tells the supervisor that somebody still uses us (docs/protocol/control.md). */
static void publish(struct vbd_context *ctx, bool force)
{
	static unsigned long nr_activities;

	if (stats_publish(ctx, force) &&
		xenbus_printf(ctx->xs, XBT_NULL, "data", "activity", "%lu", ++nr_activities))
		log_debug("cannot publish activity");
}

/* Serves until SIGTERM. 0, or 1 when the hypervisor went away. */
static int serve(struct vbd_context *ctx, int signal_fd)
{
	struct pollfd fds[] = {{.fd = xs_fileno(ctx->xs), .events = POLLIN},
		{.fd = post_fds[0], .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
	uint64_t stop_ns = 0, publish_ns = 0, now;

	for (;;) {
		if (poll(fds, 3, STATS_MS) < 0 && errno != EINTR)
			return 1;
		if ((fds[0].revents && !read_watches(ctx)) || !read_posts()) {
			log_error("lost the connection to the hypervisor");
			return 1;
		}
		now = clock_ns();
		if (fds[2].revents && !stop_ns) {
			log_info("closing the disks");
			stop_ns = now + STOP_TIMEOUT_NS;
			vbd_stop_all(ctx);
		}
		if (now - publish_ns >= STATS_MS * NSEC_PER_MSEC) {
			publish(ctx, false);
			publish_ns = now;
		}
		if (stop_ns) {
			struct vbd *vbd;
			bool busy = false;

			list_for_each(vbd, &ctx->vbds, link)
				busy |= vbd->state != VBD_DISCONNECTED;
			if (!busy || now > stop_ns) {
				publish(ctx, true);
				return busy;
			}
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
	return xenbus_printf(ctx->xs, XBT_NULL, "data", "ready", "1");
}

static int run(const struct options *opt)
{
	struct vbd_totals totals = {0};
	struct vbd_context ctx = {.cache = opt->cache, .totals = &totals, .post = post};
	struct image *kept = NULL;
	char error[192] = "out of memory";
	int signal_fd, rc, status = 1;

	list_init(&ctx.vbds);
	signal_fd = watch_signals();
	if (signal_fd < 0 || pipe2(post_fds, O_CLOEXEC) < 0 ||
		fcntl(post_fds[0], F_SETFL, O_NONBLOCK) < 0) {
		log_error("cannot start: %s", strerror(errno));
		return 1;
	}
	if (opt->image && image_get(opt->image, !opt->image_writable, &opt->cache, &kept, error,
				  sizeof(error))) {
		log_error("cannot open %s: %s", opt->image, error);
		return 1;
	}
	ctx.xs = xs_open(0);
	if (!ctx.xs) {
		log_error("cannot connect to xenstore: %s; is this process a domain?",
			strerror(errno));
		goto out_image;
	}
	rc = start_workers(&ctx, opt);
	if (rc == 0)
		rc = announce(&ctx);
	if (rc)
		log_error("cannot start: %s", strerror(-rc));
	else
		status = serve(&ctx, signal_fd);
	/* With I/O that does not end there is nothing to tear down in an orderly way. */
	if (status)
		_exit(status);
	for (unsigned int i = 0; i < ctx.nr_workers; i++)
		worker_destroy(ctx.workers[i]);
	free(ctx.workers);
	vbd_free_all(&ctx);
	xs_close(ctx.xs);
	close(signal_fd);
	close(post_fds[0]);
	close(post_fds[1]);
out_image:
	image_put(kept);
	return status;
}

int main(int argc, char **argv)
{
	long nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct options opt = {
		.cache = {.block_size = 4096, .max_percent = 100},
		.worker = {.window = SCHED_WINDOW_DEFAULT, .lost = post_lost},
		.nr_workers = nr_cpus < 4 ? 1 : nr_cpus < 16 ? (unsigned int)nr_cpus / 2 : 8,
		.log_level = LOG_INFO,
	};

	parse_options(argc, argv, &opt);
	log_setup("blkback", opt.log_level);
	return run(&opt);
}
