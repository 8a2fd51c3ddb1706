/* SPDX-License-Identifier: MIT */
/* ringfence: the toolstack's command. Finds the subcommand and hands over. */
#include <stdio.h>
#include <string.h>

#include "toolstack/command.h"

static const struct command *const commands[] = {
	&command_create, &command_destroy, &command_shutdown, &command_list, &command_domid,
	&command_domname, &command_rename, &command_pause, &command_unpause, &command_console,
	&command_block_attach, &command_block_list, &command_block_detach, &command_block_resize,
	&command_shm_list, &command_restart, &command_exec, &command_env, &command_info,
	&command_dmesg, &command_top, &command_trace};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void help(FILE *out)
{
	fputs("Usage: ringfence COMMAND [ARGUMENT]...\n"
	      "Controls the hypervisor (ringfenced) of the runtime directory.\n\n",
		out);
	for (size_t i = 0; i < NR_COMMANDS; i++)
		fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n'ringfence COMMAND --help' tells more. -h, --help shows this, -V, --version the version.\n"
	      "The runtime directory is $RINGFENCE_RUN, else /run/ringfence for root, else\n"
	      "$XDG_RUNTIME_DIR/ringfence, else /tmp/ringfence-UID.\n\n"
	      "Exit status: 0 done, 1 failed, 2 wrong usage, 3 no hypervisor is running there;\n"
	      "'exec' ends with its program's status.\n",
		out);
}

static int run(int argc, char **argv)
{
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		strcmp(argv[1], "help") == 0) {
		help(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		puts("ringfence " RINGFENCE_VERSION);
		return 0;
	}
	for (size_t i = 0; i < NR_COMMANDS; i++) {
		if (strcmp(commands[i]->name, argv[1]) != 0)
			continue;
		if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
			fputs(commands[i]->usage, stdout);
			return 0;
		}
		return commands[i]->run(argc - 1, argv + 1);
	}
	fprintf(stderr, "ringfence: there is no command '%s'; see 'ringfence help'\n", argv[1]);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int status = run(argc, argv);

	/* An answer that nobody got is none. */
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "ringfence: cannot write to standard output\n");
	return status ? status : 1;
}
