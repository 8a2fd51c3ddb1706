# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2154 # lib.sh reads it; $ is the guest's
# The steps that each front end goes through with each back end. There is one list of them, so a
# pair of the table in docs/design/on-xen.md means the same as any other; where a peer has less to
# offer, a check says so.

# use_back_end dom0|driver-domain|xen-blkback: it serves what follows.
use_back_end() {
	case $1 in
	dom0) need "blkback starts in dom0" start_blkback --workers=2 ;;
	driver-domain)
		need "blkback starts in a driver domain" start_driver_domain storage
		check "the blkback that runs there is the one that was built" \
			guest_run storage "echo '$(cat /lab/blkback.sha256)  /bin/blkback' | sha256sum -c"
		;;
	xen-blkback) need "Linux's xen-blkback is there" start_xen_blkback ;;
	esac
}

# A disk named GUEST-VDEV is that of the guest.
spec_of() { disk_spec "${target[$1-$2]}" "$2" "${3:-rw}"; } # GUEST VDEV [ACCESS]

# ---- one disk of a stock Linux guest ----

both_connected() { # GUEST VDEV
	wait_state "$(back_path "$1" "$2")" 4 && wait_state "$(front_path "$1" "$2")" 4
}

geometry_agrees() { # GUEST VDEV TARGET SECTOR_SIZE
	local back front
	back=$(on_back blkcheck size "$3") || { echo "$back"; return 1; }
	front=$(guest_run "$1" "blkcheck size /dev/$2 && blockdev --getss /dev/$2") ||
		{ echo "$front"; return 1; }
	same "$back $4" "${front//$'\n'/ }"
}

sums_agree() { # GUEST VDEV TARGET
	local back front
	back=$(on_back blkcheck sum "$3") || { echo "$back"; return 1; }
	front=$(guest_run "$1" "blkcheck sum /dev/$2") || { echo "$front"; return 1; }
	same "$back" "$front"
}

# check_disk GUEST VDEV TARGET [SECTOR_SIZE]: TARGET is what the back end has opened.
check_disk() {
	local who="$1 $2" sector=${4:-512}
	check "$who: both ends connected" both_connected "$1" "$2"
	check "$who: size and sector size ($sector) are the disk's" geometry_agrees "$1" "$2" "$3" "$sector"
	check "$who: the disk is filled" on_back blkcheck fill "$3" $RANDOM
	check "$who: the guest reads what the disk holds" sums_agree "$@"
	check "$who: random writes of whole sectors, flushed, are read back" \
		guest_run "$1" "blkcheck verify /dev/$2 $RANDOM 160 8 $sector"
	check "$who: what the guest wrote is on the disk" sums_agree "$@"
	check "$who: a file system keeps its files and is clean" guest_run "$1" "fs-check /dev/$2"
	check "$who: the disk holds the guest's file system" on_back e2fsck -f -n "$3"
}

check_dbench() { # GUEST VDEV
	check "$1 $2: dbench runs on a file system, which is clean afterwards" \
		guest_run "$1" "dbench-run /dev/$2 1 2"
}

refuses_writes() { # GUEST VDEV
	local target=${target[$1-$2]} before
	before=$(on_back blkcheck sum "$target") || return
	! guest_run "$1" "dd if=/dev/zero of=/dev/$2 bs=4096 count=1 conv=fsync" &&
		same "$before" "$(on_back blkcheck sum "$target")"
}

check_read_only() { # GUEST VDEV
	check "$1 $2: the guest knows that it is read-only" guest_run "$1" "[ \$(cat /sys/block/$2/ro) = 1 ]"
	check "$1 $2: the guest reads what a read-only disk holds" sums_agree "$1" "$2" "${target[$1-$2]}"
	check "$1 $2: the guest cannot write to it, and it stays as it was" refuses_writes "$1" "$2"
}

discards_file() { # GUEST VDEV
	local before
	on_back blkcheck fill "${target[$1-$2]}" 7 && before=$(blocks_of "$1-$2") &&
		guest_run "$1" "blkdiscard /dev/$2" && [ "$(blocks_of "$1-$2")" -lt $((before / 4)) ]
}

check_discard() { # GUEST VDEV, a file
	check "$1 $2: blkdiscard frees the file's blocks" discards_file "$@"
	check "$1 $2: what was discarded reads as zeroes" guest_run "$1" "blkcheck zeroes /dev/$2"
	check "$1 xvda: blkdiscard of a block device" guest_run "$1" 'blkdiscard /dev/xvda && blkcheck zeroes /dev/xvda'
}

