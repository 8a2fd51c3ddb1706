/* SPDX-License-Identifier: MIT */
/* The event loop: timers, and callbacks that change what is watched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "hypervisor/control_server.h"
#include "hypervisor/loop.h"

void hypervisor_shutdown(struct hypervisor *hv, const char *reason)
{
	(void)hv, (void)reason;
}

static struct loop loop;
static struct loop_timer timers[3];
static int order[3], nr_expired;

static int setup(void **state)
{
	(void)state;
	nr_expired = 0;
	alarm(30); /* a loop that never wakes fails */
	return loop_init(&loop);
}

static int teardown(void **state)
{
	(void)state;
	alarm(0);
	loop_fini(&loop);
	return 0;
}

static void expired(struct loop_timer *timer)
{
	order[nr_expired++] = (int)(timer - timers);
	if (nr_expired == 3)
		loop_stop(&loop);
}

static void test_timers_expire_in_order_of_their_deadlines(void **state)
{
	uint64_t now = clock_ns();

	(void)state;
	for (int i = 0; i < 3; i++)
		loop_timer_init(&timers[i], expired);
	loop_timer_set(&loop, &timers[0], now + 30 * NSEC_PER_MSEC);
	loop_timer_set(&loop, &timers[1], now + NSEC_PER_SEC);
	loop_timer_set(&loop, &timers[2], now + 20 * NSEC_PER_MSEC);
	loop_timer_set(&loop, &timers[1], now + 10 * NSEC_PER_MSEC); /* set again */
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(order[0], 1);
	assert_int_equal(order[1], 2);
	assert_int_equal(order[2], 0);
	assert_true(clock_ns() - now >= 30 * NSEC_PER_MSEC);
}

static void stop_on_expiry(struct loop_timer *timer)
{
	(void)timer;
	loop_stop(&loop);
}

static void set_a_timer(void *data)
{
	bool *done = data;

	if (!*done)
		loop_timer_set(&loop, &timers[0], clock_ns());
	*done = true;
}

/* The store's output is flushed there, and a change that it causes may set a timer. */
static void test_timer_that_is_set_after_a_batch_expires(void **state)
{
	bool done = false;

	(void)state;
	loop_timer_init(&timers[0], stop_on_expiry);
	loop.after_batch = set_a_timer;
	loop.after_batch_data = &done;
	assert_int_equal(loop_run(&loop), 0);
	assert_true(done);
}

static struct loop_source sources[2];

static void remove_the_other(struct loop_source *source, uint32_t events)
{
	(void)events;
	nr_expired++;
	loop_remove(&loop, &sources[source == &sources[0]]);
	loop_stop(&loop);
}

static void test_source_that_was_removed_is_not_called_any_more(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		sources[i] = (struct loop_source){eventfd(1, EFD_CLOEXEC), remove_the_other};
		assert_int_equal(loop_add(&loop, &sources[i], EPOLLIN), 0);
	}
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(nr_expired, 1);
	close(sources[0].fd);
	close(sources[1].fd);
}

/* Without descriptors a connection is closed instead of being reported for ever. */
static void test_accept_without_descriptors(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "\0rf-unit-accept"};
	int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct rlimit limit, few;
	char byte;

	(void)state;
	assert_int_equal(bind(listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(listen_fd, 5), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	int next = dup(0); /* the lowest free number */
	close(next);
	few = limit;
	few.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	int rc = loop_accept(&loop, listen_fd);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(rc, -EMFILE);
	assert_int_equal(recv(client, &byte, 1, 0), 0);
	assert_int_equal(loop_accept(&loop, listen_fd), -EAGAIN);
	close(client);
	close(listen_fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_timers_expire_in_order_of_their_deadlines),
		TEST(test_timer_that_is_set_after_a_batch_expires),
		TEST(test_source_that_was_removed_is_not_called_any_more),
		TEST(test_accept_without_descriptors),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("hypervisor: loop", tests, NULL, NULL);
}
