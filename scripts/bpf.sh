#!/bin/sh
# Compiles the BPF programs, of which the objects are kept in the tree, so that a build needs no
# compiler: clang 14 and llvm 14 as in Debian 12. With "check" it compares instead.
set -eu
cd "$(dirname "$0")/.."
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
for source in linux/*/src/*.c linux/mounts/*/src/*.c; do
	[ -e "$source" ] || continue
	object=$(dirname "$(dirname "$source")")/$(basename "$source" .c).o
	clang-14 -target bpf -mcpu=v3 -O2 -g -Wall -Werror -ffile-prefix-map="$PWD"=. -c "$source" -o "$new/object"
	llvm-strip-14 -g "$new/object"
	if [ "${1-}" = check ]; then
		cmp "$new/object" "$object"
	else
		cp "$new/object" "$object"
	fi
done
