#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Keepers: what they do when their program ends, when they are killed, and the console.

load lib_create

# ---- the program's end ----

# The id of a domain is another one now.
is_reborn() { # NAME OLD-ID
	local now
	now=$(domid_of "$1") && [ "$now" != "$2" ]
}

@test "keeper: the domain ends with its program, however that ends" {
	start_hypervisor
	for how in 'exit 0' 'exit 3' 'kill -9 $$' 'ulimit -c 0; kill -11 $$'; do
		config a "$how"
		ringfence create -q a.cfg
		eventually domain_is_gone a
	done
	eventually no_process_is_left
	stop_hypervisor
}

@test "keeper: what the program has left behind ends with it" {
	start_hypervisor
	config a 'setsid sleep 1000 & (trap "" HUP; exec setsid sleep 1000) & echo started; exit 0'
	ringfence create -q a.cfg
	eventually domain_is_gone a
	eventually no_process_is_left
	stop_hypervisor
}

@test "keeper: a crash is told in the console's log" {
	start_hypervisor
	config a 'echo last words; kill -9 $$'
	ringfence create -q a.cfg
	eventually console_has a $'last words\nringfence: the program was ended by signal 9 (Killed); on_crash: destroy'
	config a 'exit 7' 'on_crash = "preserve"'
	eventually domain_is_gone a
	ringfence create -q a.cfg
	eventually console_has a 'ringfence: the program ended with status 7; on_crash: preserve'
	stop_hypervisor
}

@test "keeper: restart is a new domain with the same name, disks and console" {
	start_hypervisor
	make_image a.img 1
	create_storage
	config a 'echo life $(xenstore-read domid); read line; kill -9 $$' \
		'on_crash = "restart"' "disk = [ 'vdev=xvda,backend=storage,target=a.img' ]"
	ringfence create -q a.cfg
	eventually console_has a 'life 2'
	kill -9 "$(program_kept_by "$(keeper_of a)")"
	eventually is_reborn a 2
	eventually console_has a 'life 3'
	[ "$(dom0 read /local/domain/1/backend/vbd/3/51712/params)" = "$WORK/a.img" ]
	# Its end on request is no crash.
	ringfence shutdown -w a
	domain_is_gone a
	stop_hypervisor
}

@test "keeper: on_reboot, on_poweroff" {
	start_hypervisor
	config a 'echo ready; exec sleep 1000'
	ringfence create -q a.cfg
	dom0 write /local/domain/1/control/shutdown reboot
	eventually is_reborn a 1
	ringfence destroy a
	ringfence create -q a.cfg 'on_reboot="destroy"'
	dom0 write "/local/domain/$(domid_of a)/control/shutdown" reboot
	eventually domain_is_gone a
	ringfence create -q a.cfg 'on_poweroff="restart"'
	id=$(domid_of a)
	ringfence shutdown a
	eventually is_reborn a "$id"
	stop_hypervisor
}

@test "keeper: a domain that crashes all the time is restarted five times" {
	start_hypervisor
	config a 'echo again; exit 1' 'on_crash = "restart"'
	ringfence create -q a.cfg
	eventually console_has a 'ringfence: restarted 5 times within a minute, giving up'
	eventually domain_is_gone a
	[ "$(console_log a | grep -c again)" -eq 6 ]
	eventually no_process_is_left
	stop_hypervisor
}

@test "keeper: a preserved domain stays until it is destroyed, and shutdown -w does not wait for that" {
	start_hypervisor
	make_image a.img 1
	create_storage
	config a 'exec sleep 1000' 'on_poweroff = "preserve"' \
		"disk = [ 'vdev=xvda,backend=storage,target=a.img' ]"
	ringfence create -q a.cfg
	ringfence shutdown -w a
	[ "$(domid_of a)" = 2 ]
	[ "$(dom0 read /local/domain/2/control/ended)" = poweroff ]
	dom0 exists /local/domain/1/backend/vbd/2/51712
	[ "$(processes_of_domains | wc -l)" -eq 1 ] # the keeper
	ringfence destroy a
	no_process_is_left
	stop_hypervisor
}

