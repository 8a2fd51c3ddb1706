# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034 # output and status belong to the tests
# What the tests of the hypervisor and of the user-mode libraries share, on top of lib.bash.

load lib

RF_TEST=${RF_TEST:-$ROOT/build/test}
USERMODE_LIBS=$RF_BIN/../lib/usermode

# The hypervisor alone, in the background; its process id is in $HYPERVISOR_PID.
start_hypervisor() { # [OPTION]...
	"$RF_BIN/ringfenced" --daemon "$@" 3>&-
	HYPERVISOR_PID=$(cat "$RINGFENCE_RUN/lock")
	export HYPERVISOR_PID
}

# True once a process has ended, even if nobody has waited for it yet.
has_ended() { # PID
	local stat
	read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
	[[ ${stat##*) } == Z* ]]
}

# Ends it, and fails if it says that something was wrong: sanitizers, leaks, lost processes.
stop_hypervisor() {
	kill "$HYPERVISOR_PID"
	eventually has_ended "$HYPERVISOR_PID"
	no_sockets_left
	run ! grep -aE 'Sanitizer|runtime error' "$RINGFENCE_RUN/ringfenced.log"
}

# A scenario of one of the programs in tests/hostile, against a hypervisor of its own.
scenario() { # PROGRAM SCENARIO [OPTION OF ringfenced]...
	start_hypervisor "${@:3}"
	"$RF_TEST/hostile/$1" "$2" 3>&-
	stop_hypervisor
}

store_tree() {
	XENSTORED_PATH=$RINGFENCE_RUN/xenstored/socket xenstore-ls -f
}

# Descriptors that a process has open.
nr_fds() { # PID
	find "/proc/$1/fd" -mindepth 1 | wc -l
}

# The log of the hypervisor has a line that matches.
logged() { # PATTERN
	grep -qE "$1" "$RINGFENCE_RUN/ringfenced.log"
}

# A driver domain that gets ready, and then runs the given shell command.
make_driver() { # FILE COMMAND [COMMAND BEFORE IT IS READY]
	cat >"$1" <<-EOF
		#!/bin/sh
		${3-}
		env -u LD_LIBRARY_PATH xenstore-write data/ready 1
		$2
	EOF
	chmod +x "$1"
}

start_driver() { # NAME PROGRAM [arg=WORD]...
	control driver-start "name=$1" "program=$2" "${@:3}"
}
