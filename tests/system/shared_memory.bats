#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # status, output
# Static shared memory: areas of configuration files in programs that know nothing of Ringfence.

load lib_create

# A domain that runs a probe (tests/peers/shm_probe.c): what it does, and its areas.
probe() { # NAME KIND "WORD..." [LINE]...
	local words=()
	read -ra words <<<"$3"
	{
		printf 'name = "%s"\nkernel = "%s/%s"\nextra = [' "$1" "$PEERS" "$2"
		printf ' "%s",' "${words[@]}"
		printf ' ]\n'
		[ $# -lt 4 ] || printf '%s\n' "${@:4}"
	} >"$1.cfg"
}

create() { # NAME
	ringfence create -q "$1.cfg"
}

# The lines of the proposal.
proposal_nodes() {
	store_tree | grep -E '^/local/shared_mem/[0-9]+/(owner|size|mappings/[0-9]+) ' || true
}

shm_node() { # PATH
	dom0 read "/local/shared_mem/$1"
}

node_is_gone() { # PATH
	! shm_node "$1" >/dev/null 2>&1
}

# Creating it fails with this, and leaves everything as it was.
refused() { # NAME TEXT
	local before
	before=$(control domain-list; store_tree; processes_of_domains)
	run -1 ringfence create -q "$1.cfg"
	has "$2"
	diff <(echo "$before") <(control domain-list; store_tree; processes_of_domains)
}

# ---- the proposal ----

@test "shared memory: the proposal's three domains, node by node" {
	start_hypervisor
	probe vm1 shm_probe-static "write 0x50000000 1 write 0x60000000 2 await 0x50000004 11 await 0x60000004 22 pause" \
		'static_shared_mem = [ "0x50000000-0x50002000 = 1", "0x60000000-0x60001000 = 2" ]'
	probe vm2 shm_probe "await 0x70000000 1 write 0x70000004 11 pause" \
		'static_shared_mem = [ "0x70000000-0x70002000 = 1" ]'
	probe vm3 shm_probe-static-pie "await 0x200000000000 2 write 0x200000000004 22 pause" \
		'static_shared_mem = [ "0x200000000000-0x200000001000 = 2" ]'
	[ -z "$(proposal_nodes)" ]

	create vm1
	proposal_nodes >after1
	diff - after1 <<-'EOF'
		/local/shared_mem/1/owner = "1"
		/local/shared_mem/1/size = "0x2000"
		/local/shared_mem/1/mappings/1 = "0x50000000-0x50002000"
		/local/shared_mem/2/owner = "1"
		/local/shared_mem/2/size = "0x1000"
		/local/shared_mem/2/mappings/1 = "0x60000000-0x60001000"
	EOF
	create vm2
	proposal_nodes >after2
	[ "$(diff after1 after2 | grep '^[<>]')" = '> /local/shared_mem/1/mappings/2 = "0x70000000-0x70002000"' ]
	create vm3
	proposal_nodes >after3
	[ "$(diff after2 after3 | grep '^[<>]')" = '> /local/shared_mem/2/mappings/3 = "0x200000000000-0x200000001000"' ]

	# And they talk.
	eventually console_has vm1 $'there\nthere'
	console_has vm2 written
	console_has vm3 written
	stop_hypervisor
}

@test "shared memory: every domain can read the nodes, none can write them" {
	start_hypervisor
	probe owner shm_probe "pause" 'static_shared_mem = [ "0x50000000-0x50001000 = 7" ]'
	create owner
	run -0 ringfence exec xenstore-read /local/shared_mem/7/owner /local/shared_mem/7/mappings/1
	[ "$output" = $'1\n0x50000000-0x50001000' ]
	run -0 ringfence exec xenstore-list /local/shared_mem
	[ "$output" = 7 ]
	for node in 7 7/owner 7/mappings/1 7/mappings/9 8; do
		run ! ringfence exec xenstore-write "/local/shared_mem/$node" 9
		run ! ringfence exec xenstore-rm "/local/shared_mem/$node"
	done
	[ "$(shm_node 7/owner)" = 1 ]
	stop_hypervisor
}

@test "shared memory: the examples" {
	start_hypervisor
	mkdir build
	ln -s "$EXAMPLES" build/examples
	ringfence create -q "$ROOT/examples/shm-square.cfg"
	ringfence create -q "$ROOT/examples/shm-ask.cfg"
	eventually console_has ask "5 squared is 25"
	console_has ask "2 squared is 4"
	stop_hypervisor
}

# ---- roles, parts, protection ----

@test "shared memory: owner and borrowers with parts of an area, read-only where it says so" {
	start_hypervisor
	probe owner shm_probe-fixed "write 0x50003000 5 await 0x50001000 6 pause" \
		'static_shm = [ "id=3, begin=0x50000000, size=0x4000, role=owner" ]'
	probe reader shm_probe-static "read 0x60000000 writable 0x60000000 punch 0x60000000 descriptors pause" \
		'static_shm = [ "id=3, begin=0x60000000, size=0x1000, role=borrower, offset=0x3000, prot=ro" ]'
	probe writer shm_probe "write 0x70000000 6 read 0x70002000 pause" \
		'static_shm = [ "id=3, begin=0x70000000, size=0x3000, role=borrower, offset=0x1000" ]'
	create owner
	eventually console_has owner written
	create reader
	create writer
	eventually console_has reader $'0x5\nPermission denied\nPermission denied\n0'
	eventually console_has writer $'written\n0x5'
	eventually console_has owner there
	[ "$(shm_node 3/domains/2/role)" = borrower ]
	[ "$(shm_node 3/domains/2/prot)" = ro ]
	[ "$(shm_node 3/domains/2/offset)" = 0x3000 ]
	[ "$(shm_node 3/domains/3/prot)" = rw ]
	[ "$(shm_node 3/mappings/3)" = 0x70000000-0x70003000 ]
	[ "$(shm_node 3/count)" = 3 ]
	# No process of the reader's user opens it again from what it has.
	run ! grep -l '/memfd:shared_mem' "/proc/$(program_kept_by "$(keeper_of reader)")/fd"
	stop_hypervisor
}

@test "shared memory: a write where only reading is permitted ends the program" {
	start_hypervisor
	probe owner shm_probe "pause" 'static_shm = [ "id=1, begin=0x50000000, size=0x1000, role=owner, prot=ro" ]'
	probe writer shm_probe-static "read 0x50000000 write 0x50000000 9 read 0x50000000" \
		'static_shm = [ "id=1, begin=0x50000000, size=0x1000, role=borrower, prot=ro" ]'
	create owner
	create writer
	eventually console_has writer "ended by signal 11"
	run ! console_has writer written
	stop_hypervisor
}

@test "shared memory: another user's domain has it as well" {
	[ "$(id -u)" -eq 0 ] || skip "only root runs domains as other users"
	start_hypervisor
	chmod 755 "$WORK"
	mkdir "$WORK/bin"
	cp "$PEERS/shm_probe-static" "$WORK/bin/"
	chmod 755 "$WORK/bin" "$WORK/bin/shm_probe-static"
	PEERS=$WORK/bin
	probe owner shm_probe-static "write 0x50000000 5 pause" \
		'static_shm = [ "id=1, begin=0x50000000, size=0x1000, role=owner" ]'
	probe reader shm_probe-static "await 0x50000000 5 writable 0x50000000 pause" uid=65533 \
		'static_shm = [ "id=1, begin=0x50000000, size=0x1000, role=borrower, prot=ro" ]'
	create owner
	create reader
	eventually console_has reader $'there\nPermission denied'
	stop_hypervisor
}

@test "shared memory: areas come on top of the memory limit, and children inherit them" {
	start_hypervisor
	probe owner shm_probe-static "child-write 0x50000000 5 read 0x50000000 pause" 'memory = 32' \
		'static_shared_mem = [ "0x50000000,0x8000000 = 1" ]'
	create owner
	eventually console_has owner $'written\n0x5'
	stop_hypervisor
}

@test "shared memory: the library finds areas by id" {
	start_hypervisor
	cat >owner.cfg <<-EOF
		name = "owner"
		kernel = "$EXAMPLES/shm-find"
		extra = [ "1", "2", "3" ]
		static_shared_mem = [ "0x50000000-0x50002000 = 1" ]
		static_shm = [ "id=2, begin=0x60000000, size=0x1000, role=owner" ]
		on_poweroff = "preserve"
	EOF
	cat >borrower.cfg <<-EOF
		name = "borrower"
		kernel = "$EXAMPLES/shm-find"
		extra = [ "1" ]
		static_shm = [ "id=1, begin=0x70000000, size=0x1000, role=borrower, offset=0x1000, prot=ro" ]
		on_poweroff = "preserve"
	EOF
	# What it starts is no longer the program that has the mapping.
	cat >shell.cfg <<-EOF
		name = "shell"
		kernel = "/bin/sh"
		extra = [ "-c", "$EXAMPLES/shm-find 1; true" ]
		static_shared_mem = [ "0x70000000-0x70002000 = 1" ]
		on_poweroff = "preserve"
	EOF
	create owner
	create borrower
	create shell
	eventually console_has owner "area 1: 0x50000000, 0x2000 bytes at offset 0x0, owner, writable
area 2: 0x60000000, 0x1000 bytes at offset 0x0, owner, writable
area 3: No such file or directory"
	eventually console_has borrower "area 1: 0x70000000, 0x1000 bytes at offset 0x1000, borrower, read-only"
	eventually console_has shell "area 1: Bad address"
	stop_hypervisor
}

# ---- ends ----

@test "shared memory: a borrower ends, and the owner after it" {
	start_hypervisor
	probe owner shm_probe-static "pause" 'static_shared_mem = [ "0x50000000-0x50001000 = 1" ]'
	probe other shm_probe-static "pause" 'static_shared_mem = [ "0x60000000-0x60001000 = 1" ]'
	create owner
	create other
	ringfence destroy other
	run -0 proposal_nodes
	[ "$output" = $'/local/shared_mem/1/owner = "1"\n/local/shared_mem/1/size = "0x1000"\n/local/shared_mem/1/mappings/1 = "0x50000000-0x50001000"' ]
	[ "$(shm_node 1/count)" = 1 ]
	# The program crashes.
	create other
	[ "$(shm_node 1/mappings/3)" = 0x60000000-0x60001000 ]
	kill -9 "$(program_kept_by "$(keeper_of other)")"
	eventually node_is_gone 1/mappings/3
	[ "$(shm_node 1/count)" = 1 ]
	ringfence destroy owner
	run ! store_tree_has_areas
	eventually no_process_is_left
	stop_hypervisor
}

store_tree_has_areas() {
	store_tree | grep -q '^/local/shared_mem'
}

@test "shared memory: an owner that crashes leaves the area to those who have it, and to nobody else" {
	start_hypervisor
	probe owner shm_probe-static "write 0x50000000 5 pause" 'static_shared_mem = [ "0x50000000-0x50001000 = 1" ]'
	probe first shm_probe-static "await 0x60000000 5 await 0x60000000 6 pause" \
		'static_shared_mem = [ "0x60000000-0x60001000 = 1" ]'
	probe second shm_probe-static "await 0x70000000 5 await 0x70000004 1 write 0x70000000 6 pause" \
		'static_shared_mem = [ "0x70000000-0x70001000 = 1" ]'
	create owner
	create first
	create second
	eventually console_has first there
	eventually console_has second there
	kill -9 "$(program_kept_by "$(keeper_of owner)")"
	eventually node_is_gone 1/owner
	run -0 proposal_nodes
	[ "$output" = $'/local/shared_mem/1/size = "0x1000"\n/local/shared_mem/1/mappings/2 = "0x60000000-0x60001000"\n/local/shared_mem/1/mappings/3 = "0x70000000-0x70001000"' ]
	[ "$(shm_node 1/count)" = 2 ]
	run -0 ringfence shm-list
	matches '1 +0x1000 +- first '
	# What is in it is still theirs alone.
	refused owner "area 1: its owner has ended, and first (domain 2), among others, still uses its memory"
	ringfence destroy first
	refused owner "area 1: its owner has ended, and second (domain 3) still uses its memory"
	ringfence destroy second
	run ! store_tree_has_areas
	# The next one of that id begins with zeroes.
	probe owner shm_probe-static "read 0x50000000 pause" 'static_shared_mem = [ "0x50000000-0x50001000 = 1" ]'
	create owner
	eventually console_has owner 0x0
	[ "$(shm_node 1/owner)" = 4 ]
	stop_hypervisor
}

@test "shared memory: a restarted owner has a new area if nobody else has it, and else the same" {
	start_hypervisor
	probe owner shm_probe-static "read 0x50000000 write 0x50000000 5 pause" 'on_crash = "restart"' \
		'static_shared_mem = [ "0x50000000-0x50001000 = 1" ]'
	create owner
	eventually console_has owner written
	kill -9 "$(program_kept_by "$(keeper_of owner)")"
	eventually test_node 1/mappings/2 0x50000000-0x50001000
	[ "$(shm_node 1/owner)" = 2 ]
	eventually zero_twice
	probe other shm_probe-static "write 0x60000000 7 pause" \
		'static_shared_mem = [ "0x60000000-0x60001000 = 1" ]'
	create other
	eventually console_has other written
	kill -9 "$(program_kept_by "$(keeper_of owner)")"
	eventually test_node 1/mappings/4 0x50000000-0x50001000
	[ "$(shm_node 1/owner)" = 4 ]
	[ "$(shm_node 1/count)" = 2 ]
	eventually console_has owner 0x7
	stop_hypervisor
}

test_node() { # PATH VALUE
	[ "$(shm_node "$1" 2>/dev/null)" = "$2" ]
}

zero_twice() {
	[ "$(console_log owner | grep -c '^0x0$')" -eq 2 ]
}

@test "shared memory: nothing is left of a hundred domains, nor of a killed keeper" {
	local before i
	start_hypervisor
	probe owner shm_probe-static "pause" 'static_shared_mem = [ "0x50000000-0x50001000 = 1" ]'
	create owner
	probe other shm_probe-static "pause" 'static_shared_mem = [ "0x60000000-0x60001000 = 1", "0x50000000,4096=2" ]'
	create other
	ringfence destroy other
	before=$(nr_fds "$HYPERVISOR_PID")
	for ((i = 0; i < 100; i++)); do
		create other
		ringfence destroy other
	done
	[ "$(nr_fds "$HYPERVISOR_PID")" -eq "$before" ]
	create other
	kill -9 "$(keeper_of other)"
	eventually node_is_gone 2
	[ "$(shm_node 1/count)" = 1 ]
	stop_hypervisor
}

# ---- what is refused ----

@test "shared memory: what a configuration file says wrong is told with its line" {
	start_hypervisor
	while IFS='|' read -r line text; do
		probe bad shm_probe-static "pause" "$line"
		refused bad "bad.cfg:4: "
		has "$text"
	done <<-'EOF'
		static_shared_mem = [ "0x50000000 = 1" ]|'0x50000000' is no range
		static_shared_mem = [ "0x50000000-0x50001000" ]|there is no '= ID'
		static_shared_mem = [ "0x50000000-0x50001000 = one" ]|the id 'one' is not a number
		static_shared_mem = [ "0x50000800-0x50001800 = 1" ]|not a multiple of the page size
		static_shared_mem = [ "0x50001000-0x50001000 = 1" ]|the range is empty
		static_shared_mem = [ "0x50002000-0x50001000 = 1" ]|the range is reversed
		static_shared_mem = [ "0x1000-0x2000 = 1" ]|not within the addresses that a program has
		static_shared_mem = [ "0x7ffffffff000,0x1000 = 1" ]|not within the addresses that a program has
		static_shared_mem = [ "0x50000000,0x2000 = 1", "0x50001000,0x1000 = 2" ]|area 2 (0x50001000-0x50002000) overlaps area 1
		static_shared_mem = [ "0x50000000,0x1000 = 1", "0x60000000,0x1000 = 1" ]|area 1 is named twice
		static_shm = [ "id=1, begin=0x50000000, size=0x1000" ]|role= is missing
		static_shm = [ "id=1, begin=0x50000000, size=0x1000, role=guest" ]|role is owner or borrower, not 'guest'
		static_shm = [ "id=1, begin=0x50000000, size=0x1000, role=owner, offset=0x1000" ]|only a borrower has an offset
		static_shm = [ "id=1, begin=0x50000000, size=0x1000, role=owner, perm=rw" ]|there is no key 'perm'
	EOF
	probe bad shm_probe-static "pause" \
		"static_shared_mem = [ $(for i in {1..65}; do printf '"0x%x,0x1000 = %d", ' $((0x50000000 + i * 4096)) "$i"; done)]"
	refused bad "a domain can have at most 64 shared areas"
	stop_hypervisor
}

@test "shared memory: what does not fit to what others have is refused" {
	start_hypervisor
	probe owner shm_probe-static "pause" 'static_shared_mem = [ "0x50000000,0x2000 = 1" ]' \
		'static_shm = [ "id=2, begin=0x60000000, size=0x2000, role=owner, prot=ro" ]'
	create owner
	while IFS='|' read -r line text; do
		probe other shm_probe-static "pause" "$line"
		refused other "$text"
	done <<-'EOF'
		static_shared_mem = [ "0x50000000,0x1000 = 1" ]|area 1: the range has 0x1000 bytes, but the area, which owner (domain 1) owns, has 0x2000
		static_shared_mem = [ "0x50000000,0x2000 = 2" ]|area 2: owner (domain 1), its owner, permits others only to read
		static_shm = [ "id=2, begin=0x50000000, size=0x2000, role=borrower" ]|area 2: owner (domain 1), its owner, permits others only to read
		static_shm = [ "id=1, begin=0x50000000, size=0x1000, role=borrower, offset=0x2000" ]|area 1: 0x1000 bytes at offset 0x2000 are beyond its end
		static_shm = [ "id=1, begin=0x50000000, size=0x3000, role=borrower" ]|area 1: 0x3000 bytes at offset 0x0 are beyond its end
		static_shm = [ "id=1, begin=0x50000000, size=0x2000, role=owner" ]|area 1 has an owner already: owner (domain 1)
		static_shm = [ "id=3, begin=0x50000000, size=0x2000, role=borrower" ]|area 3 has no owner yet: create the domain that owns it first
		static_shared_mem = [ "0x50000000,0x1000 = 5", "0x60000000,0x1000 = 1" ]|area 1: the range has 0x1000 bytes
	EOF
	stop_hypervisor
}

@test "shared memory: more memory than there is, and addresses that are taken" {
	start_hypervisor
	probe huge shm_probe-static "pause" 'static_shared_mem = [ "0x100000000000,0x400000000000 = 1" ]'
	refused huge "out of memory: the shared areas that the domain is to own have 67108864 MiB, and only"
	# The program itself is there, in every attempt.
	probe over shm_probe-fixed "pause" 'static_shared_mem = [ "0x400000-0x410000 = 1" ]'
	run -1 ringfence create -q over.cfg
	matches 'area 1: 0x400000-0x410000 is not free: the program has .*/shm_probe-fixed at 0x400000'
	run ! store_tree_has_areas
	run ! domid_of over
	# A program that cannot be run says so, and takes nothing along.
	printf 'name = "script"\nkernel = "%s"\nstatic_shared_mem = [ "0x50000000,4096 = 1" ]\n' "$WORK/script" >script.cfg
	printf '#!/no/such/interpreter\n' >script
	chmod +x script
	run -1 ringfence create -q script.cfg
	has "cannot run $WORK/script: No such file or directory"
	run ! store_tree_has_areas
	run ! domid_of script
	eventually no_process_is_left
	stop_hypervisor
}

# ---- shm-list ----

@test "shared memory: shm-list, as a table and as JSON" {
	start_hypervisor
	run -0 ringfence shm-list
	[ "${#lines[@]}" -eq 1 ]
	run -0 ringfence shm-list --json
	[ "$(perl -MJSON::PP -e 'print scalar @{decode_json($ARGV[0])}' "$output")" = 0 ]
	probe owner shm_probe-static "pause" 'static_shared_mem = [ "0x50000000,0x2000 = 4", "0x60000000,0x1000 = 9" ]'
	probe other shm_probe-static "pause" \
		'static_shm = [ "id=4, begin=0x70000000, size=0x1000, role=borrower, offset=0x1000, prot=ro" ]'
	create owner
	create other
	run -0 ringfence shm-list
	[ "${#lines[@]}" -eq 4 ]
	matches '4 +0x2000 +1 owner +1 0x50000000-0x50002000 +0 owner +rw'
	matches '4 +0x2000 +1 other +2 0x70000000-0x70001000 +0x1000 borrower ro'
	run -0 ringfence shm-list --json
	run -0 perl -MJSON::PP -e '
		for my $area (@{decode_json($ARGV[0])}) {
			print "$area->{id} $area->{size} $area->{owner}:";
			print " $_->{domid} $_->{name} $_->{begin}+$_->{size} $_->{offset} $_->{role} $_->{prot};"
				for @{$area->{mappings}};
			print "\n";
		}' "$output"
	[ "${lines[0]}" = "4 8192 1: 1 owner 1342177280+8192 0 owner rw; 2 other 1879048192+4096 4096 borrower ro;" ]
	[ "${lines[1]}" = "9 4096 1: 1 owner 1610612736+4096 0 owner rw;" ]
	ringfence destroy owner
	run -0 ringfence shm-list --json
	has '"owner": null'
	run -2 ringfence shm-list surplus
	run -2 ringfence shm-list --json --json
	run -1 bash -c '"$RF_BIN/ringfence" shm-list >/dev/full'
	stop_hypervisor
	run -3 ringfence shm-list
}

@test "shared memory: the control protocol checks what it is told" {
	start_hypervisor
	for area in "" 1 "1,owner,rw,0x10000,4096,0" "1,owner,rw,4096,4096,0" "1,owner,rw,65536,100,0"; do
		run -1 control shm-check "area=$area"
	done
	run -1 control shm-check
	has "argument area= is missing"
	run -1 control shm-attach area=1,owner,rw,65536,4096,0
	has "this connection has no domain"
	run -1 control shm-open id=1
	has "this connection has no domain"
	run -0 control shm-check area=1,any,rw,65536,4096,0 area=2,owner,ro,131072,8192,0
	[ "$output" = new_bytes=12288 ]
	run ! store_tree_has_areas
	stop_hypervisor
}
