/* SPDX-License-Identifier: MIT */
/*
 * ringfenced: the hypervisor daemon. Command line, the lock that makes it the only one of its
 * runtime directory, start, end.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fdlimit.h"
#include "common/install.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/rundir.h"
#include "hypervisor/control_server.h"
#include "hypervisor/domain.h"
#include "hypervisor/evtchn.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/notify.h"
#include "hypervisor/store_server.h"
#include "hypervisor/supervisor.h"
#include "hypervisor/vbd.h"

#define EXIT_USAGE 2
#define EXIT_RUNNING 75 /* EX_TEMPFAIL: another instance has the runtime directory */
#define FDS_OWN 256 /* kept for ourselves, dom0 and the toolstack */

struct options {
	bool daemon;
	uint64_t idle_timeout_s;
	enum log_level log_level;
	struct domain_limits limits;
	struct store_limits store_limits;
	const char *port_kind;
};

static const char usage[] =
	"Usage: ringfenced [OPTION]...\n"
	"The hypervisor: gives processes grant tables, event channels and xenstore.\n"
	"\n"
	"  -d, --daemon                 run in the background; return once it is ready\n"
	"  -i, --idle-timeout=SECONDS   end when no driver domain had work for so long (0: never)\n"
	"  -l, --log-level=LEVEL        error, warn, info (default) or debug\n"
	"      --max-domains=N          domains at a time (default 32000)\n"
	"      --max-grants=N           granted pages of a domain (default 32768)\n"
	"      --max-maps=N             mapped foreign pages of a domain (default 1048576)\n"
	"      --max-ports=N            event channel ports of a domain (default 4096)\n"
	"      --max-connections=N      open handles of a domain, of each kind (default 1024)\n"
	"      --store-quota=NAME=N     a domain's share of the store: nodes, watches, transactions,\n"
	"                               transaction-nodes, permissions, node-size, outstanding, events\n"
	"      --event-channels=KIND    auto (default), eventfd or seqpacket\n"
	"  -h, --help                   show this help\n"
	"  -V, --version                show the version\n"
	"\n"
	"Its runtime directory is $RINGFENCE_RUN, else /run/ringfence for root, else\n"
	"$XDG_RUNTIME_DIR/ringfence, else /tmp/ringfence-UID. It logs to stderr, in the\n"
	"background to the file ringfenced.log there.\n"
	"\n"
	"Exit status: 0 ended as asked, 1 failed, 2 wrong usage, 75 another one is running there.\n";

enum { OPT_DOMAINS = 256, OPT_GRANTS, OPT_MAPS, OPT_PORTS, OPT_CONNECTIONS, OPT_STORE_QUOTA,
	OPT_PORT_KIND };

static void parse_limit(const char *option, const char *text, uint64_t max, unsigned int *out)
{
	uint64_t value;

	if (parse_u64(text, 1, max, &value)) {
		fprintf(stderr, "ringfenced: --%s takes a number from 1 to %llu, not '%s'\n", option,
			(unsigned long long)max, text);
		exit(EXIT_USAGE);
	}
	*out = (unsigned int)value;
}

/* NAME=N, a limit of the store by its name there. */
static void parse_store_quota(const char *text, struct store_limits *limits)
{
	const char *equals = strchr(text, '=');
	char name[32];
	uint64_t value;
	int rc = -ENOENT;

	if (equals && (size_t)(equals - text) < sizeof(name)) {
		memcpy(name, text, (size_t)(equals - text));
		name[equals - text] = '\0';
		rc = parse_u64(equals + 1, 0, STORE_LIMIT_MAX, &value);
		if (rc == 0)
			rc = store_limits_set(limits, name, value);
		if (rc == 0)
			return;
	}
	if (rc == -ENOENT)
		fprintf(stderr, "ringfenced: --store-quota takes NAME=N, and has no '%s'\n", text);
	else
		fprintf(stderr, "ringfenced: --store-quota: not a number for it: '%s'\n", text);
	exit(EXIT_USAGE);
}

