#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What xl does with running domains: list, names, pause, disks, dmesg, info, restart; completion.
# create.bats has create, destroy, shutdown and console.
# shellcheck disable=SC2012,SC2013,SC2016,SC2046,SC2086,SC2317 # lists of numbers, and perl's dollars

load lib_domains

# A driver domain that serves disks: disk1, as the client program wants it.
start_storage() {
	start_hypervisor --idle-timeout=0
	make_image disk1.img 4
	start_driver storage "$RF_BIN/blkback" >/dev/null
	control disk-define name=disk1 target="$WORK/disk1.img" mode=w backend=storage
}

# The words of a domain's line in the table.
row_of() { # NAME
	"$RF_BIN/ringfence" list "$1" | awk 'NR == 2'
}

state_of() { # NAME
	row_of "$1" | awk '{ print $(NF - 1) }'
}

state_is() { # NAME LETTERS
	[ "$(state_of "$1")" = "$2" ]
}

# All processes below one, itself included.
descendants() { # PID
	local child
	echo "$1"
	for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		descendants "$child"
	done
}

# One of the threads below is not stopped.
something_runs() { # PID
	local pid
	for pid in $(descendants "$1"); do
		[ -z "$(awk '$1 == "State:" && $2 !~ /^[TtZX]$/' /proc/"$pid"/task/*/status 2>/dev/null)" ] ||
			return 0
	done
	return 1
}

json() { # PERL-EXPRESSION on $v, of $output
	perl -MJSON::PP -e 'my $v = decode_json($ARGV[0]); print eval $ARGV[1]; die $@ if $@' "$output" "$1"
}

sectors_of() { # DOMAIN
	ringfence block-list --json "$1" | perl -MJSON::PP -0777 -ne 'print decode_json($_)->[0]{sectors}'
}

has_no_disk() { # DOMAIN
	[ "$(ringfence block-list "$1" | wc -l)" -eq 1 ]
}

# ---- list ----

@test "list: xl's columns, and what is true for processes" {
	start_hypervisor
	run -0 ringfence list
	[ "$output" = $'Name                                        ID   Mem VCPUs\tState\tTime(s)' ]
	start_idle_domain idle
	start_domain busy taskset -c 0 sh -c 'while :; do :; done'
	eventually state_is idle -b----
	eventually state_is busy r-----
	matched() { [[ $(row_of busy) =~ ^busy\ +${DOMIDS[busy]}\ +[0-9]+\ +1\ +r-----\ +[0-9]+\.[0-9]$ ]]; }
	eventually matched
	# As many as this process may use.
	[ "$(row_of idle | awk '{ print $4 }')" -eq "$(nproc)" ]
	worked() { [ "$(row_of busy | awk '{ print $NF > 0.1 }')" = 1 ] || [[ $(row_of busy) != *" 0.0" ]]; }
	eventually worked
	stop_hypervisor
}

@test "list: memory is what is resident in all of the domain's processes" {
	start_hypervisor
	start_domain large perl -e '$x = "x" x (64 << 20); unless (fork) { $y = "y" x (64 << 20); sleep 1000 } sleep 1000'
	grown() { [ "$(row_of large | awk '{ print $3 }')" -ge 192 ]; }
	eventually grown
	stop_hypervisor
}

