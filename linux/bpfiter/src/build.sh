#!/bin/sh
# Compiles keepers.c to ../keepers.o, which is kept beside the Go code: who builds sexton needs
# no clang. It is clang 14 of Debian 12 (clang-14, llvm-14), which makes the same bytes anywhere.
set -eu
cd "$(dirname "$0")"
sum=$(sha256sum <keepers.c)
clang-14 -target bpf -mcpu=v3 -O2 -g -Wall -DSOURCE="\"${sum%% *}\"" -ffile-prefix-map="$PWD"=. -c keepers.c -o keepers.tmp
llvm-strip-14 -g keepers.tmp
mv keepers.tmp ../keepers.o
