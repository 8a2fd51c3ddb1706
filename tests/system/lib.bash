# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2119,SC2120 # status, output, CLIENT are for the tests
# What the system tests share. Each test has a folder and a runtime directory of its own; whatever
# it started is ended in teardown, also after a failure. $RF_BIN names the programs to be tested.

bats_require_minimum_version 1.5.0

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
RF_BIN=$(cd "${RF_BIN:-$ROOT/bin}" && pwd) || exit 1
# Generous: a bound says that something hangs, not that it is slow.
BOUND=30

setup() {
	make_work_dir
	export RINGFENCE_RUN=$WORK/run
	cd "$WORK" || return 1
}

teardown() {
	local reports
	end_everything
	cd /
	[ -z "${MOUNTED:-}" ] || umount "$MOUNTED"
	# What a sanitizer found in a daemon, nobody else would see.
	reports=$(find "$WORK" -name ringfenced.log -exec grep -A 40 -e Sanitizer -e 'runtime error' {} + || true)
	rm -rf "$WORK"
	echo "$reports"
	[ -z "$reports" ]
}

# A folder on a file system with direct I/O: in memory where that has it, so that the tests do not
# wait for a slow disk (the exercise itself runs on one, see exercise.bats).
make_work_dir() {
	local parent
	mkdir -p "$ROOT/build" 2>/dev/null || true
	for parent in ${TMPDIR:+"$TMPDIR"} /dev/shm /tmp "$ROOT/build" /var/tmp; do
		WORK=$(mktemp -d "$parent/rf-test.XXXXXX" 2>/dev/null) || continue
		head -c 4096 /dev/zero >"$WORK/probe"
		if dd if="$WORK/probe" of=/dev/null bs=4096 iflag=direct 2>/dev/null; then
			rm "$WORK/probe"
			return
		fi
		rm -rf "$WORK"
	done
	echo "no folder with direct I/O" >&2
	return 1
}

# Every process of an instance carries its runtime directory in its environment. The pids of all
# that this test started, or of one program of those.
pids_of() { # [PROGRAM]
	local dir comm
	for dir in /proc/[0-9]*; do
		read -r comm 2>/dev/null <"$dir/comm" || continue
		case $comm in
		ringfenced | blkback | service | client) ;;
		*) continue ;;
		esac
		[ "$comm" = "${1:-$comm}" ] || continue
		grep -qzF "RINGFENCE_RUN=$WORK/" "$dir/environ" 2>/dev/null && echo "${dir#/proc/}"
	done
	return 0
}

end_everything() {
	local pid
	"$RF_BIN/service" stop --timeout=3 >/dev/null 2>&1 3>&- || true
	for pid in $(pids_of); do
		kill -9 "$pid" 2>/dev/null || true
	done
}

make_image() { # FILE MIB
	dd if=/dev/urandom of="$1" bs=1M count="$2" 2>/dev/null
}

# bats waits for whoever holds its descriptor 3.
service() {
	"$RF_BIN/service" "$@" 3>&-
}

client() {
	"$RF_BIN/client" "$@" 3>&-
}

integrity() {
	"$RF_BIN/tool_for_integrity" "$@"
}

start_service() { # [OPTION]... ; makes disk1.img if there is none
	[ -e disk1.img ] || make_image disk1.img 4
	service start "$@"
}

# Asserts on $output of the last run.
has() {
	[[ $output == *"$1"* ]] && return
	printf 'expected "%s" in:\n%s\n' "$1" "$output"
	return 1
}

matches() {
	[[ $output =~ $1 ]] && return
	printf 'expected a match of "%s" in:\n%s\n' "$1" "$output"
	return 1
}