@test "list: -l and --json tell all, and names choose" {
	start_hypervisor
	run -0 ringfence list --json
	[ "$(json 'scalar @$v')" = 0 ]
	start_idle_domain alice
	start_idle_domain bob
	run -0 ringfence list -l
	[ "${#lines[@]}" -eq 3 ]
	matches "alice +${DOMIDS[alice]} guest +${PIDS[alice]} +0 +0 +0 +0"
	run -0 ringfence list --json
	[ "$(json 'join " ", map { "$_->{name} $_->{domid} $_->{kind} $_->{pid} $_->{grants} $_->{processes}" } @$v')" = \
		"alice ${DOMIDS[alice]} guest ${PIDS[alice]} 0 1 bob ${DOMIDS[bob]} guest ${PIDS[bob]} 0 1" ]
	printf 'name="owner"\nkernel="/bin/sleep"\nextra="1000"\nstatic_shared_mem=["0x10000000,0x2000=7"]\n' >owner.cfg
	ringfence create -q owner.cfg
	run -0 ringfence list -l owner
	has "    area 7 0x10000000-0x10002000 owner rw"
	run -0 ringfence list --json owner
	[ "$(json 'join " ", map { "$_->{id} $_->{begin} $_->{size} $_->{role}" } @{$v->[0]{areas}}')" = \
		"7 $((0x10000000)) $((0x2000)) owner" ]
	run -0 ringfence list bob "${DOMIDS[alice]}"
	[ "${#lines[@]}" -eq 3 ]
	[[ ${lines[1]} == bob* ]]
	[[ ${lines[2]} == alice* ]]
	run -1 ringfence list alice nobody
	[ "$output" = "ringfence: there is no domain nobody" ]
	stop_hypervisor
}

@test "list: answers longer than a socket holds arrive" {
	start_storage
	target=/$(printf 'x%.0s' {1..1000})
	(cd "$RINGFENCE_RUN" && perl -MSocket -e '
		socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0) or die;
		connect($s, pack_sockaddr_un("control")) or die;
		for my $i (1 .. 2000) {
			send($s, join("", map { "$_\0" } "disk-define", "name=d$i", "target=$ARGV[0]",
				"backend=storage"), 0);
			recv($s, my $reply, 32768, 0);
			unpack("l<", $reply) == 0 or die $reply;
		}' "$target")
	control disk-list >disks
	[ "$(wc -l <disks)" -eq 2001 ]
	[ "$(grep -c " target=$target\$" disks)" -eq 2000 ]
	stop_hypervisor
}

# ---- names ----

@test "domid, domname: names and ids, domain 0 too" {
	start_hypervisor
	start_idle_domain alice
	run -0 ringfence domid alice
	[ "$output" = "${DOMIDS[alice]}" ]
	run -0 ringfence domname "${DOMIDS[alice]}"
	[ "$output" = alice ]
	run -0 ringfence domid Domain-0
	[ "$output" = 0 ]
	run -0 ringfence domname 0
	[ "$output" = Domain-0 ]
	run -1 ringfence domid nobody
	[ "$output" = "ringfence: there is no domain nobody" ]
	run -1 ringfence domname 32000
	run -1 ringfence domname 99999999999999999999
	run -2 ringfence domname alice
	# What is all digits is an id, as in xl, whoever has it for a name.
	start_domain 7777 sleep 1000
	run -1 ringfence domid 7777
	run -1 ringfence exec --name=Domain-0 true
	has "the name is taken"
	stop_hypervisor
}

@test "rename: in the list, in the store, for the domain itself" {
	start_hypervisor
	start_idle_domain alice
	start_idle_domain bob
	ringfence rename alice carol
	run -0 as_domain alice xenstore-read name
	[ "$output" = carol ]
	[ "$(ringfence domid carol)" = "${DOMIDS[alice]}" ]
	run -1 ringfence domid alice
	run -1 ringfence rename carol bob
	[ "$output" = "ringfence: cannot rename domain carol to bob: the name is taken" ]
	for bad in '' 'a b' 'a/b' "$(printf 'x%.0s' {1..64})"; do
		run -1 ringfence rename carol "$bad"
		has "bad name"
	done
	run -1 ringfence rename nobody somebody
	run -1 ringfence rename 0 zero
	[ "$(ringfence domname "${DOMIDS[alice]}")" = carol ]
	# The old name is free.
	run -0 ringfence exec --name=alice xenstore-read name
	[ "$output" = alice ]
	stop_hypervisor
}

@test "rename: a driver domain keeps its disks, and its name when it is restarted" {
	start_storage
	ringfence rename storage nas
	run -0 client 1 50
	run -0 ringfence restart nas
	[ "$(ringfence domname "$output")" = nas ]
	run -0 client 1 50
	run -1 ringfence restart storage
	has "there is no such driver domain"
	stop_hypervisor
}