static void parse_options(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = {{"daemon", no_argument, NULL, 'd'},
		{"idle-timeout", required_argument, NULL, 'i'},
		{"log-level", required_argument, NULL, 'l'},
		{"max-domains", required_argument, NULL, OPT_DOMAINS},
		{"max-grants", required_argument, NULL, OPT_GRANTS},
		{"max-maps", required_argument, NULL, OPT_MAPS},
		{"max-ports", required_argument, NULL, OPT_PORTS},
		{"max-connections", required_argument, NULL, OPT_CONNECTIONS},
		{"store-quota", required_argument, NULL, OPT_STORE_QUOTA},
		{"event-channels", required_argument, NULL, OPT_PORT_KIND},
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "di:l:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt->daemon = true;
			break;
		case 'i':
			if (parse_u64(optarg, 0, 1000000000, &opt->idle_timeout_s)) {
				fprintf(stderr, "ringfenced: not a number of seconds: '%s'\n", optarg);
				exit(EXIT_USAGE);
			}
			break;
		case 'l':
			if (log_level_parse(optarg, &opt->log_level)) {
				fprintf(stderr, "ringfenced: no such log level: '%s'\n", optarg);
				exit(EXIT_USAGE);
			}
			break;
		case OPT_DOMAINS:
			parse_limit("max-domains", optarg, 32000, &opt->limits.nr_domains);
			break;
		case OPT_GRANTS:
			parse_limit("max-grants", optarg, 1u << 24, &opt->limits.nr_grants);
			break;
		case OPT_MAPS:
			parse_limit("max-maps", optarg, 1u << 30, &opt->limits.nr_maps);
			break;
		case OPT_PORTS:
			parse_limit("max-ports", optarg, 1u << 17, &opt->limits.nr_ports);
			break;
		case OPT_CONNECTIONS:
			parse_limit("max-connections", optarg, 1u << 16, &opt->limits.nr_connections);
			break;
		case OPT_STORE_QUOTA:
			parse_store_quota(optarg, &opt->store_limits);
			break;
		case OPT_PORT_KIND:
			if (strcmp(optarg, "auto") && strcmp(optarg, "eventfd") &&
				strcmp(optarg, "seqpacket")) {
				fprintf(stderr, "ringfenced: no such kind: '%s'\n", optarg);
				exit(EXIT_USAGE);
			}
			opt->port_kind = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		case 'V':
			puts("ringfenced " RINGFENCE_VERSION);
			exit(0);
		default:
			fputs("Try 'ringfenced --help'.\n", stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "ringfenced: unexpected argument '%s'\n", argv[optind]);
		exit(EXIT_USAGE);
	}
}

/* ---- ending ---- */

/* The last figures also go to the log: after an idle end nobody is there to be told. */
static void log_stats(struct hypervisor *hv)
{
	size_t size = 0;
	char *text = NULL, *line, *rest;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	drivers_print_stats(hv, out);
	if (fclose(out) == 0) {
		for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
			log_info("%s", line);
	}
	free(text);
}

static void finish_shutdown(struct hypervisor *hv)
{
	log_stats(hv);
	control_server_shutdown_done(hv);
	loop_stop(&hv->loop);
}

void hypervisor_shutdown(struct hypervisor *hv, const char *reason)
{
	if (hv->shutting_down)
		return;
	log_info("shutting down: %s", reason);
	notify_send(hv->notify_fd, "STOPPING=1");
	hv->shutting_down = true;
	drivers_stop(hv);
}

static void signal_ready(struct loop_source *source, uint32_t events)
{
	struct hypervisor *hv = container_of(source, struct hypervisor, signal_source);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) == sizeof(info))
		hypervisor_shutdown(hv, strsignal((int)info.ssi_signo));
}

static void idle_expired(struct loop_timer *timer)
{
	struct hypervisor *hv = container_of(timer, struct hypervisor, idle_timer);
	uint64_t now = clock_ns(), deadline = hv->last_activity_ns + hv->idle_timeout_ns;

	if (now >= deadline)
		hypervisor_shutdown(hv, "no requests for the idle timeout");
	else
		loop_timer_set(&hv->loop, timer, deadline);
}

static void after_batch(void *data)
{
	struct hypervisor *hv = data;

	store_server_flush(hv);
	if (hv->shutting_down && drivers_stopped(hv))
		finish_shutdown(hv);
}

