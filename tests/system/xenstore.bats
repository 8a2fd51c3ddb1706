#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Debian's xenstore-utils and libxenstore, as they are, against the store of ringfenced: as domain 0
# and as guests.

load lib_domains

# A hypervisor, and two domains that do nothing by themselves.
start_two() {
	start_hypervisor
	start_idle_domain alice
	start_idle_domain bob
}

end_two() {
	end_domains
	eventually domain_is_gone alice
	eventually domain_is_gone bob
	stop_hypervisor
}

alice() {
	as_domain alice "xenstore-$1" "${@:2}"
}

bob() {
	as_domain bob "xenstore-$1" "${@:2}"
}

# The tests that hold for every user of the store are given the user: dom0, alice.
as_everyone() { # COMMAND
	start_two
	"$1" dom0 /test
	"$1" alice data/test
	end_two
}

# ---- each tool ----

read_and_write() { # AS BASE
	run -0 "$1" write "$2/a" one "$2/b/c" two
	run -0 "$1" read "$2/a" "$2/b/c"
	[ "$output" = $'one\ntwo' ]
	run -0 "$1" read -p "$2/a"
	[ "$output" = "$2/a: one" ]
	# Parents come into being, without a value.
	run -0 "$1" read "$2/b"
	[ -z "$output" ]
	run -0 "$1" write "$2/a" ""
	run -0 "$1" read "$2/a"
	[ -z "$output" ]
}

@test "xenstore-read, xenstore-write" {
	as_everyone read_and_write
}

binary() { # AS BASE
	run -0 "$1" write "$2/bytes" 'a\x00b\xff\n\\'
	run -0 "$1" read "$2/bytes"
	[ "$output" = 'a\000b\xff\n\\' ]
	"$1" read -R "$2/bytes" >raw
	# The tool ends its line.
	printf 'a\0b\377\n\\' | cmp - <(head -c 6 raw)
	# Unescaped, as they are on the command line.
	run -0 "$1" write -R "$2/raw" 'x\x00'
	"$1" read -R "$2/raw" >raw
	[ "$(head -c 5 raw)" = 'x\x00' ]
}

@test "xenstore-read, xenstore-write: binary values" {
	as_everyone binary
}

listing() { # AS BASE
	run -0 "$1" write "$2/one" 1 "$2/two/three" 3
	run -0 "$1" list "$2"
	[ "$output" = $'one\ntwo' ]
	run -0 "$1" list -p "$2"
	[ "$output" = "$2/one"$'\n'"$2/two" ]
	run -0 "$1" list "$2/one"
	[ -z "$output" ]
	run -0 "$1" ls "$2"
	[ "$output" = $'one = "1"\ntwo = ""\n three = "3"' ]
	run -0 "$1" ls -f "$2"
	[ "$output" = "$2/one = \"1\""$'\n'"$2/two = \"\""$'\n'"$2/two/three = \"3\"" ]
}

@test "xenstore-list, xenstore-ls, -f" {
	as_everyone listing
}

existence() { # AS BASE
	run -0 "$1" write "$2/x" 1
	run -0 "$1" exists "$2/x" "$2"
	run -1 "$1" exists "$2/y"
	run -1 "$1" exists "$2/x" "$2/y"
	[ -z "$output" ]
}

@test "xenstore-exists" {
	as_everyone existence
}

removal() { # AS BASE
	run -0 "$1" write "$2/x/y/z" 1 "$2/x/w" 2 "$2/other" 3
	run -0 "$1" rm "$2/x/y"
	run -1 "$1" exists "$2/x/y/z"
	run -0 "$1" exists "$2/x/w"
	# -t: parents that are empty and have no value go as well.
	run -0 "$1" rm -t "$2/x/w"
	run -1 "$1" exists "$2/x"
	run -0 "$1" exists "$2/other"
	# What is not there, below a parent that is, is removed as asked.
	run -0 "$1" rm "$2/nothing"
	run -1 "$1" rm "$2/nothing/below"
	has "could not remove path"
}

@test "xenstore-rm, -t" {
	as_everyone removal
}

