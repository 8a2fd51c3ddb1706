/* SPDX-License-Identifier: MIT */
/* Being connected to a domain's console. */
#ifndef RF_TOOLSTACK_CONSOLE_H
#define RF_TOOLSTACK_CONSOLE_H

/*
 * Connects this process's standard input and output to the console of a domain, by name or id,
 * until the user leaves or the domain ends. Exit status.
 */
int console_attach(const char *name) __attribute__((warn_unused_result));

#endif
