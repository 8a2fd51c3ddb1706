#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# xenstore's CONTROL requests and quotas over the socket, and clients that never read.

load lib_hypervisor

NR_DEAF=50

# A client in Perl: asks as whoever XENSTORED_PATH is, a word a NUL-terminated string.
xs() { # TYPE WORD...
	perl -MSocket -e '
		my $type = shift; my $payload = join("", map { "$_\0" } @ARGV); my ($hdr, $reply);
		socket(my $s, AF_UNIX, SOCK_STREAM, 0);
		connect($s, pack_sockaddr_un($ENV{XENSTORED_PATH})) or die "connect: $!\n";
		syswrite($s, pack("V4", $type, 0, 0, length $payload) . $payload);
		sysread($s, $hdr, 16) == 16 or die "no reply\n";
		my ($got, $len) = (unpack("V4", $hdr))[0, 3];
		sysread($s, $reply, $len);
		print $reply =~ s/\0$//r;
		exit($got == 16 ? 1 : 0);' "$@"
}

control_store() { # WORD...
	XENSTORED_PATH=$RINGFENCE_RUN/xenstored/socket xs 0 "$@"
}

# A figure of `memreport` or, with a domain, of `quota`.
figure() { # NAME WORD...
	control_store "${@:2}" | sed -n "s/^$1: //p"
}

resident_kb() {
	sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$HYPERVISOR_PID/status"
}

@test "store: CONTROL says what it can do, its limits and its counts" {
	start_hypervisor
	run -0 control_store help
	has quota
	has log
	run -0 control_store quota
	has "nodes: 1000"
	has "outstanding: 20"
	[ "$(figure connections memreport)" -ge 1 ]
	run -1 control_store nonsense
	[ "$output" = EINVAL ]
	stop_hypervisor
}

@test "store: CONTROL is domain 0's alone" {
	start_hypervisor
	export -f xs
	run -1 "$RF_BIN/ringfence" exec -- bash -c 'xs 0 help'
	[ "$output" = EACCES ]
	stop_hypervisor
}

@test "store: CONTROL quota set holds for domains that run already" {
	start_hypervisor
	"$RF_BIN/ringfence" exec --name=guest -- sh -c '
		xenstore-write data/a 1 || exit 1
		touch ready
		while [ ! -e go ]; do sleep 0.02; done
		xenstore-write data/b 1' 2>said 3>&- &
	eventually test -e ready
	control_store quota set nodes 1
	touch go
	wait_for_end $! "$BOUND"
	[ "$status" -ne 0 ]
	grep -q "could not write path" said
	stop_hypervisor
}

@test "store: --store-quota sets every quota by its name" {
	local name i=2 options=()
	local names=(nodes watches transactions transaction-nodes permissions node-size outstanding events)
	for name in "${names[@]}"; do
		options+=("--store-quota=$name=$((i++))")
	done
	start_hypervisor "${options[@]}"
	i=2
	run -0 control_store quota
	for name in "${names[@]}"; do
		has "$name: $((i++))"
	done
	stop_hypervisor
}

@test "store: a quota of the command line is one that a guest meets" {
	start_hypervisor --store-quota=node-size=30
	run -0 "$RF_BIN/ringfence" exec -- xenstore-write data/a 0123456789
	run ! "$RF_BIN/ringfence" exec -- xenstore-write data/a 0123456789012345678901234567890
	stop_hypervisor
}

@test "store: --store-quota refuses what is no quota or no number" {
	local bad
	for bad in nodes nodes= =1 nothing=1 nodes=-1 nodes=1000000001 nodes=1x outstanding=0; do
		run -2 "$RF_BIN/ringfenced" --store-quota="$bad"
		has "--store-quota"
	done
	[ ! -e "$RINGFENCE_RUN/control" ]
}

@test "store: CONTROL log shows every request while it is on, print its text" {
	start_hypervisor
	control_store log on
	run -0 "$RF_BIN/ringfence" exec -- xenstore-write data/traced 1
	control_store log off
	run -0 "$RF_BIN/ringfence" exec -- xenstore-write data/silent 1
	control_store print "so it is"
	logged 'xenstore: domain [0-9]+: WRITE tx=0: OK: data/traced\|1'
	logged 'xenstore: so it is$'
	run ! logged silent
	stop_hypervisor
}

