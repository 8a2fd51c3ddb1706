# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables of the tests, and status
# What the tests of programs in domains share, on top of lib_hypervisor.bash.

load lib_hypervisor

PEERS=$RF_TEST/peers
EXAMPLES=$RF_BIN/../build/examples
export RF_BIN RF_TEST # for the shells that tests start
declare -gA PIDS DOMIDS

# `ringfence exec` takes its program along.
end_domains() {
	local pid
	for pid in "${PIDS[@]}"; do
		kill -9 "$pid" 2>/dev/null || true
	done
}

eval "lib_$(declare -f teardown)"
teardown() {
	end_domains
	lib_teardown
}

ringfence() {
	"$RF_BIN/ringfence" "$@" 3>&-
}

# A xenstore tool as domain 0: dom0 ls, dom0 write PATH VALUE, ...
dom0() { # TOOL [ARGUMENT]...
	XENSTORED_PATH=$RINGFENCE_RUN/xenstored/socket timeout "$BOUND" "xenstore-$1" "${@:2}" 3>&-
}

# The same as a domain that runs already, through the sockets that its program has: what a
# debugger's user would do. The program must not have closed them.
as_domain() { # NAME COMMAND [ARGUMENT]...
	local pid store hypercall
	pid=$(program_of "$1")
	store=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n "s|^XENSTORED_PATH=/proc/self|/proc/$pid|p")
	hypercall=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n "s|^RINGFENCE_HYPERCALL=/proc/self|/proc/$pid|p")
	XENSTORED_PATH=$store RINGFENCE_HYPERCALL=$hypercall timeout "$BOUND" "${@:2}" 3>&-
}

# A domain that does nothing by itself, for as_domain.
start_idle_domain() { # NAME
	start_domain "$1" sleep 1000
	# It has the environment once it is no longer `ringfence`.
	eventually runs_program "$1" sleep
}

runs_program() { # NAME COMM
	[ "$(cat "/proc/$(program_of "$1")/comm" 2>/dev/null)" = "$2" ]
}

# One line: the id of a domain by name; fails if there is none.
domid_of() { # NAME
	control domain-list | sed -n "s/^domid=\([0-9]*\) name=$1 .*/\1/p" | grep .
}

# What a domain has: "GRANTS MAPS PORTS".
holdings() { # DOMID
	control domain-list | sed -n "s/^domid=$1 .* grants=\([0-9]*\) maps=\([0-9]*\) ports=\([0-9]*\) .*/\1 \2 \3/p"
}

holds_nothing() { # DOMID
	[ "$(holdings "$1")" = "0 0 0" ]
}

domain_is_gone() { # NAME
	! domid_of "$1" >/dev/null
}

# Starts a program as a domain beside the test: the pid of `ringfence exec` is in PIDS[NAME], the
# domain's id in DOMIDS[NAME]. Its output goes to NAME.out; EXEC_OPTIONS are for `ringfence exec`.
start_domain() { # NAME PROGRAM [ARGUMENT]...
	# shellcheck disable=SC2086 # options are words
	"$RF_BIN/ringfence" exec --name="$1" ${EXEC_OPTIONS:-} -- "${@:2}" >"$1.out" 2>&1 </dev/null 3>&- &
	PIDS[$1]=$!
	eventually domid_of "$1" >/dev/null
	DOMIDS[$1]=$(domid_of "$1")
}

# The process of the program itself.
program_of() { # NAME
	local pid
	read -r pid _ <"/proc/${PIDS[$1]}/task/${PIDS[$1]}/children"
	echo "$pid"
}

# It ends by itself, with this status.
ends_with() { # NAME [STATUS]
	wait_for_end "${PIDS[$1]}" $((2 * BOUND)) || {
		cat "$1.out"
		return 1
	}
	[ "$status" -eq "${2:-0}" ] && return
	echo "$1 ended with status $status:"
	cat "$1.out"
	return 1
}

# Reads a node of a domain, without complaint if it is missing.
node_of() { # NAME PATH
	dom0 read "/local/domain/${DOMIDS[$1]}/$2" 2>/dev/null
}

node_is() { # NAME PATH VALUE
	[ "$(node_of "$1" "$2")" = "$3" ] && return
	# No use in waiting for the dead.
	kill -0 "${PIDS[$1]}" 2>/dev/null || {
		cat "$1.out"
		exit 1
	}
	return 1
}

set_node() { # NAME PATH VALUE
	dom0 write "/local/domain/${DOMIDS[$1]}/$2" "$3"
}
