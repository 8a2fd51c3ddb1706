# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What scenarios are written with; runs the one that it is given, in dom0 of a real Xen.
#
# A check is one line of TAP on descriptor 3. Functions return their status, so a scenario reads as a
# list of `check "what shall be" command`. Every wait has a bound. At the end, everything that was
# started is ended, and if a check failed the logs are shown.

BOUND=120        # seconds that a wait takes at most: something hangs, not is slow
GUEST_BOUND=300  # the same for a command in a guest
nr_checks=0
nr_failed=0
declare -A tty_of=() # guest: descriptor of its console

say() { printf '%s\n' "$*" | sed 's/^/# /' >&3; }

# check TEXT COMMAND...: one check. The command runs in this shell, so it may set variables; what it
# prints is shown if it fails.
check() {
	local text=$1 status=0
	shift
	"$@" >/tmp/output 2>&1 || status=$?
	report "$status" "$text"
}

# need TEXT COMMAND...: a step without which nothing that follows makes sense: ends the scenario.
need() {
	check "$@" && return
	finish
	exit 1
}

report() { # STATUS TEXT; the output is in a file
	nr_checks=$((nr_checks + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $nr_checks - $2" >&3
		echo "$(cut -d' ' -f1 /proc/uptime) s: $2" >&2
	else
		nr_failed=$((nr_failed + 1))
		echo "not ok $nr_checks - $2" >&3
		{
			tail -n 25 /tmp/output
			echo "status $1"
		} | sed 's/^/#   /' >&3
	fi
	return "$1"
}

# eventually COMMAND...: asks until it succeeds.
eventually() {
	local end=$((SECONDS + BOUND))
	until "$@"; do
		if ((SECONDS > end)); then
			echo "never happened within $BOUND s: $*"
			return 1
		fi
		usleep 50000
	done
}

same() { # WANTED FOUND
	[ "$1" = "$2" ] || { printf 'wanted: %s\nfound:  %s\n' "$1" "$2"; return 1; }
}

# ---- disks, in the domain where the back end is ----

declare -A target=() # disk: what the back end opens
back_domain=         # the driver domain; empty: dom0

on_back() { # COMMAND WORD...
	if [ -n "$back_domain" ]; then
		guest_run "$back_domain" "$*"
	else
		"$@"
	fi
}

back_domid() {
	if [ -n "$back_domain" ]; then
		domid_of "$back_domain"
	else
		echo 0
	fi
}

make_disk() { # NAME MIB [SECTOR_SIZE]
	on_back make-disk "$@" && target[$1]=/dev/$1
}

# make_file NAME MIB: a file on ext4. The kernel's back end has it as a loop device, for it serves
# no files.
make_file() {
	on_back make-file "$@" || return
	target[$1]=/mnt/$1/image
	[ "$back_script" = block ] || return 0
	modprobe loop && target[$1]=$(losetup -f) && losetup "${target[$1]}" "/mnt/$1/image"
}

resize_file() { # NAME MIB
	on_back truncate -s "$2M" "/mnt/$1/image" || return
	case ${target[$1]} in
	/dev/loop*) losetup -c "${target[$1]}" ;;
	esac
}

blocks_of() { on_back stat -c %b "/mnt/$1/image"; } # NAME

# ---- back ends ----

back_script= # the hotplug script of the back end in use

# start_blkback [OPTION]...: ours, in dom0; returns when it is ready.
start_blkback() {
	! xenstore-exists data/ready || xenstore-rm data/ready
	blkback "$@" >/var/log/blkback.log 2>&1 &
	blkback_pid=$!
	back_script=block-ringfence
	eventually xenstore-exists data/ready || { cat /var/log/blkback.log; return 1; }
}

stop_blkback() {
	kill "$blkback_pid" && eventually ended "$blkback_pid" && wait "$blkback_pid"
}

ended() { ! kill -0 "$1" 2>/dev/null; }

# start_xen_blkback: the kernel's, for comparison.
start_xen_blkback() {
	back_script=block
	# As many queues as ours has workers: it offers as many as dom0 has processors.
	modprobe xen-blkback max_queues=2
}

# start_driver_domain NAME: a PV guest in which blkback runs; returns when that is ready.
start_driver_domain() {
	GUEST_MB=384 start_guest pv "$1" && guest_run "$1" 'modprobe xen-evtchn && modprobe xen-gntdev' &&
		guest_run "$1" 'blkback --workers=2 >/tmp/blkback.log 2>&1 &' || return
	back_script=block-ringfence
	back_domain=$1
	eventually xenstore-exists "/local/domain/$(back_domid)/data/ready"
}

# disk_spec TARGET [VDEV] [ACCESS]: how xl shall attach it.
disk_spec() {
	printf 'format=raw,vdev=%s,access=%s,backendtype=phy,%starget=%s' "${2:-xvda}" "${3:-rw}" \
		"script=$back_script,${back_domain:+backend=$back_domain,}" "$1"
}

# ---- guests ----

# start_guest pv|pvh NAME DISK_SPEC...: returns when it takes commands. GUEST_MB, GUEST_VCPUS and
# GUEST_EXTRA (for its kernel's command line) may be set.
start_guest() {
	local kind=$1 name=$2
	shift 2
	guest_config "$kind" "$name" "$@" >"/run/$name.cfg"
	timeout "$BOUND" xl create -q "/run/$name.cfg" || return
	open_console "$name" && await_marker "$name" ready
}

guest_config() { # pv|pvh NAME DISK_SPEC...
	local spec
	echo "type='$1'"
	echo "name='$2'"
	echo "kernel='/vmlinux'"
	echo "ramdisk='/guest.cpio'"
	echo "extra='console=hvc0 panic=-1 quiet mitigations=off ${GUEST_EXTRA:-}'"
	echo "memory=${GUEST_MB:-192}"
	echo "vcpus=${GUEST_VCPUS:-1}"
	echo "on_crash='destroy'"
	# QEMU's SVM cannot emulate the time stamp counter for a guest.
	[ "$1" != pvh ] || echo "tsc_mode='native'"
	echo "disk=["
	for spec in "${@:3}"; do echo "'$spec',"; done
	echo "]"
}

domid_of() { xl domid "$1" 2>/dev/null; }

# A console that was read by nobody keeps what was said; it is read and written through one descriptor.
open_console() { # NAME
	local fd
	eventually console_is_there "$1" && exec {fd}<>"$(console_path "$1")" || return
	tty_of[$1]=$fd
}

console_path() { xenstore-read "/local/domain/$(domid_of "$1")/console/tty" 2>/dev/null; }
console_is_there() { [ -c "$(console_path "$1")" ]; }

close_console() { # NAME
	local fd=${tty_of[$1]}
	exec {fd}>&-
	unset "tty_of[$1]"
}

# Prints what the guest says up to its marker; returns the status that comes with it.
await_marker() { # NAME ID
	local line part end=$((SECONDS + GUEST_BOUND))
	[ -n "${tty_of[$1]:-}" ] || { echo "guest $1 has no console"; return 125; }
	line=
	while ((SECONDS <= end)); do
		# Half a line may come before the time is over.
		IFS= read -r -t 5 -u "${tty_of[$1]}" part || { line+=$part; continue; }
		line+=${part%$'\r'}
		case $line in
		"@@ $2 "*) return "${line##* }" ;;
		'') ;;
		*) printf '%s\n' "$line" ;;
		esac
		line=
	done
	echo "guest $1 did not answer within $GUEST_BOUND s"
	return 124
}