# In each guest: many connections with watches, requests without end, nothing is ever read.
make_deaf_program() {
	cat >deaf.pl <<-'EOF'
		use Socket; use Fcntl;
		alarm 300; # nobody else might end it
		my @conns;
		for my $i (0 .. 3) {
			socket(my $s, AF_UNIX, SOCK_STREAM, 0);
			connect($s, pack_sockaddr_un($ENV{XENSTORED_PATH})) or die "connect: $!\n";
			for my $w (0 .. 29) {
				my $payload = "w\0" . "token$w" x 20 . "\0";
				syswrite($s, pack("V4", 4, 0, 0, length $payload) . $payload);
			}
			fcntl($s, F_SETFL, O_NONBLOCK);
			1 while syswrite($s, pack("V4", 2, 0, 0, 2) . "w\0");
			push @conns, $s;
		}
		open(my $done, ">", "deaf.$ARGV[0]");
		close($done);
		sleep;
	EOF
}

# As domain 0, in every guest's watched folder: nodes with long names come and go.
rewrite() { # ROUND
	# shellcheck disable=SC2046 # domain ids are words
	XENSTORED_PATH=$RINGFENCE_RUN/xenstored/socket perl -MSocket -e '
		my $round = shift;
		socket(my $s, AF_UNIX, SOCK_STREAM, 0);
		connect($s, pack_sockaddr_un($ENV{XENSTORED_PATH})) or die "connect: $!\n";
		sub ask {
			my ($type, $payload) = @_; my ($hdr, $reply);
			syswrite($s, pack("V4", $type, 0, 0, length $payload) . $payload);
			sysread($s, $hdr, 16) == 16 or die "no reply\n";
			sysread($s, $reply, (unpack("V4", $hdr))[3]);
		}
		for my $i (1 .. 60) {
			for my $domid (@ARGV) {
				my $node = "/local/domain/$domid/w/" . "n$round-$i-" x 100;
				ask(11, "$node\0value");
				ask(13, "$node\0");
			}
		}' "$1" $(control domain-list | sed -n 's/^domid=\([0-9]*\) name=deaf.*/\1/p')
}

nothing_queued() {
	[ "$(figure queued-bytes memreport)" -eq 0 ]
}

@test "XSA-326, XSA-349: many guests that never read cost a bounded amount of memory" {
	local i queued rss round
	start_hypervisor
	make_deaf_program
	for ((i = 0; i < NR_DEAF; i++)); do
		"$RF_BIN/ringfence" exec --name="deaf$i" -- perl deaf.pl "$i" 3>&- &
	done
	for ((i = 0; i < NR_DEAF; i++)); do
		eventually test -e "deaf.$i"
	done
	for round in 1 2 3 4; do
		rewrite "$round"
	done
	queued=$(figure queued-bytes memreport)
	rss=$(resident_kb)
	for round in 5 6 7 8; do
		rewrite "$round"
	done
	echo "queued bytes $queued, then $(figure queued-bytes memreport); VmRSS $rss kB, then $(resident_kb) kB"
	# A guest has at most 1024 events of at most 1.2 KB each, one for each of its watches, replies.
	[ "$queued" -lt $((NR_DEAF * 1500000)) ]
	[ "$(figure queued-bytes memreport)" -le $((queued + queued / 10)) ]
	# Generous: a sanitizer keeps freed memory for a while.
	[ "$(resident_kb)" -lt $((rss + 300000)) ]
	[ "$(figure events quota "$(control domain-list | sed -n 's/^domid=\([0-9]*\) name=deaf0 .*/\1/p')")" -le 1200 ]
	# Others are served as ever.
	run -0 "$RF_BIN/ringfence" exec -- xenstore-write data/a 1
	# What waited for them goes with them.
	for i in $(jobs -p); do
		kill "$i"
	done
	eventually nothing_queued
	stop_hypervisor
}