@test "xenstore-chmod, -r, -u, and xenstore-ls -p shows it" {
	start_two
	local a=${DOMIDS[alice]} b=${DOMIDS[bob]}
	dom0 write /test/one 1 /test/two/three 3
	run -0 dom0 chmod /test/one "n$a" "r$b" b0
	run -0 dom0 ls -p /test
	matches "one = \"1\" .*\(n$a,r$b,b0\)"
	matches 'two = "" .*\(n0\)'
	run -0 dom0 chmod -r /test "w$a"
	run -0 dom0 ls -fp /test
	has "/test/one = \"1\"   (w$a)"
	has "/test/two/three = \"3\"   (w$a)"
	# Upwards, the root included.
	run -0 dom0 chmod -u /test/two r0
	run -0 dom0 ls -fp /
	has '/test/two = ""   (r0)'
	has '/test = ""   (r0)'
	has "/test/two/three = \"3\"   (w$a)"
	run -0 dom0 chmod / n0

	# A guest changes what it owns, but not the owner.
	alice write data/mine 1 data/mine/below 2
	run -0 alice chmod -r data/mine "n$a" "r$b"
	run -0 alice ls -p data
	matches "mine = \"1\" .*\(n$a,r$b\)"
	matches "below = \"2\" .*\(n$a,r$b\)"
	run -1 alice chmod data/mine "n$b"
	has "Operation not permitted"
	run -1 alice chmod domid "b$a"
	# At most five entries for a guest.
	run -0 alice chmod data/mine "n$a" r11 r12 r13 r14
	run -1 alice chmod data/mine "n$a" r11 r12 r13 r14 r15
	run -1 alice chmod /nowhere "n$a"
	end_two
}

# Waits in the background for changes; its output grows in FILE.
start_watch() { # FILE AS ARGUMENT...
	"$2" watch "${@:3}" >"$1" 2>&1 &
	WATCH=$!
}

has_lines() { # FILE NUMBER
	[ "$(wc -l <"$1")" -ge "$2" ]
}

watching() { # AS BASE
	"$1" write "$2/w" 1
	start_watch watched "$1" -n 4 "$2/w"
	eventually has_lines watched 1
	"$1" write "$2/w" 2
	"$1" write "$2/w/below" 3
	"$1" write "$2/beside" 4
	"$1" rm "$2/w"
	wait_for_end "$WATCH" "$BOUND"
	[ "$status" -eq 0 ]
	[ "$(cat watched)" = "$2/w"$'\n'"$2/w"$'\n'"$2/w/below"$'\n'"$2/w" ]
}

@test "xenstore-watch, -n" {
	as_everyone watching
}

@test "xenstore-watch: several paths, and relative ones" {
	start_two
	start_watch watched alice -n 4 data/x "/local/domain/${DOMIDS[alice]}/data/y"
	eventually has_lines watched 2
	dom0 write "/local/domain/${DOMIDS[alice]}/data/x" 1
	eventually has_lines watched 3
	alice write data/y 2
	wait_for_end "$WATCH" "$BOUND"
	[ "$(sed -n 3p watched)" = data/x ]
	[ "$(sed -n 4p watched)" = "/local/domain/${DOMIDS[alice]}/data/y" ]
	end_two
}

# ---- sizes ----

words() { # FIRST LAST FORMAT
	# shellcheck disable=SC2059 # a format
	seq "$1" "$2" | while read -r i; do printf "$3 " "$i"; done
}

big_directory() { # AS BASE
	local first
	for first in 0 100 200 300 400; do
		# shellcheck disable=SC2046 # words
		"$1" write $(words $((first + 1)) $((first + 100)) "$2/child-of-a-long-name-%05d x")
	done
	run -0 "$1" list "$2"
	[ "${#lines[@]}" -eq 500 ]
	[ "$(sort -u <<<"$output" | wc -l)" -eq 500 ]
	run -0 "$1" ls "$2"
	[ "${#lines[@]}" -eq 500 ]
	run -0 "$1" rm "$2"
}

@test "xenstore-list, xenstore-ls: five hundred children, more than one message holds" {
	as_everyone big_directory
}

value_of() { # BYTES
	head -c "$1" /dev/zero | tr '\0' v
}

@test "values: as long as a message for domain 0, as long as the quota for a guest" {
	start_two
	# The path and its NUL are in the same 4096 bytes.
	run -0 dom0 write /big "$(value_of 4091)"
	run -0 dom0 read /big
	[ "$output" = "$(value_of 4091)" ]
	run -1 dom0 write /big "$(value_of 4092)"
	run -0 dom0 read /big
	[ "${#output}" -eq 4091 ]
	# A guest's node has 2048 bytes, with its last name.
	run -0 alice write data/big "$(value_of 2045)"
	run -0 alice read data/big
	[ "${#output}" -eq 2045 ]
	run -1 alice write data/big "$(value_of 2046)"
	has "could not write path"
	run -0 alice read data/big
	[ "${#output}" -eq 2045 ]
	end_two
}

