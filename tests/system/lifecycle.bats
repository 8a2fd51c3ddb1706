#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Domains that come and go leave the hypervisor as it was. RF_LIVES says how many: 300 in the
# normal run, 10 000 in `make check-slow`.

load lib_hypervisor

LIVES=${RF_LIVES:-300}
# A leak of 64 bytes a domain shows among ten thousand, one of a page among three hundred.
GROWTH_KIB=640

rss_kib() { # PID
	awk '/VmRSS/ { print $2 }' "/proc/$1/status"
}

no_domains() {
	[ -z "$(control domain-list)" ]
}

# Sanitizers keep what is freed for a while.
memory_is_ours() {
	! ldd "$RF_BIN/ringfenced" | grep -qE 'lib[at]san'
}

@test "domains: $LIVES lives, half of them killed, leave no memory, descriptor or node behind" {
	start_hypervisor
	# The tables that grow to the size that is needed have it after this.
	"$RF_TEST/hostile/domain_lives" 100 3>&-
	eventually no_domains
	fds=$(nr_fds "$HYPERVISOR_PID")
	kib=$(rss_kib "$HYPERVISOR_PID")
	store_tree >before

	run -0 "$RF_TEST/hostile/domain_lives" "$LIVES" 3>&-
	echo "# $output" >&3
	eventually no_domains
	fds_are_back() { [ "$(nr_fds "$HYPERVISOR_PID")" -eq "$fds" ]; }
	eventually fds_are_back
	store_tree >after
	diff before after
	grown=$(($(rss_kib "$HYPERVISOR_PID") - kib))
	echo "# memory has grown by $grown KiB" >&3
	! memory_is_ours || [ "$grown" -le "$GROWTH_KIB" ]
	stop_hypervisor
}
