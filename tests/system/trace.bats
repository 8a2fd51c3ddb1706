#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Where the time goes: ringfence trace and ringfence top.

load lib
load lib_blkback

ringfence() {
	"$RF_BIN/ringfence" "$@" 3>&-
}

json() { # PERL EXPRESSION, of $v, the JSON value in $output
	perl -MJSON::PP -e 'my $v = decode_json($ARGV[0]); print '"$1" "$output"
}

client_domid() {
	control domain-list | sed -n 's/^domid=\([0-9]*\) .* kind=guest pid='"$CLIENT"' .*/\1/p'
}

client_name() {
	control domain-list | sed -n 's/.* name=\([^ ]*\) kind=guest pid='"$CLIENT"' .*/\1/p'
}

stop_client() {
	kill "$CLIENT"
	wait "$CLIENT" || true
	exec {CLIENT_ERR}<&-
}

# Samples of the client in the file raw.
have_samples() { # [OPTION OF ringfence trace]...
	ringfence trace --seconds=0.5 --raw "$@" >raw
	[ "$(grep -c "^$(client_domid) 51712 " raw)" -ge 3 ]
}

STAGES="to_backend check prepare driver answer to_frontend wakeup"

# ---- trace ----

@test "trace: requests pass all stages in order, whose sum is the total" {
	start_back_end
	start_endless_client 4
	eventually have_samples
	[ "$(head -n 1 raw)" = "domid device queue index operation driver submitted_ns $STAGES total" ]
	perl -ane '
		next if $. == 1;
		my ($total, @stages) = ($F[14], @F[7 .. 13]);
		my $sum = 0;
		die $_ if @F != 15 || grep { !/^\d+$/ } @F;
		$sum += $_ for @stages;
		die $_ if $sum != $total || $total == 0 || $F[3] % 64 || $F[4] != 0 || $F[5] != 1;
		' raw
	# Each request is seen once.
	[ -z "$(tail -n +2 raw | cut -d' ' -f 1-4 | sort | uniq -d)" ]
	stop_client
	unharmed
}

@test "trace: as a table and as JSON" {
	start_back_end
	start_endless_client 4
	eventually have_samples
	run -0 ringfence trace -s 1
	has "xvda of domain $(client_domid) ($(client_name)), served by domain 1 (blkback)"
	for stage in $STAGES total; do
		matches " $stage +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+% "
	done
	run -0 ringfence trace -s 1 --json
	run -0 json 'do {
		my ($disk) = @{$v->{disks}};
		my $both = $disk->{both_ends};
		my ($mean, $share) = (0, 0);
		for (@{$both->{stages}}) {
			my $nr = 0;
			$nr += $_ for values %{$_->{powers_of_two_ns}};
			die "$_->{stage}: $nr\n" if $nr != $both->{samples};
			$mean += $_->{mean_ns};
			$share += $_->{share};
		}
		die "mean $mean\n" if abs($mean - $both->{total}{mean_ns}) > 1;
		die "share $share\n" if abs($share - 1) > 0.01;
		die "ends\n" if $disk->{front_end}{samples} < $both->{samples} ||
			$disk->{back_end}{samples} < $both->{samples};
		join " ", $disk->{domid}, $disk->{vdev}, $disk->{backend}, $both->{samples} > 0,
			map { $_->{stage} } @{$both->{stages}};
	}'
	[ "$output" = "$(client_domid) xvda blkback 1 $STAGES" ]
	stop_client
}

@test "trace: what comes from the cache has not been at the driver" {
	start_back_end --cache=16M
	start_endless_client 4
	cached() { have_samples && [ "$(awk '$6 == 0 && $11 == 0' raw | wc -l)" -gt 0 ]; }
	eventually cached
	stop_client
	unharmed
}

