#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# client: arguments, its files, its output.

load lib

@test "client: wrong numbers have status 2, and no file is made" {
	for bad in 0 -1 -5 1025 99999999999999999999999 four 4x 0x4 1e3 4.0 "" " 4" "4 " +4; do
		run -2 client "$bad" 100
		has "NUM_OF_THREADS must be"
	done
	for bad in 0 -1 1000000000001 99999999999999999999999 many 10k 1e6 "" " 5" +5; do
		run -2 client 4 "$bad"
		has "NUM_OF_REQUESTS must be"
	done
	[ -z "$(ls)" ]
}

@test "client: wrong usage has status 2" {
	run -2 client
	run -2 client 4
	run -2 client 4 100 7
	has "need exactly two arguments"
	run -2 client --nope 4 100
	has "unknown option"
	run -2 client --wait=soon 4 100
	has "adaptive, event, spin or iddr"
}

@test "client: without a service it says how to start one, and leaves no file" {
	run -1 client 4 100
	has "the service is not running"
	has "service start"
	[ -z "$(ls)" ]
}

@test "client: with a service that was killed it says the same" {
	start_service
	kill -9 $(pids_of)
	eventually nothing_runs
	run -1 client 4 100
	has "the service is not running"
	[ -z "$(ls sectors.* read.* 2>/dev/null)" ]
}

@test "client: in a folder that cannot be written to it asks nothing of the service" {
	copy_programs
	mkdir closed
	chmod 555 closed
	cd closed
	run -1 as_nobody ../tree/bin/client 4 100
	has "in the current folder: Permission denied"
	has "run the client in a folder that you can write to"
}

@test "client: a full disk ends it with the files cut at the same record" {
	[ "$(id -u)" -eq 0 ] || skip "needs to mount a small file system"
	start_service
	mkdir small
	mount -t tmpfs -o size=1m none small || skip "may not mount"
	MOUNTED=$WORK/small
	cd small
	"$RF_BIN/client" 4 100000 >../out 2>../err 3>&- &
	pid=$!
	wait_for_end "$pid" "$BOUND"
	[ "$status" -eq 1 ]
	[ ! -s ../out ]
	output=$(cat ../err)
	has "No space left on device"
	run -0 files_are_consistent "$pid" ../disk1.img
	has "$(wc -l <"sectors.$pid") of"
	cd "$WORK"
	ends_in_order
}

@test "client: a limit on file sizes ends it with the files cut at the same record" {
	start_service
	(
		ulimit -f 300
		exec "$RF_BIN/client" 4 100000 >out 2>err 3>&-
	) &
	pid=$!
	wait_for_end "$pid" "$BOUND"
	[ "$status" -eq 1 ]
	[ ! -s out ]
	output=$(cat err)
	has "File too large"
	run -0 files_are_consistent "$pid"
	has "600 of 600 records match"
	ends_in_order
}

@test "client: a signal ends it in order, with what was answered in the files" {
	start_service
	for signal in INT TERM HUP; do
		start_endless_client 4
		kill -"$signal" "$CLIENT"
		wait_for_end "$CLIENT" "$BOUND"
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ]
		collect_client_errors
		has "ended early by signal"
		[ ! -s client.out ]
		run -0 files_are_consistent "$CLIENT"
	done
	ends_in_order
}

@test "client: more threads than requests, and the largest number of threads" {
	start_service
	run -0 client 64 3
	run -0 client 1024 5000
	run -0 client 1 1
	matches '^([0-9]+)\|\1\|\1\|0\.0\|'
	[ "$(cat sectors.* | wc -l)" -eq 5004 ]
	ends_in_order
}

@test "client: every way of waiting gives the right answers" {
	start_service
	for policy in adaptive event spin iddr; do
		rm -f sectors.* read.*
		run -0 client --wait="$policy" 2 2000
		run -0 integrity disk1.img sectors.* read.*
		has "2000 of 2000 records match"
	done
	ends_in_order
}

@test "client: an old pair of files of the same number is replaced" {
	start_service
	# The process number is known before the client runs if the shell becomes the client.
	bash -c 'seq 100000 >sectors.$$; seq 100000 >read.$$; echo $$ >pid; exec "$0" 1 50 >out' "$RF_BIN/client" 3>&-
	run -0 files_are_consistent "$(cat pid)"
	has "50 of 50"
	ends_in_order
}

@test "client: a link with the name of its file is not followed" {
	start_service
	echo precious >precious
	run -1 bash -c 'ln -s precious sectors.$$; exec "$0" 1 50' "$RF_BIN/client" 3>&-
	has "cannot create sectors."
	[ "$(cat precious)" = precious ]
	ends_in_order
}

@test "client: --stats prints percentiles and a histogram, on standard error" {
	start_service
	client --stats 2 2000 >out 2>err
	[ "$(wc -l <out)" -eq 1 ]
	grep -qE '^p99 +[0-9]+ ns$' err
	grep -q '%' err
	# The histogram's rows add up to the requests.
	[ "$(awk '/ \.\. / { sum += $5 } END { print sum }' err)" -eq 2000 ]
	ends_in_order
}

@test "client: a result that cannot be written is no success" {
	start_service
	run -1 bash -c '"$0" 1 10 >/dev/full' "$RF_BIN/client" 3>&-
	has "cannot write to standard output"
	ends_in_order
}

@test "client: help, version, and the manual agrees" {
	run -0 client --help
	has "Usage: client"
	run -0 client --version
	matches '^client \(Ringfence\) [0-9]+\.[0-9]+'
	help_agrees_with_man client
}