/* ---- starting ---- */

/* True if the lock file that we hold is the one that others would find. */
static bool lock_is_current(const struct hypervisor *hv)
{
	struct stat held, found;

	return fstat(hv->lock_fd, &held) == 0 &&
		fstatat(hv->run_dir_fd, "lock", &found, AT_SYMLINK_NOFOLLOW) == 0 &&
		held.st_dev == found.st_dev && held.st_ino == found.st_ino;
}

/* Opens and locks the lock file, again if its holder removed it at that moment. */
static int open_lock(struct hypervisor *hv)
{
	int rc;

	for (;;) {
		hv->lock_fd = openat(
			hv->run_dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (hv->lock_fd < 0)
			return -errno;
		if (flock(hv->lock_fd, LOCK_EX | LOCK_NB) < 0) {
			rc = -errno;
			close(hv->lock_fd);
			return rc;
		}
		if (lock_is_current(hv))
			return 0;
		close(hv->lock_fd);
	}
}

/* Takes the runtime directory. Its lock file holds our process id, for people and `service`. */
static int take_lock(struct hypervisor *hv)
{
	char pid[16];
	int n, rc;

	hv->run_dir_fd = open(hv->run_dir, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (hv->run_dir_fd < 0)
		return -errno;
	rc = open_lock(hv);
	if (rc)
		return rc;
	n = snprintf(pid, sizeof(pid), "%d\n", getpid());
	if (ftruncate(hv->lock_fd, 0) < 0 || pwrite(hv->lock_fd, pid, (size_t)n, 0) < 0)
		return -errno;
	return 0;
}

static int watch_signals(struct hypervisor *hv)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	hv->signal_source = (struct loop_source){
		signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), signal_ready};
	if (hv->signal_source.fd < 0)
		return -errno;
	return loop_add(&hv->loop, &hv->signal_source, EPOLLIN);
}

static int hypervisor_init(struct hypervisor *hv, const struct options *opt)
{
	int rc;

	for (unsigned int i = 0; i < SHARE_HASH_SIZE; i++)
		list_init(&hv->share_hash[i]);
	list_init(&hv->domain_list);
	list_init(&hv->disks);
	list_init(&hv->vbds);
	list_init(&hv->drivers);
	list_init(&hv->control_conns);
	list_init(&hv->dom0_conns);
	list_init(&hv->store_flush);
	loop_timer_init(&hv->idle_timer, idle_expired);
	hv->limits = opt->limits;
	hv->idle_timeout_ns = opt->idle_timeout_s * NSEC_PER_SEC;
	hv->start_ns = hv->last_activity_ns = clock_ns();
	hv->port_kind = strcmp(opt->port_kind, "seqpacket") == 0 ? HYPERCALL_PORT_SEQPACKET
								  : evtchn_probe();
	if (strcmp(opt->port_kind, "eventfd") == 0 && hv->port_kind != HYPERCALL_PORT_EVENTFD)
		return -ENOTSUP;
	rc = install_path("lib/usermode", hv->lib_dir, sizeof(hv->lib_dir));
	if (rc == 0)
		rc = loop_init(&hv->loop);
	if (rc)
		return rc;
	hv->loop.after_batch = after_batch;
	hv->loop.after_batch_data = hv;
	rc = watch_signals(hv);
	if (rc == 0)
		rc = store_server_init(hv);
	if (rc)
		return rc;
	store_set_limits(hv->store, &opt->store_limits);
	rc = domain_create_dom0(hv);
	if (rc)
		return rc;
	rc = control_server_init(hv);
	if (rc)
		return rc;
	if (hv->idle_timeout_ns)
		loop_timer_set(&hv->loop, &hv->idle_timer, hv->start_ns + hv->idle_timeout_ns);
	return 0;
}

static void hypervisor_fini(struct hypervisor *hv)
{
	control_server_fini(hv);
	drivers_fini(hv);
	while (!list_empty(&hv->domain_list))
		domain_destroy(list_first(&hv->domain_list, struct domain, link));
	domain_destroy(domain_by_id(hv, 0));
	vbd_forget_all(hv);
	disk_undefine_all(hv);
	store_server_fini(hv);
	loop_remove(&hv->loop, &hv->signal_source);
	close(hv->signal_source.fd);
	loop_fini(&hv->loop);
	unlinkat(hv->run_dir_fd, "lock", 0);
	close(hv->lock_fd);
	close(hv->run_dir_fd);
	if (hv->notify_fd >= 0)
		close(hv->notify_fd);
}

