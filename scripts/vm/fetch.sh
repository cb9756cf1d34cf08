#!/bin/sh
# Fetches an old kernel, an emulator and a static busybox into the folder $1.
#
# The packages come by apt and are unpacked there, not installed. What the
# emulator needs of libraries comes with it unless this system has it.
set -eu
cache=$1
[ ! -e "$cache/ready" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(dpkg --print-architecture)" != amd64 ]; then
	echo "the old kernel is Debian's for amd64; try: run this on Debian 12, amd64" >&2
	exit 1
fi
kernel() { apt-cache pkgnames linux-image-6.1. | grep -E '^linux-image-6\.1\.[0-9]+-[0-9]+-cloud-amd64$' | sort -V | tail -n 1; }
if [ -z "$(kernel)" ] || [ -z "$(apt-cache pkgnames qemu-system-x86)" ]; then
	apt-get update -qq
fi
image=$(kernel)
if [ -z "$image" ]; then
	echo "apt knows no linux-image-6.1.*-cloud-amd64; try: add Debian 12's archive to apt's sources" >&2
	exit 1
fi
rm -rf "$cache"
mkdir -p "$cache/debs/partial" "$cache/root"
quiet="-qq -o Debug::NoLocking=1 -o APT::Sandbox::User=root"
# shellcheck disable=SC2086 # options
apt-get install $quiet -y --download-only --no-install-recommends -o "Dir::Cache::archives=$cache/debs" qemu-system-x86 >/dev/null
# shellcheck disable=SC2086 # options
# A package that is installed already is not downloaded by install.
(cd "$cache/debs" && apt-get download $quiet "$image" busybox-static qemu-system-x86 qemu-system-data seabios)
for deb in "$cache"/debs/*.deb; do
	dpkg -x "$deb" "$cache/root"
done
rm -rf "$cache/debs"
# The emulator runs from here and needs no more of a kernel than this.
echo "$image" >"$cache/ready"
