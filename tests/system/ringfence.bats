#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The toolstack's command: exec, env, usage; toolstack.bats has what xl does, trace.bats trace and top.

load lib_domains

# ---- exec: the program and its end ----

@test "exec: runs the program as a domain, with what it writes and reads" {
	start_hypervisor
	run -0 ringfence exec --name=alice -- sh -c 'xenstore-read domid name; cat' <<<"from outside"
	[ "$output" = $'1\nalice\nfrom outside' ]
	# Options end where the program begins.
	run -0 ringfence exec printf '%s\n' -n x --name=y
	[ "$output" = $'-n\nx\n--name=y' ]
	eventually domain_is_gone alice
	stop_hypervisor
}

@test "exec: the status is the program's" {
	start_hypervisor
	for wanted in 0 1 2 3 77 255; do
		run -$wanted ringfence exec sh -c "exit $wanted"
	done
	# A folder in the PATH that cannot be searched would make it 126.
	PATH=/usr/bin:/bin run -127 ringfence exec no-such-program
	has "cannot run no-such-program: No such file or directory"
	run -127 ringfence exec ./no-such-program
	touch not-executable
	run -126 ringfence exec ./not-executable
	has "Permission denied"
	run -126 ringfence exec /
	for signal in 9 15 11 6; do
		run -$((128 + signal)) ringfence exec sh -c "ulimit -c 0; kill -$signal \$\$"
	done
	[ -z "$(control domain-list)" ]
	stop_hypervisor
}

# A program that says which signal it got and ends with status 9.
trapping() {
	cat >trapping <<-'EOS'
		#!/bin/bash
		for s in INT TERM HUP QUIT USR1 USR2; do
			trap "echo got $s; exit 9" $s
		done
		xenstore-write data/ready 1
		while :; do sleep 0.05; done
	EOS
	chmod +x trapping
}

@test "exec: signals are passed on" {
	start_hypervisor
	trapping
	for signal in INT TERM HUP QUIT USR1 USR2; do
		# A shell's background jobs ignore two of them.
		start_domain trapper env --default-signal=INT,QUIT ./trapping
		eventually node_is trapper data/ready 1
		kill -$signal "${PIDS[trapper]}"
		ends_with trapper 9
		[ "$(cat trapper.out)" = "got $signal" ]
		eventually domain_is_gone trapper
	done
	# Not handled by the program.
	start_idle_domain idler
	kill -TERM "${PIDS[idler]}"
	ends_with idler 143
	stop_hypervisor
}

@test "exec: the program is stopped and continues with its terminal's job" {
	start_hypervisor
	start_idle_domain idler
	pid=$(program_of idler)
	kill -STOP "$pid"
	stopped() { grep -q '^State:.T' "/proc/$pid/status"; }
	eventually stopped
	kill -CONT "$pid"
	kill -TERM "${PIDS[idler]}"
	ends_with idler 143
	stop_hypervisor
}

@test "exec: killed, it takes its program and its domain along" {
	start_hypervisor
	for options in "" $([ "$(id -u)" -ne 0 ] || echo --uid=65534); do
		EXEC_OPTIONS=$options start_idle_domain idler
		pid=$(program_of idler)
		kill -9 "${PIDS[idler]}"
		ends_with idler 137
		eventually has_ended "$pid"
		eventually domain_is_gone idler
	done
	stop_hypervisor
}

@test "exec: when it ends, the domain is gone and its name is free" {
	start_hypervisor
	for _ in {1..60}; do
		run -0 ringfence exec --name=again xenstore-read name
		[ "$output" = again ]
		[ -z "$(control domain-list)" ]
	done
	run -1 ringfence exec --name=again --disk=nothing true
	[ -z "$(control domain-list)" ]
	stop_hypervisor
}

@test "exec: the domain ends with the program, not with what that left behind" {
	start_hypervisor
	mkfifo hold
	run -0 ringfence exec --name=parent sh -c '(cat hold; xenstore-read domid) >late 2>&1 & exit 0'
	eventually domain_is_gone parent
	echo go >hold
	late() { grep -q "couldn't\|refused\|xs_open\|No such" late; }
	eventually late
	stop_hypervisor
}

