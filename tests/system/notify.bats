#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What ringfenced tells the service manager that started it (sd_notify(3)).

load lib_hypervisor

# Prints what the service manager is told, until "STOPPING=1"; listens once it says so.
start_manager() { # SOCKET; a path, or @NAME
	mkfifo told
	perl -MSocket -e '
		my $name = $ARGV[0] =~ s/^@/\0/r;
		my $s;
		socket($s, AF_UNIX, SOCK_DGRAM, 0) && bind($s, pack_sockaddr_un($name)) or die $!;
		$| = 1;
		print "listening\n";
		while (defined recv($s, my $state, 4096, 0)) {
			print "$state\n";
			last if $state eq "STOPPING=1";
		}
		' "$1" >told 3>&- &
	MANAGER=$!
	exec {TOLD}<told
	is_told listening
}

is_told() { # STATE
	local state
	read -r -t "$BOUND" -u "$TOLD" state
	[ "$state" = "$1" ]
}

@test "systemd: the service manager is told when clients can connect, and of the end" {
	start_manager "$WORK/notify"
	NOTIFY_SOCKET=$WORK/notify "$RF_BIN/ringfenced" 2>log 3>&- &
	HYPERVISOR_PID=$!
	is_told READY=1
	run -0 control domain-list
	kill "$HYPERVISOR_PID"
	is_told STOPPING=1
	wait_for_end "$HYPERVISOR_PID" "$BOUND"
	[ "$status" -eq 0 ]
	wait "$MANAGER"
}

@test "systemd: an abstract socket; and in the background" {
	start_manager "@ringfence-test-$$-$BATS_TEST_NUMBER"
	NOTIFY_SOCKET=@ringfence-test-$$-$BATS_TEST_NUMBER start_hypervisor
	is_told READY=1
	stop_hypervisor
	is_told STOPPING=1
	wait "$MANAGER"
}

@test "systemd: driver domains cannot speak for the hypervisor" {
	start_manager "$WORK/notify"
	NOTIFY_SOCKET=$WORK/notify start_hypervisor
	make_driver driver 'exec sleep 1000' "env >$WORK/environment"
	start_driver storage "$WORK/driver"
	grep -q '^XENSTORED_PATH=' environment
	run ! grep NOTIFY_SOCKET environment
	stop_hypervisor
	wait "$MANAGER"
}

@test "systemd: a service manager that is not there does not keep it from starting" {
	local name
	for name in "$WORK/nobody" relative "/$(printf '%0200d' 0)"; do
		NOTIFY_SOCKET=$name start_hypervisor 2>said
		grep -F "cannot reach the service manager at $name: " said
		run -0 control domain-list
		stop_hypervisor
	done
}
