# SPDX-License-Identifier: MIT
# shellcheck shell=bash # lib.sh runs it
# Our front end, in user space in guests, on our back end in dom0.
use_back_end dom0
check_front_guests