# The kernel's back end looks at the size when it has a request to serve.
sees_size() { # GUEST VDEV BYTES
	[ "$(guest_run "$1" "dd if=/dev/$2 of=/dev/null bs=4096 count=1 iflag=direct status=none &&
		blockdev --getsize64 /dev/$2")" = "$3" ]
}

grows() { resize_file "$1-$2" "$3" && eventually sees_size "$1" "$2" $(($3 << 20)); } # GUEST VDEV MIB

check_growing() { # GUEST VDEV, a file
	check "$1 $2: a disk that grows, grows in the guest" grows "$1" "$2" 16
	check "$1 $2: the grown disk can be written and read" guest_run "$1" "blkcheck verify /dev/$2 5 60 3 4096"
	check "$1 $2: a disk that has grown is the same at both ends" sums_agree "$1" "$2" "${target[$1-$2]}"
}

# ---- guests that write beside others ----

# begin_writes GUEST COMMAND: verified writes in the background; has_verified tells how they ended.
begin_writes() { guest_run "$1" "rm -f /tmp/verify.log; { $2; echo ended; } >/tmp/verify.log 2>&1 &"; }
has_ended() { guest_run "$1" 'grep -q ^ended /tmp/verify.log'; }
has_verified() { # GUEST
	eventually has_ended "$1"
	guest_run "$1" 'cat /tmp/verify.log; grep -q ^verified /tmp/verify.log'
}

# What it prints is for the reader of the log: whether xl waited, and what the guest's program said.
leaves_under_io() { # GUEST VDEV PROGRAM
	local path
	path=$(back_path "$1" "$2")
	# The guest may keep a device that is open, so this waits for it, or is refused in order.
	detach "$1" "$2"
	echo "block-detach under I/O: status $?"
	eventually guest_run "$1" "! pidof $3 >/dev/null" && guest_run "$1" 'cat /tmp/io.log'
	gone "$path" || detach "$1" "$2"
	eventually gone "$path"
}

# ---- stock Linux guests ----

# start_linux pv|pvh: a guest of that name: xvda and xvdb are devices of 512- and 4096-byte sectors,
# xvdc is a file, xvdd read-only.
start_linux() {
	local name=$1
	need "$name: disks of 512- and 4096-byte sectors" eval "make_disk $name-xvda 12 && make_disk $name-xvdb 12 4096"
	need "$name: a file on ext4, and a disk to be read only" eval "make_file $name-xvdc 12 && make_disk $name-xvdd 4"
	need "$name: that one is filled" on_back blkcheck fill "/dev/$name-xvdd" $RANDOM
	# A front end keeps pages for all its slots: larger rings need a larger guest.
	GUEST_MB=224 GUEST_VCPUS=2 GUEST_EXTRA='xen_blkfront.max_ring_page_order=1' \
		need "a ${name^^} guest with four disks starts" start_guest "$name" "$name" \
		"$(spec_of "$name" xvda)" "$(spec_of "$name" xvdb)" "$(spec_of "$name" xvdc)" "$(spec_of "$name" xvdd ro)"
}

# As much as Linux's front end takes; each back end here offers as much, or more.
agrees() { # GUEST
	local front back
	front=$(front_path "$1") back=$(back_path "$1")
	node_is "$front/multi-queue-num-queues" 2 && node_is "$front/ring-page-order" 1 &&
		node_is "$front/feature-persistent" 1 && node_is "$back/feature-persistent" 1 &&
		same 32 "$(guest_run "$1" 'cat /sys/block/xvda/queue/max_segments')"
}

check_flush_offers() { # GUEST
	check "$1 xvdc: flushes are offered" node_is "$(back_path "$1" xvdc)/feature-flush-cache" 1
	if [ "$back_script" = block ]; then
		check "$1 xvda: Linux's back end offers none on a device that has no write cache" \
			node_is "$(back_path "$1")/feature-flush-cache" 0
	else
		check "$1 xvda: flushes are offered" node_is "$(back_path "$1")/feature-flush-cache" 1
	fi
}

