# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables of the tests, and status
# What the tests of the installation share, on top of lib_domains.bash. They install what was built
# below another root; `use PREFIX` makes the programs there those that lib.bash starts.

load lib_domains

BUILT=${RF_BIN%/bin}

# As a user would: whoever runs the tests may be a make with variables of its own.
make_alone() { # [ARGUMENT]...
	env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u MAKELEVEL make -s -C "$ROOT" O="$BUILT" "$@"
}

# Installs what was built; building again would build it differently.
install_below() { # DESTDIR [VARIABLE=VALUE]...
	make_alone install-only DESTDIR="$@"
}

# The commands and folders of an installation.
use() { # PREFIX
	RF_BIN=$1/bin
	EXERCISE=$1/lib/ringfence/bin
	USERMODE=$1/lib/ringfence/lib/usermode
}

# As lib.bash has them, but for where they are.
service() {
	"$EXERCISE/service" "$@" 3>&-
}

client() {
	"$EXERCISE/client" "$@" 3>&-
}

# A disk is served and read, and what was read is what the image holds; all by installed programs.
serves_a_disk() {
	[ -e disk1.img ] || make_image disk1.img 2
	service start
	client 2 200 >result
	"$EXERCISE/tool_for_integrity" disk1.img sectors.* read.*
	service stop
	rm sectors.* read.*
	eventually nothing_runs
}

# Regular files, links and folders, but for the root itself.
listing() { # ROOT
	(cd "$1" && find . -mindepth 1 -printf '%y %m %p -> %l\n' | sort -k 3)
}

# The folders that are there before anything of ours.
make_root() { # ROOT
	mkdir -p "$1"/usr/local/{bin,sbin,lib,include,share/man} "$1"/etc "$1"/run "$1"/tmp
}

# Runs a shell command where /usr/local is the staged one, as root there; the test's folder is still at its place.
below_root() { # ROOT COMMAND
	local as=(unshare --mount --fork --kill-child)
	[ "$(id -u)" -eq 0 ] || as+=(--map-root-user)
	# shellcheck disable=SC2016 # the inner shell's variables
	"${as[@]}" bash -euc 'mount --bind "$1/usr/local" /usr/local; shift; eval "$1"' \
		bash "$1" "$2" 3>&-
}
