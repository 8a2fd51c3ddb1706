#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Domains from configuration files: create, destroy, shutdown. config.bats has the files themselves,
# keeper.bats what happens when something ends.

load lib_create

@test "create: the program runs as the domain, with its arguments, when create returns" {
	start_hypervisor
	cat >a.cfg <<-'EOF'
		name = "a"
		kernel = "/bin/sh"
		extra = [ "-c", "printf '%s|' \"$@\"; xenstore-read name domid; exec sleep 1000", "-", "x y", "", "z" ]
	EOF
	run -0 ringfence create a.cfg
	[ "$output" = "domain 1 is a" ]
	[ "$(domid_of a)" = 1 ]
	eventually console_has a $'x y||z|a\n1'
	run -0 ringfence create -q a.cfg 'name="b"'
	[ -z "$output" ]
	[ "$(domid_of b)" = 2 ]
	# What was said does not keep anybody waiting who reads it.
	[ "$(ringfence create a.cfg 'name="c"')" = "domain 3 is c" ]
	for name in a b c; do
		ringfence destroy "$name"
	done
	no_process_is_left
	stop_hypervisor
}

@test "create: nodes are there, and the domain's own, when create returns" {
	start_hypervisor
	config a 'xenstore-write control/shutdown mine && echo written; exec sleep 1000'
	ringfence create -q a.cfg
	[ "$(dom0 read /local/domain/1/name)" = a ]
	eventually console_has a written
	run -0 dom0 ls -p /local/domain/1/control
	matches 'shutdown = "mine" .*\(n1\)'
	ringfence destroy a
	[ -z "$(dom0 ls /local/domain/1 2>/dev/null)" ]
	stop_hypervisor
}

@test "create: a driver domain and two guests with disks from it, each by one command" {
	start_hypervisor
	make_image one.img 1
	make_image two.img 1
	create_storage
	for name in one two; do
		config "$name" "$EXAMPLES/disk -d xvda read | cmp - $name.img && echo the same; exec sleep 1000" \
			"disk = [ 'vdev=xvda,access=ro,backend=storage,weight=300,iops=5000,target=$name.img' ]"
		ringfence create -q "$name.cfg"
	done
	[ "$(dom0 read /local/domain/1/backend/vbd/2/51712/params)" = "$WORK/one.img" ]
	[ "$(dom0 read /local/domain/1/backend/vbd/2/51712/mode)" = r ]
	[ "$(dom0 read /local/domain/1/backend/vbd/2/51712/weight)" = 300 ]
	[ "$(dom0 read /local/domain/1/backend/vbd/3/51712/limit-iops)" = 5000 ]
	# Attached means that the back end has opened it.
	[ "$(dom0 read /local/domain/1/backend/vbd/3/51712/state)" -ge 2 ]
	eventually console_has one "the same"
	eventually console_has two "the same"
	ringfence shutdown -w one two storage
	[ -z "$(control domain-list)" ]
	stop_hypervisor
}

