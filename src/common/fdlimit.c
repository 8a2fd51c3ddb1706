/* SPDX-License-Identifier: MIT */
#include "common/fdlimit.h"

#include <sys/resource.h>

unsigned int fdlimit_raise(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return FDLIMIT_MAX;
	if (rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &rl) < 0 && getrlimit(RLIMIT_NOFILE, &rl) < 0)
			return FDLIMIT_MAX;
	}
	return rl.rlim_cur > FDLIMIT_MAX ? FDLIMIT_MAX : (unsigned int)rl.rlim_cur;
}
