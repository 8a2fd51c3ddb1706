# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # lib.sh runs it; $ is the guest's
# Our front end, in user space in a guest, on each of the three back ends: ours in dom0, ours in a
# driver domain, and the kernel's.
start_front() { # NAME DISK_SPEC...
	GUEST_MB=256 GUEST_EXTRA='front=user' start_guest pv "$@"
}

front_sums_agree() { # GUEST TARGET
	same "$(on_back blkcheck sum "$2")" "$(guest_run "$1" 'disk read >/tmp/all && blkcheck sum /tmp/all; rm /tmp/all')"
}

refuses_write() { # GUEST VDEV
	guest_run "$1" "head -c 4096 /dev/zero | disk -d $2 write; [ \$? -ne 0 ]"
}

# check_front GUEST TARGET: what `disk` can do, on xvda; xvdb is read-only.
check_front() {
	local who="$1"
	say "$who: $(guest_run "$1" 'disk -q 2 info' | tr '\n' ' ')"
	check "$who: the disk is filled" on_back blkcheck fill "$2" $RANDOM
	check "$who: our front end reads what the disk holds" front_sums_agree "$@"
	check "$who: random writes, flushed, are read back" guest_run "$1" "disk -q 2 verify $RANDOM 160"
	check "$who: what it wrote is on the disk" front_sums_agree "$@"
	check "$who: a file system keeps its files and is clean" guest_run "$1" fs-copy
	check "$who: discarded sectors" guest_run "$1" 'disk discard 0 2048 && disk read 0 2048 | cmp -n 1048576 - /dev/zero'
	check "$who: opened and closed again and again" \
		guest_run "$1" 'for i in 1 2 3 4; do disk info >/dev/null || exit 1; done'
	check "$who: a write to a read-only disk is refused" refuses_write "$1" xvdb
}

need "a disk" make_disk one 16
need "a disk to be read only" make_disk two 4
need "a disk of 4096-byte sectors" make_disk large 16 4096
need "blkback starts" start_blkback --workers=2
need "a guest starts" start_front guest "$(disk_spec /dev/one)" "$(disk_spec /dev/two xvdb ro)"
check_front guest /dev/one
check "guest: requests that must be refused are, and the good ones between them served" \
	guest_run guest 'blkfront_requests - w 1'
need "a guest with a disk of 4096-byte sectors starts" start_front wide "$(disk_spec /dev/large)"
check "wide: random writes, flushed, are read back" guest_run wide "disk verify 3 100"
check "wide: what it wrote is on the disk" front_sums_agree wide /dev/large
check "wide: requests that must be refused are" guest_run wide 'blkfront_requests - 4k 1'
stop_guest wide
stop_guest guest
need "blkback ends" stop_blkback

need "xen-blkback is there" start_xen_blkback
need "a guest starts on it" start_front kernel "$(disk_spec /dev/one)" "$(disk_spec /dev/two xvdb ro)"
check_front kernel /dev/one
stop_guest kernel

back_script=block-ringfence
need "a driver domain starts" start_guest pv storage
need "a disk in it" guest_run storage 'make-disk one 16 && make-disk two 4'
need "blkback starts in it" guest_run storage \
	'modprobe xen-evtchn; modprobe xen-gntdev; blkback >/tmp/blkback.log 2>&1 &'
back_domain=storage
need "a guest starts on it" start_front remote "$(disk_spec /dev/one xvda rw storage)" \
	"$(disk_spec /dev/two xvdb ro storage)"
check_front remote /dev/one
check "remote: requests that must be refused are, and the good ones between them served" \
	guest_run remote 'blkfront_requests - w 1'
