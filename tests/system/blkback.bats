#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The block back end against front ends that lie, die and flood, and against ones that write.

load lib
load lib_blkback

# ---- requests ----

@test "blkback: wrong requests get an error, good ones between them are served" {
	start_back_end --cache=1M
	control disk-define name=null-ro target=null:16M mode=r backend=blkback
	for persistent in 0 1; do
		run -0 hostile blkfront_requests disk1 r "$persistent"
		run -0 hostile blkfront_requests rw w "$persistent"
		run -0 hostile blkfront_requests null w "$persistent"
		# Nothing but the check keeps a write off this one.
		run -0 hostile blkfront_requests null-ro r "$persistent"
	done
	unharmed
}

@test "blkback: after I/O errors everything is given back" {
	for options in --aio=uring --aio=threads; do
		start_back_end "$options"
		for persistent in 0 1; do
			start_hostile blkfront_ring failing disk1 "$persistent"
			truncate -s 2M disk1.img
			echo >&"$HOSTILE_IN"
			wait "$HOSTILE"
			exec {HOSTILE_IN}>&-
			truncate -s 4M disk1.img
			unharmed
		done
		control shutdown
		eventually nothing_runs
		unset BACK_END
	done
}

@test "blkback: a disk with logical sectors of 4096 bytes takes no smaller requests" {
	[ "$(id -u)" -eq 0 ] || skip "needs to make a loop device"
	start_back_end --cache=1M --cache-block=512
	make_image loop.img 8
	LOOP=$(losetup --show -f -b 4096 loop.img) || skip "may not make a loop device"
	control disk-define name=loop target="$LOOP" mode=w backend=blkback
	for persistent in 0 1; do
		run -0 hostile blkfront_requests loop 4k "$persistent"
	done
	unharmed
}

# ---- rings ----

# While a normal client reads; afterwards that one's records are right.
beside_a_client() { # COMMAND...
	local reader
	start_client out.beside 2 20000
	reader=$CLIENT
	run -0 "$@"
	wait "$reader"
	run -0 files_are_consistent "$reader"
	unharmed
}

@test "blkback: a producer index that makes no sense closes that device" {
	start_back_end --cache=1M
	beside_a_client hostile blkfront_ring index disk1 1
	beside_a_client hostile blkfront_ring index rw 0
}

@test "blkback: requests that are rewritten while they are taken (XSA-155)" {
	start_back_end --cache=1M
	beside_a_client hostile blkfront_ring toctou disk1 1 300
	beside_a_client hostile blkfront_ring toctou disk1 0 100
	beside_a_client hostile blkfront_ring toctou rw 1 100
}

@test "blkback: a ring page that is scribbled over all the time (XSA-155)" {
	start_back_end --cache=1M
	beside_a_client hostile blkfront_ring scribble disk1 1 40
	beside_a_client hostile blkfront_ring scribble rw 0 20
}

@test "blkback: a storm of events does not stop the others (XSA-332, XSA-391)" {
	for policy in adaptive event iddr; do
		start_back_end --policy="$policy"
		beside_a_client hostile blkfront_ring storm disk1 1 100000
		control shutdown
		eventually nothing_runs
		unset BACK_END
	done
}

@test "blkback: a front end's status word decides what it is told, and harms nobody" {
	start_back_end --policy=iddr
	beside_a_client hostile blkfront_status disk1 1
	beside_a_client hostile blkfront_ring scribble disk1 1 20
	control shutdown
	eventually nothing_runs
	unset BACK_END
	start_back_end --policy=event
	beside_a_client hostile blkfront_status disk1 0
}

@test "blkback: every policy of one end goes with every policy of the other" {
	for policy in adaptive event spin iddr; do
		start_back_end --policy="$policy"
		for wait in adaptive event spin iddr; do
			run -0 client --wait="$wait" 3 600
			run -0 files_are_consistent "$(newest_client)"
			rm -f sectors.* read.*
		done
		unharmed
		control shutdown
		eventually nothing_runs
		unset BACK_END
	done
}

@test "blkback: a front end that takes no answers does not stop the others" {
	start_back_end
	start_hostile blkfront_ring mute disk1 1
	run -0 client 2 2000
	kill_hostile
	unharmed
}

@test "blkback: pages that are taken back while requests on them are in flight" {
	start_back_end
	beside_a_client hostile blkfront_ring unshare disk1 0 300
	beside_a_client hostile blkfront_ring unshare disk1 1 300
}

