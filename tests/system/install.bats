#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# `make install` and `make uninstall`: what is installed works from wherever it is put, and goes away.

load lib_install

@test "install: files are where they belong, readable by all and writable by their owner" {
	install_below "$WORK/root"
	cd "$WORK/root/usr/local"
	[ "$(ls bin)" = $'ringfence\nringfenced' ]
	[ "$(ls sbin)" = blkback ]
	[ "$(ls lib/ringfence/lib/usermode)" = $'libxenevtchn.so.1\nlibxengnttab.so.1' ]
	[ "$(readlink lib/libringfence.so.0)" = "libringfence.so.$(cat "$ROOT/VERSION")" ]
	[ "$(readlink -f lib/libringfence.so)" = "$(readlink -f lib/libringfence.so.0)" ]
	for page in man1/ringfence.1 man5/ringfence.cfg.5 man8/ringfenced.8 man8/blkback.8; do
		[ -s "share/man/$page" ]
	done
	bash -n share/bash-completion/completions/ringfence
	grep -qx 'kernel = "/usr/local/lib/ringfence/bin/blkback"' share/doc/ringfence/examples/storage.cfg
	[ -x "$WORK/root/etc/xen/scripts/block-ringfence" ]
	[ -d "$WORK/root/etc/ringfence" ]
	run listing "$WORK/root"
	[ -z "$(grep -vE '^(d 755|f 755|f 644|l 777) ' <<<"$output")" ]
}

@test "install: nothing names the folder that it was staged or built in" {
	install_below "$WORK/root"
	run ! grep -rIlF -e "$WORK" -e "$ROOT" -e "$BUILT" -e '@VERSION@' "$WORK/root"
	run -0 find "$WORK/root" -lname '/*'
	[ -z "$output" ]
}

@test "install: programs run from the empty root that they were staged in" {
	install_below "$WORK/root"
	use "$WORK/root/usr/local"
	serves_a_disk
}

@test "install: domains get the installed user-mode libraries" {
	install_below "$WORK/root"
	use "$WORK/root/usr/local"
	start_hypervisor
	run -0 ringfence exec -- ldd "$PEERS/vchan_peer"
	has "$USERMODE/libxengnttab.so.1"
	has "$USERMODE/libxenevtchn.so.1"
	run -0 ldd "$EXERCISE/client"
	has "$EXERCISE/../lib/usermode/libxengnttab.so.1"
	stop_hypervisor
}

@test "install: an installation can be moved, and is found through links" {
	install_below "$WORK/root"
	mv "$WORK/root/usr/local" "$WORK/elsewhere"
	mkdir "$WORK/links"
	ln -s ../elsewhere/bin/ringfence "$WORK/links/"
	use "$WORK/elsewhere"
	start_hypervisor
	PATH=$WORK/links:$PATH run -0 ringfence list
	stop_hypervisor
	serves_a_disk
}

@test "install: programs run where / has the staged files" {
	unshare --mount --map-root-user true || skip "may not make a mount namespace"
	install_below "$WORK/root"
	make_image disk1.img 2
	RINGFENCE_RUN=$WORK/run below_root "$WORK/root" '
		exercise=/usr/local/lib/ringfence/bin
		trap "$exercise/service stop --timeout=3 || true" EXIT
		$exercise/service start
		$exercise/client 2 200
		$exercise/tool_for_integrity disk1.img sectors.* read.*
		ringfence list
		ls -l /proc/"$(cat "$RINGFENCE_RUN/lock")"/exe >exe
	'
	grep -q -e '-> /usr/local/lib/ringfence/bin/ringfenced$' exe
}

@test "install: every example runs from there" {
	unshare --mount --map-root-user true || skip "may not make a mount namespace"
	install_below "$WORK/root"
	below_root "$WORK/root" '
		cd /
		examples=/usr/local/share/doc/ringfence/examples
		ringfenced --daemon
		trap "kill \"$(cat "$RINGFENCE_RUN/lock")\"" EXIT
		ringfence create $examples/storage.cfg
		for file in $(grep -L driver_domain $examples/*.cfg); do
			ringfence create $file
		done
		ringfence list >'"$WORK"'/list
		ringfence shutdown -w -a
	'
	grep -q "^guest-b " list
}

@test "install: a program builds with pkg-config, and becomes a domain" {
	install_below "$WORK/root"
	use "$WORK/root/usr/local"
	export PKG_CONFIG_SYSROOT_DIR=$WORK/root PKG_CONFIG_PATH=$WORK/root/usr/local/lib/pkgconfig
	cat >enter.c <<-EOF
		#include <ringfence/domain.h>
		#include <stdio.h>
		int main(void)
		{
			struct rf_domain *dom;
			char error[256];

			if (rf_domain_enter("built-outside", &dom, error, sizeof(error)))
				return fprintf(stderr, "%s\n", error), 1;
			printf("domain %u\n", rf_domain_id(dom));
			rf_domain_leave(dom);
			return 0;
		}
	EOF
	[ "$(pkg-config --modversion ringfence)" = "$(cat "$ROOT/VERSION")" ]
	# A library with sanitizers needs a program with the same.
	[[ ${RF_TEST##*/} != test-* ]] || skip "built with sanitizers"
	# shellcheck disable=SC2046 # words
	cc -Wall -Werror -o enter enter.c $(pkg-config --cflags --libs ringfence)
	readelf -d enter | grep -q 'NEEDED.*libringfence.so.0'
	start_hypervisor
	usermode=$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --variable=usermodedir ringfence)
	LD_LIBRARY_PATH=$WORK/root/usr/local/lib:$WORK/root$usermode run -0 ./enter
	matches '^domain [1-9]'
	stop_hypervisor
}

