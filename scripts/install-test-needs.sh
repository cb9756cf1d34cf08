#!/bin/sh
# Installs what the tests need of a Debian machine: runtimes for the private
# daemons, the tools that sexton is compared with, C compilers for the race
# detector and for BPF. What is there already is left as it is; no service is started.
set -eu
need="docker.io containerd runc podman debootstrap tini dumb-init catatonit busybox-static python3-minimal procps psmisc lsof iproute2 util-linux e2fsprogs systemd qemu-user-static clang-14 llvm-14 gcc libc6-dev ca-certificates"
missing=""
for p in $need; do
	dpkg -s "$p" >/dev/null 2>&1 || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
	echo "these tests need:$missing; try: install them with this system's package manager" >&2
	exit 1
fi
# A package's own service must not start beside the tests' private daemons.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 0755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing >/dev/null
