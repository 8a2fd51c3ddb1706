#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Many guests of one back end, and what happens when there is no room for more.

load lib
load lib_blkback

few_descriptors() {
	(
		ulimit -n 800
		exec "$@"
	)
}

@test "scale: a hundred guests, with the default quotas" {
	start_back_end
	run -0 --separate-stderr hostile many_guests 100
	[ "$output" -eq 100 ]
	unharmed
}

# 800 less 256 of the hypervisor's own are 34 times 16: dom0, the back end, and 32 guests.
@test "scale: without descriptors no domain is created, and all that there are work" {
	start_back_end_by few_descriptors
	run -0 --separate-stderr hostile many_guests 100
	[ "$output" -eq 32 ]
	unharmed
}

@test "scale: a domain that takes what it can does not keep guests from their disks" {
	start_back_end_by few_descriptors
	run -0 --separate-stderr hostile many_guests 100 hog
	[ "$output" -ge 20 ]
	[ "$output" -lt 32 ]
	unharmed
}
