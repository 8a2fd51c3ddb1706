#!/bin/sh
# SPDX-License-Identifier: MIT
# The path without a disk: a round trip through the null driver with one request outstanding, both
# ends polling, against two threads that bounce a cache line. The distance between two processors
# changes while such a machine runs, so short slices of both alternate.
set -eu
. "$(dirname "$0")/lib.sh"

bench_start
instance_start --policy=spin
samples=$bench_dir/samples
: > "$samples"
ms=50
rounds=${ROUNDS:-40}

note "null: $rounds rounds of $ms ms each"
for round in $(seq "$rounds"); do
	before=$("$progs/pingpong" "$ms")
	rate=$(blkbench --disk=null --depth=1 --wait=spin | field rate)
	batch=$(blkbench --disk=null --depth=32 --wait=spin | field rate)
	after=$("$progs/pingpong" "$ms")
	# A round in which the distance changed says nothing.
	awk -v b="$before" -v a="$after" 'BEGIN { exit !(a < 1.2 * b && b < 1.2 * a) }' || continue
	record "$samples" pingpong 1 "$(awk -v b="$before" -v a="$after" 'BEGIN { print (a + b) / 2 }')"
	record "$samples" null 1 "$(awk -v r="$rate" 'BEGIN { print 1e9 / r }')"
	record "$samples" rate 32 "$batch"
done

[ -s "$samples" ] || die "the machine was not quiet for a single round"
to_json "$samples" > "$out/null.json"
{
	printf 'Null driver, both ends polling; medians of %s quiet rounds of %s\n\n' \
		"$(grep -c '^null ' "$samples")" "$rounds"
	printf '| what | figure |\n|---|---|\n'
	printf '| cache line ping-pong of two threads, round trip | %.0f ns |\n' "$(median "$samples" pingpong 1)"
	printf '| null driver, one outstanding, round trip | %.0f ns, **%s** times the ping-pong |\n' \
		"$(median "$samples" null 1)" "$(median_ratio "$samples" null 1 pingpong 1)"
	printf '| null driver, 32 outstanding | %.2f million per second |\n' \
		"$(median "$samples" rate 32 | awk '{ print $1 / 1e6 }')"
} | tee "$out/null.md"
