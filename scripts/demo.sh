#!/bin/sh
# make demo: makes faults for real in throw-away namespaces, finds, explains and
# heals them, and takes them down. Needs root; changes nothing else on the machine.
set -eu
cd "$(dirname "$0")/.."
sexton=bin/sexton
if [ "$(id -u)" != 0 ]; then
	echo "make demo makes PID and mount namespaces: run it as root" >&2
	exit 1
fi
journal=$(mktemp -u /tmp/sexton-demo.XXXXXX).jsonl
down() { $sexton lab down >/dev/null 2>&1 || :; rm -f "$journal"; }
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

say '1. Three faults, for real: a PID 1 that never waits, a leaked mount, and a process stuck behind a dead FUSE server'
faults="zombies mount-private-root"
[ ! -e /dev/fuse ] || faults="$faults stuck-reader"
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
say '5. What would end the first two? The plan; nothing is done yet'
layer=$($sexton lab status -o jsonl | grep '"name":"mount-private-root"' | grep -o '/var/lib/docker/overlay2/[0-9a-f]*/merged' | head -n 1)
run 0 heal "$pid" "$layer"
say '6. Carry it out: the orphans are young, so to reap them is called disruptive'
nested= # where the demo runs in a container without --pid=host
[ "$(readlink /proc/self/ns/pid)" = 'pid:[4026531836]' ] || nested=--nested
run 0 heal "$pid" "$layer" --apply $nested --yes --max-risk disruptive --journal "$journal"
run 0 journal --journal "$journal"
say '7. Take down what is left, look again'
run 0 lab down
code=0
$sexton scan || code=$?
case $code in 0 | 3) ;; 4) [ -n "$nested" ] ;; *) exit 1 ;; esac # who is outside cannot be told
