# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # lib.sh runs it; $ is the guest's
# Guests that reboot, die, are saved and restored, while others work: a bystander's writes go on
# through all of it.
need "a disk" make_disk one 32
need "the bystander's" make_disk three 32
need "blkback starts" start_blkback
need "a bystander starts" start_guest pv bystander "$(disk_spec /dev/three)"
need "a guest starts" start_guest pv guest "$(disk_spec /dev/one)"
need "the bystander writes from now on" guest_run bystander \
	'(while [ ! -e /tmp/stop ] && blkcheck verify /dev/xvda 3 400 4 4096; do :; done; echo ended) >/tmp/verify.log 2>&1 &'

# Reboot: another domain with the same disks.
first=$(domid_of guest)
close_console guest
is_another() { [ -n "$(domid_of guest)" ] && [ "$(domid_of guest)" != "$first" ]; }
check "a guest is asked to reboot" xl reboot -F guest
reboots() { eventually is_another && open_console guest && await_marker guest ready; }
check "a rebooted guest comes up" reboots
check "its disk is connected again" both_connected guest xvda
check "its disk is the same at both ends" sums_agree guest xvda /dev/one
check "nothing is left of the domain that it was" eventually gone "/local/domain/0/backend/vbd/$first"

# Destroyed in the middle of writing.
dies() {
	local path
	path=$(back_path guest)
	guest_run guest 'blkcheck rate /dev/xvda write 65536 16 60 >/tmp/io.log 2>&1 &'
	guest_run guest 'until [ "$(awk "{ print \$7 }" /sys/block/xvda/stat)" -gt 1000 ]; do usleep 100000; done'
	stop_guest guest
	eventually gone "$path"
}
check "a guest destroyed under I/O leaves nothing behind" dies
check "another guest gets its disk" start_guest pv heir "$(disk_spec /dev/one)"
check "and reads and writes it" guest_run heir 'blkcheck verify /dev/xvda 6 200 4 512'
check "it is the same at both ends" sums_agree heir xvda /dev/one

# Saved and restored: the front end connects anew, requests of before are repeated.
saves() {
	timeout 60 xl save heir /tmp/heir.save && close_console heir && timeout 60 xl restore /tmp/heir.save &&
		rm /tmp/heir.save && open_console heir
}
check "a guest is saved and restored" saves
check "its disk is connected again" both_connected heir xvda
check "random writes to it are read back" guest_run heir 'blkcheck verify /dev/xvda 7 200 4 512'
check "it is the same at both ends" sums_agree heir xvda /dev/one

bystander_is_well() {
	guest_run bystander 'touch /tmp/stop'
	eventually guest_run bystander 'grep -q ended /tmp/verify.log' || return
	guest_run bystander 'cat /tmp/verify.log; [ "$(grep -c ^verified /tmp/verify.log)" -gt 3 ] &&
		! grep -v -e ^verified -e ended /tmp/verify.log'
}
check "through all of it the bystander read back what it wrote" bystander_is_well
check "the bystander's disk is the same at both ends" sums_agree bystander xvda /dev/three
check "blkback still runs" kill -0 "$blkback_pid"
