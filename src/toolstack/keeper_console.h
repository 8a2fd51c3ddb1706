/* SPDX-License-Identifier: MIT */
/*
 * The terminal of a domain's program: a pty that the keeper reads always, so that the program never
 * waits for a reader, a bounded log of what it wrote, and the connections of `ringfence console`.
 */
#ifndef RF_TOOLSTACK_KEEPER_CONSOLE_H
#define RF_TOOLSTACK_KEEPER_CONSOLE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#define CONSOLE_CLIENTS_MAX 4u
#define CONSOLE_POLLFDS (3 + CONSOLE_CLIENTS_MAX)
#define CONSOLE_LOG_MAX (512u << 10) /* bytes; one older file of the same size is kept */

struct keeper_console {
	int dir_fd;	     /* of the logs */
	char log_name[80];
	int log_fd;	     /* -1: nothing was written yet */
	size_t log_len;
	bool after_cr;	     /* the last byte was a carriage return, not logged yet */
	int pty_fd;	     /* the keeper's end, -1: there is no program */
	int tty_fd;	     /* the program's, kept open so that the terminal outlives its users */
	int notes_fd;	     /* what the keeper itself says, -1: standard error still has it */
	int listen_fd;
	int clients[CONSOLE_CLIENTS_MAX]; /* -1: free */
};

/*
 * Opens the log's folder in `run_dir` and the socket, at KEEPER_CONSOLE_FD. 0 or -errno; a failed
 * one may be closed.
 */
int console_open(struct keeper_console *con, const char *run_dir, const char *name)
	__attribute__((warn_unused_result));

/* Legal for one that was zeroed by console_init. */
void console_close(struct keeper_console *con);
void console_init(struct keeper_console *con);

/* A terminal for the next program, which gets con->tty_fd. 0 or -errno. */
int console_new_terminal(struct keeper_console *con) __attribute__((warn_unused_result));

/* From now on, standard error of this process goes to the console and its log. 0 or -errno. */
int console_take_stderr(struct keeper_console *con) __attribute__((warn_unused_result));

/* Its program has ended: takes what is left in the terminal and closes it. */
void console_end_terminal(struct keeper_console *con);

/* What to poll for, CONSOLE_POLLFDS entries; and what came of it. */
void console_pollfds(const struct keeper_console *con, struct pollfd *pfds);
void console_ready(struct keeper_console *con, const struct pollfd *pfds);

/* The log's name for a domain, in `run_dir`. 0 or -ENAMETOOLONG. */
int console_log_path(const char *run_dir, const char *name, char *path, size_t size)
	__attribute__((warn_unused_result));

#endif
