# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # lib.sh runs it; $ is the guest's
# Our back end in a driver domain: a PV guest without any right serves the disk of another.
back_script=block-ringfence
need "a driver domain starts" start_guest pv storage
check "the blkback that runs there is the one that was built" \
	guest_run storage "echo '$(cat /lab/blkback.sha256)  /bin/blkback' | sha256sum -c"
need "a disk in it" guest_run storage "make-disk one 64"
need "blkback starts in it" guest_run storage \
	'modprobe xen-evtchn; modprobe xen-gntdev; blkback >/tmp/blkback.log 2>&1 &'
check "it is ready" eventually xenstore-exists "/local/domain/$(domid_of storage)/data/ready"
back_domain=storage
need "a client starts" start_guest pv client "$(disk_spec /dev/one xvda rw storage)"
say_negotiated client
check_disk client xvda /dev/one
check_dbench client xvda
need "a second disk in it" guest_run storage "make-disk two 32"
GUEST_MB=160 need "a PVH client starts" start_guest pvh other "$(disk_spec /dev/two xvda rw storage)"
check_disk other xvda /dev/two
check "block-detach ends in order" detach client xvda
check "nothing is left of the disk in xenstore" eventually gone "$(back_path client)"
say "$(guest_run storage 'cat /tmp/blkback.log')"