@test "trace: a domain is chosen by name or id, as either end" {
	start_back_end
	start_endless_client 2
	eventually have_samples
	for domain in blkback 1 "$(client_name)" "$(client_domid)"; do
		eventually have_samples "$domain"
	done
	"$RF_BIN/ringfence" exec --name=idle sleep 1000 >/dev/null 2>&1 </dev/null 3>&- &
	idle=$!
	idle_is_there() { control domain-list | grep -q name=idle; }
	eventually idle_is_there
	run -1 ringfence trace -s 0.1 idle
	has "no sampled request"
	for domain in nobody 777 '' 65536 -- ; do
		run -1 ringfence trace -s 0.1 -- "$domain"
		has "there is no domain '$domain'"
	done
	kill "$idle"
	wait "$idle" || true
	stop_client
}

@test "trace: without samples it says so" {
	start_back_end
	for format in "" --json; do
		# shellcheck disable=SC2086 # words
		run -1 ringfence trace -s 0.1 $format
		matches "^ringfence: no sampled request in [0-9.]+ s: one in 64 is, of disks whose [^
]*$"
	done
	for wrong in "-s 0" "-s x" "-s -1" "-s 1e3" "--seconds=" "one two" --no-such; do
		# shellcheck disable=SC2086 # words
		run -2 ringfence trace $wrong
	done
}

@test "trace: as a program of domain 0, by its environment" {
	start_back_end
	start_endless_client 2
	eventually have_samples
	domid=$(client_domid)
	sampled() {
		bash -c 'eval "$("$RF_BIN/ringfence" env)"
			RINGFENCE_RUN=/nonexistent "$RF_BIN/ringfence" trace --xen -s 0.5 --raw' >raw 3>&-
		grep -q "^$domid 51712 " raw
	}
	export RF_BIN
	eventually sampled
	stop_client
}

@test "trace: areas come and go with their owners" {
	start_back_end
	list() { XENSTORED_PATH=$RINGFENCE_RUN/xenstored/socket xenstore-ls -f | grep -o "[0-9]*/data/trace/.* ="; }
	[ "$(list)" = "1/data/trace/blkback =" ]
	start_endless_client 2
	run -0 list
	has "$(client_domid)/data/trace/vbd-51712 ="
	stop_client
	eventually no_guest_left
	[ "$(list)" = "1/data/trace/blkback =" ]
	# A client that closes its disk, while its domain goes on, has no area any more.
	run -0 client 2 300
	eventually no_guest_left
	[ "$(list)" = "1/data/trace/blkback =" ]
}

@test "trace, top: areas full of lies do no harm" {
	start_back_end
	for lie in scribble records nonsense; do
		start_hostile trace_area $lie
		start_endless_client 2
		eventually have_samples
		run -0 ringfence trace -s 0.5
		run -0 ringfence trace -s 0.5 --json
		json 'join " ", map { $_->{domid} } @{$v->{disks}}' | grep -qw "$(client_domid)"
		run -0 ringfence top --json -n 2 -d 0.2
		output=${lines[1]}
		json 'join " ", map { $_->{name} } @{$v->{rows}}' | grep -qw liar
		run -0 ringfence top --batch -n 1 -d 0.2
		kill -0 "$HOSTILE"
		kill_hostile
		stop_client
		unharmed
	done
}

@test "trace, top: they end when the hypervisor goes away" {
	start_back_end
	start_endless_client 2
	"$RF_BIN/ringfence" trace -s 1000 --raw >raw 2>trace.err 3>&- &
	trace=$!
	"$RF_BIN/ringfence" top --json -d 0.1 >top.out 2>top.err 3>&- &
	top=$!
	both_run() { [ "$(wc -l <raw)" -gt 3 ] && [ "$(wc -l <top.out)" -gt 3 ]; }
	eventually both_run
	kill -9 $(pids_of ringfenced)
	for pid in $trace $top; do
		wait_for_end "$pid" "$BOUND"
		[ "$status" -eq 1 ]
	done
	for file in trace.err top.err; do
		[ "$(cat $file)" = "ringfence: the hypervisor went away" ]
	done
	wait "$CLIENT" || true
	exec {CLIENT_ERR}<&-
}

