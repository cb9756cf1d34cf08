#!/bin/sh
# Times sexton beside today's tools, and writes docs/compare.md: see internal/bench.
# FIND_BUSY_MNT and LEAK_RBD may name the files of two scripts that are not ours.
set -eu
cd "$(dirname "$0")/.."
command -v ps >/dev/null || scripts/install-test-needs.sh
go run ./internal/bench "$@"
SEXTON="$PWD/bin/sexton" SEXTON_COMPARE="$PWD/docs/compare.md" go test -count=1 -timeout 40m -run TestCompare ./internal/bench
cat docs/compare.md
