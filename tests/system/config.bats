#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Configuration files: what `ringfence create -n` understands, and what it says to what it does not.
# No hypervisor runs.

load lib_create

# A valid configuration with these lines at its end; the first of them is line 4.
with() { # LINE...
	{
		printf 'name = "a"\nkernel = "/bin/true"\n# the rest\n'
		printf '%s\n' "$@"
	} >a.cfg
}

understood() { # [SETTING]...
	run -0 --separate-stderr ringfence create -n a.cfg "$@"
	[ -z "$stderr" ]
}

# The only complaint is this one, and nothing is printed.
refused() { # MESSAGE [SETTING]...
	run -1 --separate-stderr ringfence create -n a.cfg "${@:2}"
	[ -z "$output" ]
	[ "$stderr" = "$1" ] && return
	printf 'expected "%s" but got\n%s\n' "$1" "$stderr"
	return 1
}

# ---- what is understood ----

@test "config: what is left out has defaults, and what is printed can be read" {
	with 'extra = "-a \"b c\" '"'d e'"' f\\ g"' 'memory=64' 'vcpus=2' 'cpus="0"' 'on_crash="restart"'
	understood
	[ "$output" = 'name = "a"
type = "process"
kernel = "'"$(realpath /bin/true)"'"
extra = [ "-a", "b c", "d e", "f g" ]
memory = 64
vcpus = 2
cpus = "0"
on_poweroff = "destroy"
on_reboot = "restart"
on_crash = "restart"
shutdown_timeout = 10' ]
	printf '%s\n' "$output" >printed.cfg
	run -0 ringfence create -n printed.cfg
	diff printed.cfg - <<<"$output"
}

@test "config: strings, lists, comments and += are xl's" {
	cat >a.cfg <<-'EOF'
		name="x" # kernel="no comment"
		name='a' ; kernel="/bin/true"
		extra = [ "#no comment", 'a "quoted" text', # a comment with "quotes
			7, 0x10,
			]
		extra += [ "nam = 1" ]
		on_crash = "re"
		on_crash += "start"
	EOF
	understood
	has 'name = "a"'
	has 'extra = [ "#no comment", "a \"quoted\" text", "7", "0x10", "nam = 1" ]'
	has 'on_crash = "restart"'
}

@test "config: settings of the command line come last" {
	with 'memory = 64'
	understood memory=32 'name="b"' 'extra=["x"]'
	has 'name = "b"'
	has 'memory = 32'
	has 'extra = [ "x" ]'
	# As with xl, their place on the line does not matter, and the file may be standard input.
	run -0 ringfence create memory=1 -n - <a.cfg
	has 'memory = 1'
	# A comment at the end of the file takes nothing along.
	printf 'name="a"\nkernel="/bin/true" # end' >a.cfg
	understood memory=2
	has 'memory = 2'
}

@test "config: a driver domain" {
	with 'driver_domain = 1' 'extra = "--cache=1M"'
	understood
	[ "${lines[3]}" = 'extra = [ "--cache=1M" ]' ]
	[ "${lines[4]}" = 'driver_domain = 1' ]
	[ "${#lines[@]}" -eq 5 ]
	with 'memory = 3' 'driver_domain = 1'
	refused "a.cfg:4: memory: not for a driver domain: the hypervisor runs it as its own user, and again when it ends"
}

@test "config: sets of CPUs" {
	with 'cpus = "0-3,^1, 7"'
	understood
	has 'cpus = "0,2-3,7"'
	with 'cpus = "all"'
	understood
	has 'cpus = "all"'
	with 'cpus = "all,^0"'
	run ringfence create -n a.cfg # there may be only one
	for set in '"0-"' '"3-1"' '"x"' '""' '"1024"' '"0,,1"'; do
		with "cpus = $set"
		refused "a.cfg:4: cpus: '${set//\"/}' is no set of CPUs, such as \"0-3,^2\""
	done
	with 'cpus = "1023"'
	refused "a.cfg:4: cpus: none of them can be used here"
}

# ---- disks ----

@test "config: disks in xl's syntax, with weight and limits" {
	touch "disk, 1.img" b.img
	with 'disk = [ "vdev=xvda, backend=d, weight=300, iops=100,iops-burst=200, bps=1M, bps-burst=2M, target=disk, 1.img",' \
		' "b.img,raw,xvdb,r,backend=d", "format=raw,vdev=xvdaa,access=rw,backend=d,target=null:1G", ]'
	understood
	has '	"vdev=xvda,access=rw,format=raw,backend=d,weight=300,iops=100,iops-burst=200,bps=1048576,bps-burst=2097152,target='"$WORK"'/disk, 1.img",'
	has '	"vdev=xvdb,access=ro,format=raw,backend=d,target='"$WORK"'/b.img",'
	has '	"vdev=xvdaa,access=rw,format=raw,backend=d,target=null:1G",'
	printf '%s\n' "$output" >printed.cfg
	run -0 ringfence create -n printed.cfg
	diff printed.cfg - <<<"$output"
}

@test "config: disks that cannot be" {
	touch b.img
	local spec why
	while IFS='|' read -r spec why; do
		with "disk = [ '$spec' ]"
		refused "a.cfg:4: disk: '$spec': $why"
	done <<-'EOF'
		vdev=xvda,backend=d|no target specified (and device not removable) in `vdev=xvda,backend=d'
		backend=d,target=b.img|no vdev specified in `backend=d,target=b.img'
		vdev=xvda,target=b.img|backend=DOMAIN is missing: the driver domain that serves it
		vdev=xvda,backend=d,target=no.img|target no.img: No such file or directory
		vdev=hda,backend=d,target=b.img|vdev=hda is not a whole disk from xvda to xvdzz
		vdev=xvda1,backend=d,target=b.img|vdev=xvda1 is not a whole disk from xvda to xvdzz
		vdev=xvda,format=qcow2,backend=d,target=b.img|format=qcow2 is not supported; 'qemu-img convert -O raw' makes it raw
		vdev=xvda,format=cow,backend=d,target=b.img|unknown value for format: near `cow' in `vdev=xvda,format=cow,backend=d,target=b.img'
		vdev=xvda,access=x,backend=d,target=b.img|unknown value for access: near `x' in `vdev=xvda,access=x,backend=d,target=b.img'
		vdev=xvda,devtype=cdrom,backend=d|devtype=cdrom is not supported; access=r makes a disk read-only
		vdev=xvda,devtype=cdrom,backend=d,target=b.img|devtype=cdrom is not supported; access=r makes a disk read-only
		vdev=xvda,backendtype=phy,backend=d,target=b.img|backendtype= is not supported; the driver domain that backend= names serves it
		vdev=xvda,script=block,backend=d,target=b.img|script= is not supported; the driver domain that backend= names serves it
		vdev=xvda,weight=0,backend=d,target=b.img|weight=0 is not a number from 1 to 65535
		vdev=xvda,weight=65536,backend=d,target=b.img|weight=65536 is not a number from 1 to 65535
		vdev=xvda,iops=x,backend=d,target=b.img|iops=x is not a number from 1 to 4294967295
		vdev=xvda,bps=,backend=d,target=b.img|bps= is not a number from 1 to 9223372036854775807
		vdev=xvda,weight=1,weight=2,backend=d,target=b.img|weight is there twice
	EOF
	with "disk = [ 'vdev=xvda,backend=d,target=b.img', 'vdev=xvda,backend=d,target=null:1M' ]"
	refused "a.cfg:4: disk: 'vdev=xvda,backend=d,target=null:1M': there is a xvda already"
	with "disk = [ $(for ((i = 0; i < 65; i++)); do printf "'x',"; done) ]"
	refused "a.cfg:4: disk: 65 disks are too many, at most 64"
}

# ---- keys ----

@test "config: unknown and misspelt keys, with their lines and a suggestion" {
	with 'memroy = 3'
	refused "a.cfg:4: memroy: unknown key; did you mean 'memory'?"
	with 'extra = [ "memroy = 1", # memroy = 2' '"x" ]' "on_poweroff='memroy = \\' 3'; drver_domain=1"
	run -1 --separate-stderr ringfence create -n a.cfg
	[ "${stderr_lines[0]}" = "a.cfg:6: drver_domain: unknown key; did you mean 'driver_domain'?" ]
	with 'vif = [ "" ]'
	refused "a.cfg:4: vif: unknown key; ringfence.cfg(5) lists those that there are"
	with
	refused "command line: diks: unknown key; did you mean 'disk'?" 'diks=[]'
	with 'vcpu = 1'
	refused "a.cfg:4: vcpu: unknown key; did you mean 'vcpus'?"
	with 'static_shared_memory = []'
	refused "a.cfg:4: static_shared_memory: unknown key; did you mean 'static_shared_mem'?"
	with "$(printf 'x%.0s' {1..200}) = 1"
	run -1 --separate-stderr ringfence create -n a.cfg
	[[ $stderr == *"unknown key"* ]]
}

@test "config: every key is in the manual page, and the other way round" {
	diff <(sed -n '/^static const char \*const known/,/;/p' "$ROOT/src/toolstack/config_keys.c" |
		grep -o '"[a-z_]*"' | tr -d '"' | sort) \
		<(sed -n 's/^\.BI "\([a-z_]*\) = .*/\1/p' "$ROOT/docs/man/ringfence.cfg.5" | sort)
}

# ---- values and syntax ----

@test "config: values that cannot be" {
	local line why
	while IFS='|' read -r line why; do
		with "$line"
		refused "a.cfg:4: $why"
	done <<-'EOF'
		name = "a b"|name: 'a b' is no name for a domain (letters, digits, '.', '_', '-'; the first a letter or digit; not digits alone; at most 63)
		name = "17"|name: '17' is no name for a domain (letters, digits, '.', '_', '-'; the first a letter or digit; not digits alone; at most 63)
		name = ["a"]|name: it takes one value, not a list
		type = "pv"|type: 'pv' is not supported; domains are of type "process"
		kernel = "/no/such"|kernel: cannot run '/no/such': No such file or directory
		kernel = "/"|kernel: cannot run '/': not a program
		kernel = "a.cfg"|kernel: cannot run 'a.cfg': Permission denied
		extra = "a 'b"|extra: a quote in it has no end
		extra = ["a", ["b"]]|extra: item 2 is a list itself; it must be a text
		memory = 0|memory: it takes a number from 1 to 1099511627776
		memory = "1G"|memory: it takes a number from 1 to 1099511627776
		memory = 99999999999999999999|memory: it takes a number from 1 to 1099511627776
		memory = [1]|memory: it takes a number from 1 to 1099511627776
		vcpus = 0|vcpus: it takes a number from 1 to 4096
		shutdown_timeout = 3601|shutdown_timeout: it takes a number from 0 to 3600
		uid = "no-such-user"|uid: there is no user 'no-such-user'
		on_crash = "rename-restart"|on_crash: 'rename-restart' is none of "destroy", "restart" and "preserve"
		disk = "x"|disk: it takes a list: disk = [ "...", "..." ]
		disk = [ ["x"] ]|disk: item 1 is a list itself; it must be a text
		driver_domain = 2|driver_domain: it takes a number from 0 to 1
		static_shm = 1|static_shm: it takes a list: static_shm = [ "...", "..." ]
	EOF
	printf 'kernel = "/bin/true"\n' >a.cfg
	refused "a.cfg: name: it is missing; a domain needs a name"
	printf 'name = "a"\n' >a.cfg
	refused "a.cfg: kernel: it is missing: the program that the domain runs"
}

@test "config: all that is wrong is said at once" {
	with 'memory = 0' 'on_crash = "x"' 'foo = 1'
	run -1 --separate-stderr ringfence create -n a.cfg
	[ "${#stderr_lines[@]}" -eq 3 ]
}

@test "config: bad syntax, with its line" {
	local line
	for line in 'memory' 'memory = ' 'memory = abc' 'name = "a' 'disk = [ "a"' '= 3' 'a = 1,2' 'x = "a" y = 1'; do
		with '' "$line"
		run -1 --separate-stderr ringfence create -n a.cfg
		[ -z "$output" ]
		[[ $stderr == "a.cfg:"[4567]": config parsing error"* ]]
	done
	with
	run -1 --separate-stderr ringfence create -n a.cfg memory=3 name=b
	[ "${stderr_lines[0]}" = "command line: config parsing error near \`b': syntax error, unexpected IDENT, expecting STRING or NUMBER or '['" ]
	[ "${stderr_lines[1]}" = "A text needs quotes of its own, as in a file: 'name=\"b\"'" ]
}

@test "config: files that are none" {
	run -1 ringfence create -n no-such.cfg
	[ "$output" = "no-such.cfg: cannot read the configuration: No such file or directory" ]
	run -1 ringfence create -n .
	[ "$output" = ".: cannot read the configuration: Is a directory" ]
	head -c 100 /dev/zero >zero.cfg
	run -1 ringfence create -n zero.cfg
	[ "$output" = "zero.cfg: cannot read the configuration: it is no text" ]
	{ with; yes '#' | head -c 2000000 >>a.cfg; }
	run -1 ringfence create -n a.cfg
	[ "$output" = "a.cfg: cannot read the configuration: it is larger than 1 MiB" ]
	: >empty.cfg
	run -1 ringfence create -n empty.cfg
	has "name: it is missing"
}

@test "config: arbitrary bytes are refused or understood, in good order" {
	# Every byte alone, in a string and at the end; and cut texts.
	local i byte
	with 'disk = [ "a", # "x' "'b' ]" 'memory += "1"' 'extra = "\"a\" '"'b'"'"'
	cp a.cfg whole.cfg
	for ((i = 1; i < $(stat -c %s whole.cfg); i += 7)); do
		head -c "$i" whole.cfg >a.cfg
		run ringfence create -n a.cfg
		[ "$status" -le 1 ]
	done
	for ((i = 1; i < 256; i += 5)); do
		printf -v byte '\\x%02x' "$i"
		printf "name=\"a\"\nkernel=\"/bin/true\"\nextra=\"$byte\"\n$byte" >a.cfg
		run ringfence create -n a.cfg
		[ "$status" -le 1 ]
	done
}

@test "create: wrong usage" {
	run -2 ringfence create
	has "which configuration file?"
	run -2 ringfence create a.cfg b.cfg
	has "only one file at a time"
	run -2 ringfence create --foo a.cfg
	has "unknown option"
	with
	run -3 ringfence create a.cfg
	has "no hypervisor is running"
}
