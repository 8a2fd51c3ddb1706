#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What xengnttab.h and xenevtchn.h promise beside the plain use of grants and ports.

load lib_hypervisor

both_kinds() { # SCENARIO
	scenario domain_header "$1" --event-channels=eventfd
	scenario domain_header "$1" --event-channels=seqpacket
}

@test "xengnttab.h: set_max_grants limits one handle, by pages mapped" {
	scenario domain_header max-grants
}

@test "xengnttab.h: a copy's virtual side may cross pages, its granted side may not" {
	scenario domain_header copies-across-pages
}

@test "xengnttab.h: unmap notifications of both sides, each with its byte and port" {
	both_kinds notify-both-sides
}

@test "xengnttab.h: both sides with the same notification byte, and none with a port" {
	both_kinds notify-one-byte
}

@test "xengnttab.h, xenevtchn.h: descriptors, flags, and what is refused" {
	both_kinds descriptors
}

@test "xengnttab.h, xenevtchn.h: exec gives everything back, and takes nothing from a parent" {
	both_kinds exec-reclaims
}

@test "xenevtchn.h: a forked child's close leaves its parent's ports alone" {
	both_kinds forked-events
}

@test "xengnttab.h, xenevtchn.h: what logs errors and what never does" {
	scenario domain_header logging
}
