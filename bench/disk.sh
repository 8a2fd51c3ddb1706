#!/bin/sh
# SPDX-License-Identifier: MIT
# Uniform random reads of a 500 MiB image: raw io_uring (fio), our asynchronous API, our blocking
# threads, and qemu-storage-daemon's NBD export, all in one run, in turn, round by round.
set -eu
. "$(dirname "$0")/lib.sh"

bs=${BS:-512}
depths=${DEPTHS:-1 4 16 64}
command -v fio >/dev/null && command -v qemu-storage-daemon >/dev/null || die "needs fio and qemu-storage-daemon: ./run setup bench"
bench_start
note "disk: making the image"
make_image "${SIZE_MB:-500}"
instance_start --policy=spin
qsd_start
samples=$bench_dir/samples
: > "$samples"

for round in $(seq "$rounds"); do
	note "disk: round $round of $rounds"
	for d in $depths; do
		record "$samples" raw "$d" "$(raw_fio --filename="$image" --direct=1 --ioengine=io_uring --iodepth="$d")"
		record "$samples" async "$d" "$(blkbench --depth="$d" --size="$bs" --wait=spin | field rate)"
		record "$samples" psync "$d" "$(raw_fio --filename="$image" --direct=1 --ioengine=psync --numjobs="$d")"
		record "$samples" threads "$d" "$(blkbench --threads="$d" --size="$bs" | field rate)"
		record "$samples" qsd "$d" "$(raw_fio --ioengine=nbd --uri="$nbd_uri" --thread --iodepth="$d")"
	done
done

to_json "$samples" > "$out/disk-$bs.json"
{
	printf '%s-byte random reads of a %s MiB image, requests per second; medians of %s rounds of %s ms\n\n' \
		"$bs" "${SIZE_MB:-500}" "$rounds" "$ms"
	printf '| outstanding | fio io_uring | our async API | ratio | fio psync jobs | our blocking threads | ratio | qemu-storage-daemon NBD | ours to it |\n'
	printf '|---|---|---|---|---|---|---|---|---|\n'
	for d in $depths; do
		printf '| %s | %.0f | %.0f | **%s** | %.0f | %.0f | **%s** | %.0f | %s |\n' "$d" \
			"$(median "$samples" raw "$d")" "$(median "$samples" async "$d")" \
			"$(median_ratio "$samples" async "$d" raw "$d")" \
			"$(median "$samples" psync "$d")" "$(median "$samples" threads "$d")" \
			"$(median_ratio "$samples" threads "$d" psync "$d")" \
			"$(median "$samples" qsd "$d")" "$(median_ratio "$samples" async "$d" qsd "$d")"
	done
} | tee "$out/disk-$bs.md"
