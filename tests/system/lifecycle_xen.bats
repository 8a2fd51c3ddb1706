#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A disk's life as libxl (Xen 4.17) leads it: this file writes the nodes that libxl_disk.c and
# libxl_device.c write, in their order, and expects what libxl waits for. The guest is a domain of
# our own hypervisor (tests/hostile/blkfront_libxl.c).

load lib
load lib_blkback

BACK_DOMID=1
DEVICE=51712

dom0() { # TOOL [ARGUMENT]...
	XENSTORED_PATH=$RINGFENCE_RUN/xenstored/socket timeout "$BOUND" "xenstore-$1" "${@:2}" 3>&-
}

# ---- the guest ----

start_guest() {
	local line
	rm -f guest.in guest.out
	mkfifo guest.in guest.out
	exec {GUEST_IN}<>guest.in {GUEST_OUT}<>guest.out
	"$RF_TEST/hostile/blkfront_libxl" <guest.in >guest.out 3>&- {GUEST_IN}<&- {GUEST_OUT}<&- &
	GUEST=$!
	HOSTILES+=" $GUEST"
	read -r -t "$BOUND" -u "$GUEST_OUT" line
	DOMID=${line#ready }
	BACK=/local/domain/$BACK_DOMID/backend/vbd/$DOMID/$DEVICE
	FRONT=/local/domain/$DOMID/device/vbd/$DEVICE
}

guest() { # COMMAND... ; its answer is in $ANSWER
	echo "$*" >&"$GUEST_IN"
	ANSWER=
	read -r -t "$BOUND" -u "$GUEST_OUT" ANSWER
	echo "guest $*: $ANSWER"
}

guest_does() { # COMMAND...
	guest "$@"
	[ "$ANSWER" = ok ]
}

end_guest() {
	# It ends with its input, unless the test has killed it.
	exec {GUEST_IN}>&- {GUEST_OUT}>&-
	wait "$GUEST" || true
}

# ---- libxl ----

# A directory that its owner may write and the other may read; what is written below inherits that.
make_dir() { # PATH OWNER READER
	dom0 write "$1" ""
	dom0 chmod "$1" "n$2" "r$3"
}

# libxl__device_generic_add: all nodes of both ends at once.
libxl_add() { # TARGET MODE [NODE VALUE]...
	local nodes=() i
	make_dir "$FRONT" "$DOMID" "$BACK_DOMID"
	make_dir "$BACK" "$BACK_DOMID" "$DOMID"
	for ((i = 3; i < $#; i += 2)); do
		nodes+=("$BACK/${*:i:1}" "${*:i+1:1}")
	done
	dom0 write "$FRONT/backend" "$BACK" "$FRONT/backend-id" "$BACK_DOMID" "$FRONT/state" 1 \
		"$FRONT/virtual-device" "$DEVICE" "$FRONT/device-type" disk \
		"$BACK/frontend" "$FRONT" "$BACK/params" "$1" "$BACK/script" /etc/xen/scripts/block-ringfence \
		"$BACK/frontend-id" "$DOMID" "$BACK/online" 1 "$BACK/removable" 0 "$BACK/bootable" 1 \
		"$BACK/dev" xvda "$BACK/type" phy "$BACK/mode" "$2" "$BACK/device-type" disk \
		"$BACK/discard-enable" 1 "${nodes[@]}" "$BACK/state" "${STATE:-1}"
}

back_is() { # NODE VALUE
	[ "$(dom0 read "$BACK/$1" 2>/dev/null)" = "$2" ]
}

# libxl waits for InitWait, then runs the script.
libxl_attach() { # as libxl_add
	libxl_add "$@"
	eventually back_is state 2
	dom0 write "$BACK/hotplug-status" connected
}

# libxl__initiate_device_generic_remove.
libxl_take_away() { # [force]
	[ -z "${1:-}" ] || dom0 rm "$FRONT" 2>/dev/null || true
	if back_is state 6; then
		dom0 write "$BACK/online" 0
	else
		dom0 write "$BACK/online" 0 "$BACK/state" 5
	fi
}

# In a driver domain libxl waits until the back end has removed its directory; in dom0, and for
# what is left, it removes the nodes itself.
libxl_wait_removed() {
	eventually back_is_gone
	dom0 rm "$FRONT" 2>/dev/null || true
}

back_is_gone() {
	run dom0 exists "$BACK"
	[ "$status" -ne 0 ]
}

nr_logged() { # PATTERN
	grep -c "$1" "$RINGFENCE_RUN/ringfenced.log" || true
}

connect_guest() {
	guest_does publish
	guest_does connect
	guest_does read 8
}

# ---- the tests ----

@test "life: attached, used, detached; the directory is removed after a moment" {
	start_back_end
	start_guest
	for i in 1 2 3; do
		libxl_attach "$WORK/rw.img" w
		connect_guest
		libxl_take_away
		# The guest uses it still, and is served until it says that it does not.
		guest_does back 5
		guest_does read 16
		# Linux's front end goes from Connected to Closed at once.
		guest_does state 6
		guest_does back 6
		guest_does drop
		libxl_wait_removed
	done
	end_guest
	unharmed
}

@test "life: what is offered" {
	start_back_end --workers=2
	start_guest
	libxl_attach "$WORK/rw.img" w
	for node in sectors=16384 sector-size=512 info=0 feature-flush-cache=1 feature-persistent=1 \
		feature-discard=1 feature-max-indirect-segments=256 max-ring-page-order=4 \
		multi-queue-max-queues=2 discard-alignment=0; do
		back_is "${node%=*}" "${node#*=}" || {
			echo "$node is $(dom0 read "$BACK/${node%=*}")"
			return 1
		}
	done
	for node in feature-barrier discard-secure feature-large-sector-size error; do
		run dom0 exists "$BACK/$node"
		[ "$status" -ne 0 ]
	done
	libxl_take_away
	libxl_wait_removed
	# What the toolstack forbids, and what the disk is.
	libxl_attach "$WORK/disk1.img" r discard-enable 0 device-type cdrom
	back_is feature-discard 0
	back_is info 5
	libxl_take_away
	libxl_wait_removed
	libxl_attach "$WORK/rw.img" w discard-enable 0
	back_is feature-discard 0
	end_guest
	unharmed
}

@test "life: options change the offer" {
	for grants in map copy; do
		start_back_end --grants="$grants" --indirect=0 --max-queues=1
		start_guest
		libxl_attach "$WORK/rw.img" w
		back_is feature-persistent 0
		back_is feature-max-indirect-segments 0
		back_is multi-queue-max-queues 1
		# A front end may say that it could.
		connect_guest
		end_guest
		unharmed
		control shutdown
		eventually nothing_runs
		unset BACK_END
	done
}

@test "life: a front end that is quick does not carry the back end past the script" {
	start_back_end
	start_guest
	libxl_add "$WORK/rw.img" w
	guest_does publish
	# The script says nothing: that must not last.
	guest_does connect
	guest_does read 8
	end_guest
	unharmed
}

@test "life: never used, detached" {
	start_back_end
	start_guest
	libxl_attach "$WORK/rw.img" w
	libxl_take_away
	eventually back_is state 6
	libxl_wait_removed
	end_guest
	unharmed
}

@test "life: a directory that is online is not removed, and a guest may close and open its disk" {
	start_back_end
	start_guest
	libxl_attach "$WORK/rw.img" w
	for i in 1 2 3; do
		connect_guest
		guest_does state 5
		guest_does back 5
		guest_does state 6
		guest_does back 6
		guest_does drop
		guest_does state 1
		eventually back_is state 2
	done
	guest_does state 6
	eventually back_is state 6
	# Another one that is closed later, and not online, is removed before it would be.
	second=${BACK%/*}/51728
	make_dir "$second" "$BACK_DOMID" "$DOMID"
	dom0 write "$second/frontend" "/local/domain/$DOMID/device/vbd/51728" "$second/online" 0 \
		"$second/state" 1
	eventually second_is_gone
	back_is state 6
	libxl_take_away
	libxl_wait_removed
	end_guest
	unharmed
}

second_is_gone() {
	run dom0 exists "$second"
	[ "$status" -ne 0 ]
}

@test "life: a domain that is destroyed while it uses its disk" {
	start_back_end
	for how in nodes process both; do
		start_guest
		libxl_attach "$WORK/rw.img" w
		connect_guest
		[ "$how" = process ] || dom0 rm "$FRONT"
		[ "$how" = nodes ] || kill -9 "$GUEST"
		eventually back_is state 6
		libxl_take_away force
		libxl_wait_removed
		end_guest
	done
	unharmed
}

@test "life: forced away under I/O, again and again" {
	start_back_end
	start_guest
	for i in 1 2 3 4 5; do
		libxl_attach "$WORK/rw.img" w
		connect_guest
		libxl_take_away force
		guest_does drop
		libxl_wait_removed
	done
	end_guest
	unharmed
}

@test "life: the same number again, with another disk, before anybody looked" {
	start_back_end
	make_image other.img 2
	start_guest
	libxl_attach "$WORK/rw.img" w
	back_is sectors 16384
	for i in 1 2 3 4 5; do
		dom0 rm "$BACK"
		libxl_add "$WORK/other.img" w
		eventually back_is sectors 4096
		eventually back_is state 2
		dom0 write "$BACK/params" "$WORK/rw.img" "$BACK/state" 1
		eventually back_is sectors 16384
		eventually back_is state 2
	done
	connect_guest
	# With the old one still connected.
	dom0 write "$BACK/params" "$WORK/other.img" "$FRONT/state" 1 "$BACK/state" 1
	eventually back_is sectors 4096
	eventually back_is state 2
	end_guest
	unharmed
}

@test "life: a disk that cannot be opened says why and can be detached" {
	start_back_end
	start_guest
	libxl_add "$WORK/nowhere.img" w
	eventually back_is state 6
	dom0 read "$BACK/error" | grep -q "cannot open $WORK/nowhere.img: No such file or directory"
	libxl_take_away
	libxl_wait_removed
	libxl_attach "$WORK/rw.img" w
	connect_guest
	end_guest
	unharmed
}

@test "life: a disk that only the script could find" {
	start_back_end
	start_guest
	libxl_attach "" w physical-device-path "$WORK/rw.img"
	back_is sectors 16384
	connect_guest
	end_guest
	unharmed
}

@test "life: disks with another script are left alone, unless told" {
	start_back_end
	start_guest
	libxl_add "$WORK/rw.img" w script /etc/xen/scripts/block
	# By then it has been looked at, more than once.
	dom0 write "$BACK/node" /dev/loop0
	unharmed_beside
	back_is state 1
	logged_once "left alone, its script is /etc/xen/scripts/block"
	dom0 write "$BACK/state" 2
	dom0 write "$FRONT/state" 3
	unharmed_beside
	back_is state 2
	dom0 rm "$BACK"
	dom0 rm "$FRONT"
	# The same number may become ours.
	libxl_attach "$WORK/rw.img" w
	connect_guest
	end_guest
	unharmed
	control shutdown
	eventually nothing_runs
	unset BACK_END
	start_back_end --any-script
	start_guest
	libxl_attach "$WORK/rw.img" w script /etc/xen/scripts/block
	connect_guest
	end_guest
	unharmed
}

# Another client comes and goes meanwhile.
unharmed_beside() {
	run -0 client 1 50
}

@test "life: nonsense as the front end's state hurts nobody" {
	start_back_end
	start_guest
	libxl_attach "$WORK/rw.img" w
	for state in 0 9 -1 x "" 4294967297 99999999999999999999 2 7 8 "4 "; do
		guest_does state "$state"
	done
	unharmed_beside
	guest_does state 6
	eventually back_is state 6
	guest_does state 1
	eventually back_is state 2
	connect_guest
	for state in 2 7 8; do
		guest_does state "$state"
		guest_does read 8
	done
	libxl_take_away force
	libxl_wait_removed
	end_guest
	unharmed
}

@test "life: a device that is connected to somebody else is left alone" {
	start_back_end
	start_guest
	STATE=4 libxl_add "$WORK/rw.img" w
	dom0 write "$FRONT/state" 4
	eventually logged_once "connected to another process"
	dom0 write "$FRONT/state" 3
	unharmed_beside
	back_is state 4
	logged_once "connected to another process"
	libxl_take_away force
	libxl_wait_removed
	end_guest
	unharmed
}

logged_once() { # PATTERN
	[ "$(nr_logged "$1")" -eq 1 ]
}

@test "life: the guest's name is known from the domain" {
	start_back_end
	start_guest
	dom0 chmod "/local/domain/$DOMID/name" n0 "r$BACK_DOMID" "r$DOMID"
	libxl_attach "$WORK/rw.img" w
	connect_guest
	guest_does state 6
	guest_does back 6
	name=$(dom0 read "/local/domain/$DOMID/name")
	[ -n "$name" ]
	stats_of "domain=$DOMID name=$name device=$DEVICE state=closed"
	end_guest
	unharmed
}

@test "life: data that cannot be written is said once, and the disks are served" {
	start_back_end
	dom0 chmod -r "/local/domain/$BACK_DOMID/data" n0 "r$BACK_DOMID"
	for i in 1 2 3; do
		run -0 client 2 200
	done
	eventually no_guest_left
	logged_once "cannot write below our own data in xenstore"
	dom0 chmod -r "/local/domain/$BACK_DOMID/data" "n$BACK_DOMID"
	unharmed
}

# ---- the hotplug script ----

# As libxl runs it, but for the path, which is relative there; its status is in $status.
script() { # add|remove
	run env XENSTORED_PATH="$RINGFENCE_RUN/xenstored/socket" XENBUS_PATH="$BACK" \
		"$ROOT/tools/xen/block-ringfence" "$@" 3>&-
}

script_refuses() { # TEXT
	script add
	[ "$status" -eq 1 ]
	back_is hotplug-status error
	back_is hotplug-error "$1"
	dom0 rm "$BACK/hotplug-status"
	dom0 rm "$BACK/hotplug-error"
}

@test "script: says connected for a disk that is there, and where it is" {
	start_back_end
	start_guest
	ln -s rw.img link.img
	for target in "$WORK/rw.img" "file:$WORK/rw.img" "$WORK/link.img"; do
		libxl_add "$target" w
		eventually back_is state 2
		script add
		[ "$status" -eq 0 ]
		back_is hotplug-status connected
		back_is physical-device-path "$WORK/rw.img"
		script remove
		[ "$status" -eq 0 ]
		libxl_take_away force
		libxl_wait_removed
		# Also when there is nothing left.
		script remove
		[ "$status" -eq 0 ]
	done
	libxl_add null:64M w
	eventually back_is state 2
	script add
	[ "$status" -eq 0 ]
	back_is hotplug-status connected
	connect_guest
	end_guest
	unharmed
}

@test "script: a target that is no good is told to xl" {
	start_back_end
	start_guest
	libxl_add "$WORK/nowhere.img" w
	script_refuses "$WORK/nowhere.img does not exist"
	dom0 write "$BACK/params" ""
	script_refuses "the disk has no target"
	dom0 write "$BACK/params" /dev/null
	script_refuses "/dev/null is neither a file nor a block device"
	dom0 write "$BACK/params" "file:$WORK"
	script_refuses "$WORK is neither a file nor a block device"
	run -2 env -u XENBUS_PATH "$ROOT/tools/xen/block-ringfence" add
	script replace
	[ "$status" -eq 2 ]
	end_guest
}

# ---- another size ----

@test "resize: our own front end follows" {
	for options in --cache=1M "--cache=0 --aio=threads"; do
		# shellcheck disable=SC2086 # a list
		start_back_end $options
		run -0 hostile blkfront_resize rw "$WORK/rw.img"
		unharmed
		control shutdown
		eventually nothing_runs
		unset BACK_END
	done
}

@test "resize: a disk that grows and shrinks; its guests know" {
	start_back_end --cache=1M
	start_guest
	libxl_attach "$WORK/rw.img" w
	guest_does publish
	guest_does connect
	truncate -s 10M rw.img
	eventually back_is sectors 20480
	back_is state 4
	guest_does read 20472
	# What was read is in the cache, from where it must not come.
	truncate -s 6M rw.img
	eventually back_is sectors 12288
	back_is state 4
	guest read 20472
	[ "$ANSWER" = error ]
	guest read 12284
	[ "$ANSWER" = error ]
	guest_does read 12280
	logged_once "image $WORK/rw.img: shrunk from 20480 to 12288 sectors"
	# Not a whole sector.
	truncate -s $((7 * 1024 * 1024 + 100)) rw.img
	eventually back_is sectors 14336
	truncate -s 8M rw.img
	eventually back_is sectors 16384
	end_guest
	unharmed
}

@test "resize: what was cached beyond the end does not come back with it" {
	start_back_end --cache=1M
	start_guest
	libxl_attach "$WORK/rw.img" w
	guest_does publish
	guest_does connect
	guest_does read 16368
	before_hits=$(hits_now)
	guest_does read 16368
	eventually hits_are $((before_hits + 1))
	truncate -s 4M rw.img
	eventually back_is sectors 8192
	truncate -s 8M rw.img
	eventually back_is sectors 16384
	guest_does read 16368
	guest_does state 6
	guest_does back 6
	hits_are $((before_hits + 1))
	end_guest
	unharmed
}

hits_now() {
	figure "$(stats_of "^backend=blkback requests")" cache_hits
}

hits_are() { # NUMBER
	[ "$(hits_now)" -eq "$1" ]
}

@test "resize: a disk that is offered but not connected, and one that grows while a guest is away" {
	start_back_end
	start_guest
	libxl_attach "$WORK/rw.img" w
	truncate -s 9M rw.img
	eventually back_is sectors 18432
	back_is state 2
	connect_guest
	guest_does read 18424
	guest_does state 6
	guest_does back 6
	truncate -s 8M rw.img
	guest_does drop
	guest_does state 1
	eventually back_is state 2
	eventually back_is sectors 16384
	end_guest
	unharmed
}
