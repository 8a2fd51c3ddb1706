#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The user-mode libxengnttab and libxenevtchn: their binary interface, grants, event channels.

load lib_hypervisor

# ---- drop-in: the same names, the same versions ----

# Exported functions with their version, and the version nodes themselves.
interface_of() { # LIBRARY
	objdump -T "$1" | awk '/g +DF \.text/ { print $NF, $(NF - 1) }
		/g +DO \*ABS\*/ { print $NF, "node" }' | tr -d '()' | sort
}

same_interface() { # NAME
	local system
	system=$(ldconfig -p | awk -v name="$1" '$1 == name { print $NF; exit }')
	[ -n "$system" ]
	interface_of "$system" >stock
	interface_of "$USERMODE_LIBS/$1" >ours
	[ "$(wc -l <stock)" -gt 10 ]
	diff stock ours
	[ "$(objdump -p "$USERMODE_LIBS/$1" | awk '$1 == "SONAME" { print $2 }')" = "$1" ]
}

@test "xenlibs: libxengnttab exports what the system's does, with the same versions" {
	same_interface libxengnttab.so.1
}

@test "xenlibs: libxenevtchn exports what the system's does, with the same versions" {
	same_interface libxenevtchn.so.1
}

@test "xenlibs: a program loads them instead of the system's without being rebuilt" {
	run -0 env LD_LIBRARY_PATH="$USERMODE_LIBS" ldd "$RF_BIN/blkback"
	has "$(realpath "$USERMODE_LIBS")/libxengnttab.so.1" ||
		has "$USERMODE_LIBS/libxengnttab.so.1"
	run ! grep -E 'not found|no version information' <<<"$output"
}

# ---- grants ----

@test "grants: shared pages are the same memory on both sides" {
	scenario domain_grants shared-both-ways
}

@test "grants: ending a grant forbids new maps, and later pages are other memory" {
	scenario domain_grants unshared-while-mapped
}

@test "grants: a read-only grant is enforced by the kernel" {
	scenario domain_grants read-only-is-enforced
}

@test "grants: seals keep a peer from resizing or sealing what is shared" {
	scenario domain_grants seals-are-present
}

@test "grants: a read-only share that its owner did not seal cannot be mapped" {
	scenario domain_grants unready-is-not-mappable
}

@test "grants: wrong domains, references and ranges have their own errors" {
	scenario domain_grants wrong-references
}

@test "XSA-414: grants of and to a dead domain are nobody's" {
	scenario domain_grants dead-domain
}

@test "grants: thousands of shares at a time" {
	scenario domain_grants many-shares
}

@test "grants: limits per domain hold, and are given back" {
	scenario domain_grants limits-hold --max-grants=64 --max-maps=32 --max-ports=8 \
		--max-connections=16
}

@test "grants: parts are unmapped and unshared, and nothing else moves in" {
	scenario domain_grants partial-unmap-and-unshare
}

@test "grants: one mapping of references from several shares and domains" {
	scenario domain_grants scattered
}

@test "XSA-365, XSA-371: whichever map of a batch fails, nothing stays mapped" {
	scenario domain_grants failed-maps-leave-nothing
}

@test "grants: copies report a status for each segment" {
	scenario domain_grants copies
}

@test "grants: copies of many pages, together where they can be mapped so" {
	scenario domain_grants copies-of-many-pages
}

@test "grants: handles of one domain are separate" {
	scenario domain_grants handles-are-separate
}

@test "grants: a forked child can only close, and does not keep its parent's handle open" {
	scenario domain_grants forked-child
}

@test "grants: dma-bufs are refused" {
	scenario domain_grants without-dmabufs
}

@test "xenlibs: outside of a domain a handle cannot be opened" {
	scenario domain_grants no-domain
}

# ---- event channels, by both kinds of ports ----

events() { # SCENARIO
	scenario domain_events "$1" --event-channels=eventfd
	scenario domain_events "$1" --event-channels=seqpacket
}

@test "events: both ways" {
	events both-ways
}

@test "events: an interdomain port starts out pending, an unbound one does not" {
	events interdomain-starts-pending
}

@test "events: a port is masked from pending until unmask, and nothing is lost meanwhile" {
	events masked-until-unmask
}

@test "events: events that nobody takes coalesce" {
	events events-coalesce
}

@test "events: pending does not block if the descriptor does not" {
	events pending-does-not-block-if-told
}

@test "events: masked ports where the descriptor does not block" {
	events masked-without-blocking
	events masked-beside-another
}

@test "events: a descriptor that blocks, does not, and does again" {
	events blocking-changes
}

@test "events: a hundred ports on one handle" {
	events many-ports
}

@test "events: ports of others, of nobody and for others cannot be bound or used" {
	events wrong-ports
}

@test "events: a domain can bind to itself" {
	events to-itself
}

@test "events: notifying an unbound port is silently dropped" {
	events unbound-notify-is-dropped
}

@test "events: restrict leaves one domain to bind with" {
	events restricted
}

@test "events: a port whose peer was killed is bound again, and starts out pending" {
	events rebind-after-kill
}

@test "XSA-414: a port that waits for a dead domain is not for its successor" {
	events rebind-is-for-the-same-domain
}

@test "events: a hostile peer cannot make our notify, our handle or the hypervisor block" {
	events hostile-peer
}

@test "XSA-332, XSA-391: a storm of events does not keep a neighbour's away" {
	events storm-beside-a-neighbour
}

@test "events: unmap notification when the page is unmapped" {
	events notify-on-unmap
}

@test "events: unmap notification when the handle is closed" {
	events notify-on-close
}

@test "events: unmap notification when the process exits" {
	events notify-on-exit
}

@test "events: unmap notification when the process is killed" {
	events notify-on-kill
}

@test "events: unmap notification although the event channel handle closed first" {
	events notify-after-the-events-handle
}

@test "events: unmap notifications that cannot be delivered are refused" {
	events notify-arguments
}

@test "XSA-365, XSA-371: a killed domain's grants, maps and ports are all given back" {
	events killed-domain-holds-nothing
}

@test "events: when the hypervisor is gone handles say so, and shared pages stay" {
	for kind in eventfd seqpacket; do
		start_hypervisor --event-channels=$kind
		"$RF_TEST/hostile/domain_events" hypervisor-gone 3>&-
	done
}
