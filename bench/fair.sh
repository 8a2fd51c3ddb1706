#!/bin/sh
# SPDX-License-Identifier: MIT
# Fairness: clients with 4, 8, 16 and 32 blocking threads at the same time, and one with a single
# thread, alone and beside them. All of them read for exactly the same interval.
set -eu
. "$(dirname "$0")/lib.sh"

bench_start
make_image "${SIZE_MB:-100}"
instance_start --policy="${POLICY:-adaptive}" "--window=${WINDOW:-8}"
samples=$bench_dir/samples
: > "$samples"
ms=${SLICE_MS:-2000}

# now in CLOCK_MONOTONIC nanoseconds, plus half a second to get ready
start_time() { awk '{ printf "%.0f", ($1 + 0.5) * 1e9 }' /proc/uptime; }

# together NAME THREADS...: runs a client for each, records its rate as NAME THREADS
together() {
	name=$1
	shift
	at=$(start_time)
	for t; do
		blkbench --threads="$t" ${WAIT:+--wait="$WAIT"} --start-at="$at" > "$bench_dir/$t.json" &
	done
	wait
	for t; do
		record "$samples" "$name" "$t" "$(field rate < "$bench_dir/$t.json")"
	done
}

for round in $(seq "$rounds"); do
	note "fair: round $round of $rounds"
	together alone 1
	together four 4 8 16 32
	together five 1 4 8 16 32
	jain=$(tail -n 9 "$samples" | awk '$1 == "four" { s += $3; q += $3 * $3; n++ } END { printf "%.4f", s * s / (n * q) }')
	record "$samples" jain 4 "$jain"
done

to_json "$samples" > "$out/fair.json"
{
	printf 'Blocking threads, 512-byte random reads, requests per second of each client; medians of %s rounds of %s ms\n\n' "$rounds" "$ms"
	printf '| clients that run together | 1 thread | 4 | 8 | 16 | 32 | Jain index of the last four |\n|---|---|---|---|---|---|---|\n'
	printf '| the one alone | %.0f | | | | | |\n' "$(median "$samples" alone 1)"
	printf '| the four | | %.0f | %.0f | %.0f | %.0f | **%s** |\n' "$(median "$samples" four 4)" "$(median "$samples" four 8)" \
		"$(median "$samples" four 16)" "$(median "$samples" four 32)" "$(median "$samples" jain 4)"
	printf '| all five | %.0f (**%s** of alone) | %.0f | %.0f | %.0f | %.0f | |\n' "$(median "$samples" five 1)" \
		"$(median_ratio "$samples" five 1 alone 1)" "$(median "$samples" five 4)" "$(median "$samples" five 8)" \
		"$(median "$samples" five 16)" "$(median "$samples" five 32)"
} | tee "$out/fair.md"
