/* SPDX-License-Identifier: MIT */
/* The subcommands of `ringfence`, one file each. */
#ifndef RF_TOOLSTACK_COMMAND_H
#define RF_TOOLSTACK_COMMAND_H

#define EXIT_USAGE 2
#define EXIT_NOT_RUNNING 3 /* no hypervisor in the runtime directory */

struct command {
	const char *name;
	const char *summary; /* one line, for `ringfence help` */
	const char *usage;   /* what `ringfence NAME --help` prints */
	/* argv[0] is the subcommand's name. Returns the exit status. */
	int (*run)(int argc, char **argv);
};

extern const struct command command_console, command_create, command_destroy, command_env,
	command_exec, command_info, command_list, command_shm_list, command_shutdown,
	command_top, command_trace;

extern const struct command command_block_attach, command_block_detach, command_block_list,
	command_block_resize, command_dmesg, command_domid, command_domname, command_pause,
	command_rename, command_restart, command_unpause;

/* Complains about the arguments of a subcommand and returns EXIT_USAGE. */
int command_usage(const struct command *command, const char *problem);

/* "2" or "0.5", min to max; seconds. 0 or -EINVAL. */
int command_seconds(const char *text, double min, double max, double *seconds)
	__attribute__((warn_unused_result));

/*
 * Connects to the hypervisor; says on stderr what is wrong otherwise and sets *status to the exit
 * status. Returns the descriptor or -1.
 */
int command_connect(int *status);

/*
 * Connects, asks one thing without arguments, and disconnects. The reply's text, to be freed, or
 * NULL with the exit status in *status.
 */
char *command_ask(const char *verb, int *status);

/*
 * One request on the control socket; on error its message goes to stderr. Returns the reply's text,
 * to be freed, or NULL. fds as control_call.
 */
char *command_call(int control_fd, const char *const *words, int *fds, unsigned int *nr_fds);

/* The same for what may take another time than most. */
char *command_call_within(int control_fd, int timeout_ms, const char *const *words, int *fds,
	unsigned int *nr_fds);

#endif