check_linux() { # GUEST
	check "$1: two queues, rings of two pages, persistent grants, requests of 32 segments" agrees "$1"
	say_negotiated "$1" xvda
	say_negotiated "$1" xvdc
	check_flush_offers "$1"
	check_disk "$1" xvda "/dev/$1-xvda"
	check_disk "$1" xvdb "/dev/$1-xvdb" 4096
	check "$1: writes to two disks at once are read back" guest_run "$1" \
		'blkcheck verify /dev/xvda 3 80 4 512 & blkcheck verify /dev/xvdb 4 80 4 4096; status=$?; wait $! && exit $status'
	check_read_only "$1" xvdd
	check_discard "$1" xvdc
	check_growing "$1" xvdc
}

check_linux_leaves() { # GUEST BYSTANDER
	need "$2 writes from now on" begin_writes "$2" 'blkcheck verify /dev/xvda 8 200 4 512'
	guest_run "$1" 'blkcheck rate /dev/xvdb write 4096 8 2 >/tmp/io.log 2>&1 &'
	check "$1 xvdb: block-detach under I/O: in the end nothing is left of the disk" leaves_under_io "$1" xvdb blkcheck
	say "$(cat /tmp/output)"
	check "$1 xvdb: attached again" attach "$1" "$(spec_of "$1" xvdb)"
	check "$1 xvdb: both ends connected again" both_connected "$1" xvdb
	check "$1 xvdb: random writes to it are read back" guest_run "$1" 'blkcheck verify /dev/xvdb 4 60 4 4096'
	check "$1 xvdb: it is the same at both ends" sums_agree "$1" xvdb "/dev/$1-xvdb"
	check "$2 read back what it wrote meanwhile" has_verified "$2"
}

# check_linux_guests: a PV and a PVH guest at the same time.
check_linux_guests() {
	start_linux pv
	start_linux pvh
	check_linux pv
	check_linux pvh
	need "both guests write at once" begin_writes pv 'blkcheck verify /dev/xvda 8 200 4 512'
	check "pvh read back what it wrote" guest_run pvh 'blkcheck verify /dev/xvda 9 200 4 512'
	check "pv read back what it wrote" has_verified pv
	check "pv xvda: the same at both ends" sums_agree pv xvda /dev/pv-xvda
	check "pvh xvda: the same at both ends" sums_agree pvh xvda /dev/pvh-xvda
	check_linux_leaves pv pvh
	check_linux_leaves pvh pv
}

# ---- guests of our front end ----

# A disk is free for the programs that the guest is told to run.
start_front() { # NAME DISK_SPEC...
	GUEST_EXTRA='front=user' start_guest pv "$@"
}

front_sums_agree() { # GUEST VDEV
	local back front
	back=$(on_back blkcheck sum "${target[$1-$2]}") || { echo "$back"; return 1; }
	front=$(guest_run "$1" "disk -d $2 read >/tmp/all && blkcheck sum /tmp/all; rm /tmp/all") ||
		{ echo "$front"; return 1; }
	same "$back" "$front"
}

front_refused() { # GUEST VDEV
	local target=${target[$1-$2]} before
	before=$(on_back blkcheck sum "$target") || return
	guest_run "$1" "head -c 4096 /dev/urandom | disk -d $2 write; [ \$? -eq 1 ]" &&
		same "$before" "$(on_back blkcheck sum "$target")"
}

front_grows() { # GUEST VDEV MIB
	guest_run "$1" "disk -d $2 hold >/tmp/hold.log 2>&1 &"
	eventually guest_run "$1" 'grep -q ^holding /tmp/hold.log' && resize_file "$1-$2" "$3" &&
		eventually guest_run "$1" "grep -qx 'now $(($3 * 2048)) sectors' /tmp/hold.log"
	guest_run "$1" 'kill $(pidof disk); cat /tmp/hold.log'
	eventually guest_run "$1" 'grep "^ended by a signal" /tmp/hold.log'
}

front_discards() { # GUEST VDEV
	local before
	on_back blkcheck fill "${target[$1-$2]}" 7 && before=$(blocks_of "$1-$2") &&
		guest_run "$1" "disk -d $2 discard 0 32768 && disk -d $2 read 30720 2048 | cmp -n 1048576 - /dev/zero" &&
		[ "$(blocks_of "$1-$2")" -lt $((before / 4)) ]
}

# What must not be sent, with good requests between; Linux's back end answers some otherwise.
front_misbehaves() { # GUEST w|4k
	if [ "$back_script" = block ]; then
		guest_run "$1" "blkfront_requests - $2 0 linux"
	else
		guest_run "$1" "blkfront_requests - $2 1"
	fi
}