@test "keeper: a domain that was renamed is called so in its next life" {
	start_hypervisor
	config a 'exec sleep 1000' 'on_reboot = "restart"'
	ringfence create -q a.cfg
	ringfence rename a b
	dom0 write /local/domain/1/control/shutdown reboot
	eventually is_reborn b 1
	domain_is_gone a
	stop_hypervisor
}

# ---- ends from outside ----

@test "keeper: killed, it takes the program and the domain along" {
	start_hypervisor
	config a 'sleep 1000 & exec sleep 1000'
	ringfence create -q a.cfg
	eventually runs sleep "$(program_kept_by "$(keeper_of a)")"
	kill -9 "$(keeper_of a)"
	eventually domain_is_gone a
	eventually no_process_is_left
	# The name is free, and nothing stale is in the way.
	ringfence create -q a.cfg
	ringfence destroy a
	stop_hypervisor
}

runs() { # COMM PID
	[ "$(cat "/proc/$2/comm" 2>/dev/null)" = "$1" ]
}

@test "keeper: the hypervisor killed, keepers and programs end" {
	start_hypervisor
	config a 'trap "" TERM HUP; while :; do sleep 1000; done' 'on_crash = "restart"' 'on_poweroff = "restart"'
	for name in a b c; do
		ringfence create -q a.cfg "name='$name'"
	done
	[ "$(processes_of_domains | wc -l)" -ge 6 ]
	kill -9 "$HYPERVISOR_PID"
	eventually no_process_is_left
	# A new one finds nothing in its way.
	start_hypervisor
	ringfence create -q a.cfg
	stop_hypervisor
	eventually no_process_is_left
}

@test "keeper: SIGTERM ends the domain in good order" {
	start_hypervisor
	config a 'trap "echo asked; exit 0" TERM; echo ready; while :; do sleep 0.02; done' 'on_poweroff = "restart"'
	ringfence create -q a.cfg
	eventually console_has a ready
	kill "$(keeper_of a)"
	eventually domain_is_gone a
	console_has a asked
	eventually no_process_is_left
	stop_hypervisor
}

@test "keeper: create killed on its way leaves nothing" {
	start_hypervisor
	make_image a.img 1
	# A driver domain that never opens the disk: create waits for it.
	make_driver driver 'exec sleep 1000'
	start_driver storage "$WORK/driver" >/dev/null
	config a 'exec sleep 1000' "disk = [ 'vdev=xvda,backend=storage,target=a.img' ]"
	"$RF_BIN/ringfence" create a.cfg >out 2>&1 3>&- &
	pid=$!
	eventually domid_of a
	kill -9 "$pid"
	# Its keeper finds nobody to tell, once the wait has ended.
	dom0 write "/local/domain/1/backend/vbd/2/51712/state" 2
	eventually domain_is_gone a
	ringfence destroy storage
	eventually no_process_is_left
	stop_hypervisor
}

# ---- the console ----

@test "console: output from before, output now, and what is typed" {
	start_hypervisor
	config a 'echo before; while read line; do echo "got $line"; done'
	ringfence create -q a.cfg
	eventually console_has a before
	mkfifo in
	"$RF_BIN/ringfence" console a <in >out 2>&1 3>&- &
	exec 6>in
	eventually grep -q before out
	echo "hello" >&6
	eventually grep -q "got hello" out
	# The end of what is typed is not the end.
	exec 6>&-
	ringfence destroy a
	wait $!
	# Without a terminal there are no carriage returns.
	run ! grep -q $'\r' out
	stop_hypervisor
}

@test "console: on a terminal, Ctrl-] leaves and the terminal is as before" {
	start_hypervisor
	config a 'stty -echo; echo ready; while read line; do echo "got $line"; done'
	ringfence create -q a.cfg
	eventually console_has a ready
	mkfifo in
	script -qec 'stty -a >before; '"$RF_BIN"'/ringfence console a; echo status $?; stty -a >after' /dev/null <in >out 3>&- &
	exec 6>in
	eventually grep -q "Ctrl-] leaves" out
	printf 'one\r' >&6
	eventually grep -q 'got one' out
	printf '\035' >&6
	eventually grep -q 'status 0' out
	exec 6>&-
	wait $!
	diff before after
	[ "$(domid_of a)" = 1 ]
	stop_hypervisor
}

