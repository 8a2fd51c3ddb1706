/* SPDX-License-Identifier: MIT */
/*
 * The keeper's side of the console. The program and those who watch it can do it no harm but noise.
 */
#include "toolstack/keeper_console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/unixsock.h"
#include "toolstack/keeper.h"

#define LOG_DIR "console"
#define REPLAY_MAX 16384 /* bytes that a new client gets of what was before */
#define TURN_MAX 16	 /* reads in one turn: an endless writer must not keep us from the rest */

/* ---- the log ---- */

int console_log_path(const char *run_dir, const char *name, char *path, size_t size)
{
	int n = snprintf(path, size, "%s/" LOG_DIR "/%s.log", run_dir, name);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* What stands before a domain's log is the log of an earlier one of that name: it goes. */
static int open_log_dir(struct keeper_console *con, const char *run_dir, const char *name)
{
	int run_fd = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC), rc = 0;
	char old[96];

	if (run_fd < 0)
		return -errno;
	if (mkdirat(run_fd, LOG_DIR, 0700) < 0 && errno != EEXIST)
		rc = -errno;
	if (rc == 0)
		con->dir_fd = openat(run_fd, LOG_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rc == 0 && con->dir_fd < 0)
		rc = -errno;
	close(run_fd);
	if (rc)
		return rc;
	snprintf(con->log_name, sizeof(con->log_name), "%.63s.log", name);
	snprintf(old, sizeof(old), "%s.1", con->log_name);
	unlinkat(con->dir_fd, con->log_name, 0);
	unlinkat(con->dir_fd, old, 0);
	return 0;
}

/* Makes room: the full log becomes the older one, instead of the one before. */
static void turn_log(struct keeper_console *con)
{
	char old[96];

	snprintf(old, sizeof(old), "%s.1", con->log_name);
	close(con->log_fd);
	con->log_fd = -1;
	con->log_len = 0;
	renameat(con->dir_fd, con->log_name, con->dir_fd, old);
}

/* A program that never writes leaves no file. */
static void write_log(struct keeper_console *con, const char *text, size_t len)
{
	ssize_t n;

	if (con->log_fd >= 0 && con->log_len > CONSOLE_LOG_MAX)
		turn_log(con);
	if (con->log_fd < 0)
		con->log_fd = openat(con->dir_fd, con->log_name,
			O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* A full file system must not stop the domain: what cannot be written is lost. */
	n = con->log_fd < 0 ? -1 : write(con->log_fd, text, len);
	if (n > 0)
		con->log_len += (size_t)n;
}

/* Lines end with a line feed alone, though the terminal puts a carriage return before. */
static void log_output(struct keeper_console *con, const char *text, size_t len)
{
	char out[2 * 4096 + 1];
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		if (con->after_cr && text[i] != '\n')
			out[used++] = '\r';
		con->after_cr = text[i] == '\r';
		if (!con->after_cr)
			out[used++] = text[i];
	}
	if (used)
		write_log(con, out, used);
}

/* ---- clients ---- */

static void drop_client(int *client)
{
	if (*client >= 0)
		close(*client);
	*client = -1;
}

