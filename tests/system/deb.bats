#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# `make deb`: builds the packages once, from a copy of the tree; then they are taken apart and installed
# below other roots.

load lib_install

setup_file() {
	DEBS=$(mktemp -d "${TMPDIR:-/tmp}/rf-deb.XXXXXX")
	export DEBS
	local root=$BATS_TEST_DIRNAME/../..
	tree "$root" >"$DEBS/before"
	env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u MAKELEVEL make -s -C "$root" O="$DEBS" deb \
		>"$DEBS/log" 2>&1 3>&- || {
		tail -n 40 "$DEBS/log" >&2
		return 1
	}
	tree "$root" >"$DEBS/after"
}

teardown_file() {
	rm -rf "$DEBS"
}

# The files of the source tree, and when they changed.
tree() { # ROOT
	(cd "$1" && find . \( -path ./.git -o -path ./build -o -path ./bench/out \) -prune -o \
		-type f -printf '%p %T@\n' | sort)
}

package() { # NAME
	echo "$DEBS/build/deb/$1_"*.deb
}

@test "deb: four packages of this version" {
	for name in ringfence libringfence0 libringfence-dev ringfence-xen; do
		[ "$(dpkg-deb -f "$(package "$name")" Version)" = "$(cat "$ROOT/VERSION")" ]
	done
}

@test "deb: the source tree is as it was" {
	diff "$DEBS/before" "$DEBS/after"
}

@test "deb: what packages.txt calls needed to build is what the source package needs" {
	diff <(awk '$2 == "build" && $1 !~ /^(gcc|make|libc6-dev)$/ { print $1 }' "$ROOT/packages.txt" | sort) \
		<(sed -n '/^Build-Depends:/,/^[A-Z]/p' "$ROOT/debian/control" |
			grep -oE '\blib[a-z0-9.+-]+|\bpkg-config' | sort)
}

@test "deb: dependencies are the system's libraries, and the user-mode ones are nobody's" {
	run -0 dpkg-deb -f "$(package ringfence)" Depends
	for library in libxengnttab1 libxenevtchn1 libxenstore4 liburing2 libc6; do
		has "$library"
	done
	[[ $output != *libringfence* ]]
	run -0 dpkg-deb -f "$(package libringfence-dev)" Depends
	has "libringfence0 (= $(cat "$ROOT/VERSION"))"
	run -0 dpkg-deb -I "$(package libringfence0)" shlibs
	[ "$output" = "libringfence 0 libringfence0 (>= $(cat "$ROOT/VERSION"))" ]
	run dpkg-deb -I "$(package ringfence)" shlibs
	[ "$status" -ne 0 ]
}

@test "deb: hardened, without debug information, and man pages are compressed" {
	for deb in "$DEBS"/build/deb/*.deb; do
		[[ $deb == *dbgsym* ]] || dpkg-deb -x "$deb" root
	done
	run -0 readelf -dS root/usr/lib/ringfence/bin/ringfenced
	has BIND_NOW
	[[ $output != *.debug_info* ]]
	[ -e root/usr/share/man/man8/ringfenced.8.gz ]
	[ -e root/usr/share/man/man1/ringfence.1.gz ]
}

@test "deb: nothing is started, and an upgrade ends nothing" {
	local calls=$WORK/calls
	mkdir scripts
	# What the maintainer scripts ask of systemd.
	for tool in deb-systemd-invoke systemctl; do
		printf '#!/bin/sh\necho "%s $*" >>"%s"\n' "$tool" "$calls" >"scripts/$tool"
		chmod +x "scripts/$tool"
	done
	ln -s /bin/true scripts/deb-systemd-helper
	touch "$calls"
	for name in ringfence ringfence-xen; do
		dpkg-deb -e "$(package "$name")" control
		# Wherever this runs, as if systemd did.
		sed -i 's|/run/systemd/system|/|' control/p*
		PATH=$PWD/scripts:$PATH sh control/prerm upgrade 0.1.1
		PATH=$PWD/scripts:$PATH sh control/postinst configure 0.1.0
		run ! grep -E 'start|stop' "$calls"
		PATH=$PWD/scripts:$PATH sh control/prerm remove
		grep -E 'deb-systemd-invoke stop .*\.service' "$calls"
		: >"$calls"
		rm -r control
	done
}

@test "deb: taken apart into a clean folder the programs run" {
	dpkg-deb -x "$(package ringfence)" root
	use "$WORK/root/usr"
	serves_a_disk
	[ -e root/lib/systemd/system/ringfenced.service ]
	grep -q '^ExecStart=/usr/bin/ringfenced ' root/lib/systemd/system/ringfenced.service
}

@test "deb: dpkg installs below another root, and a purge leaves nothing of it" {
	mkdir -p root/var/lib/dpkg/{info,updates} root/etc
	touch root/var/lib/dpkg/{status,available}
	dpkg_root() {
		PATH=$PATH:/usr/sbin:/sbin fakeroot dpkg --root="$WORK/root" --force-script-chrootless \
			--force-depends --log=/dev/null "$@" 3>&-
	}
	run -0 dpkg_root -i "$(package ringfence)" "$(package libringfence0)" \
		"$(package libringfence-dev)" "$(package ringfence-xen)"
	for name in ringfence libringfence0 libringfence-dev ringfence-xen; do
		[ "$(dpkg-query --admindir=root/var/lib/dpkg -W -f '${db:Status-Status}' "$name")" = installed ]
	done
	use "$WORK/root/usr"
	serves_a_disk
	[ -x root/etc/xen/scripts/block-ringfence ]
	run -0 dpkg_root -P ringfence-xen libringfence-dev libringfence0 ringfence
	[ -z "$(find root -path root/var/lib/dpkg -prune -o ! -type d -print)" ]
}
