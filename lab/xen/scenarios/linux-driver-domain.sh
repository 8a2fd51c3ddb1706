# SPDX-License-Identifier: MIT
# shellcheck shell=bash # lib.sh runs it
# Stock PV and PVH guests on our back end in a driver domain.
use_back_end driver-domain
check_linux_guests
