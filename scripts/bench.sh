#!/bin/sh
# Times sexton beside today's tools: see internal/bench.
set -eu
cd "$(dirname "$0")/.."
command -v ps >/dev/null || scripts/install-test-needs.sh
go run ./internal/bench "$@"
