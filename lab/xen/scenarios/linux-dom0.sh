# SPDX-License-Identifier: MIT
# shellcheck shell=bash # lib.sh runs it
# Stock PV and PVH guests on our back end in dom0.
use_back_end dom0
check_linux_guests
