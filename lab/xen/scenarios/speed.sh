# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # lib.sh runs it; $ is the guest's
# Not a test: the rates of our back end and of the kernel's by turns, with the same guest and device.
# Figures of an emulated machine, where a system call of a PV domain is dear: they compare changes.
rates() { # BACK_END
	local load
	need "$1: its disk is attached" attach guest "$(disk_spec /dev/one)"
	need "$1: it is connected" both_connected guest xvda
	for load in 'read 4096 1' 'read 4096 16' 'write 4096 16' 'read 1048576 4' 'write 1048576 4'; do
		say "$1: $(guest_run guest "blkcheck rate /dev/xvda $load 3")"
	done
	say "$1: $(guest_run guest 'dbench-run /dev/xvda 2 8')"
	need "$1: it is detached" detach guest xvda
	need "$1: nothing is left of it" eventually gone "$(back_path guest)"
}

need "a disk" make_disk one 192
need "it is filled" blkcheck fill /dev/one 1
need "a guest starts" start_guest pv guest
for _ in 1 2; do
	need "blkback starts" start_blkback
	rates blkback
	need "blkback ends" stop_blkback
	need "xen-blkback is there" start_xen_blkback
	rates xen-blkback
	need "xen-blkback goes" rmmod xen-blkback
done
