#!/bin/sh
# Fetches two older kernels, an emulator and a static busybox into the folder $1.
#
# The packages come by apt and are unpacked there, not installed. What the
# emulator needs of libraries comes with it unless this system has it.
set -eu
cache=$1
[ ! -e "$cache/ready" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(dpkg --print-architecture)" != amd64 ]; then
	echo "the older kernels are Debian's for amd64; try: run this on Debian 12, amd64" >&2
	exit 1
fi
options="-qq -o Debug::NoLocking=1 -o APT::Sandbox::User=root"
kernel() { # of release $1, by apt with the options that follow
	release=$1
	shift
	apt-cache "$@" pkgnames "linux-image-$release." | grep -E "^linux-image-$release\.[0-9]+[-+a-z0-9]*-cloud-amd64\$" | sort -V | tail -n 1
}
if [ -z "$(kernel 6.1)" ] || [ -z "$(apt-cache pkgnames qemu-system-x86)" ]; then
	apt-get update -qq
fi
image=$(kernel 6.1)
if [ -z "$image" ]; then
	echo "apt knows no linux-image-6.1.*-cloud-amd64; try: add Debian 12's archive to apt's sources" >&2
	exit 1
fi
rm -rf "$cache"
mkdir -p "$cache/debs/partial" "$cache/root" "$cache/later/lists/partial" "$cache/later/archives/partial"

# Linux 6.12 is in the backports of the same archive, which apt is asked for beside its own sources.
site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site bookworm-backports main" >"$cache/later/sources.list"
later="-o Dir::Etc::SourceList=$cache/later/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$cache/later/lists -o Dir::Cache=$cache/later"
# shellcheck disable=SC2086 # options, here and below
apt-get $options $later update
# shellcheck disable=SC2086
second=$(kernel 6.12 $later)
if [ -z "$second" ]; then
	echo "the backports of $site have no linux-image-6.12.*-cloud-amd64" >&2
	exit 1
fi

# shellcheck disable=SC2086
apt-get install $options -y --download-only --no-install-recommends -o "Dir::Cache::archives=$cache/debs" qemu-system-x86 >/dev/null
# A package that is installed already is not downloaded by install.
# shellcheck disable=SC2086
(cd "$cache/debs" &&
	apt-get download $options "$image" busybox-static qemu-system-x86 qemu-system-data seabios &&
	apt-get download $options $later "$second")
for deb in "$cache"/debs/*.deb; do
	dpkg -x "$deb" "$cache/root"
done
rm -rf "$cache/debs" "$cache/later"
# The emulator runs from here and needs no more of the kernels than this.
echo "$image $second" >"$cache/ready"
