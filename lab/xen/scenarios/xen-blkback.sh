# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # lib.sh runs it; $ is the guest's
# The reference: the kernel's own back end passes the same list.
need "a disk" make_disk one 64
need "xen-blkback is there" start_xen_blkback
need "a PV guest starts" start_guest pv guest "$(disk_spec "$disk")"
say_negotiated guest
check_disk guest xvda "$disk"
check_dbench guest xvda
need "a second disk" make_disk two 32
need "a PVH guest starts" start_guest pvh other "$(disk_spec /dev/two)"
check_disk other xvda /dev/two
check "block-detach ends in order" detach guest xvda