@test "exec: the program holds its standard descriptors and its two sockets, no more" {
	start_hypervisor
	# What the shell hands down is inherited, so hand down nothing. The listing's own is one more.
	cat >closed <<-'EOS'
		for fd in /proc/$$/fd/*; do
			[ "${fd##*/}" -le 2 ] || eval "exec ${fd##*/}>&-"
		done
		"$RF_BIN/ringfence" exec -- ls -l /proc/self/fd
	EOS
	run -0 bash closed
	[ "$(grep -c -e '->' <<<"$output")" -eq 6 ]
	[ "$(grep -c -e '/\.domain-1 (deleted)$' <<<"$output")" -eq 2 ]
	matches '/proc/[0-9]+/fd'
	# O_PATH: connecting is all that can be done with them.
	# shellcheck disable=SC2016 # for the program's shell
	run -0 ringfence exec sh -c 'cat "/proc/self/fdinfo/${XENSTORED_PATH##*/}" \
		"/proc/self/fdinfo/${RINGFENCE_HYPERCALL##*/}"'
	[ "$(grep -c '^flags:.*010000000$' <<<"$output")" -eq 2 ]
	stop_hypervisor
}

# ---- exec: options ----

@test "exec: names" {
	start_hypervisor
	run -0 ringfence exec -n short.name_1- xenstore-read name
	[ "$output" = short.name_1- ]
	run -0 ringfence exec -v -n alice true
	[ "$output" = "ringfence: domain 2 is alice" ]
	# Made up from the program's.
	run -0 ringfence exec sh -c 'xenstore-read name'
	matches '^sh-[0-9]+$'
	printf '#!/bin/sh\nxenstore-read name\n' >'+odd name+'
	chmod +x '+odd name+'
	run -0 ringfence exec './+odd name+'
	matches '^xodd-name--[0-9]+$'
	start_idle_domain taken
	run -1 ringfence exec --name=taken true
	has "cannot create domain taken: the name is taken"
	for bad in '' 'a b' 'a/b' -x "$(printf 'x%.0s' {1..64})" "$(printf 'x%.0s' {1..200})"; do
		run -1 ringfence exec "--name=$bad" true
		has "bad name"
	done
	stop_hypervisor
}

@test "exec: --disk attaches disks in order" {
	start_service
	disk=$(control disk-list | sed -n 's/^name=\([^ ]*\) .*/\1/p' | head -n 1)
	run -0 ringfence exec "--disk=$disk" xenstore-list device/vbd
	[ "$output" = 51712 ]
	run -0 ringfence exec -d "$disk" -d "$disk" sh -c 'xenstore-ls -f device/vbd | grep -c backend-id'
	[ "$output" = 2 ]
	run -1 ringfence exec --disk=nothing true
	has "cannot attach disk nothing"
	# shellcheck disable=SC2046 # words
	run -2 ringfence exec $(printf -- '--disk=x %.0s' {1..27}) true
	has "too many disks"
	ends_in_order
}

@test "exec: --uid as root: domains of different users are protected from each other" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	start_hypervisor
	run -0 ringfence exec --uid=65534 sh -c 'id -u; id -g; id -G; xenstore-read domid'
	[ "${lines[0]}" = 65534 ]
	[ "${lines[1]}" = 65534 ]
	[ "${lines[2]}" = 65534 ]
	[ "${lines[3]}" = 1 ]
	run -0 ringfence exec --uid=nobody id -un
	[ "$output" = nobody ]
	# A number without an entry in the list of users.
	run -0 ringfence exec -u 65533 id -u
	[ "$output" = 65533 ]
	start_idle_domain roots
	EXEC_OPTIONS=--uid=65534 start_idle_domain nobodys
	for victim in roots nobodys; do
		pid=$(program_of $victim)
		for fd in $(tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's|^[XR].*=/proc/self/fd/||p'); do
			run -1 ringfence exec --uid=65533 env "XENSTORED_PATH=/proc/$pid/fd/$fd" \
				xenstore-read domid
			run -1 setpriv --reuid=65533 --regid=65533 --clear-groups \
				env "XENSTORED_PATH=/proc/$pid/fd/$fd" xenstore-read domid
		done
		run -2 ringfence exec --uid=65533 ls "/proc/$pid/fd"
	done
	run -2 ringfence exec --uid=65533 ls "$RINGFENCE_RUN"
	run -0 as_domain nobodys xenstore-read domid
	[ "$output" = "${DOMIDS[nobodys]}" ]
	stop_hypervisor
}

