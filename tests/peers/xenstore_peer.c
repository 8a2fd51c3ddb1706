/* SPDX-License-Identifier: MIT */
/*
 * libxenstore's calls, by whoever XENSTORED_PATH makes us: domain 0 or a guest. Paths are below
 * our own domain's data, so that both may.
 */
#include "peer.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

/* libxenstore 4.17 leaks the events that XS_UNWATCH_FILTER discards. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libxenstore.so\n";
}

static struct xs_handle *xs;
static char base[64]; /* absolute */
static unsigned int self_domid;

static struct xs_handle *open_store(unsigned long flags)
{
	struct xs_handle *handle = xs_open(flags);

	CHECK(handle);
	return handle;
}

static void start(void)
{
	xs = open_store(0);
	self_domid = (unsigned int)wait_for_number(xs, "domid");
	snprintf(base, sizeof(base), "/local/domain/%u/data/peer-test", self_domid);
	xs_rm(xs, XBT_NULL, base);
	CHECK(xs_mkdir(xs, XBT_NULL, base));
}

static void finish(void)
{
	CHECK(xs_rm(xs, XBT_NULL, base));
	xs_close(xs);
}

/* base/name, in one of a few buffers that take turns. */
static const char *at(const char *name)
{
	static _Thread_local char paths[4][128];
	static _Thread_local unsigned int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", base, name);
	return path;
}

static bool put_in(
	struct xs_handle *handle, xs_transaction_t tx, const char *path, const char *value)
{
	return xs_write(handle, tx, path, value, (unsigned int)strlen(value));
}

static bool value_is(
	struct xs_handle *handle, xs_transaction_t tx, const char *path, const char *value)
{
	unsigned int len;
	char *text = xs_read(handle, tx, path, &len);
	bool same = text && len == strlen(value) && memcmp(text, value, len) == 0;

	free(text);
	return same;
}

/* ---- transactions ---- */

static void run_transactions(char **args)
{
	struct xs_handle *other = open_store(0);
	xs_transaction_t tx, tx2;
	unsigned int len;

	(void)args;
	start();
	put(xs, at("a"), "1");
	/* Isolated until the end, then all of it. */
	tx = xs_transaction_start(xs);
	CHECK(tx != XBT_NULL);
	CHECK(put_in(xs, tx, at("a"), "2") && xs_mkdir(xs, tx, at("new")));
	CHECK(value_is(xs, tx, at("a"), "2"));
	CHECK(value_is(other, XBT_NULL, at("a"), "1"));
	CHECK_FAILS(!xs_read(other, XBT_NULL, at("new"), &len), ENOENT);
	/* Of another connection. */
	CHECK_FAILS(!xs_read(other, tx + 1000, at("a"), &len), ENOENT);
	CHECK(xs_transaction_end(xs, tx, false));
	CHECK(value_is(other, XBT_NULL, at("a"), "2"));
	CHECK(value_is(other, XBT_NULL, at("new"), ""));

	/* Aborted: nothing of it. */
	tx = xs_transaction_start(xs);
	CHECK(put_in(xs, tx, at("a"), "3") && xs_rm(xs, tx, at("new")));
	CHECK(xs_transaction_end(xs, tx, true));
	CHECK(value_is(xs, XBT_NULL, at("a"), "2") && value_is(xs, XBT_NULL, at("new"), ""));
	CHECK_FAILS(!xs_transaction_end(xs, tx, false), ENOENT);

	/* It read what changed meanwhile: EAGAIN, and nothing of it either. */
	tx = xs_transaction_start(xs);
	CHECK(value_is(xs, tx, at("a"), "2"));
	CHECK(put_in(xs, tx, at("b"), "from the loser"));
	put(other, at("a"), "4");
	CHECK(value_is(xs, tx, at("a"), "2"));
	CHECK_FAILS(!xs_transaction_end(xs, tx, false), EAGAIN);
	CHECK_FAILS(!xs_read(xs, XBT_NULL, at("b"), &len), ENOENT);

	/* Two transactions, one node: the first to end wins. */
	tx = xs_transaction_start(xs);
	tx2 = xs_transaction_start(other);
	CHECK(value_is(xs, tx, at("a"), "4") && value_is(other, tx2, at("a"), "4"));
	CHECK(put_in(xs, tx, at("a"), "5") && put_in(other, tx2, at("a"), "6"));
	CHECK(xs_transaction_end(other, tx2, false));
	CHECK_FAILS(!xs_transaction_end(xs, tx, false), EAGAIN);
	CHECK(value_is(xs, XBT_NULL, at("a"), "6"));
	xs_close(other);
	finish();
}

