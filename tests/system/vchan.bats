#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The system's libxenvchan, as it is, between two domains. Every test runs with both kinds of event
# channels.

load lib_domains

# ---- two peers ----

# Starts SCENARIO in two domains and introduces them to each other.
start_peers() { # SCENARIO BYTES RINGS LEFT RIGHT
	local side
	for side in server client; do
		start_domain $side "$PEERS/vchan_peer" "$1" $side "${@:2}"
	done
	set_node server data/peer "${DOMIDS[client]}"
	set_node client data/peer "${DOMIDS[server]}"
}

# A peer says so, and that the closed ring has left it nothing.
reports() { # SIDE STATE
	eventually node_is "$1" data/state "$2"
	eventually holds_nothing "${DOMIDS[$1]}"
}

end_peer() { # SIDE
	set_node "$1" data/end 1
	ends_with "$1" 0
}

# From start to end, without anything left.
peers() { # SCENARIO BYTES RINGS LEFT RIGHT
	start_peers "$@"
	reports server done
	reports client done
	end_peer server
	end_peer client
	eventually domain_is_gone server
	eventually domain_is_gone client
}

with_both_kinds() { # COMMAND...
	local kind
	for kind in eventfd seqpacket; do
		start_hypervisor --event-channels=$kind
		"$@"
		stop_hypervisor
	done
}

@test "vchan: a stream of 64 MiB in both directions at once" {
	with_both_kinds peers stream 67108864 1 65536 65536
}

@test "vchan: 64 MiB one way and 64 MiB back, blocking" {
	with_both_kinds peers blocking 67108864 1 16384 16384
}

all_sizes() {
	local sizes
	# Up to 2 KiB both rings live in the control page; the next are one page, then several.
	for sizes in "1 1" "1024 1024" "1024 2048" "2048 1024" "1024 4096" "4096 4096" "8192 1024" \
		"65536 2048" "262144 262144" "1048576 1048576"; do
		# shellcheck disable=SC2086 # two words
		peers stream 3000000 1 $sizes
	done
}

@test "vchan: rings from 1 KiB to 1 MiB" {
	with_both_kinds all_sizes
}

packets() {
	peers packets 2000 1 1024 1024
	peers packets 500 1 2048 65536
	peers packets 100 1 262144 262144
}

@test "vchan: packets of every size up to the ring's, and none above" {
	with_both_kinds packets
}

@test "vchan: sixteen rings between the same two domains" {
	with_both_kinds peers stream 2000000 16 4096 8192
}

states() {
	start_peers states 0 1 "$1" "$1"
	eventually node_is server data/state empty
	set_node client data/empty 1
	eventually node_is client data/state full
	set_node server data/full 1
	reports server read
	reports client closed
	end_peer server
	end_peer client
}

all_states() {
	states 1024
	states 32768
}

@test "vchan: without blocking, full, empty, connected and closed are told" {
	with_both_kinds all_states
}

@test "vchan: a client that comes again finds the server that stayed" {
	with_both_kinds peers reconnect 50 1 1024 1024
}

# ---- one side is killed ----

# Kills one side's program, or its `ringfence exec`, at some moment of the transfer.
kill_at_random() { # SIDE WHOM
	local pid
	sleep "0.0$((RANDOM % 50 + 10))"
	pid=${PIDS[$1]}
	[ "$2" = exec ] || pid=$(program_of "$1")
	kill -9 "$pid"
}

one_is_killed() { # SCENARIO LEFT RIGHT KILLED SURVIVOR WHOM
	start_peers "$1" 0 1 "$2" "$3"
	eventually node_is server data/state running
	eventually node_is client data/state running
	kill_at_random "$4" "$6"
	reports "$5" "peer is gone"
	eventually domain_is_gone "$4"
	end_peer "$5"
	ends_with "$4" 137
	eventually domain_is_gone "$5"
}

many_are_killed() {
	local nodes scenario i
	nodes=$(store_tree)
	for scenario in endless endless-blocking; do
		for i in 1 2 3 4 5 6; do
			one_is_killed $scenario 1024 65536 server client program
			one_is_killed $scenario 16384 1024 client server program
			one_is_killed $scenario 4096 4096 server client exec
			one_is_killed $scenario 2048 2048 client server exec
		done
	done
	[ "$(store_tree)" = "$nodes" ]
	[ -z "$(control domain-list)" ]
}

@test "vchan: whichever side is killed, at any moment, the other one learns it and ends cleanly" {
	with_both_kinds many_are_killed
}

@test "vchan: the hypervisor's end is noticed" {
	start_hypervisor
	start_peers endless-blocking 0 1 4096 4096
	eventually node_is client data/state running
	kill -9 "$HYPERVISOR_PID"
	# Not the end they are written for, but an end.
	for side in server client; do
		wait_for_end "${PIDS[$side]}" "$BOUND"
		[ "$status" -ne 0 ]
	done
}

# ---- the examples ----

example() {
	head -c 5000000 /dev/urandom >input
	ringfence exec -n sender "$EXAMPLES/vchan-send" - <input 2>send.err &
	sender=$!
	eventually domid_of sender
	ringfence exec -n receiver "$EXAMPLES/vchan-recv" "$(domid_of sender)" >received 2>recv.err &
	receiver=$!
	eventually domid_of receiver
	dom0 write "/local/domain/$(domid_of sender)/data/peer" "$(domid_of receiver)"
	wait_for_end $sender "$BOUND"
	[ "$status" -eq 0 ]
	wait_for_end $receiver "$BOUND"
	[ "$status" -eq 0 ]
	cmp input received
}

@test "examples: vchan-send and vchan-recv" {
	with_both_kinds example
}

as_domain0() {
	(eval "$(ringfence env)" && exec "$@" 3>&-)
}

with_domain0() {
	seq 100000 >input
	ringfence exec -n guest "$EXAMPLES/vchan-send" 0 <input 2>guest.err &
	sender=$!
	eventually domid_of guest
	as_domain0 "$EXAMPLES/vchan-recv" "$(domid_of guest)" >received
	wait_for_end $sender "$BOUND"
	[ "$status" -eq 0 ]
	cmp input received
	# And the other way: domain 0 always exists.
	ringfence exec -n guest "$EXAMPLES/vchan-recv" 0 >received 2>guest.err &
	receiver=$!
	eventually domid_of guest
	as_domain0 "$EXAMPLES/vchan-send" "$(domid_of guest)" <input
	wait_for_end $receiver "$BOUND"
	[ "$status" -eq 0 ]
	cmp input received
}

@test "examples: between domain 0 and a guest" {
	with_both_kinds with_domain0
}

@test "examples: wrong arguments" {
	start_hypervisor
	for program in vchan-send vchan-recv; do
		run -2 ringfence exec "$EXAMPLES/$program"
		has usage
		run -2 ringfence exec "$EXAMPLES/$program" 1 2 3
		run -1 ringfence exec "$EXAMPLES/$program" bob
		has "'bob' is no domain id"
		run -1 env RINGFENCE_RUN=/nowhere XENSTORED_PATH=/nowhere/socket "$EXAMPLES/$program" 1
		has "no xenstore"
	done
	stop_hypervisor
}

@test "examples: they know nothing of Ringfence but its name" {
	run ! grep -h '#include.*\(ringfence\|"[a-z]*/\)' "$ROOT"/examples/vchan-*.[ch] "$ROOT"/tests/peers/*.[ch]
}
