# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # lib.sh runs it; $ is the guest's
# Our back end in dom0, a stock PVH guest.
need "a disk" make_disk one 64
need "blkback starts" start_blkback
need "a PVH guest starts" start_guest pvh guest "$(disk_spec "$disk")"
say_negotiated guest
check_disk guest xvda "$disk"
check_dbench guest xvda
