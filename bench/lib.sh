# SPDX-License-Identifier: MIT
# What the benchmarks share: an instance of their own, medians, JSON lines. POSIX sh; sourced.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
bin=${RF_BIN:-$root/bin}
progs=${RF_BENCH:-$root/build/bench}
out=$root/bench/out
rounds=${ROUNDS:-5}
ms=${SLICE_MS:-1000}

bench_dir=
qsd_pid=

die() { printf 'bench: %s\n' "$*" >&2; exit 1; }
note() { printf '%s\n' "$*" >&2; }

bench_cleanup() {
	[ -z "$qsd_pid" ] || kill "$qsd_pid" 2>/dev/null || true
	if [ -n "$bench_dir" ]; then
		instance_stop
		rm -rf "$bench_dir"
	fi
}

# A working folder on a file system with direct I/O, removed at the end.
bench_start() {
	mkdir -p "$out" "$root/build"
	for parent in "${TMPDIR:-/tmp}" "$root/build" /var/tmp; do
		bench_dir=$(mktemp -d "$parent/ringfence-bench.XXXXXX") || continue
		dd if=/dev/zero of="$bench_dir/probe" bs=4096 count=1 2>/dev/null
		if dd if="$bench_dir/probe" of=/dev/null bs=4096 iflag=direct 2>/dev/null; then
			break
		fi
		rm -rf "$bench_dir"
		bench_dir=
	done
	[ -n "$bench_dir" ] || die "found no folder on a file system with direct I/O"
	trap bench_cleanup EXIT
	trap 'exit 130' INT TERM
	export RINGFENCE_RUN="$bench_dir/run"
}

# make_image SIZE_MB
make_image() {
	image=$bench_dir/disk1.img
	dd if=/dev/urandom of="$image" bs=1M count="$1" 2>/dev/null
	sync
}

# Asks the hypervisor: control VERB [KEY=VALUE]...
control() {
	perl -MSocket -e '
		my $run = shift; chdir $run or die "$run: $!\n"; my $s;
		socket($s, AF_UNIX, SOCK_SEQPACKET, 0) && connect($s, pack_sockaddr_un("control"))
			or die "control: $!\n";
		send($s, join("", map("$_\0", @ARGV)), 0);
		my ($status, $more) = (0, 1);
		while ($more) {
			recv($s, my $b, 65536, 0); length($b) >= 8 or die "no reply\n";
			($status, $more) = unpack("lL", $b); print substr($b, 8);
		}
		exit($status ? 1 : 0);' "$RINGFENCE_RUN" "$@"
}

# instance_start BLKBACK_ARGUMENT...: disks "disk1" (the image) and "null".
instance_start() {
	set -- "$@"
	args=
	for arg; do args="$args arg=$arg"; done
	"$bin/ringfenced" --daemon || die "cannot start the hypervisor"
	# shellcheck disable=SC2086 # options are words
	control driver-start name=blkback program="$bin/blkback" $args >/dev/null || die "cannot start blkback"
	[ -z "${image:-}" ] || control disk-define name=disk1 target="$image" backend=blkback >/dev/null
	control disk-define name=null target=null:1G backend=blkback >/dev/null
}

instance_stop() {
	[ -S "$RINGFENCE_RUN/control" ] && control shutdown >/dev/null 2>&1 || true
}

# field NAME < JSON of blkbench
field() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p"; }

blkbench() { "$progs/blkbench" --ms="$ms" "$@"; }

# Requests per second of fio: raw_fio ENGINE_AND_OPTIONS...
raw_fio() {
	fio --name=raw --rw=randread --bs="${bs:-512}" --runtime="${ms}ms" --time_based --norandommap \
		--randrepeat=0 --group_reporting --output-format=terse --terse-version=3 "$@" 2>/dev/null |
		awk -F';' '/^3;/ { print $8 }'
}

# The same image behind qemu-storage-daemon's NBD export; sets $nbd_uri.
qsd_start() {
	nbd_socket=$bench_dir/nbd.sock
	qemu-storage-daemon \
		--blockdev driver=file,filename="$image",cache.direct=on,aio=io_uring,read-only=on,node-name=f \
		--nbd-server addr.type=unix,addr.path="$nbd_socket" \
		--export type=nbd,id=e,node-name=f,name=d,writable=off &
	qsd_pid=$!
	n=0
	while [ ! -S "$nbd_socket" ]; do
		n=$((n + 1)); [ $n -lt 100 ] || die "qemu-storage-daemon does not start"; sleep 0.05
	done
	nbd_uri="nbd+unix:///d?socket=$nbd_socket"
}

# record FILE SERIES POINT VALUE: keeps one sample.
record() { printf '%s %s %s\n' "$2" "$3" "$4" >> "$1"; }

# median FILE SERIES POINT
median() {
	awk -v s="$2" -v p="$3" '$1 == s && $2 == p { print $3 }' "$1" | sort -n |
		awk '{ v[NR] = $1 } END { if (NR) print (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2) }'
}

# median_ratio FILE SERIES_A POINT_A SERIES_B POINT_B: of the ratios within each round.
median_ratio() {
	awk -v sa="$2" -v pa="$3" -v sb="$4" -v pb="$5" '
		$1 == sa && $2 == pa { a[++na] = $3 }
		$1 == sb && $2 == pb { b[++nb] = $3 }
		END { for (i = 1; i <= na && i <= nb; i++) if (b[i] > 0) print a[i] / b[i] }' "$1" | sort -n |
		awk '{ v[NR] = $1 } END { if (NR) printf "%.2f", (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2) }'
}

# to_json FILE > samples as JSON
to_json() {
	awk 'BEGIN { print "[" } { printf "%s  {\"series\": \"%s\", \"point\": \"%s\", \"value\": %s}", (NR > 1 ? ",\n" : ""), $1, $2, $3 }
		END { print "\n]" }' "$1"
}
