#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# ringfenced: its sockets against peers that abuse them, lifetimes, driver domains, command line.

load lib_hypervisor

# ---- abuse of the hypercall sockets ----

@test "hypercalls: malformed packets cost the connection and nothing else" {
	scenario domain_protocol malformed-packets
	[ "$(grep -c malformed "$RINGFENCE_RUN/ringfenced.log")" -lt 20 ]
}

@test "hypercalls: unknown, early and foreign operations are refused" {
	scenario domain_protocol wrong-operations
}

@test "hypercalls: ranges around the edges" {
	scenario domain_protocol wrong-ranges
}

@test "hypercalls: after thirty thousand random requests everything is given back" {
	scenario domain_protocol random-requests
}

@test "hypercalls: attached descriptors are not taken" {
	start_hypervisor
	before=$(nr_fds "$HYPERVISOR_PID")
	"$RF_TEST/hostile/domain_protocol" descriptors-attached
	fds_are_back() { [ "$(nr_fds "$HYPERVISOR_PID")" -eq "$before" ]; }
	eventually fds_are_back
	stop_hypervisor
}

@test "XSA-349, XSA-326: who does not read its replies loses the connection" {
	scenario domain_protocol replies-not-read
}

@test "hypercalls: thousands of connections are bounded" {
	scenario domain_protocol thousands-of-connections
}

@test "hypercalls: processes that die in the middle" {
	scenario domain_protocol connect-and-die
}

@test "hypercalls: a domain that takes every descriptor leaves some for the others" {
	(
		ulimit -n 500
		start_hypervisor
	)
	HYPERVISOR_PID=$(cat "$RINGFENCE_RUN/lock")
	"$RF_TEST/hostile/domain_protocol" descriptors-exhausted
	stop_hypervisor
}

@test "hypercalls: a memfd whose inode a domain keeps locked does not stop the hypervisor" {
	start_hypervisor
	run "$RF_TEST/hostile/domain_protocol" locked-memfd
	[ "$status" -ne 77 ] || skip "userfaultfd is not permitted"
	echo "$output"
	[ "$status" -eq 0 ]
	stop_hypervisor
}

# ---- abuse of the control socket ----

@test "control: garbage and wrong arguments" {
	scenario domain_protocol control-garbage
}

@test "control: who does not read replies loses the connection" {
	scenario domain_protocol control-not-reading
}

@test "control: who asked for driver domains may be gone when they end" {
	scenario domain_protocol control-waiter-gone
}

@test "control: a connection has one domain and takes it along" {
	scenario domain_protocol control-owns-its-domain
}

# ---- lifetimes ----

@test "domains: three hundred lives leave no descriptor, memory or node behind" {
	start_hypervisor
	before=$(nr_fds "$HYPERVISOR_PID")
	store_tree >before
	"$RF_TEST/hostile/domain_protocol" lifetimes
	no_domains() { [ -z "$(control domain-list)" ]; }
	eventually no_domains
	[ "$(nr_fds "$HYPERVISOR_PID")" -eq "$before" ]
	store_tree >after
	diff before after
	stop_hypervisor
}

@test "instances: a second one in the same runtime directory is refused" {
	start_hypervisor
	run -75 "$RF_BIN/ringfenced"
	has "another one is running in $RINGFENCE_RUN"
	run -75 "$RF_BIN/ringfenced" --daemon
	has "another one is running in $RINGFENCE_RUN"
	run -0 control ping
	stop_hypervisor
}

@test "instances: of many that start at once, one wins, also while another ends" {
	for _ in 1 2 3 4 5; do
		pids=()
		for i in 1 2 3 4 5 6; do
			"$RF_BIN/ringfenced" 2>"log.$i" 3>&- &
			pids+=($!)
		done
		eventually control ping
		[ "$(pids_of ringfenced | wc -l)" -ge 1 ]
		one_left() { [ "$(pids_of ringfenced | wc -l)" -eq 1 ]; }
		eventually one_left
		kill "$(cat "$RINGFENCE_RUN/lock")"
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || [ $? -eq 75 ]
	done
}

@test "instances: what a killed one left behind is used again" {
	start_hypervisor
	control domain-create name=left
	kill -9 "$HYPERVISOR_PID"
	eventually has_ended "$HYPERVISOR_PID"
	[ -S "$RINGFENCE_RUN/control" ] && [ -S "$RINGFENCE_RUN/xenstored/socket" ]
	start_hypervisor
	run -0 control domain-list
	[ -z "$output" ]
	stop_hypervisor
}

@test "instances: SIGTERM, SIGINT and SIGHUP end one in order" {
	for signal in TERM INT HUP; do
		start_hypervisor
		kill -$signal "$HYPERVISOR_PID"
		eventually has_ended "$HYPERVISOR_PID"
		[ ! -e "$RINGFENCE_RUN/lock" ]
		no_sockets_left
		logged "ended"
	done
}