/*
 * Goes to the background; the parent waits for the byte that says the child is ready, and ends
 * with its status otherwise. Returns the descriptor to report on.
 */
static int daemonize(void)
{
	int fds[2], status = 0;
	char byte;
	pid_t pid;

	/* Whoever waits for the end of a pipe that we were started with shall not wait for us. */
	(void)close_range(STDERR_FILENO + 1, ~0u, 0);
	if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "ringfenced: cannot go to the background: %s\n", strerror(errno));
		exit(1);
	}
	if (pid == 0) {
		close(fds[0]);
		setsid();
		return fds[1];
	}
	close(fds[1]);
	if (read(fds[0], &byte, 1) == 1)
		_exit(0);
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
	_exit(1);
}

/* In the background stderr is the log file; until the parent is told, errors go to both. */
static int redirect_to_log(struct hypervisor *hv, int ready_fd)
{
	int log_fd = openat(hv->run_dir_fd, "ringfenced.log",
		O_WRONLY | O_CREAT | O_APPEND | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (log_fd < 0 || null_fd < 0)
		return -errno;
	if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
		dup2(log_fd, STDERR_FILENO) < 0)
		return -errno;
	close(log_fd);
	close(null_fd);
	if (write(ready_fd, "r", 1) != 1)
		return -EPIPE;
	close(ready_fd);
	return 0;
}

static int fail(const struct hypervisor *hv, const char *what, int rc)
{
	if (rc == -EWOULDBLOCK) {
		fprintf(stderr, "ringfenced: another one is running in %s\n", hv->run_dir);
		return EXIT_RUNNING;
	}
	fprintf(stderr, "ringfenced: %s %s: %s\n", what, hv->run_dir, strerror(-rc));
	if (rc == -EPERM)
		fprintf(stderr, "ringfenced: the directory must belong to you and be writable by "
				"nobody else; or choose another one with RINGFENCE_RUN\n");
	return 1;
}

int main(int argc, char **argv)
{
	static struct hypervisor hv;
	struct options opt = {
		.log_level = LOG_INFO,
		.limits = {.nr_domains = 32000, .nr_grants = 32768, .nr_maps = 1u << 20,
			.nr_ports = 4096, .nr_connections = 1024},
		.port_kind = "auto",
	};
	unsigned int nr_fds;
	int rc, ready_fd = -1;

	store_limits_default(&opt.store_limits);
	parse_options(argc, argv, &opt);
	log_setup("ringfenced", opt.log_level);
	log_set_sink(dmesg_add, &hv.dmesg);
	nr_fds = fdlimit_raise();
	hv.max_fds = nr_fds > FDS_OWN ? nr_fds - FDS_OWN : 0;
	rc = rundir_path(hv.run_dir, sizeof(hv.run_dir));
	if (rc == 0)
		rc = rundir_prepare(hv.run_dir);
	if (rc)
		return fail(&hv, "cannot use the runtime directory", rc);
	if (opt.daemon)
		ready_fd = daemonize();
	hv.notify_fd = notify_open();
	rc = take_lock(&hv);
	if (rc)
		return fail(&hv, "cannot lock the runtime directory", rc);
	rc = hypervisor_init(&hv, &opt);
	if (rc == 0 && opt.daemon)
		rc = redirect_to_log(&hv, ready_fd);
	if (rc)
		return fail(&hv, "cannot start in", rc);
	log_info("version %s, runtime directory %s, event channels by %s", RINGFENCE_VERSION,
		hv.run_dir, hv.port_kind == HYPERCALL_PORT_EVENTFD ? "eventfd" : "seqpacket");
	notify_send(hv.notify_fd, "READY=1");
	rc = loop_run(&hv.loop);
	hypervisor_fini(&hv);
	log_info("ended");
	return rc ? 1 : 0;
}
