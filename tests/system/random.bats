#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Random use of the Xen libraries by two domains at once, from many threads and processes.

load lib_hypervisor

both_kinds() { # SCENARIO
	scenario domain_random "$1" --event-channels=eventfd
	scenario domain_random "$1" --event-channels=seqpacket
}

@test "random: six threads share the handles of two domains" {
	both_kinds threads
}

@test "random: eight domains in four processes, half of which are killed" {
	both_kinds processes
}
