/* SPDX-License-Identifier: MIT */
/* Users by name or number. */
#include "toolstack/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <unistd.h>

#include "common/parse.h"

int user_find(const char *text, struct user *user)
{
	struct passwd *pw = getpwnam(text);
	uint64_t number;

	if (!pw && parse_u64(text, 0, UINT32_MAX - 1, &number) == 0) {
		pw = getpwuid((uid_t)number);
		*user = (struct user){(uid_t)number, (gid_t)number, NULL};
		if (!pw)
			return 0;
	}
	if (!pw)
		return -ENOENT;
	*user = (struct user){pw->pw_uid, pw->pw_gid, pw->pw_name};
	return 0;
}

int user_become(const struct user *user)
{
	if ((user->name ? initgroups(user->name, user->gid) : setgroups(0, NULL)) < 0 ||
		setgid(user->gid) < 0 || setuid(user->uid) < 0)
		return -errno;
	return 0;
}