@test "create: every example, as it is" {
	local file
	start_hypervisor
	# They name programs as they are seen from the top folder.
	cd "$RF_BIN/.."
	# Driver domains first; who does not stay may be gone already.
	for file in $(grep -l driver_domain "$ROOT"/examples/*.cfg); do
		ringfence create "$file"
	done
	for file in $(grep -L driver_domain "$ROOT"/examples/*.cfg); do
		# Sanitizers reserve terabytes of addresses.
		ringfence create "$file" $(ldd "$RF_BIN/ringfence" | grep -q 'lib[at]san' && echo memory=1000000000)
	done
	[ "$(domid_of storage)" = 1 ]
	run -0 domid_of guest-a
	run -0 dom0 ls -f /local/shared_mem/7
	has '/mappings/'
	ringfence shutdown -w -a
	stop_hypervisor
}

@test "create: what cannot be is said, and nothing is left" {
	start_hypervisor
	make_image a.img 1
	config a 'sleep 1000' "disk = [ 'vdev=xvda,backend=storage,target=a.img' ]"
	run -1 ringfence create a.cfg
	[ "$output" = "ringfence: xvda of a: there is no driver domain storage; create it first" ]
	create_storage
	# A guest is no back end.
	config guest 'exec sleep 1000'
	ringfence create -q guest.cfg
	run -1 ringfence create a.cfg "disk=['vdev=xvda,backend=guest,target=a.img']"
	[ "$output" = "ringfence: xvda of a: there is no driver domain guest; create it first" ]
	# Names are given once.
	run -1 ringfence create a.cfg 'name="guest"'
	has "ringfence: there is a domain guest already, its id is 2"
	run -1 ringfence create storage.cfg
	has "ringfence: there is a domain storage already, its id is 1"
	# What only the back end can find.
	head -c 100 /dev/zero >odd.img
	run -1 ringfence create a.cfg "disk=['vdev=xvda,backend=storage,target=a.img','vdev=xvdb,backend=storage,target=odd.img']"
	matches "ringfence: xvdb of driver domain storage: cannot open $WORK/odd.img: .*"
	# What only exec can find.
	printf '#!/no/such/interpreter\n' >script
	chmod +x script
	run -1 ringfence create a.cfg "kernel='$WORK/script'"
	[ "$output" = "ringfence: cannot run $WORK/script: No such file or directory" ]
	printf 'no program' >script
	run -1 ringfence create a.cfg "kernel='$WORK/script'"
	[ "$output" = "ringfence: cannot run $WORK/script: Exec format error" ]
	eventually domain_is_gone a
	[ "$(control domain-list | wc -l)" -eq 2 ]
	run ! dom0 ls /local/domain/1/backend/vbd/3
	[ "$(processes_of_domains | wc -l)" -eq 2 ] # guest, and its keeper
	ringfence destroy guest
	ringfence destroy storage
	no_process_is_left
	stop_hypervisor
}

@test "create: a driver domain that does not get ready is an error" {
	start_hypervisor
	cat >a.cfg <<-'EOF'
		name = "a"
		kernel = "/bin/sh"
		extra = "-c 'exit 3'"
		driver_domain = 1
	EOF
	run -1 ringfence create a.cfg
	[ "$output" = "ringfence: a ended before it was ready: exit status 3" ]
	[ -z "$(control domain-list)" ]
	stop_hypervisor
}

@test "create: memory is a limit" {
	start_hypervisor
	config a 'ulimit -v; head -c 200M /dev/zero | tail -c 150M >/dev/null && echo too much; echo end; exec sleep 1000' 'memory = 64'
	ringfence create -q a.cfg
	eventually console_has a end
	run -0 console_log a
	[ "${lines[0]}" = 65536 ]
	[[ $output != *"too much"* ]]
	stop_hypervisor
}

@test "create: vcpus and cpus are where it runs" {
	local ours
	ours=$(nproc)
	start_hypervisor
	config a 'echo $(nproc) CPUs; exec sleep 1000' 'vcpus = 1'
	ringfence create -q a.cfg
	eventually console_has a "1 CPUs"
	# More than there are is all of them.
	ringfence create -q a.cfg 'name="b"' vcpus=4096
	eventually console_has b "$ours CPUs"
	ringfence create -q a.cfg 'name="c"' "cpus='all'" vcpus=4096
	eventually console_has c "$ours CPUs"
	stop_hypervisor
}

@test "create: uid is who it runs as, and its domain's sockets and terminal are that user's" {
	[ "$(id -u)" -eq 0 ] || {
		config a 'sleep 1000' 'uid = 1'
		run -1 ringfence create -n a.cfg
		has "a.cfg:5: uid: only root can run a domain as another user"
		return
	}
	start_hypervisor
	chmod 755 "$WORK" "$RINGFENCE_RUN"
	config a 'echo user $(id -u):$(id -g) $(xenstore-read name); echo tty >$(tty); exec sleep 1000' 'uid = "nobody"'
	ringfence create -q a.cfg
	eventually console_has a "user $(id -u nobody):$(id -g nobody) a"
	eventually console_has a $'\ntty'
	ringfence create -q a.cfg 'name="b"' uid=12345
	eventually console_has b "user 12345:12345 b"
	stop_hypervisor
}

@test "create: the program has nothing open but its terminal and its two sockets" {
	start_hypervisor
	config a 'exec ls -l /proc/self/fd'
	exec 7<"$ROOT/README.md"
	ringfence create -q a.cfg 'on_poweroff="preserve"'
	exec 7<&-
	eventually node_exists /local/domain/1/control/ended
	[ "$(console_log a | grep -c -e '-> .*/pts/')" -eq 3 ]
	# The folder that ls reads, and what it runs with.
	[ "$(console_log a | grep -c -e '->')" -eq 6 ]
	stop_hypervisor
}

node_exists() { # PATH
	dom0 exists "$1"
}

@test "shutdown: the program gets SIGTERM, and -w waits until the domain is gone" {
	start_hypervisor
	config a 'trap "echo asked; exit 0" TERM; echo ready; while :; do sleep 0.02; done'
	ringfence create -q a.cfg
	eventually console_has a ready
	run -0 ringfence shutdown -w a
	[ -z "$output" ]
	[ -z "$(control domain-list)" ]
	console_has a asked
	stop_hypervisor
}

@test "shutdown: who does not end in time is killed" {
	start_hypervisor
	config a 'trap "echo not now" TERM; echo ready; while :; do sleep 0.02; done' 'shutdown_timeout = 1'
	ringfence create -q a.cfg
	eventually console_has a ready
	run -0 ringfence shutdown -w 1
	console_has a "not now"
	[ -z "$(control domain-list)" ]
	no_process_is_left
	stop_hypervisor
}

@test "shutdown: all guests, but no driver domain; and none if one is not there" {
	start_hypervisor
	create_storage
	config a 'exec sleep 1000'
	for name in a b c; do
		ringfence create -q a.cfg "name='$name'"
	done
	run -1 ringfence shutdown a no-such
	[ "$output" = "ringfence: there is no domain no-such; 'ringfence list' shows those that there are" ]
	[ "$(control domain-list | wc -l)" -eq 4 ]
	ringfence shutdown -w -a
	[ "$(control domain-list | sed 's/.*name=\([a-z]*\) .*/\1/')" = storage ]
	run -2 ringfence shutdown
	run -2 ringfence shutdown -a a
	stop_hypervisor
}

@test "shutdown: --timeout bounds the wait, and the domain is left alone" {
	start_hypervisor
	config a 'trap "" TERM; echo ready; while :; do sleep 0.02; done' 'shutdown_timeout = 3600'
	ringfence create -q a.cfg
	eventually console_has a ready
	run -1 ringfence shutdown -w -t 0.1 a
	has "ringfence: domain 1 (a) has not ended in time; 'ringfence destroy' does not ask"
	[ "$(domid_of a)" = 1 ]
	ringfence destroy a
	no_process_is_left
	stop_hypervisor
}

@test "shutdown: by Xen's node, whoever writes it" {
	start_hypervisor
	config a 'exec sleep 1000'
	ringfence create -q a.cfg
	dom0 write /local/domain/1/control/shutdown poweroff
	eventually domain_is_gone a
	# What is no request changes nothing.
	ringfence create -q a.cfg
	dom0 write /local/domain/2/control/shutdown suspend
	dom0 write /local/domain/2/control/shutdown halt
	eventually domain_is_gone a
	stop_hypervisor
}

@test "destroy: at once, whatever the program does, and nothing is left" {
	start_hypervisor
	config a 'trap "" TERM HUP INT; setsid sleep 1000 & (trap "" HUP; sleep 1000) & echo ready; while :; do sleep 1000; done'
	ringfence create -q a.cfg
	eventually console_has a ready
	run -0 ringfence destroy a
	[ -z "$output" ]
	[ -z "$(control domain-list)" ]
	no_process_is_left
	run -1 ringfence destroy a
	has "there is no domain a"
	run -2 ringfence destroy
	stop_hypervisor
}

@test "destroy: domains of exec, and driver domains" {
	start_hypervisor
	create_storage
	start_domain e sleep 1000
	ringfence destroy e
	domain_is_gone e
	ringfence destroy storage
	domain_is_gone storage
	# Its name is free again.
	create_storage
	stop_hypervisor
}
