#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The source itself: both compilers, static analysis, headers, documents.

load lib_source

setup() {
	root=${RF_ROOT:-$PWD}
	cd "$root"
	tmp=$(mktemp -d)
}

teardown() {
	rm -rf "$tmp"
}

@test "clang builds everything without a warning" {
	run make -s -j2 CC=clang O="$tmp" CFLAGS=-O0 all bench-programs
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "cppcheck is quiet" {
	run cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
		--error-exitcode=1 --suppress=missingIncludeSystem -D_GNU_SOURCE -D__x86_64__ \
		-DRINGFENCE_VERSION='"0"' -Isrc -Iinclude src bench
	echo "$output"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "every public header compiles alone, as C and as C++" {
	for header in include/ringfence/*.h; do
		clang -std=c11 -Wall -Wextra -Werror -fsyntax-only -Iinclude -x c "$header"
		clang -std=c++14 -Wall -Wextra -Werror -fsyntax-only -Iinclude -x c++ "$header"
	done
}

@test "every source file names its licence" {
	missing=$(find src include bench tests run -type f \
		\( -name '*.[ch]' -o -name '*.bats' -o -name '*.bash' -o -name '*.sh' -o -name run -o -name run-one \) \
		-exec grep -L 'SPDX-License-Identifier: MIT' {} +)
	echo "$missing"
	[ -z "$missing" ]
}

@test "every relative link in the documents leads somewhere" {
	broken=$(broken_links README.md HACKING.md docs)
	echo "$broken"
	[ -z "$broken" ]
}

@test "every package that packages.txt names has a kind and a reason" {
	awk '!/^#/ && NF && (NF < 3 || $2 !~ /^(build|run|test|bench|lab)$/) { print; bad = 1 }
		END { exit bad }' packages.txt
}

@test "the user-mode libraries are found by what links to them, blkback's are the system's" {
	readelf -d "${RF_BIN:-bin}/client" | grep -q 'RUNPATH.*\$ORIGIN/../lib/usermode'
	run readelf -d "${RF_BIN:-bin}/blkback"
	[[ $output != *RUNPATH* ]]
}