# guest_run NAME COMMAND: its output, and its status. One at a time in a guest. Line ends count as
# blanks.
guest_run() {
	local id=${EPOCHREALTIME/[.,]/}
	[ -z "${tty_of[$1]:-}" ] || printf '%s %s\n' "$id" "${2//$'\n'/ }" >&"${tty_of[$1]}"
	await_marker "$1" "$id"
}

stop_guest() { # NAME
	timeout "$BOUND" xl destroy "$1"
	close_console "$1"
}

# ---- the two ends in xenstore ----

device_number() { # VDEV, xvdX
	local letter
	letter=$(printf '%d' "'${1#xvd}")
	echo $((202 << 8 | (letter - 97) << 4))
}

back_path() { # NAME [VDEV]
	echo "/local/domain/$(back_domid)/backend/vbd/$(domid_of "$1")/$(device_number "${2:-xvda}")"
}

front_path() { # NAME [VDEV]
	echo "/local/domain/$(domid_of "$1")/device/vbd/$(device_number "${2:-xvda}")"
}

state_is() { [ "$(xenstore-read "$1/state" 2>/dev/null)" = "$2" ]; }

gone() { ! xenstore-exists "$1"; }

wait_state() { # PATH STATE
	eventually state_is "$1" "$2" || { xenstore-ls -f "$1"; return 1; }
}

attach() { timeout "$BOUND" xl block-attach "$1" "$2"; }               # NAME DISK_SPEC
detach() { timeout "$BOUND" xl block-detach "$1" "$(device_number "$2")"; } # NAME VDEV

# What was agreed on, for the reader of the log.
say_negotiated() { # NAME [VDEV]
	local path
	for path in "$(back_path "$@")" "$(front_path "$1" "${2:-xvda}")"; do
		say "negotiated: ${path}: $(xenstore-ls "$path" |
			grep -E '^(feature|multi|max|ring|sector|physical|discard|protocol|queue|info|state|mode|params)' |
			sed 's/ = /=/; s/"//g' | tr '\n' ' ')"
	done
}

node_is() { same "$2" "$(xenstore-read "$1")"; } # PATH VALUE

# ---- running a scenario ----

# Everything goes to the console; what a back end said, to the checks as well.
show_logs() {
	local file name
	echo "==== what is in xenstore ===="
	xenstore-ls -f
	for name in "${!tty_of[@]}"; do
		echo "==== guest $name ===="
		GUEST_BOUND=10 guest_run "$name" 'tail -n 100 /tmp/*.log; dmesg | tail -n 30'
	done
	for file in /var/log/blkback.log /var/log/xen/*.log /var/log/xen/console/*; do
		[ -s "$file" ] && echo "==== $file ====" && tail -n 100 "$file"
	done
	echo "==== xl list, dmesg ===="
	xl list
	dmesg | tail -n 40
	if [ -s /var/log/blkback.log ]; then
		tail -n 15 /var/log/blkback.log | sed 's/^/# blkback: /' >&3
	fi
}

finish() {
	local name
	[ "$nr_failed" -eq 0 ] || show_logs
	for name in "${!tty_of[@]}"; do
		stop_guest "$name"
	done
	if [ -n "${blkback_pid:-}" ] && ! ended "$blkback_pid"; then
		kill -9 "$blkback_pid"
	fi
	echo "1..$nr_checks" >&3
	[ "$nr_failed" -eq 0 ] && [ "$nr_checks" -gt 0 ]
}

# shellcheck source=/dev/null
. /lab/steps.sh
# shellcheck source=/dev/null
. "/lab/scenarios/$1.sh"
finish
