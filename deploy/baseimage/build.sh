#!/bin/sh
# Makes the base image: a minimal Debian root with sexton-init as entrypoint,
# cron and syslog as runit services. bin/baseimage-ARCH.tar is for docker load,
# podman load and ctr images import. Needs root and debootstrap; no registry.
#
# usage: deploy/baseimage/build.sh VERSION
#   SUITE   Debian's release (bookworm)
#   MIRROR  where from (what this machine's apt uses, else deb.debian.org)
set -eu
cd "$(dirname "$0")/../.."
version=$1 suite=${SUITE-bookworm} arch=$(go env GOARCH)
mirror=${MIRROR-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | head -n 1)}
for need in debootstrap unshare; do
	command -v "$need" >/dev/null || { printf '%s\n  try: %s\n' "baseimage: $need is missing" "apt-get install debootstrap util-linux" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { printf '%s\n  try: %s\n' "baseimage: debootstrap needs root" "sudo make baseimage" >&2; exit 1; }

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
root=$dir/root
# debootstrap mounts /proc in the new root: in a mount namespace of its own, nothing of that can stay.
unshare --mount --propagation private debootstrap --variant=minbase --include=runit,cron,busybox \
	"$suite" "$root" "${mirror:-http://deb.debian.org/debian}" >"$dir/log" 2>&1 ||
	{ tail -n 5 "$dir/log" "$root/debootstrap/debootstrap.log" 2>/dev/null >&2; exit 1; }

# What only this build needed, and what nobody reads in a container.
rm -rf "$root"/var/cache/apt "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt \
	"$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/info "$root"/usr/share/locale \
	"$root"/etc/machine-id "$root"/etc/hostname "$root"/etc/resolv.conf
mkdir -p "$root/var/cache/apt/archives/partial"
# The services that packages bring along are for a whole machine.
rm -rf "$root/etc/service" "$root/etc/cron.daily/apt-compat" "$root/etc/cron.daily/dpkg" "$root/etc/cron.d/e2scrub_all"

cp -R deploy/baseimage/root/. "$root/"
mkdir -p "$root/etc/container_environment" "$root/etc/sexton-init/start" "$root/etc/sexton-init/pre-stop" "$root/etc/sexton-init/post-stop"
install -m 0755 bin/sexton-init "$root/sbin/sexton-init"
ln -s sexton-init "$root/sbin/my_init"
tar --sort=name --owner=0 --group=0 --numeric-owner --xattrs -C "$root" -cf "$dir/layer.tar" .
scripts/pack.sh "$dir/layer.tar" "sexton-baseimage:$version" "$arch" "bin/baseimage-$arch.tar" \
	'["/sbin/sexton-init","--runit","--hooks","/etc/sexton-init","--env-dir","/etc/container_environment","--"]'
