#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Limits on operations and bytes per second, and weights: only that nothing is faster than allowed;
# shares of a busy disk are measured in bench/.

load lib
load lib_blkback

# Microseconds that a command takes.
duration_of() {
	local start=${EPOCHREALTIME/[.,]/}
	"$@"
	DURATION=$((${EPOCHREALTIME/[.,]/} - start))
}

limited_disk() { # KEY=VALUE...
	start_back_end
	control disk-define name=limited target="$WORK/disk1.img" backend=blkback "$@"
}

# A stock tool on our store.
xenstore() {
	XENSTORED_PATH=$RINGFENCE_RUN/xenstored/socket "$@"
}

read_sectors() { # NR
	timeout "$BOUND" "$RF_BIN/ringfence" exec --disk=limited -- \
		"$RF_BIN/../build/examples/disk" read 0 "$1" 3>&- >part
	cmp -n "$(($1 * 512))" part disk1.img
}

@test "limits: bytes per second" {
	limited_disk bps=8000000 bps-burst=65536
	duration_of read_sectors 8192
	# 4 MiB less the burst, and less the last request, of at most 1 MiB, that went into debt.
	[ "$DURATION" -ge 350000 ]
}

@test "limits: operations per second, also of a disk that has several queues" {
	limited_disk iops=200 iops-burst=2
	for queues in 1 4; do
		duration_of timeout "$BOUND" "$RF_BIN/ringfence" exec --disk=limited -- \
			"$RF_BIN/../build/examples/disk" -q "$queues" rate read 512 8 1 3>&- >rate
		rate=$(grep -o '[0-9.]* requests/s' rate | grep -o '^[0-9]*')
		echo "$rate"
		[ "$rate" -le 220 ]
	done
}

# How many reads the statistics of the only guest show.
nr_reads() {
	xenstore xenstore-ls -f /local/domain | grep 'data/stats/vbd' | grep -o ' reads=[0-9]*' | tr -dc 0-9
}

more_than() { # NR COMMAND...
	[ "$("${@:2}")" -gt "$1" ]
}

@test "limits: changed in xenstore while the disk is used" {
	limited_disk iops=5 iops-burst=1
	timeout "$BOUND" "$RF_BIN/ringfence" exec --disk=limited -- \
		"$RF_BIN/../build/examples/disk" hold 3>&- >held &
	reader=$!
	eventually more_than 0 nr_reads
	back=$(xenstore xenstore-ls -f /local/domain | sed -n 's|^\(.*/backend/vbd/.*\)/limit-iops = .*|\1|p')
	[ -n "$back" ]
	xenstore xenstore-write "$back/limit-iops" 0
	# At five a second these would take minutes.
	eventually more_than 2000 nr_reads
	kill "$reader"
	wait "$reader" || true
}

@test "limits: values that make no sense are refused, and say so" {
	start_back_end
	for bad in weight=0 weight=65536 weight=x iops=-1 iops=4294967296 bps=1M bps=0 iops-burst=0; do
		run control disk-define name=limited target="$WORK/disk1.img" backend=blkback "$bad"
		[ "$status" -ne 0 ]
		has "is not a number from 1 to"
	done
	# In xenstore they are left out of account, and the disk works.
	control disk-define name=limited target="$WORK/disk1.img" backend=blkback weight=7 iops=100000
	read_sectors 8
}