@test "console: Ctrl-C is the program's" {
	start_hypervisor
	# With the character the terminal throws output away that nobody has read: so it is said again.
	config a 'trap "how=interrupted" INT; while :; do echo "ready $how"; sleep 0.02; done'
	ringfence create -q a.cfg
	eventually console_has a ready
	printf '\003' | timeout "$BOUND" "$RF_BIN/ringfence" console a >out 3>&- &
	eventually console_has a "ready interrupted"
	ringfence destroy a
	wait $!
	stop_hypervisor
}

@test "console: the log is bounded, keeps the end, and a silent program has none" {
	start_hypervisor
	config a 'seq 300000; echo the end; exec sleep 1000'
	ringfence create -q a.cfg
	eventually console_has a "the end"
	[ "$(cat "$RINGFENCE_RUN"/console/a.log* | wc -c)" -lt 1100000 ]
	run -0 ringfence console -l a
	[ "${lines[-1]}" = "the end" ]
	[ "${lines[-2]}" = 300000 ]
	[ "${#lines[@]}" -gt 50000 ]
	ringfence destroy a
	# It stays until the name is used again.
	run -0 ringfence console -l a
	config a 'exec sleep 1000'
	ringfence create -q a.cfg
	run -1 ringfence console --log 2
	[ "$output" = "ringfence: domain a has written nothing to its console" ]
	stop_hypervisor
}

@test "console: nobody who watches it can stop the program" {
	start_hypervisor
	config a 'read go; seq 200000; echo the end; exec sleep 1000'
	ringfence create -q a.cfg
	keeper=$(keeper_of a)
	# It connects, asks to begin, and never reads.
	perl -MSocket -e '
		socket(my $s, AF_UNIX, SOCK_STREAM, 0);
		connect($s, pack_sockaddr_un("/proc/$ARGV[0]/fd/9")) or die "connect: $!\n";
		syswrite($s, "go\n");
		sleep 1000' "$keeper" 3>&- &
	eventually console_has a "the end"
	kill $!
	# Four at a time.
	for i in 1 2 3 4; do
		"$RF_BIN/ringfence" console a </dev/null >"out$i" 3>&- &
		eventually grep -q "the end" "out$i"
	done
	run -0 ringfence console a </dev/null
	has "too many are connected to this console"
	ringfence destroy a
	wait
	stop_hypervisor
}

@test "console: domains that have none" {
	start_hypervisor
	create_storage
	start_idle_domain e
	run -1 ringfence console e
	has "domain e has no console; those of 'ringfence create' have one"
	run -1 ringfence console storage
	has "a driver domain has no console"
	run -1 ringfence console nobody
	has "there is no domain nobody"
	run -2 ringfence create -c storage.cfg 'name="other"'
	has "a driver domain has no console"
	run -2 ringfence console
	stop_hypervisor
}

@test "create -c: the console at once" {
	start_hypervisor
	config a 'echo hello; read line; exit 0'
	run -0 ringfence create -c a.cfg <<<"go"
	has "domain 1 is a"
	has hello
	eventually domain_is_gone a
	stop_hypervisor
}

# ---- many ----

@test "keeper: many domains one after the other, and at once, leave nothing" {
	local i nr_before
	start_hypervisor
	config a 'exec sleep 1000'
	ringfence create -q a.cfg
	ringfence destroy a
	nr_before=$(nr_fds "$HYPERVISOR_PID")
	for ((i = 0; i < 40; i++)); do
		ringfence create -q a.cfg
		ringfence destroy a
	done
	for ((i = 0; i < 40; i++)); do
		ringfence create -q a.cfg "name='a$i'"
	done
	[ "$(control domain-list | wc -l)" -eq 40 ]
	ringfence shutdown -w -a
	[ -z "$(control domain-list)" ]
	eventually no_process_is_left
	[ "$(nr_fds "$HYPERVISOR_PID")" -eq "$nr_before" ]
	stop_hypervisor
}
