#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The scripts that a document shows do what it says.

load lib_domains

# Runs the script that follows "<!-- tested: NAME -->", and compares with the text block after it.
document_script() { # DOCUMENT NAME
	awk -v mark="<!-- tested: $2 -->" '
		$0 == mark { nr = 1; next }
		nr && /^```/ { inside = !inside; if (!inside && ++nr == 3) exit; next }
		nr && inside { print > (nr == 1 ? "script" : "expected") }' "$1"
	[ -s script ] && [ -s expected ]
	mkdir -p build
	ln -s "$EXAMPLES" build/examples
	# mktemp makes the runtime directory where the test looks for leftovers.
	TMPDIR=$WORK PATH="$RF_BIN:$PATH" timeout $((2 * BOUND)) bash -u script >printed 2>&1 </dev/null 3>&-
	diff expected printed
	nothing_runs_there() { [ -z "$(pids_of ringfenced)" ]; }
	eventually nothing_runs_there
}

@test "documents: the xenstore session of running-xen-programs.md" {
	document_script "$ROOT/docs/running-xen-programs.md" xenstore
}

@test "documents: the vchan example of running-xen-programs.md" {
	document_script "$ROOT/docs/running-xen-programs.md" vchan
}
