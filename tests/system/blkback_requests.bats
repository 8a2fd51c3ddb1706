#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What requests move: in every way to reach a guest's pages, with direct and indirect segments, by
# the rings of 64-bit and of 32-bit guests.

load lib
load lib_blkback

stop_back_end() {
	control shutdown
	eventually nothing_runs
	unset BACK_END
}

# Runs a function for each mode of grants, with a back end of its own each.
in_every_mode() { # FUNCTION [OPTION]...
	local grants
	for grants in auto persistent map copy; do
		echo "grants: $grants"
		start_back_end --grants="$grants" "${@:2}"
		"$1"
		unharmed
		stop_back_end
	done
}

move_data() {
	local persistent
	for persistent in 0 1; do
		run -0 hostile blkfront_data rw rw.img "$persistent" "${ROUNDS:-40}"
		run -0 hostile blkfront_data rw rw.img "$persistent" "$((${ROUNDS:-40} / 2))" 32
	done
}

@test "requests: data come and go right in every mode of grants" {
	ROUNDS=120
	in_every_mode move_data
}

@test "requests: the same beside a cache" {
	in_every_mode move_data --cache=256K --cache-block=1024
}

@test "requests: the same on a pool of threads, by two workers that sleep" {
	in_every_mode move_data --aio=threads --workers=2 --policy=event
}

# What the kernel says about the back end's rings: places of the tables, or pages in them.
registered() { # places|pages
	local info
	for info in "/proc/$(pids_of blkback)"/fdinfo/*; do
		if [ "$1" = places ]; then
			sed -n 's/^UserBufs:[[:space:]]*//p' "$info"
		else
			sed -n '/^UserBufs:/,/^[A-Z]/s/^ *[0-9]*: 0x[0-9a-f]*\/4096$/page/p' "$info"
		fi
	done
}

something_is_registered() {
	[ -n "$(registered pages)" ]
}

nothing_is_registered() {
	[ -z "$(registered pages)" ]
}

@test "requests: the same with registered buffers and without" {
	local value
	for value in on off; do
		start_back_end --grants=persistent --registered-buffers="$value" --aio=uring
		run -0 client 2 2000
		move_data
		# Once a page was in use, the table is there.
		[ "$(registered places | grep -c 16384)" -eq "$([ "$value" = on ] && echo 1 || echo 0)" ]
		if [ "$value" = on ]; then
			"$RF_BIN/client" 2 10000000 >/dev/null 3>&- &
			eventually something_is_registered
			kill -9 $!
			wait $! || true
		fi
		unharmed
		eventually nothing_is_registered
		stop_back_end
	done
}

refuse_wrong_ones() {
	control disk-define name=null-ro target=null:16M mode=r backend=blkback
	run -0 hostile blkfront_requests disk1 r 1
	run -0 hostile blkfront_requests rw w 1
	run -0 hostile blkfront_requests rw w 0 32
	run -0 hostile blkfront_requests null w 0
	run -0 hostile blkfront_requests null-ro r 1 32
}

@test "requests: wrong ones get an error in every mode of grants" {
	in_every_mode refuse_wrong_ones --cache=1M
}

@test "requests: indirect segments that are not offered are not served" {
	start_back_end --indirect=0
	run -0 hostile blkfront_requests disk1 r 1
	run -0 hostile blkfront_requests rw w 0 32
	unharmed
}

fail_in_the_device() {
	local persistent
	for persistent in 0 1; do
		start_hostile blkfront_ring failing disk1 "$persistent"
		truncate -s 2M disk1.img
		echo >&"$HOSTILE_IN"
		wait "$HOSTILE"
		exec {HOSTILE_IN}>&-
		truncate -s 4M disk1.img
		unharmed
	done
}

@test "requests: after I/O errors everything is given back in every mode of grants" {
	in_every_mode fail_in_the_device
}

attack() {
	local i
	run -0 hostile blkfront_ring toctou disk1 1 100
	run -0 hostile blkfront_ring toctou rw 0 50
	run -0 hostile blkfront_indirect toctou disk1 1 20
	run -0 hostile blkfront_indirect toctou rw 0 20
	run -0 hostile blkfront_ring unshare disk1 0 200
	run -0 hostile blkfront_ring scribble rw 0 10
	for i in 1 2 3 4; do
		start_hostile blkfront_ring busy rw $((i % 2))
		kill_hostile
	done
}

