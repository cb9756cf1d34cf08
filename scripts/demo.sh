#!/bin/sh
# make demo: makes faults for real in throw-away namespaces, finds and explains
# them, and takes them down. Needs root; changes nothing else on the machine.
set -eu
cd "$(dirname "$0")/.."
sexton=bin/sexton
if [ "$(id -u)" != 0 ]; then
	echo "make demo makes PID and mount namespaces: run it as root" >&2
	exit 1
fi
down() { $sexton lab down >/dev/null 2>&1 || :; }
trap down EXIT
trap 'exit 1' INT TERM
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { # run WANTED-EXIT-CODE COMMAND...
	want=$1; shift
	printf '$ %s\n' "sexton $*"
	code=0
	$sexton "$@" || code=$?
	[ "$code" = "$want" ] || { echo "demo: sexton $1 ended with $code, expected $want" >&2; exit 1; }
}

say '1. Two faults, for real: a PID 1 that never waits, and a process stuck behind a dead FUSE server'
faults=zombies
[ ! -e /dev/fuse ] || faults="zombies stuck-reader"
# shellcheck disable=SC2086 # a list of words
run 0 lab up $faults --for 3m --on-this-host
say '2. What is wrong on this host?'
run 3 scan
say '3. Why does this one not reap?'
pid=$($sexton lab status -o jsonl | grep '"name":"zombies"' | grep -o '"pid":[0-9]*' | head -n 1 | cut -d: -f2)
run 3 why "$pid"
say '4. The same from a recording, as on another machine'
file=$(mktemp -u /tmp/sexton-demo.XXXXXX).tar.zst
run 0 record "$file"
run 3 why "$pid" --from "$file"
rm -f "$file"
say '5. Take the faults down, look again'
run 0 lab down
code=0
$sexton scan || code=$?
case $code in 0 | 3) ;; *) exit 1 ;; esac
