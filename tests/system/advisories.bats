#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# One test for each of Xen's security advisories whose lesson applies here, by number. The checks
# themselves are elsewhere: each test names the program and the scenario or test in it that is the
# check. The same table with the lessons is in docs/design/testing.md.

load lib_hypervisor
load lib_blkback

# Tests of a unit test program: each must be there, and pass.
unit() { # PROGRAM TEST...
	local output name
	output=$("$RF_TEST/unit/$1") || echo "$1 failed"
	for name in "${@:2}"; do
		grep -E "^ok [0-9]+ - $name\$" <<<"$output" || {
			echo "not passed: $1: $name"
			return 1
		}
	done
}

@test "XSA-115: watch events obey permissions" {
	unit test_store_watch xsa_115_events_go_only_to_those_who_may_read \
		xsa_115_a_removal_is_judged_by_the_permissions_as_they_were
}

@test "XSA-155: what a peer can rewrite is copied once: ring slots" {
	start_back_end --cache=1M
	hostile blkfront_ring toctou disk1 1 50
	hostile blkfront_ring toctou rw 0 50
	hostile blkfront_ring scribble disk1 0 10
	unharmed
	unit test_blkfront_hostile a_scribbled_ring_harms_nobody_else
}

@test "XSA-216: responses carry no bytes of ours" {
	start_back_end --cache=1M
	# Every response that tests/hostile/front.h takes is looked at for bytes that are not zero.
	hostile blkfront_requests disk1 r 0
	hostile blkfront_requests rw w 1
	unharmed
}

@test "XSA-326: memory stays flat under a client that rewrites or does not read" {
	unit test_store_limits xsa_326_memory_stays_flat_for_a_client_that_only_writes \
		input_stops_while_replies_are_not_read
	scenario domain_protocol replies-not-read
}

@test "XSA-332: a storm of events does not keep a neighbour's away" {
	scenario domain_events storm-beside-a-neighbour --event-channels=eventfd
	scenario domain_events storm-beside-a-neighbour --event-channels=seqpacket
}

@test "XSA-349: queues of watch events are bounded" {
	unit test_store_limits xsa_349_memory_stays_flat_for_a_watcher_that_never_reads \
		beyond_nr_events_the_watch_itself_is_named
}

@test "XSA-350: devices come and go under I/O" {
	start_back_end --cache=1M
	hostile blkfront_handshake cycle disk1 20
	hostile blkfront_handshake hurry rw 10
	unharmed
}

@test "XSA-365: a share or map that fails half way leaves no grant" {
	unit test_hypervisor_alloc xsa_365_a_share_without_memory_leaves_no_grants
	scenario domain_grants failed-maps-leave-nothing
}

@test "XSA-371: whichever map of a batch fails, nothing stays mapped" {
	unit test_hypervisor_alloc xsa_371_a_map_without_memory_leaves_no_maps
	scenario domain_events killed-domain-holds-nothing
}

@test "XSA-391: a storm of events at the back end does not stop its other front ends" {
	start_back_end --policy=event
	hostile blkfront_ring storm disk1 1 20000 &
	run -0 client 2 2000
	wait $!
	unharmed
}

@test "XSA-396: a page that was granted and is still mapped carries nothing else" {
	scenario domain_grants unshared-while-mapped
	scenario domain_grants partial-unmap-and-unshare
}

@test "XSA-403: nothing unrelated shares a granted page" {
	scenario domain_grants seals-are-present
	scenario domain_grants shared-both-ways
}

@test "XSA-414: no assertion of the store is within reach of a guest" {
	unit test_store_advisories xsa_414_every_request_has_a_reply
	RF_ROOT=$ROOT "$RF_TEST/fuzz/replay_store_wire"
	RF_ROOT=$ROOT "$RF_TEST/fuzz/replay_store_model"
}

@test "XSA-416: requests that fail keep no memory" {
	unit test_store_advisories xsa_416_failed_requests_keep_no_memory
}

@test "XSA-421: a transaction is all or nothing, and does not get around the quotas" {
	unit test_store_memory xsa_421_a_commit_without_memory_leaves_all_or_nothing \
		xsa_421_a_transaction_survives_requests_that_failed
	unit test_store_limits the_node_quota_holds_at_the_commit \
		the_node_quota_holds_inside_transactions
}

@test "XSA-440: a conflict leaves the counts of nodes right" {
	unit test_store_advisories xsa_440_a_conflict_leaves_the_count_of_nodes_right
}

@test "XSA-483: a domain of an old id starts clean" {
	unit test_store_advisories xsa_483_a_domain_of_an_old_id_starts_clean
	unit test_hypervisor_domains test_successor_cannot_map_what_was_granted_to_the_dead \
		test_successor_cannot_bind_what_waited_for_the_dead
	scenario domain_grants dead-domain
	scenario domain_events rebind-is-for-the-same-domain
}