@test "requests: front ends that lie and die in every mode of grants (XSA-155)" {
	in_every_mode attack --cache=1M
}

write_together() {
	local pids= pid i
	for i in 0 1 2; do
		hostile blkfront_writer write rw $((i * 4000)) 4000 600 "$i" &
		pids+=" $!"
	done
	for pid in $pids; do
		wait "$pid"
	done
	for i in 0 1 2; do
		run -0 hostile blkfront_writer verify rw $((i * 4000)) 4000 600 "$i"
	done
	run -0 hostile blkfront_writer coherence rw 200
}

@test "requests: several domains write in every mode of grants" {
	in_every_mode write_together --cache=1M
}

# ---- memory ----

connect_and_idle() { # PERSISTENT
	start_hostile blkfront_indirect idle null "$1"
	exec {HOSTILE_IN}>&-
}

rss_of_all() {
	local pid
	for pid in $(pids_of blkback) $(pids_of ringfenced); do
		awk '/RssAnon/ { print $2 }' "/proc/$pid/status"
	done | paste -sd+ | bc
}

@test "requests: an idle guest that used all of 512 slots costs less than 256 KiB" {
	for persistent in 0 1; do
		start_back_end --workers=1
		# What is made once, first.
		for i in 1 2 3 4; do
			connect_and_idle "$persistent"
		done
		size=$(rss_of_all)
		for i in $(seq 24); do
			connect_and_idle "$persistent"
		done
		grown=$((($(rss_of_all) - size) / 24))
		echo "$grown KiB each with persistent=$persistent"
		ldd "$RF_BIN/blkback" | grep -q "lib[at]san" || [ "$grown" -lt 256 ]
		for pid in $HOSTILES; do
			kill -9 "$pid"
		done
		HOSTILES=
		unharmed
		stop_back_end
	done
}

@test "requests: more under way than there is memory for wait their turn" {
	in_every_mode more_than_fits --workers=1
}

more_than_fits() {
	local pids= pid i
	# Each asks for 512 MiB at once: several times what the pools hold.
	for i in 0 1; do
		hostile blkfront_indirect many disk1 "$i" 1 &
		pids+=" $!"
	done
	# One with small requests has its turn, too.
	run -0 client 2 500
	for pid in $pids; do
		wait "$pid"
	done
}

# ---- layouts ----

@test "requests: the slots of 32-bit guests are what a 32-bit compiler makes of Xen's header" {
	cat >slots.c <<-'EOF'
		#include "blkback/slot.h"
		#define SAME(ours, xens) _Static_assert((ours) == (xens), "slot layout")
		SAME(sizeof(struct slot_request_x86_32), sizeof(blkif_request_t));
		SAME(offsetof(struct slot_request_x86_32, id), offsetof(blkif_request_t, id));
		SAME(offsetof(struct slot_request_x86_32, sector_number),
			offsetof(blkif_request_t, sector_number));
		SAME(offsetof(struct slot_request_x86_32, seg), offsetof(blkif_request_t, seg));
		SAME(offsetof(struct slot_request_x86_32, seg), offsetof(blkif_request_discard_t, nr_sectors));
		SAME(offsetof(struct slot_request_x86_32, seg), offsetof(blkif_request_indirect_t, handle));
		SAME(24, offsetof(blkif_request_indirect_t, indirect_grefs));
		SAME(sizeof(struct slot_response_x86_32), sizeof(blkif_response_t));
		SAME(offsetof(struct slot_response_x86_32, status), offsetof(blkif_response_t, status));
		SAME(sizeof(union blkif_x86_32_sring_entry), sizeof(union blkif_sring_entry));
		SAME(offsetof(struct blkif_x86_32_sring, ring), offsetof(struct blkif_sring, ring));
	EOF
	# The C library for 32 bits need not be there.
	echo 'void *memcpy(void *, const void *, __SIZE_TYPE__);' >string.h
	run -0 "${CC:-gcc}" -m32 -std=gnu11 -Wall -Werror -fsyntax-only -ffreestanding -I. -I"$ROOT/src" \
		-D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__ slots.c
}
