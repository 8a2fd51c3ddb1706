#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# examples/disk: libringfence from outside, against the real back end.

load lib
load lib_blkback

DISK=$RF_BIN/../build/examples/disk

# As a domain of its own; the disk is `rw` unless ON says otherwise.
disk() { # [ARGUMENT]...
	timeout "$BOUND" "$RF_BIN/ringfence" exec --disk="${ON:-rw}" -- "$DISK" "$@" 3>&-
}

info_of() { # KEY [OPTION]...
	disk "${@:2}" --json info | json_get "$1"
}

@test "disk: info tells what was agreed, for people and for programs" {
	start_back_end
	run -0 disk info
	has "sectors: 16384"
	has "read_only: no"
	has "queues: 1"
	[ "$(info_of sectors)" -eq 16384 ]
	[ "$(info_of bytes)" -eq $((8 << 20)) ]
	[ "$(info_of flush)" = true ]
	[ "$(ON=disk1 info_of read_only)" = true ]
	[ "$(info_of queues -t 60)" -eq 1 ]
	echo "max_segments=$(info_of max_segments) queues=$(info_of queues -q 4) of 4"
}

@test "disk: read writes the whole disk, or a part of it, to its output" {
	start_back_end
	disk read >all
	cmp all rw.img
	for range in "0 1" "16383 1" "5 2000" "100 0" "1 16383"; do
		# shellcheck disable=SC2086 # two numbers
		set -- $range
		disk read "$1" "$2" >part
		cmp part <(dd if=rw.img bs=512 skip="$1" count="$2" 2>/dev/null)
	done
	run -1 disk read 16384 1
	has "the disk ends before that"
	run -1 disk read 0 18446744073709551615
	has "the disk ends before that"
}

@test "disk: read ends in order when nobody wants its output any more" {
	start_back_end
	disk read 2>err | head -c 1 >first || true
	cmp -n 1 first rw.img
	grep 'cannot write to standard output' err
}

@test "disk: write puts its input where it belongs, and nothing else changes" {
	start_back_end
	cp rw.img expected
	head -c $((3000 * 512)) /dev/urandom >in
	dd if=in of=expected bs=512 seek=7 conv=notrunc 2>/dev/null
	disk write 7 <in
	cmp rw.img expected
	disk read 7 3000 | cmp - in
	# From a pipe that comes in pieces.
	{ head -c 1000 in; sleep 0.1; tail -c +1001 in; } | disk write
	cmp -n $((3000 * 512)) rw.img in
}

@test "disk: write refuses what does not fit" {
	start_back_end
	head -c 700 /dev/urandom >in
	run -1 disk write 0 <in
	has "ends inside a sector"
	cmp -n 512 rw.img in
	head -c 1024 /dev/urandom >in
	run -1 disk write 16383 <in
	has "the disk ends before that"
	ON=disk1
	run -1 disk write <in
	has "read-only"
	run -1 disk discard 0 8
	has "the back end does not offer that"
}

@test "disk: verify finds its data, on one queue and on several" {
	start_back_end
	run -0 disk verify 1 400
	has "verified 400 writes"
	run -0 disk -q 4 verify 2 400
	has "verified 400 writes"
	run -0 disk -q 3 -w event verify 3 200
	has "verified 200 writes"
	run -0 disk verify 4 3
	has "verified 3 writes"
}

@test "disk: verify notices a disk that does not keep what it gets" {
	start_back_end
	ON=null
	run -4 disk verify 1 100
	has "is not what write"
}

@test "disk: discarded sectors read as zeroes" {
	start_back_end
	disk discard 8 16
	disk read 8 16 | cmp - <(head -c $((16 * 512)) /dev/zero)
	run -1 disk discard 16000 1000
	has "the disk ends before that"
}

@test "disk: rate prints one line" {
	start_back_end
	ON=null
	run -0 disk rate read 4096 8 1
	matches "^read 4096 bytes, 8 outstanding on each of 1 queues: [0-9]+ requests/s, [0-9.]+ MB/s$"
	run -0 disk -q 4 rate write 512 32 1
	matches "^write 512 bytes, 32 outstanding on each of [0-9]+ queues: [0-9]+ requests/s"
	run -1 disk rate read 700 1 1
	has "the disk's sectors have 512"
}

# Starts `disk hold` beside the test; returns once it has the disk. Its output goes to hold.out.
start_holding() {
	"$RF_BIN/ringfence" exec --disk=rw -- "$DISK" hold >hold.out 2>hold.err 3>&- &
	HOLDER=$!
	eventually grep -q holding hold.out
}

@test "disk: hold ends with a signal" {
	start_back_end
	start_holding
	kill "$HOLDER"
	wait_for_end "$HOLDER" "$BOUND"
	[ "$status" -eq 0 ]
	grep "ended by a signal after" hold.out
}

@test "disk: hold tells a new size" {
	start_back_end
	start_holding
	truncate -s 12M rw.img
	eventually grep -qx 'now 24576 sectors' hold.out
	kill "$HOLDER"
	wait_for_end "$HOLDER" "$BOUND"
	[ "$status" -eq 0 ]
}

@test "disk: hold ends with the disk" {
	start_back_end
	start_holding
	control driver-stop name=blkback
	wait_for_end "$HOLDER" "$BOUND"
	[ "$status" -eq 1 ]
	grep "the disk went away after" hold.out
	[ "$(wc -l <hold.err)" -ge 1 ]
}

@test "disk: what cannot be opened is told, with what to do" {
	start_back_end
	run -3 disk -d xvdz info
	has "no such disk"
	run -3 env RINGFENCE_HYPERCALL=/nowhere XENSTORED_PATH=/nowhere "$DISK" info
	has "ringfence exec"
	has "/dev/xen/xenbus"
	# A store, but no hypervisor: grants come first.
	run -3 "$RF_BIN/ringfence" exec --disk=rw -- env RINGFENCE_HYPERCALL=/nowhere "$DISK" info
	has "xen-gntalloc"
}

@test "disk: wrong usage has status 2" {
	for bad in "" "nope" "read 1" "read 1 2 3" "write x" "verify 1" "discard 1" "rate read 512 1" \
		"rate both 512 1 1" "rate read 512 0 1" "rate read 512 513 1" "hold 1" "-q 0 info" \
		"-q 17 info" "-w soon info" "-t 0 info" "--nope" "read -1 5"; do
		# shellcheck disable=SC2086 # several words
		run -2 "$DISK" $bad
	done
	run -0 "$DISK" --help
	has "Usage: disk"
}

@test "disk: its help and its manual page name the same commands and options" {
	help=$("$DISK" --help | grep -oE -e '--[a-z]+|^  [a-z]+' | tr -d ' ' | sort -u)
	man=$(sed 's/\\-/-/g; s/\\f.//g' "$ROOT/docs/man/disk.1" | grep -oE -e '--[a-z]+|^\.B [a-z]+$|^\.BI "?(read|write|verify|discard|rate)' |
		sed 's/^\.BI\{0,1\} "\{0,1\}//' | sort -u)
	[ -n "$help" ]
	for word in $help; do
		grep -qxe "$word" <<<"$man" || {
			echo "$word is not in disk.1"
			return 1
		}
	done
}

@test "disk: it is linked with Xen's libraries as the system has them" {
	run -0 readelf -d "$DISK"
	[[ $output != *RUNPATH* && $output != *RPATH* ]]
	has "libxengnttab.so.1"
}
