# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # lib.sh runs it; $ is the guest's
# Our back end in dom0, a stock PV guest.
say "blkback of the build $(cat /lab/blkback.sha256)"
check "the blkback that runs here is the one that was built" \
	same "$(cat /lab/blkback.sha256)" "$(sha256sum </usr/local/bin/blkback | cut -d' ' -f1)"
need "a disk" make_disk one 64
need "blkback starts" start_blkback
need "a PV guest starts" start_guest pv guest "$(disk_spec /dev/one)"
say_negotiated guest
check_disk guest xvda /dev/one
check_dbench guest xvda
check "block-detach ends in order" detach guest xvda
check "nothing is left of the disk in xenstore" eventually gone "$(back_path guest)"
check "blkback ends when asked" stop_blkback