@test "instances: sockets are nobody else's" {
	start_hypervisor
	[ "$(stat -c %a "$RINGFENCE_RUN")" = 700 ]
	[ "$(stat -c %a "$RINGFENCE_RUN/control")" = 600 ]
	[ "$(stat -c %a "$RINGFENCE_RUN/hypercall")" = 600 ]
	[ "$(stat -c %a "$RINGFENCE_RUN/xenstored/socket")" = 600 ]
	[ "$(find "$RINGFENCE_RUN" -type s | wc -l)" -eq 3 ]
	"$RF_TEST/hostile/domain_grants" shared-both-ways
	[ "$(find "$RINGFENCE_RUN" -type s | wc -l)" -eq 3 ]
	stop_hypervisor
}

@test "runtime directory: one that others can write to, or own, is refused" {
	mkdir -m 777 "$RINGFENCE_RUN"
	for option in "" --daemon; do
		run -1 "$RF_BIN/ringfenced" $option
		has "cannot use the runtime directory $RINGFENCE_RUN: Operation not permitted"
		has "writable by nobody else"
	done
	chmod 720 "$RINGFENCE_RUN"
	run -1 "$RF_BIN/ringfenced"
	rmdir "$RINGFENCE_RUN"
	mkdir -m 700 "$RINGFENCE_RUN"
	if [ "$(id -u)" -eq 0 ]; then
		chown 65534 "$RINGFENCE_RUN"
		run -1 "$RF_BIN/ringfenced"
		has "Operation not permitted"
		# And the other way round; the programs themselves must be reachable for that user.
		chown 0 "$RINGFENCE_RUN"
		chmod 755 "$WORK" "$RINGFENCE_RUN"
		cp "$RF_BIN/ringfenced" program
		run -1 as_nobody "$WORK/program"
		has "Operation not permitted"
	fi
}

@test "runtime directory: a file, a link, a missing parent" {
	touch "$RINGFENCE_RUN"
	run -1 "$RF_BIN/ringfenced"
	has "Not a directory"
	rm "$RINGFENCE_RUN"
	mkdir -m 700 elsewhere
	ln -s elsewhere "$RINGFENCE_RUN"
	run -1 "$RF_BIN/ringfenced"
	has "Not a directory"
	rm "$RINGFENCE_RUN"
	RINGFENCE_RUN=$WORK/a/b run -1 "$RF_BIN/ringfenced" --daemon
	has "No such file or directory"
}

@test "runtime directory: its path may be long" {
	RINGFENCE_RUN=$WORK/$(printf 'long-%.0s' {1..40})
	start_hypervisor
	run -0 control ping
	has "pid=$HYPERVISOR_PID"
	"$RF_TEST/hostile/domain_grants" shared-both-ways
	stop_hypervisor
}

@test "instances: an unprivileged user can have one" {
	[ "$(id -u)" -eq 0 ] || skip "the whole run is unprivileged"
	chmod 755 "$WORK"
	mkdir -m 700 theirs
	chown 65534 theirs
	cp "$RF_BIN/ringfenced" "$RF_TEST/hostile/domain_grants" .
	mkdir libs
	cp "$USERMODE_LIBS"/*.so.1 libs
	chmod -R a+rX .
	export RINGFENCE_RUN=$WORK/theirs/run
	as_nobody "$WORK/ringfenced" --daemon 3>&-
	as_nobody env LD_LIBRARY_PATH="$WORK/libs" "$WORK/domain_grants" read-only-is-enforced
	HYPERVISOR_PID=$(cat "$RINGFENCE_RUN/lock")
	stop_hypervisor
}

# ---- driver domains ----

@test "drivers: one that is ready is reported, and is asked to end" {
	start_hypervisor
	make_driver driver 'exec sleep 1000'
	run -0 start_driver d1 "$WORK/driver"
	[ "$output" = "domid=1" ]
	run -0 control domain-list
	matches 'domid=1 name=d1 kind=driver pid=[0-9]+ '
	run -1 start_driver d1 "$WORK/driver"
	has "the name is taken"
	stop_hypervisor
	logged "driver domain d1 ended: killed by signal 15"
}

@test "drivers: programs that cannot start or end at once are reported" {
	start_hypervisor
	run -1 start_driver d1 "$WORK/missing"
	has "No such file or directory"
	touch not-executable
	run -1 start_driver d1 "$WORK/not-executable"
	has "Permission denied"
	run -1 start_driver "bad name" /bin/true
	has "bad name"
	run -1 start_driver d1 "$WORK"
	has "d1 ended before it was ready: exit status 127"
	run -1 start_driver d1 /bin/true
	has "d1 ended before it was ready: exit status 0"
	run -1 start_driver d1 /bin/sh arg=-c 'arg=kill -9 $$'
	has "d1 ended before it was ready: killed by signal 9"
	run -0 control domain-list
	[ -z "$output" ]
	make_driver driver 'exec sleep 1000'
	run -0 start_driver d1 "$WORK/driver"
	stop_hypervisor
}

@test "drivers: one that never gets ready is killed after a while" {
	start_hypervisor
	run -1 start_driver d1 /bin/sleep arg=1000
	has "d1 did not get ready in time: killed by signal 9"
	run -0 control domain-list
	[ -z "$output" ]
	stop_hypervisor
}

@test "drivers: one that does not end when asked is killed" {
	start_hypervisor
	make_driver driver 'while :; do sleep 0.1; done' 'trap "" TERM'
	start_driver d1 "$WORK/driver"
	stop_hypervisor
	logged "driver domain d1 does not end, killing it"
}

restarted() { # DOMID
	control domain-list | grep -q "domid=$1 name=d1 kind=driver"
}

@test "drivers: one that is killed is started again, as a new domain" {
	start_hypervisor
	make_driver driver 'exec sleep 1000'
	start_driver d1 "$WORK/driver"
	for i in 1 2 3; do
		pid=$(control domain-list | sed -n 's/.*name=d1 .*pid=\([0-9]*\).*/\1/p')
		eventually logged "d1 is ready"
		kill -9 "$pid"
		eventually restarted $((i + 1))
	done
	run -0 store_tree
	run ! grep -E '^/local/domain/[123]( |/)' <<<"$output"
	stop_hypervisor
}