# ---- pause ----

@test "pause, unpause: all processes of a domain, and their children" {
	start_hypervisor
	start_domain family sh -c 'sh -c "sleep 1000 & wait" & sleep 1000 & wait'
	grown() { [ "$(descendants "${PIDS[family]}" | wc -l)" -eq 5 ]; }
	eventually grown
	program=$(program_of family)
	ringfence pause family
	run ! something_runs "$program"
	[ "$(state_of family)" = --p--- ]
	# Again, and all is as it was.
	ringfence pause family
	[ "$(state_of family)" = --p--- ]
	ringfence unpause "${DOMIDS[family]}"
	[ "$(state_of family)" = -b---- ]
	run ! grep -l '^State:.T' $(descendants "$program" | sed 's|.*|/proc/&/status|')
	ringfence unpause family
	for command in pause unpause; do
		run -1 ringfence $command nobody
		has "there is no domain nobody"
		run -1 ringfence $command 0
	done
	stop_hypervisor
}

@test "pause: a domain that starts processes all the time, orphans too" {
	start_hypervisor
	# shellcheck disable=SC2016 # perl's
	start_domain storm perl -e '$SIG{CHLD} = "IGNORE";
		for (;;) { unless (fork) { fork; select undef, undef, undef, 0.02; exit } select undef, undef, undef, 0.001 }'
	for _ in {1..3}; do
		ringfence pause storm
		run ! something_runs "$(program_of storm)"
		run ! something_runs_below "${PIDS[storm]}"
		before=$(descendants "${PIDS[storm]}" | sort)
		[ "$(descendants "${PIDS[storm]}" | sort)" = "$before" ]
		ringfence unpause storm
		eventually something_runs "$(program_of storm)"
	done
	stop_hypervisor
}