# The largest that our front end takes unasked, and a request as long as each back end here offers.
front_agrees() {
	local info line
	info=$(guest_run ours 'disk -q 2 info')
	for line in 'queues: 2' 'ring_slots: 128' 'persistent_grants: yes' 'max_segments: 256'; do
		grep -qx "$line" <<<"$info" || { echo "not '$line':"; echo "$info"; return 1; }
	done
}

start_front_guests() {
	need "a disk of 512-byte sectors, and one to be read only" \
		eval 'make_disk ours-xvda 16 && make_disk ours-xvdb 4'
	need "a file on ext4, and a disk of 4096-byte sectors" eval 'make_file ours-xvdc 16 && make_disk wide-xvda 16 4096'
	GUEST_MB=256 need "a guest with three disks starts" start_front ours \
		"$(spec_of ours xvda)" "$(spec_of ours xvdb ro)" "$(spec_of ours xvdc)"
	GUEST_MB=192 need "a guest with a disk of 4096-byte sectors starts" start_front wide "$(spec_of wide xvda)"
}

check_front_disks() {
	check "ours xvda: the disk is filled" on_back blkcheck fill /dev/ours-xvda $RANDOM
	check "ours xvda: our front end reads what the disk holds" front_sums_agree ours xvda
	check "ours xvda: random writes by two queues, flushed, are read back" guest_run ours "disk -q 2 verify $RANDOM 160"
	check "ours xvda: what it wrote is on the disk" front_sums_agree ours xvda
	check "ours xvda: a file system keeps its files and is clean" guest_run ours fs-copy
	check "ours xvda: discarded sectors read as zeroes" \
		guest_run ours 'disk discard 0 2048 && disk read 0 2048 | cmp -n 1048576 - /dev/zero'
	check "ours xvda: opened and closed again and again" \
		guest_run ours 'for i in 1 2 3 4; do disk info >/dev/null || exit 1; done'
	check "ours xvdb: a write to a read-only disk is refused, and it stays as it was" front_refused ours xvdb
	check "ours xvdc: a discard frees the file's blocks" front_discards ours xvdc
	check "ours xvdc: a disk that grows, grows in a program that has it open" front_grows ours xvdc 24
	check "ours xvdc: the grown disk can be written and read" guest_run ours 'disk -d xvdc verify 5 60'
	check "ours xvdc: a disk that has grown is the same at both ends" front_sums_agree ours xvdc
	# Grants for two programs.
	check "ours: writes to two disks at once are read back" guest_run ours \
		'echo 4096 >/sys/module/xen_gntalloc/parameters/limit; disk verify 3 60 & disk -d xvdc verify 4 60; status=$?; wait $! && exit $status'
}

check_front_neighbours() {
	need "both guests write at once" begin_writes wide 'disk verify 3 100'
	check "ours: read back what it wrote" guest_run ours 'disk verify 4 100'
	check "wide: read back what it wrote, by sectors of 4096 bytes" has_verified wide
	check "wide: the same at both ends" front_sums_agree wide xvda
	need "wide writes from now on" begin_writes wide 'disk verify 5 200'
	check "ours: requests that must be refused are, and the good ones between them served" front_misbehaves ours w
	check "wide: read back what it wrote meanwhile" has_verified wide
}

check_front_leaves() {
	need "wide writes from now on" begin_writes wide 'disk verify 6 200'
	guest_run ours 'disk rate write 4096 8 60 >/tmp/io.log 2>&1 &'
	need "ours xvda: I/O is under way" both_connected ours xvda
	check "ours xvda: block-detach under I/O: in the end nothing is left of the disk" leaves_under_io ours xvda disk
	say "$(cat /tmp/output)"
	check "ours xvda: attached again" attach ours "$(spec_of ours xvda)"
	check "ours xvda: random writes to it are read back" guest_run ours 'disk -d xvda verify 7 60'
	check "ours xvda: it is the same at both ends" front_sums_agree ours xvda
	check "wide: read back what it wrote meanwhile" has_verified wide
}

# check_front_guests: two guests of our front end at the same time.
check_front_guests() {
	start_front_guests
	say "ours: $(guest_run ours 'disk -q 2 info' | tr '\n' ' ')"
	check "ours xvda: two queues, rings of four pages, persistent grants, requests of 256 segments" front_agrees
	check_front_disks
	check_front_neighbours
	check_front_leaves
}