/* ---- contention ---- */

#define NR_THREADS 6
#define NR_ROUNDS 60

static void *increment(void *arg)
{
	struct xs_handle *own = open_store(0);
	xs_transaction_t tx;
	unsigned int len;
	char text[16], *value;

	(void)arg;
	for (int i = 0; i < NR_ROUNDS;) {
		tx = xs_transaction_start(own);
		CHECK(tx != XBT_NULL);
		value = xs_read(own, tx, at("counter"), &len);
		CHECK(value);
		snprintf(text, sizeof(text), "%d", atoi(value) + 1);
		free(value);
		CHECK(put_in(own, tx, at("counter"), text));
		if (xs_transaction_end(own, tx, false))
			i++;
		else
			CHECK(errno == EAGAIN);
	}
	xs_close(own);
	return NULL;
}

static void run_contention(char **args)
{
	pthread_t threads[NR_THREADS];
	char expected[16];

	(void)args;
	start();
	put(xs, at("counter"), "0");
	for (int i = 0; i < NR_THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, increment, NULL) == 0);
	for (int i = 0; i < NR_THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	snprintf(expected, sizeof(expected), "%d", NR_THREADS * NR_ROUNDS);
	CHECK(value_is(xs, XBT_NULL, at("counter"), expected));
	finish();
}

/* ---- watches ---- */

static bool readable(struct xs_handle *handle, int timeout_ms)
{
	struct pollfd pfd = {.fd = xs_fileno(handle), .events = POLLIN};

	return poll(&pfd, 1, timeout_ms) == 1;
}

static void expect_event(struct xs_handle *handle, const char *path, const char *token)
{
	unsigned int nr;
	char **event = xs_read_watch(handle, &nr);

	CHECK(event && nr >= 2);
	CHECK(strcmp(event[XS_WATCH_PATH], path) == 0);
	CHECK(strcmp(event[XS_WATCH_TOKEN], token) == 0);
	free(event);
}

static void run_watches(char **args)
{
	struct xs_handle *watcher = open_store(0);
	char **event;

	(void)args;
	start();
	CHECK_FAILS(!xs_check_watch(watcher), EAGAIN);
	CHECK(xs_fileno(watcher) >= 0);
	/* Once when it is set, also for what does not exist. */
	CHECK(xs_watch(watcher, at("w"), "first"));
	CHECK(readable(watcher, BOUND_S * 1000));
	expect_event(watcher, at("w"), "first");
	CHECK_FAILS(!xs_check_watch(watcher), EAGAIN);
	CHECK_FAILS(!xs_watch(watcher, at("w"), "first"), EEXIST);
	CHECK(xs_watch(watcher, at("w"), "second"));
	expect_event(watcher, at("w"), "second");
	put(xs, at("w/below"), "x");
	/* Creating the path creates the parent, too; the events name what was written. */
	for (int i = 0; i < 2; i++) {
		event = xs_read_watch(watcher, (unsigned int[]){0});
		CHECK(event && strstr(event[XS_WATCH_PATH], "/w/below"));
		free(event);
	}
	CHECK(xs_unwatch(watcher, at("w"), "second"));
	CHECK_FAILS(!xs_unwatch(watcher, at("w"), "second"), ENOENT);
	CHECK_FAILS(!xs_unwatch(watcher, at("other"), "first"), ENOENT);
	put(xs, at("w"), "y");
	expect_event(watcher, at("w"), "first");
	/* Relative paths come back relative, a token may be anything without a NUL. */
	CHECK(xs_watch(watcher, "data/peer-test", "to:k en/\xff"));
	expect_event(watcher, "data/peer-test", "to:k en/\xff");
	put(xs, at("rel"), "z");
	expect_event(watcher, "data/peer-test/rel", "to:k en/\xff");
	/* Within a transaction nothing is told before its end. */
	xs_transaction_t tx = xs_transaction_start(xs);
	CHECK(put_in(xs, tx, at("w"), "in transaction"));
	CHECK(value_is(watcher, XBT_NULL, at("w"), "y"));
	CHECK_FAILS(!xs_check_watch(watcher), EAGAIN);
	CHECK(xs_transaction_end(xs, tx, false));
	for (int i = 0; i < 2; i++)
		free(xs_read_watch(watcher, (unsigned int[]){0}));
	CHECK_FAILS(!xs_check_watch(watcher), EAGAIN);
	xs_close(watcher);
	finish();
}

