/* SPDX-License-Identifier: MIT */
/* AF_UNIX helpers and the control client, against peers that send what they should not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/control.h"
#include "common/unixsock.h"

static char dir[64];
static int dir_fd;

static unsigned int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int nr = 0;

	assert_non_null(d);
	while (readdir(d))
		nr++;
	closedir(d);
	return nr;
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/rf-unit.XXXXXX");
	assert_non_null(mkdtemp(dir));
	dir_fd = open(dir, O_DIRECTORY | O_CLOEXEC);
	return dir_fd < 0;
}

static int teardown(void **state)
{
	(void)state;
	unlinkat(dir_fd, "socket", 0);
	close(dir_fd);
	return rmdir(dir);
}

static void pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
}

static void test_listen_replaces_a_stale_socket_only(void **state)
{
	char path[128];
	struct stat st;
	int fd, again, conn;

	(void)state;
	fd = unixsock_listen(dir_fd, "socket", SOCK_STREAM);
	assert_true(fd >= 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/socket", dir);
	assert_int_equal(unixsock_connect(path, SOCK_STREAM), -ECONNREFUSED);
	again = unixsock_listen(dir_fd, "socket", SOCK_STREAM);
	assert_true(again >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	conn = unixsock_connect(path, SOCK_STREAM);
	assert_true(conn >= 0);
	assert_int_equal(fcntl(conn, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(conn, F_GETFD), FD_CLOEXEC);
	close(conn);
	close(again);
	unlinkat(dir_fd, "socket", 0);
	close(openat(dir_fd, "socket", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(unixsock_listen(dir_fd, "socket", SOCK_STREAM), -EADDRINUSE);
}

static void test_paths_of_any_length(void **state)
{
	char name[200], path[400];
	int sub_fd, fd, conn;

	(void)state;
	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(mkdirat(dir_fd, name, 0700), 0);
	sub_fd = openat(dir_fd, name, O_DIRECTORY | O_CLOEXEC);
	fd = unixsock_listen(sub_fd, "socket", SOCK_SEQPACKET);
	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "%s/%s/socket", dir, name);
	conn = unixsock_connect(path, SOCK_SEQPACKET);
	assert_true(conn >= 0);
	close(conn);
	close(fd);
	unlinkat(sub_fd, "socket", 0);
	assert_int_equal(unixsock_connect(path, SOCK_SEQPACKET), -ENOENT);
	close(sub_fd);
	assert_int_equal(unlinkat(dir_fd, name, AT_REMOVEDIR), 0);
}

/* Sends a packet with more descriptors than unixsock_send would. */
static void send_fds(int to, unsigned int nr)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(8 * sizeof(int))];
	} control = {.buf = {0}};
	char byte = 'x';
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(nr * sizeof(int))};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(nr * sizeof(int));
	for (unsigned int i = 0; i < nr; i++)
		memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &dir_fd, sizeof(int));
	assert_int_equal(sendmsg(to, &msg, 0), 1);
}

static void test_descriptors_arrive_exactly(void **state)
{
	int fds[2], got[2];
	unsigned int before, nr;
	char byte;

	(void)state;
	pair(fds);
	before = open_fds();
	assert_int_equal(unixsock_send(fds[0], "ab", 2, (int[]){dir_fd, fds[0]}, 2, 0), 0);
	assert_int_equal(
		unixsock_recv(fds[1], &byte, 1, got, 2, &nr, 0), -EMSGSIZE); /* truncated */
	assert_int_equal(open_fds(), before);
	assert_int_equal(unixsock_send(fds[0], "a", 1, (int[]){dir_fd, fds[0]}, 2, 0), 0);
	assert_int_equal(unixsock_recv(fds[1], &byte, 1, got, 2, &nr, 0), 1);
	assert_int_equal(nr, 2);
	assert_int_equal(fcntl(got[0], F_GETFD), FD_CLOEXEC);
	close(got[0]);
	close(got[1]);
	assert_int_equal(unixsock_send(fds[0], "a", 1, got, 3, 0), -EINVAL);
	/* More than there is room for: none is kept. */
	for (unsigned int room = 0; room <= 2; room++) {
		send_fds(fds[0], room + 1);
		assert_int_equal(unixsock_recv(fds[1], &byte, 1, got, room, &nr, 0), -EMSGSIZE);
		send_fds(fds[0], 8);
		assert_int_equal(unixsock_recv(fds[1], &byte, 1, got, room, &nr, 0), -EMSGSIZE);
		assert_int_equal(open_fds(), before);
	}
	close(fds[0]);
	assert_int_equal(unixsock_recv(fds[1], &byte, 1, NULL, 0, NULL, 0), 0);
	assert_int_equal(unixsock_send(fds[1], "a", 1, NULL, 0, 0), -EPIPE);
	close(fds[1]);
}