@test "paths: as long as the protocol has it" {
	start_two
	local deep=/p
	while [ ${#deep} -lt 1900 ]; do deep+=/0123456789abcdef; done
	run -0 dom0 write "$deep" x
	run -0 dom0 read "$deep"
	while [ ${#deep} -lt 3060 ]; do deep+=/0123; done
	run -0 dom0 write "$deep" x
	while [ ${#deep} -lt 3080 ]; do deep+=/0123; done
	run -1 dom0 write "$deep" x
	run -0 dom0 rm /p
	for bad in //x /x/ /x//y '/a b' '/a.b' ''; do
		run -1 dom0 write "$bad" x
		run -1 dom0 read "$bad"
	done
	end_two
}

# ---- errors ----

@test "errors: what is not there, and what may not be touched" {
	start_two
	run -1 dom0 read /nowhere
	has "couldn't read path /nowhere"
	run -1 dom0 ls /nowhere
	has "No such file or directory"
	run -1 dom0 list /nowhere
	has "could not list path /nowhere"
	run -1 dom0 rm /
	for tool in read write rm list exists chmod watch; do
		run -1 dom0 $tool
		has Usage
	done
	run -1 alice ls /
	has "Permission denied"
	run -1 alice ls /local/domain
	run -1 alice read /tool/xenstored
	run -1 alice write /test x
	run -1 alice write domid 0
	run -1 alice rm "/local/domain/${DOMIDS[alice]}"
	run -1 alice read "/local/domain/0/name"
	run -0 alice read domid name
	[ "$output" = "${DOMIDS[alice]}"$'\nalice' ]
	end_two
}

@test "errors: no daemon" {
	mkdir -p "$RINGFENCE_RUN"
	run -1 dom0 ls
	[ -n "$output" ]
}

# ---- guests and each other ----

@test "guests: nobody reads another's private nodes" {
	start_two
	local a=/local/domain/${DOMIDS[alice]}
	alice write data/secret hidden
	run -1 bob read "$a/data/secret"
	run -1 bob ls "$a/data"
	run -1 bob ls "$a"
	run -1 bob write "$a/data/secret" x
	run -1 bob write "$a/data/new" x
	run -1 bob rm "$a/data/secret"
	run -1 bob chmod "$a/data/secret" b0
	run -1 bob exists "$a/data/secret"
	run -1 bob read "$a/domid"
	run -0 dom0 read "$a/data/secret"
	[ "$output" = hidden ]
	end_two
}

@test "guests: what one lets another read, write, or do" {
	start_two
	local a=/local/domain/${DOMIDS[alice]}/data aid=${DOMIDS[alice]} bid=${DOMIDS[bob]}
	alice write data/r 1 data/w 1 data/b 1
	alice chmod data/r "n$aid" "r$bid"
	alice chmod data/w "n$aid" "w$bid"
	alice chmod data/b "n$aid" "b$bid"
	run -0 bob read "$a/r"
	run -1 bob write "$a/r" 2
	run -0 bob write "$a/w" 2
	run -1 bob read "$a/w"
	run -0 bob write "$a/b" 2
	run -0 bob read "$a/b"
	# What bob creates there is bob's, with alice's other entries.
	run -0 bob write "$a/b/new" 3
	run -0 dom0 ls -fp "$a/b"
	has "$a/b/new = \"3\"   (n$bid,b$bid)"
	run -1 bob chmod "$a/r" "b$bid"
	# For all: the first entry's letter.
	alice chmod data/r "r$aid"
	run -0 bob read "$a/r"
	end_two
}

@test "guests: a watch tells only of what its owner may read" {
	start_two
	local a=/local/domain/${DOMIDS[alice]}/data
	alice write data/open 1 data/closed 1
	alice chmod data/open "n${DOMIDS[alice]}" "r${DOMIDS[bob]}"
	start_watch watched bob -n 3 "$a"
	eventually has_lines watched 1
	alice write data/closed 2
	alice write data/open 2
	alice write data/closed 3
	alice write data/open 3
	wait_for_end "$WATCH" "$BOUND"
	[ "$(cat watched)" = "$a"$'\n'"$a/open"$'\n'"$a/open" ]
	end_two
}

# ---- quotas ----

@test "quotas: a guest's nodes are counted and given back, domain 0's are not" {
	start_two
	local first nr
	# The tool writes all of its arguments or, in one transaction, none.
	# shellcheck disable=SC2046 # words
	for ((first = 0; first < 1000; first += 100)); do
		run -"$((first == 900))" alice write $(words $((first + 1)) $((first + 100)) "data/%d x")
	done
	for ((first = 901; first < 1000; first++)); do
		alice write "data/$first" x 2>/dev/null || break
	done
	nr=$(alice list data | wc -l)
	[ "$nr" -gt 980 ]
	[ "$nr" -lt 1000 ]
	run -1 alice write data/more x
	run -1 alice write data/1/below x
	run -0 alice write data/1 "another value"
	run -0 bob write data/1 x
	run -0 alice rm data/1
	run -0 alice write data/more x
	for first in 0 400 800; do
		# shellcheck disable=SC2046 # words
		dom0 write $(words $((first + 1)) $((first + 400)) "/many/%d x")
	done
	[ "$(dom0 list /many | wc -l)" -eq 1200 ]
	dom0 rm /many
	end_two
}

@test "quotas: watches and transactions, and they come back when the client ends" {
	start_two
	for _ in 1 2; do
		run -0 as_domain alice "$PEERS/xenstore_peer" quotas
	done
	end_two
}

# ---- domains come and go ----

@test "@introduceDomain and @releaseDomain are seen by domain 0" {
	start_hypervisor
	start_watch watched dom0 -n 4 @introduceDomain @releaseDomain
	eventually has_lines watched 2
	run -0 ringfence exec true
	wait_for_end "$WATCH" "$BOUND"
	[ "$(tail -n +3 watched)" = $'@introduceDomain\n@releaseDomain' ]
	stop_hypervisor
}

@test "@introduceDomain and @releaseDomain are not seen by guests" {
	start_two
	start_watch watched alice -n 100 @introduceDomain @releaseDomain data/x
	eventually grep -qx data/x watched
	before=$(wc -l <watched)
	run -0 ringfence exec true
	alice write data/x 1
	eventually has_lines watched $((before + 1))
	[ "$(tail -n "+$((before + 1))" watched)" = data/x ]
	end_two
}

@test "a killed guest's watches, transactions and nodes vanish" {
	start_hypervisor
	nodes=$(store_tree)
	before=$(nr_fds "$HYPERVISOR_PID")
	for _ in 1 2 3 4 5; do
		start_domain holder "$PEERS/xenstore_peer" hold
		eventually node_is holder data/state holding
		kill -9 "$(program_of holder)"
		ends_with holder 137
		eventually domain_is_gone holder
	done
	fds_are_back() { [ "$(nr_fds "$HYPERVISOR_PID")" -eq "$before" ]; }
	eventually fds_are_back
	[ "$(store_tree)" = "$nodes" ]
	stop_hypervisor
}

# ---- libxenstore ----

peer_scenario() { # SCENARIO
	start_two
	run as_domain alice "$PEERS/xenstore_peer" "$1"
	echo "$output"
	[ "$status" -eq 0 ]
	XENSTORED_PATH=$RINGFENCE_RUN/xenstored/socket run "$PEERS/xenstore_peer" "$1"
	echo "$output"
	[ "$status" -eq 0 ]
	end_two
}

@test "libxenstore: transactions are isolated, abort, and collide with EAGAIN" {
	peer_scenario transactions
}

@test "libxenstore: everyone who tries again gets through" {
	peer_scenario contention
}

@test "libxenstore: xs_check_watch, xs_fileno, tokens, and unwatching" {
	peer_scenario watches
}

@test "libxenstore: XS_UNWATCH_FILTER keeps events of a removed watch away" {
	peer_scenario unwatch-filter
}

@test "libxenstore: one handle and several in many threads" {
	peer_scenario threads
}

@test "libxenstore: domain paths and whether domains are introduced" {
	peer_scenario domains
}

@test "libxenstore: permissions are read as they were set" {
	peer_scenario permissions
}

@test "libxenstore: what only domain 0 may" {
	start_two
	run -0 as_domain alice "$PEERS/xenstore_peer" guest-refused
	XENSTORED_PATH=$RINGFENCE_RUN/xenstored/socket run -0 "$PEERS/xenstore_peer" privileged
	end_two
}
