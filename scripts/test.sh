#!/bin/sh
# Runs every test. As root nothing may be skipped: SEXTON_MUST_RUN turns each
# missing need into a failure. The race detector needs cgo, the products do not.
set -eu
cd "$(dirname "$0")/.."
# What is left out all the same, because it cannot be here, is told at the end: internal/hosttest/firstpids.go.
SEXTON_LEFT_OUT=$(mktemp)
export SEXTON_LEFT_OUT
trap 'rm -f "$SEXTON_LEFT_OUT"' EXIT
[ "$(id -u)" != 0 ] || export SEXTON_MUST_RUN="${SEXTON_MUST_RUN-all}"
case $(go env GOARCH) in
amd64 | arm64) entry="-E sexton_entry" ;; # cmd/sexton/entry_linux.go
*) entry="" ;;
esac
[ "$(id -u)" != 0 ] || scripts/bpf.sh check
CGO_ENABLED=0 go build -trimpath -ldflags "./cmd/...=$entry" -o bin/ ./cmd/...
# The end-to-end tests load the base image: there is no network where they run.
[ "$(id -u)" != 0 ] || [ -e "bin/baseimage-$(go env GOARCH).tar" ] || deploy/baseimage/build.sh test
# The race detector makes programs that need a C library; the processes of the
# propagation and harm trials live in roots that have none.
CGO_ENABLED=0 go test -count=1 -timeout 15m ./propagation ./internal/harm
# The end-to-end tests wait more than they work: in three parts they run beside all others.
export CGO_ENABLED=1
silent='^Test(Runtime|LabRuntimes|Stacks)' docker='^Test(Act|OOM|ExecFifo|HealDocker)' parts="" failed=0
for part in "-run=$silent" "-run=$docker" "-skip=$silent|$docker"; do
	go test -race -count=1 -timeout 25m "$part" ./internal/e2e &
	parts="$parts $!"
done
go test -race -count=1 -timeout 25m $(go list ./... | grep -v -e '/propagation$' -e '/internal/harm$' -e '/internal/e2e$') || failed=$?
for part in $parts; do
	wait "$part" || failed=$?
done
[ $failed = 0 ] || exit $failed
scripts/fuzz.sh "${FUZZTIME:-3s}"
if [ -s "$SEXTON_LEFT_OUT" ]; then
	echo "$(wc -l <"$SEXTON_LEFT_OUT") tests were left out: this is not the machine's first PID namespace"
	cat "$SEXTON_LEFT_OUT"
fi
