# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # lib.sh runs it; $ is the guest's
# What a disk can be and do, beyond reading and writing: both sector sizes, a plain file, read-only,
# large rings and several queues, two guests at once, discard, growing.
need "a disk of 512-byte sectors" make_disk small 32
need "a disk of 4096-byte sectors" make_disk large 32 4096
need "a file on ext4" make_file plain 32
file=$disk
need "a disk to be read only" make_disk readonly 16
need "a disk for another guest" make_disk other 32
need "blkback starts" start_blkback --workers=2

# A front end keeps pages for all its slots: larger rings need a larger guest.
GUEST_MB=256 GUEST_VCPUS=2 GUEST_EXTRA='xen_blkfront.max_ring_page_order=2' need "a guest with four disks starts" \
	start_guest pv guest "$(disk_spec /dev/small xvda)" "$(disk_spec /dev/large xvdb)" \
	"$(disk_spec "$file" xvdc)" "$(disk_spec /dev/readonly xvdd ro)"
say_negotiated guest xvda
say_negotiated guest xvdb
check "a guest with two processors uses two queues" \
	same 2 "$(xenstore-read "$(front_path guest xvda)/multi-queue-num-queues")"
check "the guest took a ring of four pages" node_is "$(front_path guest xvda)/ring-page-order" 2
check_disk guest xvda /dev/small 512
check_disk guest xvdb /dev/large 4096
check_disk guest xvdc "$file"

# Read-only.
check "a read-only disk: the guest knows" guest_run guest '[ $(cat /sys/block/xvdd/ro) = 1 ]'
check "a read-only disk: the guest reads what it holds" sums_agree guest xvdd /dev/readonly
refuses_writes() {
	! guest_run guest 'dd if=/dev/zero of=/dev/xvdd bs=4096 count=1 conv=fsync'
}
check "a read-only disk: the guest cannot write" refuses_writes

# Discard.
blocks_of() { stat -c %b "$1"; }
discards_file() {
	blkcheck fill "$file" 7 && local before && before=$(blocks_of "$file") &&
		guest_run guest 'blkdiscard /dev/xvdc' && [ "$(blocks_of "$file")" -lt $((before / 4)) ]
}
check "blkdiscard in the guest frees the file's blocks" discards_file
check "what was discarded reads as zeroes" \
	guest_run guest '[ "$(tr -d "\000" </dev/xvdc | head -c 1 | wc -c)" = 0 ]'
trims_file() {
	local before
	guest_run guest '/sbin/mke2fs -q -F -t ext4 -E nodiscard /dev/xvdc && mkdir -p /mnt && mount -t ext4 /dev/xvdc /mnt &&
		dd if=/dev/urandom of=/mnt/file bs=1M count=16 && sync' || return
	before=$(blocks_of "$file")
	guest_run guest 'rm /mnt/file && sync && fstrim -v /mnt && umount /mnt' || return
	echo "$before blocks before, $(blocks_of "$file") after"
	[ "$(blocks_of "$file")" -lt $((before - 20000)) ]
}
check "fstrim in the guest frees the file's blocks" trims_file
check "blkdiscard of a block device" guest_run guest 'blkdiscard /dev/xvda'
check "a disk with discarded parts is the same at both ends" sums_agree guest xvda /dev/small

# Growing.
grows() {
	truncate -s 48M "$file"
	eventually guest_sees $((48 << 20))
}
guest_sees() { [ "$(guest_run guest 'blockdev --getsize64 /dev/xvdc')" = "$1" ]; }
check "a disk that grows, grows in the guest" grows
check "the grown part can be written and read" \
	guest_run guest 'blkcheck verify /dev/xvdc 5 200 4 4096'
check "a disk that has grown is the same at both ends" sums_agree guest xvdc "$file"

# Two guests at once.
need "a second guest starts" start_guest pv second "$(disk_spec /dev/other)"
check "both guests write at once: the second starts" \
	guest_run second 'blkcheck verify /dev/xvda 8 800 8 512 >/tmp/verify.log 2>&1 &'
check "both guests write at once: the first reads back what it wrote" \
	guest_run guest 'blkcheck verify /dev/xvda 9 800 8 512'
verified() { guest_run second 'grep -q verified /tmp/verify.log || { cat /tmp/verify.log; false; }'; }
check "both guests write at once: so does the second" eventually verified
check "both guests write at once: the first's disk" sums_agree guest xvda /dev/small
check "both guests write at once: the second's disk" sums_agree second xvda /dev/other
