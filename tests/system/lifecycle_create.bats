#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Domains that are created from a configuration file and destroyed, one after the other, leave nothing.
# RF_CREATE_LIVES says how many: 30 in the normal run, 1000 in `make check-slow`.

load lib_domains

LIVES=${RF_CREATE_LIVES:-30}
# As in lifecycle.bats: what is lost by each domain shows in the long run.
GROWTH_KIB=640

rss_kib() { # PID
	awk '/VmRSS/ { print $2 }' "/proc/$1/status"
}

memory_is_ours() {
	! ldd "$RF_BIN/ringfenced" | grep -qE 'lib[at]san'
}

write_configurations() {
	make_image disk.img 1
	cat >storage.cfg <<-EOF
		name = "storage"
		driver_domain = 1
		kernel = "$RF_BIN/blkback"
	EOF
	cat >guest.cfg <<-EOF
		name = "guest"
		kernel = "$(command -v sleep)"
		extra = "1000"
		disk = [ "format=raw, vdev=xvda, access=rw, backend=storage, target=$WORK/disk.img" ]
	EOF
}

# Half of them by the command, half by the death of the program.
live() { # LIVES
	local i
	for ((i = 0; i < $1; i++)); do
		ringfence create --quiet guest.cfg
		if ((i % 2)); then
			ringfence destroy guest
		else
			kill -9 "$(kept_program guest)"
			eventually is_gone guest
		fi
	done
}

is_gone() { # NAME
	! domid_of "$1" >/dev/null
}

# The child of the process that holds the domain.
kept_program() { # NAME
	local keeper pid
	keeper=$(control domain-list | sed -n "s/.* name=$1 .* pid=\([0-9]*\)\b.*/\1/p")
	read -r pid _ <"/proc/$keeper/task/$keeper/children"
	echo "$pid"
}

keepers() {
	grep -lzF "RINGFENCE_RUN=$WORK/" /proc/[0-9]*/environ 2>/dev/null |
		xargs -r dirname | sed 's|$|/comm|' | xargs -r grep -lx ringfence 2>/dev/null || true
}

@test "create: $LIVES domains with a disk, half of them killed, leave no memory, descriptor, process or node" {
	write_configurations
	start_hypervisor
	ringfence create --quiet storage.cfg
	live 10
	fds=$(nr_fds "$HYPERVISOR_PID")
	kib=$(rss_kib "$HYPERVISOR_PID")
	backend=$(pids_of blkback)
	backend_fds=$(nr_fds "$backend")
	tree() { store_tree | grep -vE '/(stats|data)/'; }
	tree >before

	live "$LIVES"
	fds_are_back() { [ "$(nr_fds "$HYPERVISOR_PID")" -eq "$fds" ]; }
	backend_fds_are_back() { [ "$(nr_fds "$backend")" -eq "$backend_fds" ]; }
	tree_is_back() { tree | diff before - >difference; }
	no_keepers() { [ -z "$(keepers)" ]; }
	eventually fds_are_back
	eventually backend_fds_are_back
	eventually tree_is_back
	eventually no_keepers
	[ "$(pids_of blkback)" = "$backend" ]
	grown=$(($(rss_kib "$HYPERVISOR_PID") - kib))
	echo "# memory has grown by $grown KiB" >&3
	! memory_is_ours || [ "$grown" -le "$GROWTH_KIB" ]
	stop_hypervisor
}
