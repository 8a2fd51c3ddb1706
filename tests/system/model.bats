#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The protocol models: each holds, and each of its broken variants is found.

bats_require_minimum_version 1.5.0

setup() {
	MODELS=$(cd "$BATS_TEST_DIRNAME/../model" && pwd)
	WORK=$(mktemp -d)
	cd "$WORK" || return 1
}

teardown() {
	cd /
	rm -rf "$WORK"
}

# All states of a model, with these definitions; its report in $output.
search() { # MODEL [-DNAME]...
	spin -a "${@:2}" "$MODELS/$1.pml" >spin.out
	"${CC:-cc}" -O1 -w -DSAFETY -DNOREDUCE -o pan pan.c
	run -0 ./pan -m100000
	[[ $output != *"max search depth too small"* ]]
}

holds() {
	search "$@"
	[[ $output == *"errors: 0"* ]] || {
		echo "$output"
		return 1
	}
}

is_found() {
	search "$@"
	[[ $output == *"invalid end state"* || $output == *"assertion violated"* ]] || {
		echo "$output"
		return 1
	}
}

@test "model: a ring's consumer never sleeps on a message" {
	holds notify
}

@test "model: without the producer's fence a message is slept on" {
	is_found notify -DNO_PRODUCER_FENCE
}

@test "model: without the consumer's fence a message is slept on" {
	is_found notify -DNO_CONSUMER_FENCE
}

@test "model: without the second look a message is slept on" {
	is_found notify -DNO_RECHECK
}

@test "model: an event index one too far lets a message be slept on" {
	is_found notify -DSTALE_EVENT
}

@test "model: a consumer that tells by a status word never sleeps on a message" {
	holds status
}

@test "model: status words need both fences, the second look, and the word before that look" {
	for broken in NO_PRODUCER_FENCE NO_CONSUMER_FENCE NO_RECHECK SLEEPING_LATE; do
		is_found status "-D$broken"
	done
}

@test "model: only who sleeps may say that its side runs" {
	is_found status -DOTHER_RUNS
}
