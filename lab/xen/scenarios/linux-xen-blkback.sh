# SPDX-License-Identifier: MIT
# shellcheck shell=bash # lib.sh runs it
# Stock PV and PVH guests on Linux's own back end, the reference.
use_back_end xen-blkback
check_linux_guests
