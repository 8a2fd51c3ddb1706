/* SPDX-License-Identifier: MIT */
/* The user that a domain's program runs as. */
#ifndef RF_TOOLSTACK_USER_H
#define RF_TOOLSTACK_USER_H

#include <sys/types.h>

struct user {
	uid_t uid;
	gid_t gid;
	const char *name; /* for its supplementary groups; NULL: none. Of getpwnam's buffer */
};

/* A user by name, or by a number, which need not be in the user database. 0 or -ENOENT. */
int user_find(const char *text, struct user *user) __attribute__((warn_unused_result));

/*
 * This process becomes the user: groups, group, user. Only for root; clears the parent-death
 * signal. 0 or -errno.
 */
int user_become(const struct user *user) __attribute__((warn_unused_result));

#endif
