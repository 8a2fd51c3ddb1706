#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The classic exercise: its commands, its formats, its requirements on the service.

# On a disk, as its users would.
TMPDIR=${TMPDIR:-/tmp}

load lib

@test "exercise: the sequence of commands, letter by letter" {
	# A folder that looks like a tree in which make has just run.
	copy_programs
	cd tree
	dd if=/dev/urandom of=disk1.img bs=1M count=8 2>/dev/null
	./bin/service start 3>&-
	./bin/client 4 20000 >out.1 3>&- &
	first=$!
	./bin/client 2 20000 >out.2 3>&- &
	second=$!
	./bin/client 1 5000 >out.3
	wait "$first"
	wait "$second"
	run -0 ./bin/service stop
	has "cache hit ratio: "
	nothing_runs
	for out in out.1 out.2 out.3; do
		[ "$(wc -l <"$out")" -eq 1 ]
		output=$(cat "$out")
		matches '^[0-9]+\|[0-9]+\|[0-9]+\|[0-9]+\.[0-9]\|[0-9]+\.[0-9]$'
	done
	[ "$(ls sectors.* | wc -l)" -eq 3 ]
	[ "$(cat sectors.* | wc -l)" -eq 45000 ]
	for sectors in sectors.*; do
		run -0 ./bin/tool_for_integrity disk1.img "$sectors" "read.${sectors#sectors.}"
		matches '^([0-9]+) of ([0-9]+) records match$'
		[ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ]
	done
}

@test "exercise: the result line is max, average, minimum, deviation and rate, in this order" {
	start_service
	IFS='|' read -r max average minimum deviation rate < <(client 4 5000)
	[ "$minimum" -gt 0 ]
	[ "$minimum" -le "$average" ]
	[ "$average" -le "$max" ]
	perl -e 'exit !($ARGV[0] >= 0 && $ARGV[0] <= $ARGV[1] && $ARGV[2] > 0)' \
		"$deviation" "$max" "$rate"
	ends_in_order
}

@test "exercise: nothing but the result line is printed" {
	start_service
	run -0 client 2 1000
	[ "$(wc -l <<<"$output")" -eq 1 ]
	matches '^[0-9]+\|[0-9]+\|[0-9]+\|[0-9]+\.[0-9]\|[0-9]+\.[0-9]$'
	ends_in_order
}

@test "exercise: the files carry the client's process number and hold what was requested" {
	start_service
	start_client out 3 1234
	pid=$CLIENT
	wait "$pid"
	[ "$(wc -l <"sectors.$pid")" -eq 1234 ]
	[ "$(stat -c %s "read.$pid")" -eq $((1234 * 512)) ]
	run ! grep -qvxE '0|[1-9][0-9]*' "sectors.$pid"
	run -0 integrity disk1.img "sectors.$pid" "read.$pid"
	ends_in_order
}

@test "exercise: every sector is drawn, from the first to the last" {
	head -c 4096 /dev/urandom >disk1.img
	start_service
	client 2 2000 >out
	# One of eight is missed by 2000 uniform draws once in 10^115 runs.
	[ "$(sort -un sectors.* | tr '\n' ' ')" = "0 1 2 3 4 5 6 7 " ]
	ends_in_order
}

@test "exercise: the threads of a client share one ring" {
	start_service
	start_endless_client 8
	export XENSTORED_PATH=$RINGFENCE_RUN/xenstored/socket
	domid=$(control domain-list | sed -n "s/^domid=\([0-9]*\) name=client-$CLIENT .*/\1/p")
	front=/local/domain/$domid/device/vbd
	[ "$(xenstore-list "$front" | wc -l)" -eq 1 ]
	vbd=$(xenstore-list "$front")
	[ "$(xenstore-ls "$front/$vbd" | grep -c 'event-channel = ')" -eq 1 ]
	kill "$CLIENT"
	wait_for_end "$CLIENT" "$BOUND"
	ends_in_order
}

@test "exercise: the image is opened with O_DIRECT" {
	start_service
	start_endless_client 2
	flags=
	back=$(pids_of blkback)
	for fd in "/proc/$back/fd"/*; do
		[ "$(readlink "$fd")" != "$WORK/disk1.img" ] ||
			flags=$(sed -n 's/^flags:\t*//p' "/proc/$back/fdinfo/${fd##*/}")
	done
	perl -MFcntl -e 'exit !(oct($ARGV[0]) & O_DIRECT)' "$flags"
	kill "$CLIENT"
	wait_for_end "$CLIENT" "$BOUND"
	ends_in_order
}

@test "exercise: the cache holds at most 1 % of the image, and its hit ratio is printed" {
	make_image disk1.img 8
	start_service
	client 4 40000 >out
	run -0 service stop --json
	cache_bytes=$(json_get cache_bytes <<<"$output")
	[ "$cache_bytes" -gt 0 ]
	[ "$cache_bytes" -le $((8 * 1048576 / 100)) ]
	# 1 % of the sectors cached, drawn uniformly: about 1 % of the lookups hit.
	hits=$(json_get cache_hits <<<"$output")
	[ "$hits" -gt 0 ]
	[ $((hits + $(json_get cache_misses <<<"$output"))) -eq 40000 ]
	[ "$hits" -lt 1200 ]
}

@test "exercise: stop prints the hit ratio and the counts of each client" {
	start_service
	start_client out.1 4 3000
	first=$CLIENT
	start_client out.2 1 2000
	second=$CLIENT
	wait "$first"
	wait "$second"
	run -0 service stop
	matches 'cache hit ratio: [0-9]+\.[0-9][0-9] % \([0-9]+ of 5000 sectors looked up\)'
	has "requests: 5000 "
	matches "client-$first +3000 +3000 +0 "
	matches "client-$second +2000 +2000 +0 "
}

@test "exercise: the service ends after idle time, with everything it started" {
	start_service --idle-timeout=1
	eventually nothing_runs
	no_sockets_left
	run -3 service status
}

@test "exercise: requests keep the service from ending" {
	start_service --idle-timeout=2
	start_endless_client 1
	# Longer than the idle time in terms of the client's own progress lines, two per second.
	for line in 1 2 3 4 5 6; do
		read -r -t "$BOUND" -u "$CLIENT_ERR" output
		has "requests"
	done
	run -0 service status
	kill "$CLIENT"
	wait_for_end "$CLIENT" "$BOUND"
	ends_in_order
}
