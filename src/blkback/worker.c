/* SPDX-License-Identifier: MIT */
/* The worker's loop. Everything but the mailbox belongs to its own thread. */
#include "blkback/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <xentoollog.h>

#include "blkback/queue.h"
#include "blkback/sched.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/poll_window.h"
#include "common/ring_status.h"

#define RETIRE_NS (200 * NSEC_PER_USEC)	   /* a ring without requests is armed instead of polled */
#define KEEP_MAX 16u			   /* rings that are looked at right after a sleep */
#define BLOCKED_WAIT_NS (100 * NSEC_PER_USEC)
#define QUICK_ROUNDS 24u		   /* empty rounds before anybody looks at a clock: about 1 us */
#define QUICK_NS 500u			   /* what a wait that ended within them is taken for */
#define QUICK_BATCH 16u			   /* such waits are noted in so many at a time */
#define ROUNDS_PER_CLOCK 8u
#define ROUNDS_PER_YIELD 32u
#define BUSY_CHECK_MASK 1023u		   /* and after so many busy ones */
#define EVENTS_MAX 64			   /* taken in a turn: a storm must not keep us */
#define UNPIN_MAX 64			   /* pages a turn, of a queue that is being detached */

enum command_kind { COMMAND_ATTACH, COMMAND_DETACH, COMMAND_STOP };

struct command {
	struct command *next;
	enum command_kind kind;
	struct queue *queue;
};

/* The wait that is on: rounds without work since there was some. */
struct idle_wait {
	unsigned int nr_rounds; /* 0: none */
	struct poll_window *window;
	uint64_t start_ns;	/* known once the quick rounds are over */
	bool slept;
	unsigned int nr_in_flight; /* at the disk when it began */
	unsigned int nr_quick;	/* waits that ended before that, not noted yet */
};

struct worker {
	struct worker_config config;
	pthread_t thread;
	struct aio *aio;
	xentoollog_logger *logger;
	xenevtchn_handle *xce;
	xengnttab_handle *xgt;
	struct sched sched;
	struct list polled, unpushed; /* queues */
	unsigned int nr_polled;
	struct queue **by_port;
	unsigned int nr_ports;
	unsigned int nr_attached; /* queues in by_port */
	bool events_left; /* the event channel descriptor was not drained */
	bool blocked; /* rings have requests that the scheduler would not take */
	bool stopping, lost;
	struct idle_wait wait;
	struct poll_window request_window, disk_windows[2]; /* [1]: for requests that woke us */
	bool woken; /* by the last request */
	struct poll_crowd crowd;
	unsigned int nr_busy_rounds;
	struct buffers buffers;
	atomic_ulong nr_active_turns; /* rounds with answers; read by the main thread */

	/* Mailbox: written by the main thread, and for what takes more turns by itself. */
	pthread_mutex_t lock;
	struct command *commands, **commands_tail;
	atomic_bool has_commands;
	int wake_fd;
};

xenevtchn_handle *worker_evtchn(struct worker *worker)
{
	return worker->xce;
}

xengnttab_handle *worker_gnttab(struct worker *worker)
{
	return worker->xgt;
}

struct aio *worker_aio(struct worker *worker)
{
	return worker->aio;
}

void worker_answered(struct worker *worker, struct queue *queue)
{
	if (!queue->unpushed) {
		queue->unpushed = true;
		list_add_tail(&worker->unpushed, &queue->unpushed_link);
	}
}

void worker_notify(struct worker *worker, evtchn_port_t port)
{
	/* Fails only for a port that is not bound, and then nobody waits. */
	(void)xenevtchn_notify(worker->xce, port);
}

void worker_io_begins(struct worker *worker, struct queue *queue)
{
	(void)worker;
	sched_io_begins(queue);
}

void worker_io_ended(struct worker *worker, struct queue *queue)
{
	(void)worker;
	sched_io_ended(queue);
}

