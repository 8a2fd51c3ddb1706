# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the tests of the block back end share; to be loaded after lib.bash.

RF_TEST=$(cd "${RF_TEST:-$ROOT/build/test}" && pwd) || exit 1
HOSTILES=

teardown() {
	local pid
	for pid in $HOSTILES; do
		kill -9 "$pid" 2>/dev/null || true
	done
	end_everything
	no_sanitizer_spoke
	cd /
	[ -z "${LOOP:-}" ] || losetup -d "$LOOP"
	rm -rf "$WORK"
}

# The hypervisor, and a back end with the given options that has three disks: disk1, read-only,
# where the client program finds it; rw, writable; null.
start_back_end() { # [OPTION]...
	start_back_end_by env "$@"
}

start_back_end_by() { # WRAPPER [OPTION]...
	local option args=()
	for option in "${@:2}"; do
		args+=("arg=$option")
	done
	make_image disk1.img 4
	make_image rw.img 8
	chmod 666 rw.img
	"$1" "$RF_BIN/ringfenced" --daemon --idle-timeout=0 3>&-
	control driver-start name=blkback program="$RF_BIN/blkback" "${args[@]}"
	control disk-define name=disk1 target="$WORK/disk1.img" mode=r backend=blkback
	control disk-define name=rw target="$WORK/rw.img" mode=w backend=blkback
	control disk-define name=null target=null:64M mode=w backend=blkback
	before=$(holdings)
	[ -n "$before" ]
}

# A program of tests/hostile. What it does to its own ring is a race by intent.
hostile() { # PROGRAM [ARGUMENT]...
	TSAN_OPTIONS=report_bugs=0 timeout 120 "$RF_TEST/hostile/$1" "${@:2}" 3>&-
}

# The same beside the test, until it says "ready"; its pid is in $HOSTILE.
start_hostile() { # PROGRAM [ARGUMENT]...
	local line
	rm -f hostile.pipe hostile.in
	mkfifo hostile.pipe hostile.in
	exec {HOSTILE_IN}<>hostile.in
	TSAN_OPTIONS=report_bugs=0 "$RF_TEST/hostile/$1" "${@:2}" \
		<hostile.in >hostile.pipe 3>&- {HOSTILE_IN}<&- &
	HOSTILE=$!
	HOSTILES+=" $HOSTILE"
	exec {HOSTILE_OUT}<hostile.pipe
	read -r -t "$BOUND" -u "$HOSTILE_OUT" line
	exec {HOSTILE_OUT}<&-
	[ "$line" = ready ]
}

kill_hostile() {
	kill -9 "$HOSTILE"
	wait "$HOSTILE" || true
	exec {HOSTILE_IN}>&-
}

# The hypervisor and the back end write to one log, also at their ends.
no_sanitizer_spoke() {
	[ -e "$RINGFENCE_RUN/ringfenced.log" ] || return 0
	! grep -A40 -m1 "Sanitizer\|runtime error" "$RINGFENCE_RUN/ringfenced.log"
}

# What the hypervisor holds for the back end.
holdings() {
	control domain-list | sed -n 's/.*name=blkback .* \(grants=.*\)$/\1/p'
}

holds_again() {
	[ "$(holdings)" = "$before" ]
}

no_guest_left() {
	run ! grep -q kind=guest <(control domain-list)
}

# After any attack: nothing is left of it, the same process still serves, and serves right.
unharmed() {
	eventually no_guest_left
	eventually holds_again || {
		echo "before: $before, now: $(holdings)"
		return 1
	}
	run -0 client 2 300
	run -0 files_are_consistent "$(newest_client)"
	run ! grep -q "ended\|restart\|signal" <(grep "name=blkback\|blkback.*died" "$RINGFENCE_RUN/ringfenced.log")
	[ "$(pids_of blkback | wc -l)" -eq 1 ]
	[ "$(pids_of blkback)" = "${BACK_END:=$(pids_of blkback)}" ]
}

newest_client() {
	local file
	file=$(ls -t sectors.* | head -n 1)
	echo "${file#sectors.}"
}

# A value of xenstore, as dom0.
store() { # PATH
	XENSTORED_PATH=$RINGFENCE_RUN/xenstored/socket xenstore-read "$1"
}

figure() { # LINE KEY
	sed -n "s/.* $2=\([0-9]*\).*/\1/p" <<<"$1"
}

stats_of() { # GREP-PATTERN
	control stats | grep "$1"
}
