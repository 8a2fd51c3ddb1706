/* SPDX-License-Identifier: MIT */
/*
 * The stand-in's store: a flat table of paths. A transaction works on a copy of the table and
 * conflicts with any other change. One lock for all of it.
 */
#include "fake_xen.h"
#include "fake_internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>

#define MAX_NODES 512
#define MAX_WATCHES 8
#define MAX_EVENTS 256
#define PATH 128
#define VALUE 64

struct node {
	char path[PATH], value[VALUE];
};

struct table {
	struct node nodes[MAX_NODES];
	unsigned int nr;
};

struct event {
	char path[PATH], token[VALUE];
};

struct xs_handle {
	int fd;
	struct event watches[MAX_WATCHES], events[MAX_EVENTS];
	unsigned int nr_watches, nr_events;
	struct table *transaction;
	unsigned int transaction_generation;
	struct xs_handle *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct table store;
static unsigned int generation, nr_conflicts;
static struct xs_handle *handles;
static bool dead;

/* ---- the table; under the lock ---- */

static void full_path(char *out, const char *path)
{
	snprintf(out, PATH, "%s%s", path[0] == '/' ? "" : "/local/domain/1/", path);
}

static struct node *find(struct table *table, const char *path)
{
	for (unsigned int i = 0; i < table->nr; i++) {
		if (strcmp(table->nodes[i].path, path) == 0)
			return &table->nodes[i];
	}
	return NULL;
}

static void set(struct table *table, const char *path, const char *value)
{
	struct node *node = find(table, path);

	if (!node) {
		if (table->nr == MAX_NODES)
			abort();
		node = &table->nodes[table->nr++];
		snprintf(node->path, PATH, "%s", path);
	}
	snprintf(node->value, VALUE, "%s", value);
}

static bool below(const char *path, const char *parent)
{
	size_t len = strlen(parent);

	return strncmp(path, parent, len) == 0 && (path[len] == '/' || !path[len]);
}

static bool delete_nodes(struct table *table, const char *path)
{
	unsigned int kept = 0, before = table->nr;

	for (unsigned int i = 0; i < table->nr; i++) {
		if (!below(table->nodes[i].path, path))
			table->nodes[kept++] = table->nodes[i];
	}
	table->nr = kept;
	return kept != before;
}

static void fire(const char *path)
{
	static const uint64_t one = 1;

	generation++;
	pthread_cond_broadcast(&changed);
	for (struct xs_handle *h = handles; h; h = h->next) {
		for (unsigned int i = 0; i < h->nr_watches; i++) {
			struct event *watch = &h->watches[i];

			if ((!below(path, watch->path) && !below(watch->path, path)) ||
				h->nr_events == MAX_EVENTS)
				continue;
			h->events[h->nr_events++] = *watch;
			if (write(h->fd, &one, sizeof(one)) < 0)
				abort();
		}
	}
}

/* ---- libxenstore ---- */

struct xs_handle *xs_open(unsigned long flags)
{
	struct xs_handle *h;

	(void)flags;
	if (fake_fails())
		return NULL;
	h = calloc(1, sizeof(*h));
	h->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fake_handle_opened(1);
	pthread_mutex_lock(&lock);
	h->next = handles;
	handles = h;
	pthread_mutex_unlock(&lock);
	return h;
}

void xs_close(struct xs_handle *xsh)
{
	if (!xsh)
		return;
	pthread_mutex_lock(&lock);
	for (struct xs_handle **p = &handles; *p; p = &(*p)->next) {
		if (*p == xsh) {
			*p = xsh->next;
			break;
		}
	}
	pthread_mutex_unlock(&lock);
	close(xsh->fd);
	free(xsh->transaction);
	free(xsh);
	fake_handle_opened(-1);
}

int xs_fileno(struct xs_handle *h)
{
	return h->fd;
}

/* Starts a call: locks, or fails. */
static bool begin(void)
{
	if (fake_fails())
		return false;
	pthread_mutex_lock(&lock);
	if (!dead)
		return true;
	pthread_mutex_unlock(&lock);
	errno = EBADF;
	return false;
}

static bool end(bool ok, int err)
{
	pthread_mutex_unlock(&lock);
	if (!ok)
		errno = err;
	return ok;
}

static struct table *table_of(struct xs_handle *h, xs_transaction_t t)
{
	return t ? h->transaction : &store;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
	char full[PATH], *copy = NULL;
	struct node *node;

