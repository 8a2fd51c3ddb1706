# SPDX-License-Identifier: MIT
# shellcheck shell=bash # lib.sh runs it
# Our front end, in user space in guests, on Linux's own back end, the reference.
use_back_end xen-blkback
check_front_guests