unsigned long worker_activity(const struct worker *worker)
{
	/*
	 * Orders this load before those of the queues' counters.
	 * Pairs with the store in count_turn().
	 * Without it figures could be published that lack what the number promises.
	 */
	return atomic_load_explicit(&worker->nr_active_turns, memory_order_acquire);
}

struct buffers *worker_buffers(struct worker *worker)
{
	return &worker->buffers;
}

/* ---- the mailbox ---- */

static void wake(struct worker *worker)
{
	const uint64_t one = 1;

	if (write(worker->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake already */
}

static void send_command(struct worker *worker, enum command_kind kind, struct queue *queue)
{
	struct command *command = calloc(1, sizeof(*command));

	/* The smallest of allocations; without it nothing could be taken down either. */
	if (!command) {
		log_error("out of memory");
		abort();
	}
	command->kind = kind;
	command->queue = queue;
	pthread_mutex_lock(&worker->lock);
	*worker->commands_tail = command;
	worker->commands_tail = &command->next;
	atomic_store_explicit(&worker->has_commands, true, memory_order_release);
	pthread_mutex_unlock(&worker->lock);
	wake(worker);
}

/* ---- which queues are polled ---- */

void worker_poll(struct worker *worker, struct queue *queue)
{
	queue->served = true;
	if (queue->polled)
		return;
	queue->polled = true;
	queue_disarm(queue);
	list_add_tail(&worker->polled, &queue->polled_link);
	worker->nr_polled++;
	sched_polled(queue);
}

static void unpoll_queue(struct worker *worker, struct queue *queue)
{
	if (!queue->polled)
		return;
	queue->polled = false;
	list_del(&queue->polled_link);
	worker->nr_polled--;
	sched_unpolled(queue);
}

/* Asks for an event. False if the queue has work after all. */
static bool arm_queue(struct queue *queue)
{
	return !queue->waiting && (queue->broken || !queue_arm(queue));
}

/* Rings that nothing came from for a while are armed, so that idle guests cost nothing. */
static void retire_idle(struct worker *worker, uint64_t now)
{
	struct queue *queue, *tmp;

	list_for_each_safe(queue, tmp, &worker->polled, polled_link) {
		if (queue->served) {
			queue->served = false;
			queue->idle_since_ns = now;
		} else if (now - queue->idle_since_ns > RETIRE_NS) {
			queue->idle_since_ns = now;
			if (arm_queue(queue))
				unpoll_queue(worker, queue);
		}
	}
}

/*
 * Before sleeping. False if some ring has work: then there is no sleep. Few rings stay among the
 * polled ones: their requests are then served first thing after the sleep, before the event channels
 * are asked whose event it was.
 */
static bool arm_all(struct worker *worker)
{
	struct queue *queue, *tmp;
	bool all = true;

	list_for_each_safe(queue, tmp, &worker->polled, polled_link) {
		if (!arm_queue(queue))
			all = false;
		else if (queue->broken || worker->nr_polled > KEEP_MAX)
			unpoll_queue(worker, queue);
	}
	return all;
}

/* After it: no events are wanted for the rings that are polled on. */
static void disarm_all(struct worker *worker)
{
	struct queue *queue;

	list_for_each(queue, &worker->polled, polled_link)
		queue_disarm(queue);
}

/* ---- events and commands ---- */

static void events_readable(void *data)
{
	struct worker *worker = data;
	evtchn_port_t taken[EVENTS_MAX];
	xenevtchn_port_or_error_t port;
	unsigned int nr, nr_ours = 0;

	for (nr = 0; nr < EVENTS_MAX; nr++) {
		/* The others are masked until all are taken: if these are all, nobody needs to be asked. */
		if (nr_ours && nr_ours == worker->nr_attached)
			break;
		port = xenevtchn_pending(worker->xce);
		if (port < 0) {
			if (errno != EAGAIN && errno != EINTR)
				worker->lost = true;
			break;
		}
		taken[nr] = (evtchn_port_t)port;
		if ((unsigned int)port < worker->nr_ports && worker->by_port[port]) {
			worker_poll(worker, worker->by_port[port]);
			nr_ours++;
		}
	}
	worker->events_left = nr == EVENTS_MAX;
	while (nr)
		xenevtchn_unmask(worker->xce, taken[--nr]);
}

static void wake_readable(void *data)
{
	struct worker *worker = data;
	uint64_t count;

	/* The commands are noticed by has_commands; only the descriptor is to be emptied. */
	if (read(worker->wake_fd, &count, sizeof(count)) < 0)
		return;
}

static int grow_ports(struct worker *worker, evtchn_port_t port)
{
	unsigned int nr = worker->nr_ports ? worker->nr_ports : 64;
	struct queue **grown;

	if (port < worker->nr_ports)
		return 0;
	while (nr <= port)
		nr *= 2;
	grown = realloc(worker->by_port, nr * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + worker->nr_ports, 0, (nr - worker->nr_ports) * sizeof(*grown));
	worker->by_port = grown;
	worker->nr_ports = nr;
	return 0;
}

/* Nothing of it is in flight. Unpinning many pages takes a while, and others are to be served. */
static void finish_detach(struct worker *worker, struct queue *queue)
{
	unpoll_queue(worker, queue);
	if (queue->unpushed) {
		list_del(&queue->unpushed_link);
		queue_push(queue);
	}
	if (queue->config.port < worker->nr_ports && worker->by_port[queue->config.port] == queue) {
		worker->by_port[queue->config.port] = NULL;
		worker->nr_attached--;
	}
	if (queue->client)
		sched_remove(queue);
	if (grantmap_unpin(&queue->grants, UNPIN_MAX))
		queue->detached(queue);
	else
		send_command(worker, COMMAND_DETACH, queue);
}

static void attach(struct worker *worker, struct queue *queue)
{
	if (grow_ports(worker, queue->config.port) || sched_add(&worker->sched, queue)) {
		queue->broken = true;
		log_error("domain %u device %u: out of memory, the device is closed",
			queue->config.domid, queue->config.device);
		queue->broke(queue);
		return;
	}
	worker->by_port[queue->config.port] = queue;
	worker->nr_attached++;
	worker_poll(worker, queue);
}

static void run_commands(struct worker *worker)
{
	struct command *command, *next;

	pthread_mutex_lock(&worker->lock);
	command = worker->commands;
	worker->commands = NULL;
	worker->commands_tail = &worker->commands;
	atomic_store_explicit(&worker->has_commands, false, memory_order_relaxed);
	pthread_mutex_unlock(&worker->lock);
	for (; command; command = next) {
		next = command->next;
		if (command->kind == COMMAND_ATTACH) {
			attach(worker, command->queue);
		} else if (command->kind == COMMAND_STOP) {
			worker->stopping = true;
		} else {
			command->queue->detaching = true;
			if (command->queue->nr_in_flight == 0)
				finish_detach(worker, command->queue);
			else
				worker_poll(worker, command->queue);
		}
		free(command);
	}
}

/* ---- the loop ---- */

static void count_turn(struct worker *worker)
{
	unsigned long nr = atomic_load_explicit(&worker->nr_active_turns, memory_order_relaxed);

	/*
	 * Orders the counters of what is answered before this store.
	 * Pairs with the load in worker_activity().
	 * Without it the last counts before a pause might be published only after it.
	 */
	atomic_store_explicit(&worker->nr_active_turns, nr + 1, memory_order_release);
}

static void push_answers(struct worker *worker)
{
	if (!list_empty(&worker->unpushed))
		count_turn(worker);
	while (!list_empty(&worker->unpushed)) {
		struct queue *queue = list_first(&worker->unpushed, struct queue, unpushed_link);

		list_del(&queue->unpushed_link);
		queue_push(queue);
		if (queue->detaching && queue->nr_in_flight == 0)
			finish_detach(worker, queue);
		else
			/* Its next request is likely to come now. */
			worker_poll(worker, queue);
	}
}

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* How long, when not every ring is quiet: until a limit lets go, or a completion makes room. */
static int64_t sleep_ns(const struct worker *worker, bool quiet)
{
	uint64_t due = worker->sched.due_ns, now;

	if (quiet)
		return -1;
	if (due) {
		now = clock_ns();
		return due > now ? (int64_t)(due - now) : 0;
	}
	return worker->aio->nr_in_flight ? -1 : (int64_t)BLOCKED_WAIT_NS;
}

/*
 * Every ring is armed; one that has requests all the same was offered to the scheduler in between,
 * the second time round: it waits for the window or the driver, and then only a completion helps
 * (or another worker's, which nothing tells us about).
 */
static void go_to_sleep(struct worker *worker)
{
	bool quiet = arm_all(worker);

	if (!quiet && !worker->blocked) {
		worker->blocked = true;
		return;
	}
	worker->blocked = false;
	if (worker->events_left ||
		atomic_load_explicit(&worker->has_commands, memory_order_acquire))
		return;
	worker->wait.slept = true;
	aio_wait(worker->aio, sleep_ns(worker, quiet));
	disarm_all(worker);
}

/* Waits for the disk and waits for guests have little to do with each other. */
static void wait_begin(struct worker *worker)
{
	worker->wait.nr_in_flight = worker->aio->nr_in_flight;
	worker->wait.window = worker->wait.nr_in_flight ? &worker->disk_windows[worker->woken]
							: &worker->request_window;
	worker->wait.start_ns = 0;
	worker->wait.slept = false;
}

/* There is work: the wait was a lesson. */
static void wait_end(struct worker *worker, unsigned int nr)
{
	struct idle_wait *wait = &worker->wait;

	if (!wait->nr_rounds)
		return;
	wait->nr_rounds = 0;
	if (wait->window == &worker->request_window)
		worker->woken = wait->slept;
	if (worker->config.policy != WORKER_ADAPTIVE)
		return;
	if (wait->start_ns) {
		poll_window_note(wait->window,
			&(struct poll_wait){.gap_ns = clock_ns() - wait->start_ns + QUICK_NS,
				.nr_answers = nr,
				.nr_outstanding = wait->nr_in_flight,
				.slept = wait->slept});
	} else if (++wait->nr_quick == QUICK_BATCH) {
		poll_window_note_many(wait->window, QUICK_NS, QUICK_BATCH);
		wait->nr_quick = 0;
	}
}

/* True if the policy says to look again rather than to sleep. */
static bool keep_polling(struct worker *worker, uint64_t now)
{
	const struct idle_wait *wait = &worker->wait;

	switch (worker->config.policy) {
	case WORKER_SPIN:
		return true;
	case WORKER_EVENT:
		return false;
	case WORKER_IDDR:
		return !wait->slept && now - wait->start_ns < RING_STATUS_SPIN_NS;
	default:
		return !wait->slept && now - wait->start_ns < poll_window_ns(wait->window) &&
			(poll_window_is_short(wait->window) || !poll_crowd_is(&worker->crowd, now));
	}
}

/* Nothing to do this round: poll on, or sleep. */
static void idle(struct worker *worker)
{
	struct idle_wait *wait = &worker->wait;
	uint64_t now;

	if (wait->nr_rounds++ == 0)
		wait_begin(worker);
	if (worker->config.policy != WORKER_EVENT) {
		if (wait->nr_rounds < QUICK_ROUNDS || wait->nr_rounds % ROUNDS_PER_CLOCK) {
			cpu_relax();
			return;
		}
		now = wait->nr_rounds % ROUNDS_PER_YIELD ? clock_ns()
							 : poll_crowd_yield(&worker->crowd, 0);
	} else {
		now = clock_ns();
	}
	if (!wait->start_ns)
		wait->start_ns = now;
	retire_idle(worker, now);
	if (keep_polling(worker, now))
		return;
	go_to_sleep(worker);
}

static void *worker_main(void *data)
{
	struct worker *worker = data;
	unsigned int nr;

	if (aio_start(worker->aio) ||
		aio_watch(worker->aio, xenevtchn_fd(worker->xce), events_readable, worker) ||
		aio_watch(worker->aio, worker->wake_fd, wake_readable, worker)) {
		log_error("cannot start asynchronous I/O");
		worker->lost = true;
	}
	while (!worker->stopping && !worker->lost) {
		if (atomic_load_explicit(&worker->has_commands, memory_order_acquire))
			run_commands(worker);
		if (worker->events_left)
			events_readable(worker);
		nr = sched_run(&worker->sched);
		/* What is answered already does not wait for system calls of others. */
		push_answers(worker);
		aio_kick(worker->aio);
		nr += aio_reap(worker->aio);
		push_answers(worker);
		if (nr) {
			wait_end(worker, nr);
			worker->blocked = false;
			if ((++worker->nr_busy_rounds & BUSY_CHECK_MASK) == 0)
				retire_idle(worker, clock_ns());
		} else {
			idle(worker);
		}
	}
	if (worker->lost && !worker->stopping)
		worker->config.lost();
	return NULL;
}

/* ---- the main thread's side ---- */

void worker_attach(struct worker *worker, struct queue *queue)
{
	send_command(worker, COMMAND_ATTACH, queue);
}

void worker_detach(struct worker *worker, struct queue *queue)
{
	send_command(worker, COMMAND_DETACH, queue);
}

static void worker_free(struct worker *worker)
{
	buffers_fini(&worker->buffers);
	free(worker->by_port);
	aio_destroy(worker->aio);
	xengnttab_close(worker->xgt);
	xenevtchn_close(worker->xce);
	if (worker->wake_fd >= 0)
		close(worker->wake_fd);
	if (worker->logger)
		xtl_logger_destroy(worker->logger);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

/* Failed maps are a guest's doing and reported per request, so the libraries keep quiet. */
static int open_handles(struct worker *worker)
{
	worker->logger = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_CRITICAL, 0);
	if (!worker->logger)
		return -ENOMEM;
	worker->xgt = xengnttab_open(worker->logger, 0);
	if (!worker->xgt)
		return -errno;
	worker->xce = xenevtchn_open(worker->logger, 0);
	if (!worker->xce)
		return -errno;
	if (fcntl(xenevtchn_fd(worker->xce), F_SETFL,
		    fcntl(xenevtchn_fd(worker->xce), F_GETFL) | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int worker_create(const struct worker_config *config, struct worker **out)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	struct poll_wake wake = {0};
	int rc;

	if (!worker)
		return -ENOMEM;
	worker->config = *config;
	worker->commands_tail = &worker->commands;
	list_init(&worker->polled);
	list_init(&worker->unpushed);
	sched_init(&worker->sched, config->window);
	buffers_init(&worker->buffers);
	/* The other policies ask nobody how long. */
	if (config->policy == WORKER_ADAPTIVE)
		wake = poll_wake_measure();
	poll_window_init_within(&worker->disk_windows[0], wake);
	/* Whoever sends so seldom is asleep as well, and does not poll meanwhile. */
	poll_window_init_between(&worker->disk_windows[1], wake);
	poll_window_init_between(&worker->request_window, wake);
	pthread_mutex_init(&worker->lock, NULL);
	worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = worker->wake_fd < 0 ? -errno : open_handles(worker);
	if (rc == 0)
		rc = aio_create(config->aio_kind, &worker->aio);
	if (rc == 0 && config->registered_buffers)
		aio_allow_pins(worker->aio);
	if (rc == 0)
		rc = -pthread_create(&worker->thread, NULL, worker_main, worker);
	if (rc) {
		worker_free(worker);
		return rc;
	}
	*out = worker;
	return 0;
}

void worker_destroy(struct worker *worker)
{
	if (!worker)
		return;
	send_command(worker, COMMAND_STOP, NULL);
	pthread_join(worker->thread, NULL);
	worker_free(worker);
}