@test "blkback: front ends killed in mid-request leave nothing behind" {
	start_back_end
	for i in $(seq 16); do
		start_hostile blkfront_ring busy "$([ $((i % 4)) -eq 0 ] && echo rw || echo disk1)" $((i % 2))
		kill_hostile
	done
	unharmed
}

@test "blkback: domains that come and go under I/O (XSA-350)" {
	start_back_end
	start_client out.beside 2 20000
	reader=$CLIENT
	for i in $(seq 10); do
		pids=
		for persistent in 0 1 0 1; do
			hostile blkfront_ring busy disk1 "$persistent" >"ready.$persistent" &
			pids+=" $!"
		done
		kill -9 $pids
		wait $pids || true
	done
	wait "$reader"
	run -0 files_are_consistent "$reader"
	# timeout was killed, not what it runs.
	for pid in $(pids_of_hostiles); do
		kill -9 "$pid"
	done
	unharmed
}

pids_of_hostiles() {
	local dir
	for dir in $(grep -lszF "RINGFENCE_RUN=$WORK/" /proc/[0-9]*/environ); do
		dir=${dir%/environ}
		[[ $(readlink "$dir/exe" 2>/dev/null) == "$RF_TEST"/hostile/* ]] && echo "${dir#/proc/}"
	done
	return 0
}

# ---- the handshake ----

@test "blkback: nonsense in the handshake closes that device, which can come again" {
	start_back_end
	beside_a_client hostile blkfront_handshake nonsense disk1
}

@test "blkback: states in an odd order" {
	start_back_end
	for i in 1 2 3; do
		beside_a_client hostile blkfront_handshake states disk1 300
	done
}

@test "blkback: connecting and parting with a full ring, again and again (XSA-350)" {
	start_back_end --cache=1M
	beside_a_client hostile blkfront_handshake cycle disk1 40
	beside_a_client hostile blkfront_handshake hurry rw 20
}

@test "blkback: a front end that rewrites its nodes costs no memory, and the log stays short" {
	start_back_end
	run -0 client 2 100
	size=$(awk '/VmRSS/ { print $2 }' "/proc/$(pids_of blkback)/status")
	beside_a_client hostile blkfront_handshake rewrite disk1 30000
	grown=$(($(awk '/VmRSS/ { print $2 }' "/proc/$(pids_of blkback)/status") - size))
	echo "grown by $grown KiB"
	# A backlog of events would be many times that.
	ldd "$RF_BIN/blkback" | grep -q "lib[at]san" || [ "$grown" -lt 4096 ]
	beside_a_client hostile blkfront_handshake cycle disk1 200
	[ "$(grep -c "blkback:.*device" "$RINGFENCE_RUN/ringfenced.log")" -lt 100 ]
}

@test "blkback: every ring size, persistent grants or not, and more of them than are kept" {
	start_back_end --cache=1M
	beside_a_client hostile blkfront_handshake orders disk1
}

# ---- writing ----

@test "blkback: what several domains write is in the image and is read by others" {
	start_back_end --cache=1M
	pids=
	for i in 0 1 2 3; do
		hostile blkfront_writer write rw $((i * 4000)) 4000 1500 "$i" &
		pids+=" $!"
	done
	for pid in $pids; do
		wait "$pid"
	done
	for i in 0 1 2 3; do
		run -0 hostile blkfront_writer verify rw $((i * 4000)) 4000 1500 "$i"
		run -0 hostile blkfront_writer file rw.img $((i * 4000)) 4000 1500 "$i"
	done
	unharmed
}

@test "blkback: after a write nobody reads what was there before" {
	start_back_end --cache=1M --workers=3
	run -0 hostile blkfront_writer coherence rw 1000
	control shutdown
	eventually nothing_runs
	unset BACK_END
	start_back_end --cache=512 --cache-block=512
	run -0 hostile blkfront_writer coherence rw 400
	unharmed
}

@test "blkback: the null disk takes everything" {
	start_back_end --cache=1M
	pids=
	for i in 1 2 3 4; do
		hostile blkfront_writer null null 2000 &
		pids+=" $!"
	done
	for pid in $pids; do
		wait "$pid"
	done
	eventually no_guest_left
	# It has no contents that could be cached: a fill would give out what is in our memory.
	eventually total_is_above reads 3000
	line=$(stats_of '^backend=blkback requests')
	[ "$(figure "$line" cache_hits)" -eq 0 ]
	[ "$(figure "$line" cache_misses)" -eq 0 ]
	unharmed
}

@test "blkback: an image cannot be had writable and read-only at once" {
	start_back_end
	control disk-define name=again target="$WORK/rw.img" mode=r backend=blkback
	start_hostile blkfront_ring busy rw 1
	run -1 hostile blkfront_writer null again 1
	has "cannot open the disk"
	kill_hostile
	unharmed
}

# ---- without io_uring, and other options ----

@test "blkback: everything works on a pool of threads" {
	start_back_end --aio=threads --cache=64K
	run -0 hostile blkfront_requests disk1 r 1
	run -0 hostile blkfront_requests rw w 0
	run -0 hostile blkfront_ring scribble disk1 1 10
	run -0 hostile blkfront_handshake cycle disk1 20
	run -0 hostile blkfront_writer write rw 0 4000 1000 1
	run -0 hostile blkfront_writer verify rw 0 4000 1000 1
	run -0 hostile blkfront_writer coherence rw 200
	unharmed
}

without_uring() {
	"$RF_TEST/hostile/without_uring" "$@"
}

without_uring_as_nobody() {
	as_nobody "$RF_TEST/hostile/without_uring" "$@"
}

@test "blkback: where io_uring is forbidden it says so and uses threads" {
	start_back_end_by without_uring
	run -0 hostile blkfront_writer write rw 0 4000 500 1
	unharmed
	grep -q "io_uring is not available (Operation not permitted)" "$RINGFENCE_RUN/ringfenced.log"
}

@test "blkback: the same as a user without rights" {
	chmod 777 "$WORK"
	as_nobody test -x "$RF_BIN/blkback" || skip "the programs are in a folder that others cannot enter"
	start_back_end_by without_uring_as_nobody
	run -0 hostile blkfront_writer write rw 0 4000 500 1
	unharmed
	grep -q "io_uring is not available" "$RINGFENCE_RUN/ringfenced.log"
}

@test "blkback: every policy serves, with one worker and with more" {
	for options in "--policy=event" "--policy=spin --workers=2" "--policy=iddr --workers=2" "--policy=event --workers=3 --window=1"; do
		# shellcheck disable=SC2086 # a list
		start_back_end $options
		pids=
		for i in 1 2 3; do
			start_client "out.$i" 4 2000
			pids+=" $CLIENT"
		done
		for pid in $pids; do
			wait "$pid"
			run -0 files_are_consistent "$pid"
		done
		unharmed
		control shutdown
		eventually nothing_runs
		unset BACK_END
	done
}

@test "blkback: the cache keeps to its percentage of the image" {
	for options in "1% 20000 41943" "0.5% 10000 20971"; do
		read -r part min max <<<"$options"
		start_back_end --image="$WORK/disk1.img" --cache="$part" --cache-block=512
		run -0 client 4 20000
		eventually no_guest_left
		eventually cache_is_between "$min" "$max"
		unharmed
		control shutdown
		eventually nothing_runs
		unset BACK_END
	done
}

@test "blkback: a cache of 16 KiB works, by any block" {
	for block in 512 4096; do
		start_back_end --image="$WORK/disk1.img" --cache=16K --cache-block="$block"
		run -0 client 4 10000
		run -0 files_are_consistent "$(newest_client)"
		eventually no_guest_left
		eventually cache_is_between 16384 16384
		line=$(stats_of 'domain=')
		[ "$(figure "$line" cache_hits)" -gt 0 ]
		unharmed
		control shutdown
		eventually nothing_runs
		unset BACK_END
	done
}

cache_is_between() { # MIN MAX
	local bytes
	bytes=$(figure "$(stats_of '^backend=blkback requests')" cache_bytes)
	echo "cache holds $bytes"
	[ "$bytes" -ge "$1" ] && [ "$bytes" -le "$2" ]
}

# ---- figures ----

@test "blkback: the figures are those of what was done" {
	start_back_end --cache=1M --cache-block=512
	[ "$(store /local/domain/1/data/ready)" = 1 ]
	run -0 client 1 500
	eventually stats_of 'domain=.*state=closed'
	line=$(stats_of 'domain=')
	# The client also reads nothing else.
	[ "$(figure "$line" reads)" -eq 500 ]
	[ "$(figure "$line" requests)" -eq 500 ]
	[ "$(figure "$line" read_sectors)" -eq 500 ]
	[ "$(figure "$line" writes)" -eq 0 ]
	[ "$(figure "$line" errors)" -eq 0 ]
	[ $(($(figure "$line" cache_hits) + $(figure "$line" cache_misses))) -eq 500 ]
	# Each sector misses once at least, and then never again: there is room for a quarter.
	[ "$(figure "$line" cache_misses)" -ge "$(cut -d' ' -f1 sectors.* | sort -u | wc -l)" ]
	eventually activity_is_published
	eventually total_is reads 500
	run -0 client 1 100
	eventually total_is reads 600
	run -0 hostile blkfront_requests disk1 r 1
	eventually no_guest_left
	eventually errors_are_counted
	unharmed
}

activity_is_published() {
	[ "$(store /local/domain/1/data/activity)" -ge 1 ]
}

total_is() { # KEY VALUE
	[ "$(figure "$(stats_of '^backend=blkback requests')" "$1")" -eq "$2" ]
}

total_is_above() { # KEY VALUE
	[ "$(figure "$(stats_of '^backend=blkback requests')" "$1")" -gt "$2" ]
}

errors_are_counted() {
	[ "$(figure "$(stats_of '^backend=blkback requests')" errors)" -gt 250 ]
}

@test "blkback: a device that connects again goes on counting" {
	start_back_end
	run -0 hostile blkfront_handshake cycle disk1 20
	eventually no_guest_left
	# 4 times each order, 32 to 512 slots, and three pages at the end.
	[ "$(stats_of 'domain=' | wc -l)" -eq 1 ]
	eventually counted_all_cycles
	unharmed
}

counted_all_cycles() {
	local reads
	reads=$(figure "$(stats_of 'domain=')" reads)
	# Parting may leave requests on the ring.
	[ "$reads" -gt 32 ]
}

@test "blkback: the figures of disks that are gone do not fill the store" {
	start_back_end
	for i in $(seq 300); do
		hostile blkfront_writer null null 1
	done
	eventually no_guest_left
	nodes=$(control stats | grep -c "domain=")
	[ "$nodes" -ge 128 ]
	[ "$nodes" -le 257 ]
	# The latest is among them.
	control stats | grep -q "domain=301 "
	unharmed
}

# ---- the command line ----

@test "blkback: wrong arguments have status 2 and say what is wrong" {
	for args in "--nonsense" "extra" "--cache=x" "--cache=-1" "--cache-block=100" "--cache-block=8192" \
		"--cache-block=768" "--cache=101%" "--cache=1.%" "--cache=1%%" "--policy=lazy" "--workers=0" "--workers=65" \
		"--workers=" "--window=0" "--aio=none" "--log-level=loud" "-z" "--image" "--cache"; do
		# shellcheck disable=SC2086 # a list
		run -2 "$RF_BIN/blkback" $args
		has "blkback: "
		has "Try 'blkback --help'."
	done
}

@test "blkback: outside of a domain it says so" {
	XENSTORED_PATH=/nonexistent run -1 "$RF_BIN/blkback"
	has "is this process a domain?"
}

@test "blkback: an image that is to be kept must be there" {
	make_image disk1.img 1
	"$RF_BIN/ringfenced" --daemon --idle-timeout=0 3>&-
	run control driver-start name=blkback program="$RF_BIN/blkback" arg=--image=/nonexistent
	[ "$status" -ne 0 ]
	grep -q "cannot open /nonexistent: No such file or directory" "$RINGFENCE_RUN/ringfenced.log"
	run -0 control driver-start name=other program="$RF_BIN/blkback" arg=--image="$WORK/disk1.img"
}

@test "blkback: help and manual page name the same options" {
	[[ "$("$RF_BIN/blkback" --version)" == "blkback "* ]]
	help=$("$RF_BIN/blkback" --help | grep -o -e '--[a-z][a-z-]*' | sort -u)
	man=$(sed 's/\\-/-/g; s/\\f.//g' "$ROOT/docs/man/blkback.8" | grep -o -e '--[a-z][a-z-]*' | sort -u)
	[ -n "$help" ]
	diff <(echo "$help") <(echo "$man")
}
