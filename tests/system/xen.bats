#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A real Xen 4.17 in a virtual machine (lab/xen): our back end serves a stock Linux guest. The
# scenarios that take longer are `make check-xen`.

setup() {
	root=${RF_ROOT:-$PWD}
	export RF_BIN=${RF_BIN:-$root/bin}
	export RF_LAB=${RF_TEST:-$root/build/test}/../lab-xen
}

@test "the packages of the lab were fetched" {
	run "$root/lab/xen/fetch" --missing
	echo "the lab boots these Debian packages, which were not fetched (run ./run setup lab):"
	echo "$output"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "blkback in dom0 serves a stock PV guest of a real Xen" {
	run "$root/lab/xen/run" stock-pv
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *'ok 1 - '* ]]
	[[ $output != *'not ok'* ]]
}
