/* SPDX-License-Identifier: MIT */
/* ringfence env: what to export to run Xen programs as domain 0. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "toolstack/command.h"
#include "toolstack/environment.h"

static const char usage[] =
	"Usage: ringfence env\n"
	"Prints the environment in which programs written for Xen's libraries run here as domain 0,\n"
	"for a shell:\n"
	"\n"
	"    eval \"$(ringfence env)\"\n"
	"    xenstore-ls -f\n"
	"\n"
	"'ringfence exec' runs a program as a domain of its own instead.\n";

/* The text in single quotes, as a shell reads it. */
static void print_quoted(const char *text)
{
	putchar('\'');
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*text);
	}
	putchar('\'');
}

static int run(int argc, char **argv)
{
	struct environment env;
	int status, rc, fd;

	(void)argv;
	if (argc > 1)
		return command_usage(&command_env, "it takes no argument");
	fd = command_connect(&status);
	if (fd < 0)
		return status;
	close(fd);
	rc = environment_domain0(&env);
	if (rc) {
		fprintf(stderr, "ringfence: %s\n", strerror(-rc));
		return 1;
	}
	for (int i = 0; i < ENVIRONMENT_NR; i++) {
		size_t name_len = strcspn(env.text[i], "=");

		printf("export %.*s=", (int)name_len, env.text[i]);
		print_quoted(env.text[i] + name_len + 1);
		putchar('\n');
	}
	return 0;
}

const struct command command_env = {.name = "env",
	.summary = "print the environment for Xen programs as domain 0", .usage = usage, .run = run};