static void test_refused_descriptors(void **state)
{
	int fds[2], got;
	unsigned int nr = 0;
	char byte;

	(void)state;
	pair(fds);
	unixsock_refuse_fds(fds[1]);
	/* Kernels before 6.16 do not know it: the receiver still gets rid of them. */
	if (unixsock_send(fds[0], "a", 1, &dir_fd, 1, 0) == 0) {
		assert_int_equal(unixsock_recv(fds[1], &byte, 1, NULL, 0, NULL, 0), -EMSGSIZE);
	} else {
		assert_int_equal(unixsock_send(fds[1], "a", 1, &dir_fd, 1, 0), 0);
		assert_int_equal(unixsock_recv(fds[0], &byte, 1, &got, 1, &nr, 0), 1);
		close(got);
	}
	close(fds[0]);
	close(fds[1]);
}

/* ---- the control client ---- */

static void reply(int fd, int32_t status, uint32_t more, const char *text)
{
	struct control_reply head = {status, more};
	char packet[256];
	size_t len = strlen(text);

	memcpy(packet, &head, sizeof(head));
	memcpy(packet + sizeof(head), text, len);
	assert_int_equal(send(fd, packet, sizeof(head) + len, 0), sizeof(head) + len);
}

static const char *const words[] = {"verb", "key=value", NULL};

static void test_replies_of_several_packets(void **state)
{
	char request[64], *text;
	int fds[2];

	(void)state;
	pair(fds);
	reply(fds[1], 0, 1, "one ");
	reply(fds[1], 0, 1, "");
	reply(fds[1], -EEXIST, 0, "two");
	assert_int_equal(control_call(fds[0], words, 1000, &text, NULL, NULL), -EEXIST);
	assert_string_equal(text, "one two");
	free(text);
	assert_int_equal(recv(fds[1], request, sizeof(request), 0), 15);
	assert_memory_equal(request, "verb\0key=value", 15);
	close(fds[0]);
	close(fds[1]);
}

static void test_replies_that_are_wrong_or_missing(void **state)
{
	static char longest[CONTROL_PACKET_MAX + 1];
	const char *const too_long[] = {"verb", longest, NULL};
	char *text;
	int fds[2];

	(void)state;
	pair(fds);
	assert_int_equal(control_call(fds[0], words, 20, &text, NULL, NULL), -ETIMEDOUT);
	assert_null(text);
	assert_int_equal(send(fds[1], "abc", 3, 0), 3);
	assert_int_equal(control_call(fds[0], words, 1000, &text, NULL, NULL), -EPROTO);
	assert_null(text);
	/* Never the last packet. */
	reply(fds[1], 0, 1, "more");
	assert_int_equal(control_call(fds[0], words, 20, &text, NULL, NULL), -ETIMEDOUT);
	free(text);
	memset(longest, 'x', sizeof(longest) - 1);
	assert_int_equal(control_call(fds[0], too_long, 20, &text, NULL, NULL), -EMSGSIZE);
	/* A descriptor that nobody asked for. */
	unsigned int before = open_fds();
	send_fds(fds[1], 1);
	assert_int_equal(control_call(fds[0], words, 1000, &text, NULL, NULL), -EMSGSIZE);
	assert_int_equal(open_fds(), before);
	shutdown(fds[1], SHUT_WR);
	assert_int_equal(control_call(fds[0], words, 1000, &text, NULL, NULL), -ECONNRESET);
	close(fds[1]);
	assert_int_equal(control_call(fds[0], words, 1000, &text, NULL, NULL), -ECONNRESET);
	close(fds[0]);
}

static void test_connect_says_why(void **state)
{
	char path[5000];

	(void)state;
	assert_int_equal(control_connect(dir), -ENOENT);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(control_connect(path), -ENAMETOOLONG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_listen_replaces_a_stale_socket_only),
		TEST(test_paths_of_any_length),
		TEST(test_descriptors_arrive_exactly),
		TEST(test_refused_descriptors),
		TEST(test_replies_of_several_packets),
		TEST(test_replies_that_are_wrong_or_missing),
		TEST(test_connect_says_why),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("common: sockets", tests, NULL, NULL);
}
