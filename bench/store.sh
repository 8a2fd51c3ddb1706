#!/bin/sh
# SPDX-License-Identifier: MIT
# The store through the system's libxenstore, against a bare request/response server that gets the
# same messages from the same client: with few and many nodes, and with few and many connected
# domains. An instance for each, all alive at once, so that short slices of all alternate; a slice
# of the bare server goes before and behind each.
set -eu
. "$(dirname "$0")/lib.sh"

ms=${SLICE_MS:-30}
rounds=${ROUNDS:-25}
ops="read write txn watch"
nodes=${NODES:-10 1000 100000}
domains=${DOMAINS:-1 100 1000}
echo_pid=
instances=

cleanup() {
	[ -z "$echo_pid" ] || kill "$echo_pid" 2>/dev/null || true
	for i in $instances; do
		RINGFENCE_RUN=$bench_dir/$i
		instance_stop
	done
	# Those who hold domains end with the file that they read from.
	exec 9>&-
	bench_cleanup
}

# until_there COMMAND...: waits for what another process does in a moment.
until_there() {
	tries=0
	until "$@"; do
		tries=$((tries + 1)); [ $tries -lt 1200 ] || die "never happened: $*"; sleep 0.05
	done
}

# load SOCKET ARGUMENT...: storebench there; a load prints operations per second
load() {
	socket=$1
	shift
	XENSTORED_PATH=$socket "$progs/storebench" "$@"
}

# add_instance NAME NODES
add_instance() {
	RINGFENCE_RUN=$bench_dir/$1
	mkdir -m 700 "$RINGFENCE_RUN"
	"$bin/ringfenced" --daemon || die "cannot start the hypervisor"
	instances="$instances $1"
	load "$RINGFENCE_RUN/xenstored/socket" fill "$2"
}

# hold NUMBER: idle domains of the instance added last
hold() {
	"$progs/storebench" hold "$1" < "$bench_dir/hold" > "$RINGFENCE_RUN/held" 9>&- &
	until_there grep -q ready "$RINGFENCE_RUN/held"
}

# sample INSTANCE NODES: one of each operation
sample() {
	for op in $ops; do
		before=$(load "$bench_dir/echo" "$op" "$2" "$ms")
		rate=$(load "$bench_dir/$1/xenstored/socket" "$op" "$2" "$ms")
		after=$(load "$bench_dir/echo" "$op" "$2" "$ms")
		# Where the bare server itself changed, somebody else had the machine.
		awk -v b="$before" -v a="$after" 'BEGIN { exit !(a < 1.2 * b && b < 1.2 * a) }' || continue
		record "$samples" "echo-$op" "$1" "$(awk -v b="$before" -v a="$after" 'BEGIN { print (a + b) / 2 }')"
		record "$samples" "store-$op" "$1" "$rate"
	done
}

# relative OPERATION POINT BASE_POINT: one median to another
relative() {
	awk -v a="$(median "$samples" "store-$1" "$2")" -v b="$(median "$samples" "store-$1" "$3")" \
		'BEGIN { if (b > 0) printf "%.2f", a / b }'
}

# The number of samples of that series which has the fewest.
fewest() { cut -d' ' -f1,2 "$samples" | sort | uniq -c | sort -n | awk 'NR == 1 { print $1 }'; }

# table KIND NUMBERS: rows of "bare, ours, ratio" and of rates relative to the first row
table() {
	printf '| %s | read | write | transaction | watch | read, write relative to the first row |\n' "$1"
	printf '|---|---|---|---|---|---|\n'
	for n in $2; do
		printf '| %s |' "$n"
		for op in $ops; do
			printf ' %.0f, %.0f, **%s** |' "$(median "$samples" "echo-$op" "$1-$n")" \
				"$(median "$samples" "store-$op" "$1-$n")" \
				"$(median_ratio "$samples" "store-$op" "$1-$n" "echo-$op" "$1-$n")"
		done
		printf ' %s, %s |\n' "$(relative read "$1-$n" "$1-${2%% *}")" \
			"$(relative write "$1-$n" "$1-${2%% *}")"
	done
}

bench_start
trap cleanup EXIT
samples=$bench_dir/samples
: > "$samples"
"$progs/storebench" echo "$bench_dir/echo" &
echo_pid=$!
until_there test -S "$bench_dir/echo"
mkfifo "$bench_dir/hold"
exec 9<> "$bench_dir/hold"
for n in $nodes; do
	note "store: making $n nodes"
	add_instance "nodes-$n" "$n"
done
for n in $domains; do
	note "store: making $n domains"
	add_instance "domains-$n" 1000
	hold "$n"
done

note "store: $rounds rounds of $ms ms each"
for round in $(seq "$rounds"); do
	for n in $nodes; do sample "nodes-$n" "$n"; done
	for n in $domains; do sample "domains-$n" 1000; done
done

to_json "$samples" > "$out/store.json"
{
	printf 'xenstore through libxenstore, operations per second: bare server, ringfenced, **ratio**;\n'
	printf 'medians of the quiet ones (at least %s) of %s rounds of %s ms, on %s processors.\n' \
		"$(fewest)" "$rounds" "$ms" "$(nproc)"
	printf 'A transaction is start, read, write and end, a watch round trip a write and its event.\n'
	printf 'Domains are connected and idle, with a watch each, beside 1000 nodes.\n\n'
	table nodes "$nodes"
	printf '\n'
	table domains "$domains"
} | tee "$out/store.md"
