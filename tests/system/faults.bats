#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What happens to the others when a client, the back end or the hypervisor ends in mid-run.

load lib

# The endless client ends within five seconds, with a clear error and consistent files.
client_ends_clearly() {
	wait_for_end "$CLIENT" 5
	[ "$status" -eq 1 ]
	[ ! -s client.out ]
	collect_client_errors
	has "the service has failed the request or is gone"
	has "requests were answered"
	run -0 files_are_consistent "$CLIENT"
}

# What the back end holds of its guests: grant maps and ports.
back_end_holdings() {
	control domain-list | sed -n 's/.*name=blkback .*\(maps=[0-9]*\) \(ports=[0-9]*\).*/\1 \2/p'
}

back_end_holds() { # HOLDINGS
	[ "$(back_end_holdings)" = "$1" ]
}

no_client_left() {
	run ! grep -q kind=guest <(control domain-list)
}

@test "faults: a client that is killed gives everything back, and the others go on" {
	start_service
	before=$(back_end_holdings)
	[ -n "$before" ]
	start_client out 2 30000
	other=$CLIENT
	for i in 1 2 3; do
		start_endless_client 8
		kill -9 "$CLIENT"
		wait_for_end "$CLIENT" "$BOUND"
		exec {CLIENT_ERR}<&-
	done
	wait "$other"
	run -0 files_are_consistent "$other"
	eventually no_client_left
	eventually back_end_holds "$before"
	run -0 client 2 1000
	ends_in_order
}

@test "faults: what a killed client has in both files is right" {
	start_service
	start_endless_client 8
	kill -9 "$CLIENT"
	wait_for_end "$CLIENT" "$BOUND"
	# Either file may be ahead by what was being appended.
	lines=$(wc -l <"sectors.$CLIENT")
	records=$(($(stat -c %s "read.$CLIENT") / 512))
	common=$((lines < records ? lines : records))
	head -n "$common" "sectors.$CLIENT" >sectors
	head -c $((common * 512)) "read.$CLIENT" >read
	run -0 integrity disk1.img sectors read
	ends_in_order
}

@test "faults: a client that stops answering does not keep the service from ending" {
	start_service
	start_endless_client 4
	kill -STOP "$CLIENT"
	run -0 service stop
	kill -CONT "$CLIENT"
	client_ends_clearly
	nothing_runs
}

@test "faults: a client ends clearly when the service is stopped" {
	start_service
	start_endless_client 8
	run -0 service stop
	client_ends_clearly
	nothing_runs
}

@test "faults: a client ends clearly when the back end is killed" {
	start_service
	start_endless_client 8
	kill -9 $(pids_of blkback)
	client_ends_clearly
}

@test "faults: a client ends clearly when the hypervisor is killed" {
	start_service
	start_endless_client 8
	kill -9 $(pids_of ringfenced)
	client_ends_clearly
	eventually nothing_runs
}

@test "faults: a client ends clearly when everything is killed" {
	start_service
	start_endless_client 8
	kill -9 $(pids_of blkback) $(pids_of ringfenced)
	client_ends_clearly
}

@test "faults: after the back end was killed, new clients are served" {
	start_service
	run -0 client 1 10
	kill -9 $(pids_of blkback)
	eventually client 2 500
	ends_in_order
}

@test "faults: several clients end clearly when the service is stopped" {
	start_service
	pids=
	for threads in 1 4 16; do
		start_endless_client "$threads"
		pids+=" $CLIENT:$CLIENT_ERR"
	done
	run -0 service stop
	for pair in $pids; do
		CLIENT=${pair%:*}
		CLIENT_ERR=${pair#*:}
		client_ends_clearly
	done
}

@test "faults: thirty-two clients at once" {
	start_service
	pids=
	for i in $(seq 32); do
		start_client "out.$i" 2 500
		pids+=" $CLIENT"
	done
	for pid in $pids; do
		wait "$pid"
		run -0 files_are_consistent "$pid"
		has "500 of 500 records match"
	done
	[ "$(cat out.* | wc -l)" -eq 32 ]
	run -0 service stop
	has "requests: 16000 "
	[ "$(grep -c '^client-[0-9]* *500 ' <<<"$output")" -eq 32 ]
	nothing_runs
}

@test "faults: clients that come and go leave nothing behind" {
	start_service
	before=$(back_end_holdings)
	for i in $(seq 20); do
		client 1 5 >out
	done
	eventually no_client_left
	eventually back_end_holds "$before"
	ends_in_order
}

@test "faults: the image becomes shorter under a client" {
	start_service --cache=0
	start_endless_client 2
	truncate -s 512 disk1.img
	wait_for_end "$CLIENT" "$BOUND"
	[ "$status" -eq 1 ]
	collect_client_errors
	has "failed: Input/output error"
	run -0 service status
	ends_in_order
}
