#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Disks with several queues: served, refused when they make no sense, broken, parted with.

load lib
load lib_blkback

@test "multiqueue: as many queues as workers are offered, or as told" {
	start_back_end --workers=3
	start_hostile blkfront_ring busy disk1 1
	[ "$(offered multi-queue-max-queues)" = 3 ]
	kill_hostile
	unharmed
	for options in "--workers=1" "--workers=20" "--workers=2 --max-queues=5"; do
		control shutdown
		eventually nothing_runs
		unset BACK_END
		# shellcheck disable=SC2086 # a list
		start_back_end $options
		start_hostile blkfront_ring busy disk1 1
		offered multi-queue-max-queues >>numbers
		kill_hostile
	done
	[ "$(xargs <numbers)" = "1 16 5" ]
}

# A node of the only disk that is attached.
offered() { # NODE
	local dir guest
	dir=/local/domain/1/backend/vbd
	guest=$(XENSTORED_PATH=$RINGFENCE_RUN/xenstored/socket xenstore-list "$dir")
	store "$dir/$guest/51712/$1"
}

@test "multiqueue: every number of queues is served, whichever worker has them" {
	for options in "--workers=3 --cache=1M" "--workers=1 --max-queues=4" \
		"--workers=2 --max-queues=16 --policy=event" "--workers=2 --aio=threads"; do
		# shellcheck disable=SC2086 # a list
		start_back_end $options
		run -0 hostile blkfront_queues serve rw
		run -0 hostile blkfront_queues serve disk1
		unharmed
		control shutdown
		eventually nothing_runs
		unset BACK_END
	done
}

@test "multiqueue: figures are the sum over the queues" {
	start_back_end --workers=2
	run -0 hostile blkfront_queues serve disk1
	eventually no_guest_left
	# Two full rings of 32 and of 128 slots, 20 single reads with each, and two with one queue.
	eventually has_read 362
	[ "$(figure "$(stats_of 'domain=.*state=closed')" reads)" -eq 362 ]
	unharmed
}

has_read() { # NUMBER
	[ "$(figure "$(stats_of '^backend=blkback requests')" reads)" -eq "$1" ]
}

@test "multiqueue: nonsense in any queue's nodes closes that device alone" {
	start_back_end --workers=2 --max-queues=4
	start_client out.beside 2 20000
	run -0 hostile blkfront_queues nonsense disk1
	wait "$CLIENT"
	run -0 files_are_consistent "$CLIENT"
	unharmed
}

@test "multiqueue: one broken ring closes the device with all its queues" {
	start_back_end --workers=2 --max-queues=4
	start_client out.beside 2 20000
	run -0 hostile blkfront_queues broken disk1 12
	run -0 hostile blkfront_queues broken rw 12
	wait "$CLIENT"
	run -0 files_are_consistent "$CLIENT"
	unharmed
}

@test "multiqueue: connecting and parting with all rings full, again and again" {
	start_back_end --workers=3 --cache=1M
	run -0 hostile blkfront_queues cycle disk1 30
	run -0 hostile blkfront_queues cycle rw 30
	unharmed
}

@test "multiqueue: an offer that makes no sense has status 2" {
	for args in "--max-queues=0" "--max-queues=17" "--max-queues=x" "--grants=all" "--indirect=257" \
		"--indirect=-1"; do
		run -2 "$RF_BIN/blkback" "$args"
		has "blkback: bad value"
		has "Try 'blkback --help'."
	done
}