static void run_unwatch_filter(char **args)
{
	struct xs_handle *watcher = open_store(XS_UNWATCH_FILTER);

	(void)args;
	start();
	for (int i = 0; i < 200; i++) {
		CHECK(xs_watch(watcher, at("f"), "gone"));
		put(xs, at("f"), i % 2 ? "a" : "b");
		CHECK(xs_unwatch(watcher, at("f"), "gone"));
		CHECK_FAILS(!xs_check_watch(watcher), EAGAIN);
	}
	CHECK(xs_watch(watcher, at("f"), "there"));
	expect_event(watcher, at("f"), "there");
	xs_close(watcher);
	finish();
}

/* ---- threads ---- */

/* Some threads share a handle and some have their own; each has a node. */
static void *hammer(void *arg)
{
	unsigned int number = (unsigned int)(uintptr_t)arg;
	struct xs_handle *mine = number % 2 ? open_store(0) : xs;
	char name[16], value[16];

	snprintf(name, sizeof(name), "t%u", number);
	for (int i = 0; i < 500; i++) {
		snprintf(value, sizeof(value), "%u-%d", number, i);
		CHECK(put_in(mine, XBT_NULL, at(name), value));
		CHECK(value_is(mine, XBT_NULL, at(name), value));
	}
	if (mine != xs)
		xs_close(mine);
	return NULL;
}