@test "drivers: one that crashes again before it is ready is started again, too" {
	start_hypervisor
	cat >driver <<-'EOF'
		#!/bin/sh
		echo run >>runs
		[ "$(wc -l <runs)" -eq 2 ] && exit 1
		env -u LD_LIBRARY_PATH xenstore-write data/ready 1
		[ "$(wc -l <runs)" -eq 1 ] && exit 1
		exec sleep 1000
	EOF
	chmod +x driver
	start_driver d1 "$WORK/driver"
	eventually restarted 3
	stop_hypervisor
}

@test "drivers: one that keeps crashing is given up, and may be replaced" {
	start_hypervisor
	make_driver driver 'echo run >>runs; exit 3'
	start_driver d1 "$WORK/driver"
	eventually logged "giving up"
	[ "$(wc -l <runs)" -eq 6 ]
	run -0 control domain-list
	[ -z "$output" ]
	make_driver driver 'exec sleep 1000'
	run -0 start_driver d1 "$WORK/driver"
	stop_hypervisor
}

@test "drivers: they end with the hypervisor, even if that is killed" {
	start_hypervisor
	make_driver driver 'exec sleep 1000'
	start_driver d1 "$WORK/driver"
	pid=$(control domain-list | sed -n 's/.*pid=\([0-9]*\).*/\1/p')
	kill -9 "$HYPERVISOR_PID"
	eventually has_ended "$pid"
}

@test "drivers: they inherit no descriptor but their domain's two" {
	exec {held}<"$ROOT/VERSION"
	start_hypervisor
	exec {held}<&-
	run ! grep VERSION <(readlink "/proc/$HYPERVISOR_PID/fd"/*)
	make_driver driver 'exec sleep 1000'
	start_driver d1 "$WORK/driver"
	pid=$(control domain-list | sed -n 's/.*pid=\([0-9]*\).*/\1/p')
	run -0 find "/proc/$pid/fd" -mindepth 1 -printf '%f %l\n'
	run -0 awk '$1 > 2' <<<"$output"
	[ "$(wc -l <<<"$output")" -eq 2 ]
	[ "$(grep -c domain- <<<"$output")" -eq 2 ]
	stop_hypervisor
}

@test "idle timeout: ends when no driver domain had work" {
	start_hypervisor --idle-timeout=1
	eventually has_ended "$HYPERVISOR_PID"
	logged "shutting down: no requests for the idle timeout"
	no_sockets_left
}

# ---- command line ----

@test "command line: wrong arguments are told, with status 2" {
	for wrong in --nonsense extra --max-domains=0 --max-domains=32001 --max-grants=x \
		--max-maps=-1 --max-ports= --max-connections=1e3 --log-level=loud \
		--event-channels=pipe --idle-timeout=soon --idle-timeout -l; do
		run -2 "$RF_BIN/ringfenced" "$wrong"
		matches 'ringfenced'
		[ ! -e "$RINGFENCE_RUN" ]
	done
}

@test "command line: help and version" {
	run -0 "$RF_BIN/ringfenced" --help
	has "Usage: ringfenced"
	run -0 "$RF_BIN/ringfenced" --version
	[ "$output" = "ringfenced $(cat "$ROOT/VERSION")" ]
}

@test "command line: every option of --help is in the manual page, and the other way round" {
	options() { grep -o -e '--[a-z][a-z-]*' | sort -u; }
	diff <("$RF_BIN/ringfenced" --help | options) \
		<(sed 's/\\-/-/g; s/\\f.//g' "$ROOT/docs/man/ringfenced.8" | options)
}

@test "domains: no more than the limit" {
	start_hypervisor --max-domains=2
	run -1 "$RF_TEST/hostile/domain_grants" scattered
	has "there are too many domains"
	"$RF_TEST/hostile/domain_grants" shared-both-ways
	stop_hypervisor
}