	if (!begin())
		return NULL;
	full_path(full, path);
	node = find(table_of(h, t), full);
	if (node) {
		copy = strdup(node->value);
		if (len)
			*len = (unsigned int)strlen(copy);
	}
	end(copy != NULL, ENOENT);
	return copy;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
	unsigned int len)
{
	char full[PATH], value[VALUE];

	if (!begin())
		return false;
	full_path(full, path);
	snprintf(value, sizeof(value), "%.*s", (int)len, (const char *)data);
	set(table_of(h, t), full, value);
	if (!t)
		fire(full);
	return end(true, 0);
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	char full[PATH];
	bool found;

	if (!begin())
		return false;
	full_path(full, path);
	found = delete_nodes(table_of(h, t), full);
	if (found && !t)
		fire(full);
	return end(found, ENOENT);
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
	char full[PATH], names[MAX_NODES][VALUE];
	unsigned int nr = 0;
	struct table *table;
	char **out, *text;

	if (!begin())
		return NULL;
	full_path(full, path);
	table = table_of(h, t);
	for (unsigned int i = 0; i < table->nr; i++) {
		const char *rest = table->nodes[i].path + strlen(full);
		bool seen = false;

		if (!below(table->nodes[i].path, full) || *rest != '/')
			continue;
		snprintf(names[nr], VALUE, "%.*s", (int)strcspn(rest + 1, "/"), rest + 1);
		for (unsigned int j = 0; j < nr; j++)
			seen = seen || strcmp(names[j], names[nr]) == 0;
		nr += !seen;
	}
	end(true, 0);
	if (!nr) {
		errno = ENOENT;
		return NULL;
	}
	out = malloc(nr * sizeof(*out) + nr * VALUE);
	text = (char *)(out + nr);
	for (unsigned int i = 0; i < nr; i++)
		out[i] = strcpy(text + i * VALUE, names[i]);
	*num = nr;
	return out;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	static const uint64_t one = 1;
	struct event *watch;

	if (!begin())
		return false;
	watch = &h->watches[h->nr_watches++];
	full_path(watch->path, path);
	snprintf(watch->token, sizeof(watch->token), "%s", token);
	h->events[h->nr_events++] = *watch;
	return end(write(h->fd, &one, sizeof(one)) > 0, EIO);
}

char **xs_check_watch(struct xs_handle *h)
{
	char **out = NULL, *text;
	uint64_t count;
	int err;

	pthread_mutex_lock(&lock);
	err = dead ? EINVAL : EAGAIN;
	if (h->nr_events && !dead) {
		out = malloc(2 * sizeof(*out) + PATH + VALUE);
		text = (char *)(out + 2);
		out[0] = strcpy(text, h->events[0].path);
		out[1] = strcpy(text + PATH, h->events[0].token);
		h->nr_events--;
		memmove(h->events, h->events + 1, h->nr_events * sizeof(h->events[0]));
	}
	if (!h->nr_events && read(h->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();
	end(out != NULL, err);
	return out;
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	if (!begin())
		return XBT_NULL;
	h->transaction = malloc(sizeof(store));
	*h->transaction = store;
	h->transaction_generation = generation;
	end(true, 0);
	return 1;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	bool ok = abort;

	(void)t;
	if (!begin())
		goto out;
	if (!abort && nr_conflicts) {
		nr_conflicts--;
	} else if (!abort && h->transaction_generation == generation) {
		store = *h->transaction;
		/* Coarse: whoever watches anything of this domain's looks. */
		fire("/local/domain/1");
		ok = true;
	}
	end(ok, EAGAIN);
out:
	free(h->transaction);
	h->transaction = NULL;
	return ok;
}

/* ---- the tests' side ---- */

void fake_store_reset(void)
{
	pthread_mutex_lock(&lock);
	store.nr = 0;
	nr_conflicts = 0;
	dead = false;
	pthread_mutex_unlock(&lock);
}

void fake_store_write(const char *path, const char *fmt, ...)
{
	char value[VALUE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&lock);
	set(&store, path, value);
	fire(path);
	pthread_mutex_unlock(&lock);
}

void fake_store_remove(const char *path)
{
	pthread_mutex_lock(&lock);
	delete_nodes(&store, path);
	fire(path);
	pthread_mutex_unlock(&lock);
}

bool fake_store_read(const char *path, char *value, unsigned int size)
{
	struct node *node;

	pthread_mutex_lock(&lock);
	node = find(&store, path);
	if (node)
		snprintf(value, size, "%s", node->value);
	pthread_mutex_unlock(&lock);
	return node != NULL;
}

long long fake_store_number(const char *path)
{
	char value[VALUE];

	return fake_store_read(path, value, sizeof(value)) ? atoll(value) : -1;
}

void fake_store_wait(int timeout_ms)
{
	unsigned int before;
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += timeout_ms * 1000000L;
	ts.tv_sec += ts.tv_nsec / 1000000000L;
	ts.tv_nsec %= 1000000000L;
	pthread_mutex_lock(&lock);
	before = generation;
	while (before == generation && pthread_cond_timedwait(&changed, &lock, &ts) == 0)
		;
	pthread_mutex_unlock(&lock);
}

void fake_store_conflict(unsigned int nr)
{
	pthread_mutex_lock(&lock);
	nr_conflicts = nr;
	pthread_mutex_unlock(&lock);
}

static void set_dead(bool value)
{
	pthread_mutex_lock(&lock);
	dead = value;
	pthread_mutex_unlock(&lock);
}

void fake_kill_store(void)
{
	set_dead(true);
}

void fake_revive_store(void)
{
	set_dead(false);
}