static void run_threads(char **args)
{
	enum { NR = 8 };
	pthread_t threads[NR];
	unsigned int nr;
	char **names;

	(void)args;
	start();
	/* A watch makes the library read in a thread of its own. */
	CHECK(xs_watch(xs, at("t0"), "t"));
	for (uintptr_t i = 0; i < NR; i++)
		CHECK(pthread_create(&threads[i], NULL, hammer, (void *)i) == 0);
	for (int i = 0; i < NR; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	names = xs_directory(xs, XBT_NULL, base, &nr);
	CHECK(names && nr == NR);
	free(names);
	finish();
}

/* ---- domains and permissions ---- */

static void run_domains(char **args)
{
	char *path, expected[64];

	(void)args;
	start();
	path = xs_get_domain_path(xs, 0);
	CHECK(path && strcmp(path, "/local/domain/0") == 0);
	free(path);
	snprintf(expected, sizeof(expected), "/local/domain/%u", self_domid);
	path = xs_get_domain_path(xs, self_domid);
	CHECK(path && strcmp(path, expected) == 0);
	free(path);
	/* Also of a domain that does not exist. */
	path = xs_get_domain_path(xs, 30000);
	CHECK(path && strcmp(path, "/local/domain/30000") == 0);
	free(path);
	CHECK(xs_is_domain_introduced(xs, 0));
	CHECK(xs_is_domain_introduced(xs, self_domid));
	CHECK(!xs_is_domain_introduced(xs, 30000));
	finish();
}

static void run_permissions(char **args)
{
	struct xs_permissions want[3] = {
		{0, XS_PERM_NONE}, {0, XS_PERM_READ}, {0, XS_PERM_READ | XS_PERM_WRITE}};
	struct xs_permissions *got;
	unsigned int nr;

	(void)args;
	start();
	want[0].id = want[2].id = self_domid;
	put(xs, at("p"), "");
	CHECK(xs_set_permissions(xs, XBT_NULL, at("p"), want, 3));
	got = xs_get_permissions(xs, XBT_NULL, at("p"), &nr);
	CHECK(got && nr == 3);
	for (unsigned int i = 0; i < nr; i++)
		CHECK(got[i].id == want[i].id && got[i].perms == want[i].perms);
	free(got);
	CHECK_FAILS(!xs_get_permissions(xs, XBT_NULL, at("none"), &nr), ENOENT);
	CHECK_FAILS(!xs_set_permissions(xs, XBT_NULL, at("none"), want, 1), ENOENT);
	finish();
}

static void run_guest_refused(char **args)
{
	(void)args;
	start();
	CHECK_FAILS(!xs_introduce_domain(xs, self_domid, 1, 1), EACCES);
	CHECK_FAILS(!xs_release_domain(xs, self_domid), EACCES);
	CHECK_FAILS(!xs_resume_domain(xs, self_domid), EACCES);
	CHECK_FAILS(!xs_set_target(xs, self_domid, self_domid), EACCES);
	CHECK_FAILS(!xs_control_command(xs, "help", NULL, 0), EACCES);
	CHECK(!xs_restrict(xs, 0));
	/* Still a guest, and still served. */
	put(xs, at("x"), "y");
	finish();
}

static void run_privileged(char **args)
{
	char *text;

	(void)args;
	start();
	CHECK(self_domid == 0);
	text = xs_control_command(xs, "help", NULL, 0);
	CHECK(text && *text);
	free(text);
	text = xs_control_command(xs, "quota", NULL, 0);
	CHECK(text && *text);
	free(text);
	CHECK_FAILS(!xs_control_command(xs, "no-such-command", NULL, 0), EINVAL);
	CHECK(!xs_introduce_domain(xs, 30000, 1, 1));
	CHECK_FAILS(!xs_release_domain(xs, 30000), ENOENT);
	finish();
}

/* ---- quotas, and what is left to the daemon to clean up ---- */

static unsigned int watch_all(struct xs_handle *handle)
{
	char token[16];
	unsigned int nr = 0;

	for (; nr < 1000; nr++) {
		snprintf(token, sizeof(token), "%u", nr);
		if (!xs_watch(handle, at("w"), token))
			break;
	}
	return nr;
}

static unsigned int start_all(struct xs_handle *handle)
{
	unsigned int nr = 0;

	while (nr < 1000 && xs_transaction_start(handle) != XBT_NULL)
		nr++;
	return nr;
}

static void run_quotas(char **args)
{
	struct xs_handle *other = open_store(0);

	(void)args;
	start();
	CHECK(watch_all(xs) == 128 && errno == E2BIG);
	errno = 0;
	CHECK(watch_all(other) == 0 && errno == E2BIG);
	CHECK(start_all(xs) == 10 && errno == ENOSPC);
	/* Another connection's end gives nothing back, ours does. */
	xs_close(other);
	CHECK(!xs_watch(xs, at("w"), "one more"));
	xs_close(xs);
	start();
	for (int i = 0; i < 1000; i++) {
		/* The daemon notices the end a moment later. */
		if (xs_watch(xs, at("w"), "again"))
			break;
		usleep(10000);
	}
	CHECK(start_all(xs) > 0);
	xs_close(xs);
}

static void run_hold(char **args)
{
	xs_transaction_t tx;

	(void)args;
	start();
	CHECK(watch_all(xs) > 100);
	tx = xs_transaction_start(xs);
	CHECK(put_in(xs, tx, at("never"), "seen"));
	CHECK(start_all(xs) > 0);
	put(xs, "data/state", "holding");
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{"transactions", run_transactions},
		{"contention", run_contention},
		{"watches", run_watches},
		{"unwatch-filter", run_unwatch_filter},
		{"threads", run_threads},
		{"domains", run_domains},
		{"permissions", run_permissions},
		{"guest-refused", run_guest_refused},
		{"privileged", run_privileged},
		{"quotas", run_quotas},
		{"hold", run_hold},
	};

	return RUN_SCENARIO(argc, argv, scenarios);
}
