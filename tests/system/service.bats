#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# service: starting, showing and stopping; bad images, bad arguments, bad states.

load lib

@test "service: start says what is served" {
	run -0 start_service
	has "serving $WORK/disk1.img (8192 sectors, cache 41472 bytes) in $RINGFENCE_RUN"
	ends_in_order
}

@test "service: start returns when clients can connect" {
	for i in 1 2 3; do
		start_service
		run -0 client 1 1
		run -0 service stop
	done
}

@test "service: start leaves the folder and the caller's descriptors alone" {
	mkdir folder
	make_image folder/disk1.img 4
	mkfifo pipe
	exec {held}<>pipe
	(cd folder && service start)
	exec {held}<&-
	for pid in $(pids_of); do
		[ "$(readlink "/proc/$pid/cwd")" != "$WORK/folder" ]
		run ! grep -qxF "$WORK/pipe" <(readlink "/proc/$pid/fd"/*)
	done
	ends_in_order
}

@test "service: the image may have any name" {
	make_image "a disk image=1 mode=w.img" 4
	run -0 service start --image="a disk image=1 mode=w.img"
	run -0 client 1 100
	run -0 service status
	has "image: $WORK/a disk image=1 mode=w.img"
	run -0 service stop
	has "served $WORK/a disk image=1 mode=w.img"
}

@test "service: two runtime directories, two services" {
	make_image first.img 4
	make_image second.img 5
	service start --image=first.img
	RINGFENCE_RUN=$WORK/other service start --image=second.img
	RINGFENCE_RUN=$WORK/other run -0 service status
	has "image: $WORK/second.img"
	run -0 service status
	has "image: $WORK/first.img"
	RINGFENCE_RUN=$WORK/other run -0 service stop
	run -0 client 1 10
	ends_in_order
}

# ---- status and stop ----

@test "service: status tells who is connected and what was done" {
	start_service
	start_endless_client 2
	run -0 service status
	has "running in $RINGFENCE_RUN, pid $(cat "$RINGFENCE_RUN/lock")"
	has "image: $WORK/disk1.img"
	has "clients now: 1"
	kill "$CLIENT"
	wait_for_end "$CLIENT" "$BOUND"
	ends_in_order
}

@test "service: status and stop as JSON" {
	start_service
	client 2 500 >out
	run -0 service status --json
	[ "$(json_get running <<<"$output")" = true ]
	[ "$(json_get image <<<"$output")" = "$WORK/disk1.img" ]
	run -0 service stop --json
	[ "$(json_get requests <<<"$output")" -eq 500 ]
	[ "$(json_get clients <<<"$output" | perl -MJSON::PP -e 'print decode_json(<>)->[0]{requests}')" -eq 500 ]
	run -0 json_get clients <<<"$output"
	run -0 perl -MJSON::PP -e 'my $c = decode_json(<>)->[0];
		printf "%.6f %.6f", $c->{cache_hit_ratio}, $c->{cache_hits} / 500' <<<"$output"
	[ "${output% *}" = "${output#* }" ]
	run -3 service status --json
	[ "$(json_get running <<<"$output")" = false ]
}

@test "service: status and stop without a service say so, with status 3" {
	run -3 service status
	has "not running"
	run -3 service stop
	has "no service is running in $RINGFENCE_RUN"
	[ ! -e "$RINGFENCE_RUN" ]
}

@test "service: stop ends every process and removes the sockets" {
	start_service
	[ -n "$(pids_of ringfenced)" ]
	[ -n "$(pids_of blkback)" ]
	run -0 service stop
	nothing_runs
	no_sockets_left
	run -3 service stop
}

@test "service: stop ends a hypervisor that hangs" {
	start_service
	kill -STOP $(pids_of ringfenced)
	run -1 service stop --timeout=1
	has "did not end in time; killing it"
	nothing_runs
	no_sockets_left
	run -0 start_service
	ends_in_order
}

@test "service: stop ends a back end that hangs" {
	start_service
	kill -STOP $(pids_of blkback)
	run service stop --timeout=20
	nothing_runs
	no_sockets_left
}

# ---- in the foreground ----

@test "service: in the foreground it stays until a signal, then ends in order" {
	make_image disk1.img 4
	mkfifo pipe
	exec {pipe}<>pipe
	"$RF_BIN/service" start --foreground >&"$pipe" 2>err 3>&- &
	pid=$!
	read -r -t "$BOUND" -u "$pipe" output
	has "serving $WORK/disk1.img"
	client 2 500 >out
	kill -INT "$pid"
	wait_for_end "$pid" "$BOUND"
	[ "$status" -eq 0 ]
	echo END >&"$pipe"
	output=$(sed '/^END$/q' <&"$pipe")
	has "requests: 500 "
	has "cache hit ratio"
	nothing_runs
	no_sockets_left
}

@test "service: in the foreground it ends when another one is told to stop it" {
	make_image disk1.img 4
	mkfifo pipe
	exec {pipe}<>pipe
	"$RF_BIN/service" start --foreground >&"$pipe" 2>err 3>&- &
	pid=$!
	read -r -t "$BOUND" -u "$pipe" output
	run -0 service stop
	wait_for_end "$pid" "$BOUND"
	[ "$status" -eq 0 ]
}

@test "service: killed in the foreground, it leaves nothing behind that runs" {
	make_image disk1.img 4
	mkfifo pipe
	exec {pipe}<>pipe
	"$RF_BIN/service" start --foreground >&"$pipe" 2>err 3>&- &
	pid=$!
	read -r -t "$BOUND" -u "$pipe" output
	kill -9 "$pid"
	eventually nothing_runs
}

# ---- images ----

@test "service: no image" {
	run -1 service start
	has "there is no image disk1.img; make one"
	nothing_runs
}

@test "service: an empty image" {
	: >disk1.img
	run -1 service start
	has "the image disk1.img is empty"
	nothing_runs
}

@test "service: an image whose size is no multiple of 512" {
	head -c 1000 /dev/urandom >disk1.img
	run -1 service start
	has "has 1000 bytes, which is no multiple of 512"
	nothing_runs
}

@test "service: an image on a file system without O_DIRECT" {
	# A regular file of 4096 bytes that anybody may read.
	run -1 service start --image=/sys/class/net/lo/mtu
	has "file system without direct I/O (O_DIRECT)"
	nothing_runs
}

@test "service: an image that may not be read" {
	copy_programs
	make_image disk1.img 1
	chmod 000 disk1.img
	run -1 as_nobody env RINGFENCE_RUN="$WORK/nobody" tree/bin/service start
	has "disk1.img cannot be read: Permission denied"
	nothing_runs
}

@test "service: an image that is a folder, a pipe or a device" {
	mkfifo pipe
	run -1 service start --image=.
	has "is a directory"
	run -1 service start --image=pipe
	has "is a pipe"
	run -1 service start --image=/dev/null
	has "is a character device"
	nothing_runs
}

@test "service: an image path with a control character" {
	make_image $'disk\n1.img' 1
	run -1 service start --image=$'disk\n1.img'
	has "control character"
	nothing_runs
}

# ---- the cache ----

@test "service: a cache of more than 1 % is refused, with the most that is allowed" {
	make_image disk1.img 4
	run -1 service start --cache=41944
	has "the most for this one is 41943 bytes"
	nothing_runs
	run -0 service start --cache=41943
	has "cache 41472 bytes"
	ends_in_order
}

@test "service: the cache can be turned off" {
	run -0 start_service --cache=0
	has "cache 0 bytes"
	client 2 500 >out
	run -0 service stop
	has "requests: 500 "
	has "cache hit ratio: none (no cache)"
}

# ---- states ----

@test "service: started twice, the second one says so and the first one goes on" {
	start_service
	make_image other.img 1
	run -1 service start --image=other.img
	has "already running in $RINGFENCE_RUN, serving $WORK/disk1.img"
	run -0 client 1 100
	ends_in_order
}

@test "service: of many starts at once, one wins and it serves" {
	make_image disk1.img 4
	pids=
	for i in 1 2 3 4 5 6; do
		service start >"out.$i" 2>"err.$i" &
		pids+=" $!"
	done
	won=0
	for pid in $pids; do
		if wait "$pid"; then
			won=$((won + 1))
		fi
	done
	[ "$won" -eq 1 ]
	run -0 client 1 100
	ends_in_order
}

@test "service: starts in a runtime directory that a killed service left behind" {
	start_service
	pids=$(pids_of)
	kill -9 $pids
	eventually nothing_runs
	run -3 service status
	run -0 start_service
	run -0 client 1 100
	ends_in_order
}

@test "service: stop cleans up after a killed service" {
	start_service
	kill -9 $(pids_of)
	eventually nothing_runs
	run -3 service stop
	no_sockets_left
}

@test "service: when the hypervisor is killed, the back end does not stay" {
	start_service
	kill -9 $(pids_of ringfenced)
	eventually nothing_runs
}

@test "service: a runtime directory that others can write to is refused" {
	mkdir -m 777 "$RINGFENCE_RUN"
	run -1 start_service
	has "RINGFENCE_RUN"
	nothing_runs
}

@test "service: what was started is ended when the back end does not start" {
	copy_programs
	printf '#!/bin/sh\nexit 7\n' >tree/bin/blkback
	make_image disk1.img 1
	run -1 tree/bin/service start 3>&-
	has "ringfenced.log"
	nothing_runs
	no_sockets_left
}

@test "service: a program that was not built is named" {
	copy_programs
	rm tree/bin/blkback
	make_image disk1.img 1
	run -1 tree/bin/service start
	has "tree/bin/blkback: No such file or directory; is everything built"
	nothing_runs
}

@test "service: an ordinary user can do all of it" {
	[ "$(id -u)" -eq 0 ] || skip "the whole suite shows that already"
	copy_programs
	mkdir mine
	chown 65534:65534 mine
	cd mine
	make_image disk1.img 4
	export RINGFENCE_RUN=$WORK/mine/run
	as_nobody ../tree/bin/service start 3>&-
	as_nobody ../tree/bin/client 4 2000 >../out
	run -0 as_nobody ../tree/bin/service stop
	has "requests: 2000 "
	run -0 integrity disk1.img sectors.* read.*
	nothing_runs
}

# ---- arguments ----

@test "service: wrong arguments have status 2 and start nothing" {
	make_image disk1.img 1
	run -2 service
	has "need a command"
	run -2 service restart
	has "unknown command 'restart'"
	run -2 service start now
	run -2 service start --nope
	has "unknown option"
	run -2 service start --image
	run -2 service start --image=
	run -2 service start --cache=-1
	run -2 service start --cache=1X
	run -2 service start --idle-timeout=-1
	run -2 service start --idle-timeout=5m
	run -2 service start --idle-timeout=99999999999999999999
	run -2 service start --json
	has "start takes no --json"
	run -2 service stop --image=disk1.img
	run -2 service stop --timeout=0
	nothing_runs
}

@test "service: help, version, and the manual agrees" {
	run -0 service --help
	has "Usage: service start"
	run -0 service start --help
	run -0 service --version
	matches '^service \(Ringfence\) [0-9]+\.[0-9]+'
	help_agrees_with_man service
}