# Asks the hypervisor: control VERB [KEY=VALUE]...
control() {
	(cd "$RINGFENCE_RUN" && perl -MSocket -e '
		my ($s, $more);
		socket($s, AF_UNIX, SOCK_SEQPACKET, 0) && connect($s, pack_sockaddr_un("control"))
			or die "control: $!\n";
		send($s, join("", map { "$_\0" } @ARGV), 0);
		do {
			recv($s, my $packet, 32768, 0);
			(my $status, $more, my $text) = unpack("l<L<a*", $packet);
			print $text;
			exit 1 if $status;
		} while ($more);
		' "$@")
}

json_get() { # KEY, of the JSON object on stdin
	perl -MJSON::PP -0777 -e '
		my $v = decode_json(<STDIN>)->{$ARGV[0]};
		print ref $v eq "JSON::PP::Boolean" ? ($v ? "true" : "false") : ref $v ? encode_json($v) : $v
		' "$1"
}

# A client beside the test; its pid is in $CLIENT. Its result goes to a file.
start_client() { # OUT [OPTION]... THREADS REQUESTS
	"$RF_BIN/client" "${@:2}" >"$1" 3>&- &
	CLIENT=$!
}

# A client that runs until something happens to it: returns once so many requests were answered
# that some are in its files. Its pid is in $CLIENT, its result goes to client.out, and what it says
# through a pipe to descriptor $CLIENT_ERR.
start_endless_client() { # [THREADS]
	local line nr_lines nr_done=0
	rm -f progress.pipe
	mkfifo progress.pipe
	# Opened both ways, so that neither end waits for the other.
	exec {CLIENT_ERR}<>progress.pipe
	"$RF_BIN/client" --progress "${1:-4}" 100000000000 >client.out 2>&"$CLIENT_ERR" 3>&- &
	CLIENT=$!
	for ((nr_lines = 0; nr_lines < 4 * BOUND && nr_done < 2500; nr_lines++)); do
		read -r -t "$BOUND" -u "$CLIENT_ERR" line
		[[ $line =~ ([0-9]+)\ of\ [0-9]+\ requests ]] || {
			echo "client: $line"
			return 1
		}
		nr_done=${BASH_REMATCH[1]}
	done
	[ "$nr_done" -ge 2500 ]
}

# Waits for a child of the test, at most so many seconds; its status is in $status.
wait_for_end() { # PID SECONDS
	if ! timeout "$2" tail --pid="$1" -s 0.02 -f /dev/null; then
		echo "process $1 ($(cat "/proc/$1/comm")) did not end within $2 s"
		return 1
	fi
	status=0
	wait "$1" || status=$?
}

# What the endless client, which has ended, said after its first progress, in $output.
collect_client_errors() {
	local line
	output=
	echo END >&"$CLIENT_ERR"
	while read -r -t "$BOUND" -u "$CLIENT_ERR" line && [ "$line" != END ]; do
		output+=$line$'\n'
	done
	exec {CLIENT_ERR}<&-
}

# Asks until the answer is right, for things that happen a moment later in another process.
eventually() { # COMMAND...
	local end=$((SECONDS + BOUND))
	until "$@"; do
		if ((SECONDS > end)); then
			echo "never happened: $*"
			return 1
		fi
		sleep 0.02
	done
}

nothing_runs() {
	[ -z "$(pids_of)" ]
}

no_sockets_left() {
	[ -z "$(find "$RINGFENCE_RUN" -type s 2>/dev/null)" ]
}

ends_in_order() {
	run -0 service stop
	nothing_runs
	no_sockets_left
}

# The two files of a client hold the same number of records, and all of them match.
files_are_consistent() { # PID [IMAGE]
	[ "$(stat -c %s "read.$1")" -eq $((512 * $(wc -l <"sectors.$1"))) ]
	integrity "${2:-disk1.img}" "sectors.$1" "read.$1"
}

# Copies the programs to tree/ in the test's folder, where every user can run them.
copy_programs() {
	chmod 755 "$WORK"
	mkdir "$WORK/tree"
	cp -a "$RF_BIN" "$RF_BIN/../lib" "$WORK/tree/"
	chmod -R a+rX "$WORK/tree"
}

# Runs a command as a user without rights, whoever runs the tests.
as_nobody() {
	if [ "$(id -u)" -eq 0 ]; then
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	else
		"$@"
	fi
}

# Every long option of --help is in the manual page, and the other way round.
help_agrees_with_man() { # PROGRAM
	local help man
	help=$("$RF_BIN/$1" --help | grep -o -e '--[a-z][a-z-]*' | sort -u)
	man=$(sed 's/\\-/-/g; s/\\f.//g' "$ROOT/docs/man/$1.1" | grep -o -e '--[a-z][a-z-]*' | sort -u)
	[ -n "$help" ]
	diff <(echo "$help") <(echo "$man")
}
