# SPDX-License-Identifier: MIT
# shellcheck shell=bash # lib.sh runs it
# Our front end, in user space in guests, on our back end in dom0.
use_back_end dom0
check_front_guests
# Alignment adds cases, which the back end's place does not change.
check "wide: requests that must be refused are, and the good ones between them served" front_misbehaves wide 4k
