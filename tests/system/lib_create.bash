# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables of the tests, and status
# What the tests of `ringfence create` and of keepers share, on top of lib_domains.bash.

load lib_domains

# A configuration that runs a shell command; further lines come from standard input, if it is not
# the terminal's or the test's.
config() { # NAME SHELL-COMMAND [LINE]...
	{
		printf 'name = "%s"\ntype = "process"\nkernel = "/bin/sh"\n' "$1"
		printf 'extra = [ "-c", "%s" ]\n' "${2//\"/\\\"}"
		[ $# -lt 3 ] || printf '%s\n' "${@:3}"
	} >"$1.cfg"
}

# A driver domain named storage, from a configuration.
create_storage() { # [ARGUMENT OF blkback]...
	{
		printf 'name = "storage"\nkernel = "%s/blkback"\ndriver_domain = 1\n' "$RF_BIN"
		printf 'extra = "%s"\n' "$*"
	} >storage.cfg
	ringfence create -q storage.cfg
}

keeper_of() { # NAME
	control domain-list | sed -n "s/^domid=[0-9]* name=$1 .* pid=\([0-9]*\) .*/\1/p" | grep .
}

# The program that a keeper has started.
program_kept_by() { # KEEPER
	local pid
	read -r pid _ <"/proc/$1/task/$1/children"
	echo "$pid"
}

console_log() { # NAME
	cat "$RINGFENCE_RUN/console/$1.log" 2>/dev/null
}

console_has() { # NAME TEXT
	[[ $(console_log "$1") == *"$2"* ]]
}

# Every process that this test's guests have or had, keepers included; all inherit its runtime
# directory.
processes_of_domains() {
	local dir
	# One process that looks at all of them: where starting one is slow, one for each takes seconds.
	for dir in $(grep -lszF "RINGFENCE_RUN=$RINGFENCE_RUN" /proc/[0-9]*/environ); do
		dir=${dir%/environ}
		[ "${dir#/proc/}" != "$$" ] || continue
		[ "$(cat "$dir/comm" 2>/dev/null)" != blkback ] || continue
		grep -qzE '^XENSTORED_PATH=/proc/self/fd|^create$' "$dir/environ" "$dir/cmdline" 2>/dev/null &&
			echo "${dir#/proc/} $(tr '\0' ' ' <"$dir/cmdline")"
	done
	return 0
}

no_process_is_left() {
	[ -z "$(processes_of_domains)" ]
}

eval "domains_$(declare -f teardown)"
teardown() {
	local pid
	# Their domains go with the hypervisor, and keepers and programs with these.
	domains_teardown
	eventually no_process_is_left
}