@test "exec: --uid of nobody that exists, and without the right to" {
	start_hypervisor
	for bad in no-such-user -5 4294967296 '' 12x; do
		run -1 ringfence exec "--uid=$bad" true
		has "there is no user '$bad'"
	done
	# Oneself is always right.
	run -0 ringfence exec "--uid=$(id -u)" true
	stop_hypervisor
	copy_programs
	mkdir "$WORK/nobody"
	[ "$(id -u)" -ne 0 ] || chown 65534 "$WORK/nobody"
	export RINGFENCE_RUN=$WORK/nobody/run
	as_nobody "$WORK/tree/bin/ringfenced" --daemon 3>&-
	run -1 as_nobody "$WORK/tree/bin/ringfence" exec --uid=1 true
	[ "$output" = "ringfence: only root can run a program as another user" ]
	run -0 as_nobody "$WORK/tree/bin/ringfence" exec xenstore-read domid
	[ "$output" = 1 ]
	kill "$(cat "$RINGFENCE_RUN/lock")"
	eventually no_sockets_left
}

# ---- env ----

@test "env: Xen programs run as domain 0, also where the path needs quotes" {
	RINGFENCE_RUN="$WORK/it's a \$run"
	export RINGFENCE_RUN
	start_hypervisor
	run -0 bash -c 'eval "$("$RF_BIN/ringfence" env)"
		xenstore-write /here 1 && xenstore-read /here domid && ldd "$RF_TEST/peers/vchan_peer"'
	[ "${lines[0]}" = 1 ]
	[ "${lines[1]}" = 0 ]
	has "/lib/usermode/libxengnttab.so.1"
	has "/lib/usermode/libxenevtchn.so.1"
	run -0 env LD_LIBRARY_PATH=/one:/two "$RF_BIN/ringfence" env
	matches "LD_LIBRARY_PATH='[^']*/lib/usermode:/one:/two'"
	stop_hypervisor
}

# ---- usage ----

@test "usage: wrong arguments end with status 2 and say what is wrong" {
	start_hypervisor
	run -2 ringfence
	has Usage
	run -2 ringfence no-such-command
	has "there is no command 'no-such-command'"
	run -2 ringfence --no-such-option
	run -2 ringfence exec
	has "which program?"
	run -2 ringfence exec --
	run -2 ringfence exec --no-such-option true
	has "Try 'ringfence exec --help'"
	for option in --name --uid --disk -n -u -d; do
		run -2 ringfence exec $option
	done
	run -2 ringfence exec --verbose=x true
	for command in env info top; do
		run -2 ringfence $command surplus
		has "Try 'ringfence $command --help'"
		run -2 ringfence $command --no-such-option
	done
	stop_hypervisor
}

# The names of all subcommands.
commands() {
	"$RF_BIN/ringfence" help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p'
}

@test "usage: help and version need no hypervisor, everything else says that none runs" {
	for option in --help -h help --version -V; do
		run -0 ringfence $option
		[ -n "$output" ]
	done
	[ "$(commands | wc -l)" -ge 20 ]
	for command in $(commands); do
		run -0 ringfence "$command" --help
		has "Usage: ringfence $command"
		run -0 ringfence "$command" -h
	done
	for command in "exec true" env list info "top --batch" trace; do
		# shellcheck disable=SC2086 # words
		run -3 ringfence $command
		has "no hypervisor is running in $RINGFENCE_RUN"
	done
}

@test "usage: what cannot be written is an error" {
	start_hypervisor
	for command in env list info "list --json" --help; do
		# shellcheck disable=SC2086 # words
		run -1 bash -c '"$RF_BIN/ringfence" "$@" >/dev/full' - $command
		has "cannot write to standard output"
	done
	stop_hypervisor
}

@test "usage: --help and the manual page name the same options" {
	for command in "" $(commands); do
		"$RF_BIN/ringfence" $command --help
	done | grep -o -e '--[a-z][a-z-]*' | sort -u >help
	sed 's/\\-/-/g; s/\\f.//g' "$ROOT/docs/man/ringfence.1" | grep -o -e '--[a-z][a-z-]*' | sort -u >man
	[ -s help ]
	diff help man
	for command in $(commands); do
		grep -q "^\.SS ringfence $command\$" <(sed 's/\\-/-/g' "$ROOT/docs/man/ringfence.1") || {
			echo "the manual page has no section on $command"
			false
		}
	done
}