/* Who does not keep up misses what it cannot take; the log has it. */
static void send_client(int *client, const char *text, size_t len)
{
	ssize_t n = send(*client, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		drop_client(client);
}

/* The end of the log, with the carriage returns that a terminal wants. */
static void replay(const struct keeper_console *con, int *client)
{
	char text[REPLAY_MAX], line_ends[2 * REPLAY_MAX];
	size_t used = 0;
	off_t start = con->log_len > REPLAY_MAX ? (off_t)(con->log_len - REPLAY_MAX) : 0;
	ssize_t n = con->log_fd < 0 ? 0 : pread(con->log_fd, text, sizeof(text), start);

	for (ssize_t i = 0; i < n; i++) {
		if (text[i] == '\n')
			line_ends[used++] = '\r';
		line_ends[used++] = text[i];
	}
	if (used)
		send_client(client, line_ends, used);
}

static void accept_client(struct keeper_console *con)
{
	int fd = accept4(con->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	static const char full[] = "ringfence: too many are connected to this console\r\n";

	if (fd < 0)
		return;
	unixsock_refuse_fds(fd);
	for (unsigned int i = 0; i < CONSOLE_CLIENTS_MAX; i++) {
		if (con->clients[i] >= 0)
			continue;
		con->clients[i] = fd;
		replay(con, &con->clients[i]);
		return;
	}
	(void)!send(fd, full, strlen(full), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

/* What is typed. The program may not read it: then the terminal is full, and the rest is lost. */
static void client_ready(struct keeper_console *con, int *client)
{
	char text[1024];
	ssize_t n = recv(*client, text, sizeof(text), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		drop_client(client);
	else if (n > 0 && con->pty_fd >= 0 && write(con->pty_fd, text, (size_t)n) < 0)
		return;
}

/* ---- the terminal ---- */

static void put_output(struct keeper_console *con, const char *text, size_t len)
{
	log_output(con, text, len);
	for (unsigned int i = 0; i < CONSOLE_CLIENTS_MAX; i++) {
		if (con->clients[i] >= 0)
			send_client(&con->clients[i], text, len);
	}
}

/* Takes what the program has written, but not for ever. */
static void take_output(struct keeper_console *con)
{
	char text[4096];
	ssize_t n;

	for (unsigned int i = 0; i < TURN_MAX; i++) {
		n = read(con->pty_fd, text, sizeof(text));
		if (n <= 0)
			return;
		put_output(con, text, (size_t)n);
	}
}

int console_new_terminal(struct keeper_console *con)
{
	char name[64];
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), rc;

	if (fd < 0)
		return -errno;
	rc = grantpt(fd) < 0 || unlockpt(fd) < 0 ? -errno : -ptsname_r(fd, name, sizeof(name));
	if (rc == 0) {
		con->tty_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
		rc = con->tty_fd < 0 ? -errno : 0;
	}
	if (rc)
		close(fd);
	else
		con->pty_fd = fd;
	return rc;
}

void console_end_terminal(struct keeper_console *con)
{
	if (con->pty_fd < 0)
		return;
	/*
	 * The last words fit into the terminal's buffer; whoever else writes there is no longer
	 * ours.
	 */
	take_output(con);
	close(con->pty_fd);
	close(con->tty_fd);
	con->pty_fd = con->tty_fd = -1;
}

/* ---- the keeper's own messages ---- */

/* A pipe: whoever in this process complains does not know of logs and clients. */
int console_take_stderr(struct keeper_console *con)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	con->notes_fd = fds[0];
	if (dup2(fds[1], STDERR_FILENO) < 0) {
		close(fds[1]);
		return -errno;
	}
	close(fds[1]);
	return 0;
}

static void take_notes(struct keeper_console *con)
{
	char text[2048], line_ends[2 * sizeof(text)];
	size_t used = 0;
	ssize_t n = read(con->notes_fd, text, sizeof(text));

	for (ssize_t i = 0; i < n; i++) {
		if (text[i] == '\n')
			line_ends[used++] = '\r';
		line_ends[used++] = text[i];
	}
	if (used)
		put_output(con, line_ends, used);
}

/* ---- all of it ---- */

/* Without a name once it is there, reachable through our descriptor alone (keeper.h). */
static int listen_unlinked(struct keeper_console *con)
{
	char name[32];
	int path_fd, rc = 0;

	snprintf(name, sizeof(name), ".%d", getpid());
	con->listen_fd = unixsock_listen(con->dir_fd, name, SOCK_STREAM);
	if (con->listen_fd < 0)
		return con->listen_fd;
	path_fd = openat(con->dir_fd, name, O_PATH | O_CLOEXEC);
	if (path_fd < 0 || dup3(path_fd, KEEPER_CONSOLE_FD, O_CLOEXEC) < 0)
		rc = -errno;
	unlinkat(con->dir_fd, name, 0);
	if (path_fd >= 0 && path_fd != KEEPER_CONSOLE_FD)
		close(path_fd);
	return rc;
}

void console_init(struct keeper_console *con)
{
	*con = (struct keeper_console){.dir_fd = -1, .log_fd = -1, .pty_fd = -1, .tty_fd = -1,
		.notes_fd = -1, .listen_fd = -1};
	for (unsigned int i = 0; i < CONSOLE_CLIENTS_MAX; i++)
		con->clients[i] = -1;
}

int console_open(struct keeper_console *con, const char *run_dir, const char *name)
{
	int rc = open_log_dir(con, run_dir, name);

	return rc ? rc : listen_unlinked(con);
}

void console_close(struct keeper_console *con)
{
	console_end_terminal(con);
	if (con->notes_fd >= 0) {
		take_notes(con);
		close(con->notes_fd);
	}
	for (unsigned int i = 0; i < CONSOLE_CLIENTS_MAX; i++)
		drop_client(&con->clients[i]);
	if (con->listen_fd >= 0) {
		close(con->listen_fd);
		close(KEEPER_CONSOLE_FD);
	}
	if (con->log_fd >= 0)
		close(con->log_fd);
	if (con->dir_fd >= 0)
		close(con->dir_fd);
	console_init(con);
}

void console_pollfds(const struct keeper_console *con, struct pollfd *pfds)
{
	pfds[0] = (struct pollfd){.fd = con->pty_fd, .events = POLLIN};
	pfds[1] = (struct pollfd){.fd = con->listen_fd, .events = POLLIN};
	pfds[2] = (struct pollfd){.fd = con->notes_fd, .events = POLLIN};
	for (unsigned int i = 0; i < CONSOLE_CLIENTS_MAX; i++)
		pfds[3 + i] = (struct pollfd){.fd = con->clients[i], .events = POLLIN};
}

void console_ready(struct keeper_console *con, const struct pollfd *pfds)
{
	if (pfds[0].revents && con->pty_fd >= 0)
		take_output(con);
	if (pfds[2].revents)
		take_notes(con);
	for (unsigned int i = 0; i < CONSOLE_CLIENTS_MAX; i++) {
		if (pfds[3 + i].revents && con->clients[i] >= 0)
			client_ready(con, &con->clients[i]);
	}
	if (pfds[1].revents)
		accept_client(con);
}