@test "trace: SIGINT ends it, with a report" {
	start_back_end
	start_endless_client 2
	eventually have_samples
	# A shell's background jobs ignore it.
	env --default-signal=INT "$RF_BIN/ringfence" trace -s 1000 --raw >raw 2>&1 3>&- &
	trace=$!
	runs() { [ "$(wc -l <raw)" -gt 3 ]; }
	eventually runs
	kill -INT "$trace"
	wait_for_end "$trace" "$BOUND"
	[ "$status" -eq 0 ]
	stop_client
}

# ---- top ----

# The client's row of the last of several looks, as JSON in $output, once it shows the load.
shows_the_load() {
	output=$(ringfence top --json -n 2 -d 1.2 | tail -n 1)
	output=$(json 'encode_json((grep { $_->{pid} == '"$CLIENT"' } @{$v->{rows}})[0])')
	json 'die unless $v->{reads_per_s} > 0 && $v->{latency_us}'
}

@test "top: --json shows the load of a domain and its disk" {
	start_back_end
	start_endless_client 4
	eventually shows_the_load
	run -0 json 'join " ", $v->{domid}, $v->{kind}, $v->{vdev}, $v->{disk}, $v->{backend},
		$v->{reads_per_s} == $v->{requests_per_s}, $v->{mb_per_s} > 0, $v->{writes_per_s},
		$v->{latency_us} > 0, $v->{depth} > 0, $v->{errors}, $v->{memory_mib} > 0,
		defined $v->{cpu_percent}, defined $v->{cache_hit_percent} ? 1 : 0'
	[ "$output" = "$(client_domid) guest xvda 51712 blkback 1 1 0 1 1 0 1 1 0" ]
	run -0 ringfence top --json -n 1 -d 1.2
	run -0 json 'join " ", $v->{domains}, $v->{drivers}, $v->{disks}, $v->{totals}{errors},
		scalar @{$v->{rows}}'
	[ "$output" = "2 1 1 0 2" ]
	stop_client
}

@test "top: the cache's hit ratio" {
	start_back_end --cache=16M
	start_endless_client 4
	shows_hits() { shows_the_load && json 'die unless $v->{cache_hit_percent} > 50'; }
	eventually shows_hits
	stop_client
}

@test "top: --batch prints a table each time, sorted by a column" {
	start_back_end
	start_endless_client 2
	# The back end publishes figures within a second.
	lists_the_disk() { ringfence top -b -n 1 -d 0.2 | grep -q " $(client_domid)  *xvda "; }
	eventually lists_the_disk
	run -0 ringfence top --batch -n 2 -d 0.2 --sort=domid
	[ "$(grep -c "^ringfence top - " <<<"$output")" -eq 2 ]
	[ "$(grep -c "^NAME *>ID .*REQ/s .*CPU% " <<<"$output")" -eq 2 ]
	[ "$(grep -c "^blkback  *1  *- " <<<"$output")" -eq 2 ]
	[ "$(grep -c " $(client_domid)  *xvda " <<<"$output")" -eq 2 ]
	names() { cut -d' ' -f1 <<<"$output" | tail -n +3; }
	[ "$(names | head -n 1)" = blkback ]
	run -0 ringfence top -b -n 1 -d 0.2 --sort=requests_per_s
	[ "$(names | head -n 1)" != blkback ]
	stop_client
}

@test "top: on a terminal, with keys" {
	start_back_end
	start_endless_client 2
	# All at once: each is handled in its turn.
	run -0 bash -c 'printf "ss\033[D\033[Cd0.3\nq" |
		TERM=xterm script -qec "$RF_BIN/ringfence top -d 100" /dev/null'
	has "ringfence top - "
	has ">REQ/s"
	has "seconds between two looks"
	run -1 bash -c '</dev/null TERM=no-such-terminal script -qec "$RF_BIN/ringfence top" /dev/null'
	has "this terminal cannot be used (TERM=no-such-terminal); try --batch"
	run -2 ringfence top
	has "this is no terminal: use --batch or --json"
	stop_client
}

@test "top: wrong usage" {
	for wrong in "-d 0" "-d x" "-n 0" "-n 1.5" --sort=nothing --sort "-b surplus" --no-such; do
		# shellcheck disable=SC2086 # words
		run -2 ringfence top $wrong
		has "Try 'ringfence top --help'"
	done
}
