# SPDX-License-Identifier: MIT
# shellcheck shell=bash # lib.sh runs it
# Our front end, in user space in guests, on our back end in a driver domain.
use_back_end driver-domain
check_front_guests