something_runs_below() { # PID
	local child
	for child in $(cat /proc/"$1"/task/*/children); do
		something_runs "$child" && return
	done
	return 1
}

@test "pause: threads" {
	start_storage
	start_endless_client 4
	name=client-$CLIENT
	ringfence pause "$name"
	run ! something_runs "$CLIENT"
	[ "$(ls "/proc/$CLIENT/task" | wc -l)" -gt 1 ]
	ringfence unpause "$name"
	kill -TERM "$CLIENT"
	wait_for_end "$CLIENT" "$BOUND"
	stop_hypervisor
}

@test "pause: one command at a time has a domain" {
	start_hypervisor
	start_idle_domain alice
	start_idle_domain bob
	mkfifo hold said
	(cd "$RINGFENCE_RUN" && exec perl -MSocket -e '$| = 1;
		socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0) or die;
		connect($s, pack_sockaddr_un("control")) or die;
		send($s, "domain-pause\0domain=alice\0", 0);
		recv($s, my $reply, 32768, 0);
		print unpack("l<", $reply), "\n";
		<STDIN>') <hold >said 3>&- &
	holder=$!
	exec {HOLD}>hold
	read -r -t "$BOUND" answer <said
	[ "$answer" = 0 ]
	for command in pause unpause; do
		run -1 ringfence $command alice
		has "is being paused or unpaused by another command"
		ringfence $command bob
	done
	exec {HOLD}>&-
	wait_for_end "$holder" "$BOUND"
	# What it left half done can be done, or undone.
	is_free() { ringfence pause alice; }
	eventually is_free
	ringfence unpause alice
	[ "$(state_of alice)" = -b---- ]
	stop_hypervisor
}

@test "pause: a paused domain can be destroyed" {
	start_hypervisor
	start_idle_domain alice
	pid=$(program_of alice)
	ringfence pause alice
	ringfence destroy alice
	eventually has_ended "$pid"
	ends_with alice 137
	domain_is_gone alice
	stop_hypervisor
}

@test "pause: who made its domain itself wakes up when that is destroyed, and ends" {
	start_storage
	start_endless_client 2
	ringfence pause "client-$CLIENT"
	control domain-destroy "domain=client-$CLIENT"
	wait_for_end "$CLIENT" "$((2 * BOUND))"
	[ "$status" -ne 0 ]
	stop_hypervisor
}

@test "pause: a paused driver domain ends with the hypervisor" {
	start_storage
	ringfence pause storage
	run ! something_runs "$(pids_of blkback)"
	stop_hypervisor
	nothing_runs
	run ! grep killing "$RINGFENCE_RUN/ringfenced.log"
}

@test "pause, list: domains that a keeper has" {
	start_hypervisor
	printf 'name="kept"\nkernel="/bin/sleep"\nextra="1000"\n' >kept.cfg
	printf 'name="done"\nkernel="/bin/true"\non_poweroff="preserve"\n' >done.cfg
	printf 'name="failed"\nkernel="/bin/false"\non_crash="preserve"\n' >failed.cfg
	for config in *.cfg; do
		ringfence create -q "$config"
	done
	eventually state_is done ---s--
	eventually state_is failed ----c-
	keeper=$(control domain-list | sed -n 's/.* name=kept .* pid=\([0-9]*\) .*/\1/p')
	program=$(cat "/proc/$keeper/task/$keeper/children")
	ringfence pause kept
	[ "$(state_of kept)" = --p--- ]
	run ! something_runs $program
	# The keeper goes on: it can still be told to end it.
	run ! grep '^State:.T' "/proc/$keeper/status"
	ringfence destroy kept
	eventually has_ended $program
	run -0 ringfence list --json done failed
	[ "$(json 'join " ", map { "$_->{state}$_->{processes}" } @$v')" = "shutdown0 crashed0" ]
	stop_hypervisor
}

# ---- disks ----

@test "block-attach: xl's syntax, block-list: xl's columns" {
	start_storage
	make_image b.img 1
	make_image c.img 1
	control disk-define name=null target=null:64M mode=w backend=storage
	start_idle_domain alice
	back=$(ringfence domid storage)
	ringfence block-attach alice "vdev=xvdb,access=rw,backend=storage,target=$WORK/b.img"
	ringfence block-attach alice format=raw vdev=xvdc access=ro backend=storage "target=$WORK/c.img"
	ringfence block-attach "${DOMIDS[alice]}" "$WORK/c.img,raw,xvdd,r,backend=storage"
	ringfence block-attach --disk=null alice xvde
	run -0 ringfence block-list alice
	[ "${#lines[@]}" -eq 5 ]
	[ "${lines[0]}" = "Vdev  BE  handle state evt-ch ring-ref BE-path" ]
	[ "${lines[1]}" = "$(printf '%-5s %-3s %-6s %-5s %-6s %-8s %s' 51728 "$back" "${DOMIDS[alice]}" 2 -1 -1 \
		"/local/domain/$back/backend/vbd/${DOMIDS[alice]}/51728")" ]
	run -0 ringfence block-list --json alice
	[ "$(json 'join " ", map { "$_->{vdev}$_->{mode}" } @$v')" = "xvdbw xvdcr xvddr xvdew" ]
	[ "$(json '"$v->[0]{backend} $v->[0]{state} $v->[0]{sectors} $v->[0]{target}"')" = \
		"storage 2 2048 $WORK/b.img" ]
	[ "$(json 'defined $v->[0]{ring_ref} ? 1 : 0')" = 0 ]
	run -0 ringfence list -l alice
	has "    disk xvdb w storage initwait $WORK/b.img"
	run -0 ringfence list --json alice
	[ "$(json 'scalar @{$v->[0]{disks}}')" = 4 ]
	start_endless_client 1
	run -0 ringfence block-list --json "client-$CLIENT"
	[ "$(json '$v->[0]{state}')" = 4 ]
	[ "$(json '$v->[0]{ring_ref} >= 0 && $v->[0]{event_channel} > 0')" = 1 ]
	stop_hypervisor
}

@test "block-attach: what is wrong is said, and nothing is left of it" {
	start_storage
	start_idle_domain alice
	run -1 ringfence block-attach alice "vdev=xvdb,access=rw,backend=nobody,target=$WORK/disk1.img"
	has "there is no domain nobody"
	run -1 ringfence block-attach alice "vdev=xvdb,nonsense=rw,backend=storage,target=$WORK/disk1.img"
	has "nonsense"
	run -1 ringfence block-attach alice "vdev=xvdb,backend=storage,target=$WORK/missing.img"
	run -1 ringfence block-attach alice --disk=nothing xvdb
	run -1 ringfence block-attach --disk=nothing alice xvdb
	has "there is no such disk"
	run -1 ringfence block-attach --disk=disk1 alice nonsense
	has "not a device name"
	run -1 ringfence block-attach --disk=disk1 nobody xvdb
	has_no_disk alice
	ringfence block-attach --disk=disk1 alice xvdb
	run -1 ringfence block-attach --disk=disk1 alice xvdb
	has "the device is there already"
	run -1 ringfence block-list nobody
	has "there is no domain nobody"
	ringfence block-detach alice xvdb
	run ! grep '/vbd/[0-9]' <(store_tree | grep -v /data/stats/)
	stop_hypervisor
}

@test "block-detach: a disk that its guest does not use goes at once" {
	start_storage
	start_idle_domain alice
	for device in xvdb 51728; do
		ringfence block-attach --disk=disk1 alice xvdb
		ringfence block-detach alice $device
		has_no_disk alice
		run -1 as_domain alice xenstore-read device/vbd/51728/state
	done
	run -1 ringfence block-detach alice xvdb
	has "cannot detach xvdb from domain ${DOMIDS[alice]}: it has no such device"
	run -1 ringfence block-detach alice nonsense
	run -1 ringfence block-detach nobody xvdb
	# Not the other ones.
	ringfence block-attach --disk=disk1 alice xvdb
	ringfence block-attach --disk=disk1 alice xvdc
	ringfence block-detach --force alice xvdb
	[ "$(ringfence block-list --json alice | perl -MJSON::PP -0777 -ne 'print map { $_->{vdev} } @{decode_json($_)}')" = xvdc ]
	stop_hypervisor
}

@test "block-detach: a guest that does not let go is waited for, and then forced" {
	start_storage
	start_endless_client 2
	guest=client-$CLIENT
	ringfence pause "$guest"
	run -1 ringfence block-detach "$guest" xvda
	has "has not let go of the device within 10 s"
	run -0 ringfence block-list --json "$guest"
	[ "$(json '"$v->[0]{closing}"')" = 1 ]
	run -1 ringfence block-attach --disk=disk1 "$guest" xvda
	has "the device is there already"
	ringfence block-detach --force "$guest" xvda
	has_no_disk "$guest"
	# The back end serves on, and the guest finds out.
	ringfence unpause "$guest"
	wait_for_end "$CLIENT" "$((2 * BOUND))"
	[ "$status" -ne 0 ]
	run -0 client 1 50
	stop_hypervisor
}

@test "block-detach: a disk that was not released in time goes when the guest does" {
	start_storage
	start_endless_client 2
	ringfence pause "client-$CLIENT"
	run -1 ringfence block-detach "client-$CLIENT" xvda
	kill -9 "$CLIENT"
	eventually domain_is_gone "client-$CLIENT"
	no_vbd() { [ -z "$(control block-list)" ]; }
	eventually no_vbd
	stop_hypervisor
}

@test "block-detach: who asked may be gone when it is done" {
	start_storage
	start_endless_client 2
	ringfence pause "client-$CLIENT"
	"$RF_BIN/ringfence" block-detach "client-$CLIENT" xvda >/dev/null 2>&1 3>&- &
	asker=$!
	closing() { grep -q closing=1 <(control block-list); }
	eventually closing
	kill -9 $asker
	wait $asker || true
	ringfence unpause "client-$CLIENT"
	no_vbd() { [ -z "$(control block-list)" ]; }
	kill -9 "$CLIENT"
	eventually no_vbd
	stop_hypervisor
}

@test "block-resize: grows, shrinks if allowed, and says what it cannot" {
	start_storage
	start_idle_domain alice
	ringfence block-attach --disk=disk1 alice xvda
	ringfence block-resize alice xvda 6M
	[ "$(sectors_of alice)" = $((6 << 11)) ]
	[ "$(stat -c %s disk1.img)" = $((6 << 20)) ]
	run -1 ringfence block-resize alice xvda 4M
	has "--shrink gives up what is beyond"
	[ "$(stat -c %s disk1.img)" = $((6 << 20)) ]
	ringfence block-resize --shrink alice xvda 4M
	[ "$(sectors_of alice)" = $((4 << 11)) ]
	run -1 ringfence block-resize alice xvda 5000001
	has "not a multiple of the disk's sectors"
	run -1 ringfence block-resize alice xvdb 8M
	has "domain alice has no device xvdb"
	run -1 ringfence block-resize nobody xvda 8M
	control disk-define name=null target=null:64M mode=w backend=storage
	ringfence block-attach --disk=null alice xvdb
	run -1 ringfence block-resize alice xvdb 128M
	has "it is not a file"
	for size in 0 -1 x 1.5M ''; do
		run -2 ringfence block-resize alice xvda "$size"
	done
	run -2 ringfence block-resize alice nonsense 8M
	stop_hypervisor
}

# ---- the hypervisor ----

@test "dmesg: the log, and -c forgets it" {
	start_hypervisor
	run -0 ringfence exec --name=alice true
	run -0 ringfence dmesg
	has "ringfenced: info: version "
	has "domain 1 (alice) created"
	[ "$output" = "$(cat "$RINGFENCE_RUN/ringfenced.log")" ]
	run -0 ringfence dmesg -c
	has "domain 1 (alice) created"
	run -0 ringfence dmesg
	[ -z "$output" ]
	run -0 ringfence exec --name=bob true
	run -0 ringfence dmesg
	has "domain 2 (bob) created"
	[[ $output != *alice* ]]
	logged "alice"
	stop_hypervisor
}

@test "info: host, hypervisor, limits, and how far domains are isolated" {
	start_hypervisor --max-domains=123
	run -0 ringfence info
	matches "pid +: $HYPERVISOR_PID"
	matches "domains +: 0"
	matches "max_domains +: 123"
	matches "nr_cpus +: $(nproc --all)"
	matches "release +: $(uname -r)"
	matches "runtime_directory +: $RINGFENCE_RUN"
	matches "isolation +: "
	run -0 ringfence info --json
	[ "$(json '$v->{pid}')" = "$HYPERVISOR_PID" ]
	[ "$(json '$v->{ringfence_version}')" = "$(cat "$ROOT/VERSION")" ]
	[ "$(json '$v->{machine}')" = "$(uname -m)" ]
	stop_hypervisor
}

@test "restart: a driver domain has a new process and a new id, and works" {
	start_storage
	old=$(pids_of blkback)
	run -0 ringfence restart storage
	[ "$output" = "$(ringfence domid storage)" ]
	[ "$(pids_of blkback)" != "$old" ]
	run -0 client 1 50
	run -0 ringfence restart "$(ringfence domid storage)"
	run -0 client 1 50
	# Not while others depend on it.
	start_idle_domain alice
	ringfence block-attach --disk=disk1 alice xvda
	run -1 ringfence restart storage
	has "serves disks, which its guests would lose"
	run -0 ringfence restart --force storage
	has_no_disk alice
	run -1 ringfence restart alice
	has "alice is no driver domain that the hypervisor runs"
	run -1 ringfence restart nobody
	has "there is no such driver domain"
	stop_hypervisor
}

@test "restart: also what has ended for good; a program that fails is told" {
	start_hypervisor
	make_driver works 'exec sleep 1000' '[ ! -e fail ] || exit 3'
	start_driver driver ./works
	control driver-stop name=driver
	domain_is_gone driver
	ringfence restart driver
	touch fail
	run -1 ringfence restart driver
	has "driver ended before it was ready: exit status 3"
	rm fail
	revived() { domid_of driver >/dev/null; }
	eventually revived
	stop_hypervisor
}

@test "driver domains obey control/shutdown" {
	start_hypervisor
	make_driver works 'exec sleep 1000'
	start_driver driver ./works
	id=$(domid_of driver)
	dom0 write "/local/domain/$id/control/shutdown" reboot
	is_another() { [ "$(domid_of driver)" != "$id" ]; }
	eventually is_another
	id=$(domid_of driver)
	dom0 write "/local/domain/$id/control/shutdown" nonsense
	[ "$(domid_of driver)" = "$id" ]
	dom0 write "/local/domain/$id/control/shutdown" poweroff
	eventually domain_is_gone driver
	run ! logged "ended unexpectedly"
	stop_hypervisor
}

@test "exec: the program ends with its domain" {
	start_hypervisor
	start_idle_domain alice
	pid=$(program_of alice)
	control domain-destroy domain=alice
	ends_with alice 137
	eventually has_ended "$pid"
	run -1 control domain-destroy domain=alice
	run -1 control domain-destroy domain=0
	stop_hypervisor
}

# ---- usage ----

@test "usage: wrong arguments end with status 2" {
	for line in domid domname "domid a b" "domid -x" "domname 1 2" rename "rename a" "rename a b c" \
		pause "pause a b" "pause -x" unpause "unpause a b" block-attach "block-attach a" "block-attach -d" \
		"block-attach -d x a" "block-attach -x a b" block-list "block-list -x" block-detach "block-detach a" \
		"block-detach a b c" "block-detach -x a b" block-resize "block-resize a xvda" \
		"block-resize -x a xvda 1M" "dmesg -x" "dmesg a" "info -x" restart "restart a b" "restart -x a" \
		"list -x" "list -l --json" "list --json --json"; do
		# shellcheck disable=SC2086 # words
		run -2 ringfence $line
		has "Try 'ringfence ${line%% *} --help'"
	done
}

@test "usage: without a hypervisor status 3" {
	for line in list "domid a" "domname 1" "rename a b" "pause a" "unpause a" "block-attach a vdev=xvda" \
		"block-list a" "block-detach a xvda" "block-resize a xvda 1M" dmesg info "restart a"; do
		# shellcheck disable=SC2086 # words
		run -3 ringfence $line
		has "no hypervisor is running in $RINGFENCE_RUN"
	done
}

# ---- completion ----

# What bash would offer at the end of these words.
completions() { # WORD...
	PATH=$RF_BIN:$PATH bash -c '
		. "$1"; shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_ringfence
		printf "%s\n" "${COMPREPLY[@]}" | sort' - "$ROOT/tools/completions/ringfence" "$@"
}

@test "completion: commands, options, domains, devices, files" {
	run -0 bash -n "$ROOT/tools/completions/ringfence"
	[ "$(completions ringfence block-)" = $'block-attach\nblock-detach\nblock-list\nblock-resize' ]
	[ "$(completions ringfence une)" = "" ]
	[ "$(completions ringfence exec --)" = "$(printf '%s\n' --disk= --help --name= --uid= --verbose)" ]
	[ "$(completions ringfence list --)" = $'--help\n--json\n--long' ]
	# Without a hypervisor there are no domains.
	run -0 completions ringfence pause ''
	[ -z "$output" ]
	start_storage
	start_idle_domain alice
	ringfence block-attach --disk=disk1 alice xvdb
	[ "$(completions ringfence pause '')" = $'alice\nstorage' ]
	[ "$(completions ringfence pause a)" = alice ]
	[ -z "$(completions ringfence pause alice '')" ]
	[ "$(completions ringfence list alice '')" = $'alice\nstorage' ]
	[ "$(completions ringfence restart '')" = storage ]
	[ "$(completions ringfence block-detach --force alice '')" = xvdb ]
	touch guest.cfg
	[ "$(completions ringfence create gue)" = guest.cfg ]
	stop_hypervisor
}