@test "install: other folders, and a root with a blank in its name" {
	install_below "$WORK/a root" PREFIX=/opt/rf libdir=/opt/rf/lib64 unitdir=/units sysconfdir=/opt/etc
	cd "$WORK/a root"
	[ -e opt/rf/lib64/libringfence.a ]
	grep -qx 'libdir=/opt/rf/lib64' opt/rf/lib64/pkgconfig/ringfence.pc
	grep -qx 'usermodedir=/opt/rf/lib/ringfence/lib/usermode' opt/rf/lib64/pkgconfig/ringfence.pc
	grep -q '^ExecStart=/opt/rf/bin/ringfenced ' units/ringfenced.service
	grep -q '^EnvironmentFile=-/opt/etc/default/ringfenced' units/ringfenced.service
	grep -q '^ExecStart=/opt/rf/sbin/blkback ' units/ringfence-blkback.service
	run ! grep -rI /usr/local units opt/rf/lib64/pkgconfig
	make_alone uninstall DESTDIR="$WORK/a root" PREFIX=/opt/rf libdir=/opt/rf/lib64 unitdir=/units \
		sysconfdir=/opt/etc
	[ -z "$(find . ! -type d)" ]
}

@test "install: a second installation replaces the first while it runs" {
	install_below "$WORK/root"
	use "$WORK/root/usr/local"
	start_hypervisor
	install_below "$WORK/root"
	run -0 ringfence list
	stop_hypervisor
}

@test "uninstall: leaves what was there before, and nothing else" {
	make_root "$WORK/root"
	echo mine >"$WORK/root/usr/local/bin/mine"
	mkdir -p "$WORK/root/etc/xen/scripts" "$WORK/root/usr/local"/{share/{doc,man/man1,man/man5,man/man8},lib/pkgconfig}
	mkdir -p "$WORK/root/usr/local"/{lib/systemd/system,share/bash-completion/completions}
	listing "$WORK/root" >before
	install_below "$WORK/root"
	make_alone uninstall DESTDIR="$WORK/root"
	listing "$WORK/root" | diff before -
	# Twice is no error.
	make_alone uninstall DESTDIR="$WORK/root"
}

@test "uninstall: configurations stay" {
	install_below "$WORK/root"
	echo 'name = "storage"' >"$WORK/root/etc/ringfence/storage.cfg"
	make_alone uninstall DESTDIR="$WORK/root"
	[ "$(find "$WORK/root" -type f)" = "$WORK/root/etc/ringfence/storage.cfg" ]
}

@test "units: systemd accepts them, and what they start is installed" {
	install_below "$WORK/root"
	local units=$WORK/root/usr/local/lib/systemd/system unit program
	for unit in "$units"/*; do
		for program in $(sed -n 's/^Exec[A-Za-z]*=\([^ ]*\).*/\1/p' "$unit"); do
			[ -x "$WORK/root$program" ]
			sed -i "s|=$program\b|=$WORK/root$program|" "$unit"
		done
	done
	[ "$(ls "$units" | wc -l)" -eq 3 ]
	cp "$units/ringfence-driver@.service" "$units/ringfence-driver@storage.service"
	run -0 env SYSTEMD_UNIT_PATH="$units:/lib/systemd/system" systemd-analyze verify --man=no \
		"$units"/{ringfenced,ringfence-driver@storage,ringfence-blkback}.service
	echo "$output"
	run ! grep -F "$WORK" <<<"$output"
}

# As systemd runs it: the command of a unit, for an instance of it, in the staged root.
unit_command() { # UNIT KEY INSTANCE
	sed -n "s/^$2=//p" "$WORK/root/usr/local/lib/systemd/system/$1" |
		sed -e "s|%i|$3|g" -e "s| /etc/| $WORK/root/etc/|" -e "s|^/|$WORK/root/|"
}

@test "units: the commands of the driver domain's unit start it and end it" {
	install_below "$WORK/root"
	use "$WORK/root/usr/local"
	cat >"$WORK/root/etc/ringfence/storage.cfg" <<-EOF
		kernel = "$WORK/root/usr/local/sbin/blkback"
	EOF
	start_hypervisor
	eval "$(unit_command ringfence-driver@.service ExecStart storage)" 3>&-
	run -0 control domain-list
	matches ' name=storage kind=driver '
	eval "$(unit_command ringfence-driver@.service ExecStop storage)" 3>&-
	run -0 control domain-list
	[[ $output != *name=storage* ]]
	stop_hypervisor
}
