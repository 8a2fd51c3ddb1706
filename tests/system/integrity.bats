#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# tool_for_integrity judges a client's files; no service is needed.

load lib

# Writes sectors.1 and read.1 for these sectors of disk1.img.
record() {
	local sector
	: >read.1
	: >sectors.1
	for sector; do
		echo "$sector" >>sectors.1
		dd if=disk1.img bs=512 skip="$sector" count=1 2>/dev/null >>read.1
	done
}


@test "integrity: matching records are a success" {
	make_image disk1.img 1
	record 0 2047 7 7 1000
	run -0 integrity disk1.img sectors.1 read.1
	[ "$output" = "5 of 5 records match" ]
}

@test "integrity: a changed byte is found, with its record, sector and place" {
	make_image disk1.img 1
	record 3 4 5
	# The lowest bit of byte 17 of record 2, turned.
	perl -e 'open F, "+<", "read.1"; seek F, 512 + 17, 0; read F, $c, 1; seek F, 512 + 17, 0;
		print F chr(ord($c) ^ 1)'
	run -1 integrity disk1.img sectors.1 read.1
	has "record 2: sector 4 differs from byte 17 on"
	has "2 of 3 records match"
}

@test "integrity: of many mismatches the first ten are listed" {
	make_image disk1.img 1
	record $(seq 0 29)
	head -c $((30 * 512)) /dev/zero >read.1
	run -1 integrity disk1.img sectors.1 read.1
	[ "$(grep -c '^record' <<<"$output")" -eq 10 ]
	has "... and 20 more"
	has "0 of 30 records match"
}

@test "integrity: a sector beyond the image is reported" {
	make_image disk1.img 1
	record 1 2
	echo 2048 >>sectors.1
	head -c 512 /dev/zero >>read.1
	run -1 integrity disk1.img sectors.1 read.1
	has "record 3: sector 2048 is beyond the image, which has 2048"
}

@test "integrity: lines that are no sector numbers are reported, the others still checked" {
	make_image disk1.img 1
	for line in "" "-1" "0x10" " 5" "5 " "99999999999999999999999" "five"; do
		record 1 2 3
		printf '1\n%s\n3\n' "$line" >sectors.1
		run -1 integrity disk1.img sectors.1 read.1
		has "record 2: the line of sectors.1 is not a sector number"
		has "2 of 3 records match"
	done
}

@test "integrity: a last line without newline may lack digits, so it does not count" {
	make_image disk1.img 1
	record 1 12
	printf '1\n12' >sectors.1
	run -1 integrity disk1.img sectors.1 read.1
	has "no newline"
	has "1 of 2 records match"
}

@test "integrity: more contents than sectors are reported" {
	make_image disk1.img 1
	record 1 2 3
	printf '1\n2\n' >sectors.1
	run -1 integrity disk1.img sectors.1 read.1
	has "sectors.1 ends after 2 records, read.1 goes on: 1 have no sector number"
	has "2 of 3 records match"
}

@test "integrity: more sectors than contents are reported" {
	make_image disk1.img 1
	record 1 2 3
	echo 4 >>sectors.1
	run -1 integrity disk1.img sectors.1 read.1
	has "read.1 ends after 3 whole records, sectors.1 goes on: 1 have no contents"
	has "3 of 4 records match"
}

@test "integrity: contents that end inside a record are reported" {
	make_image disk1.img 1
	record 1 2 3
	truncate -s 1124 read.1
	run -1 integrity disk1.img sectors.1 read.1
	has "read.1 ends in the middle of record 3, after 100 bytes"
	has "2 of 3 records match"
}

@test "integrity: no record proves nothing" {
	make_image disk1.img 1
	record
	run -1 integrity disk1.img sectors.1 read.1
	has "nothing is proved"
}

@test "integrity: files that cannot be read are told, with status 2" {
	make_image disk1.img 1
	record 1
	run -2 integrity nope sectors.1 read.1
	has "cannot open nope"
	run -2 integrity disk1.img nope read.1
	has "cannot open nope"
	run -2 integrity disk1.img sectors.1 nope
	has "cannot open nope"
	run -2 integrity / sectors.1 read.1
	run -2 integrity disk1.img / read.1
	has "cannot read /"
}

@test "integrity: wrong usage has status 2" {
	run -2 integrity
	run -2 integrity a b
	run -2 integrity a b c d
	run -2 integrity --nope a b c
	has "unknown option"
}

@test "integrity: memory does not grow with the files" {
	# 400000 records of one sector: 200 MB of contents, sparse where the image is zero.
	head -c 1048576 /dev/zero >disk1.img
	perl -e 'print "5\n" x 400000' >sectors.1
	truncate -s $((400000 * 512)) read.1
	# Sanitizers reserve memory of their own, which the limit would count.
	grep -q '__[at]san_init' "$RF_BIN/tool_for_integrity" || ulimit -d 20000
	run -0 integrity disk1.img sectors.1 read.1
	has "400000 of 400000 records match"
}

@test "integrity: a result that cannot be written is no success" {
	make_image disk1.img 1
	record 1
	run -1 bash -c '"$0" disk1.img sectors.1 read.1 >/dev/full' "$RF_BIN/tool_for_integrity"
}

@test "integrity: help and manual agree" {
	help_agrees_with_man tool_for_integrity
}
