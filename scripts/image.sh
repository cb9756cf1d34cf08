#!/bin/sh
# Makes container images without a daemon: bin/PROGRAM-ARCH.tar, for docker load,
# podman load and ctr images import. Each is FROM scratch: static binaries alone.
#
# usage: scripts/image.sh VERSION ARCH PROGRAM [PROGRAM...]: the first is the entrypoint
#
# Source: https://github.com/moby/moby/blob/v28.5.2/image/spec/spec.md, "Combined Image JSON + Filesystem Changeset Format".
set -eu
version=$1 arch=$2 program=$3
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp -- $(printf "bin/$arch/%s " "$@") "$dir/"
pack="tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C $dir -cf"
$pack "$dir/layer.tar" "$@"
layer=$(sha256sum "$dir/layer.tar" | cut -d' ' -f1)
case $program in
sexton-init) entry="[\"/$program\",\"--\"]" ;;
*) entry="[\"/$program\"]" ;;
esac
printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":{"Entrypoint":%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"1970-01-01T00:00:00Z"}]}' \
	"$arch" "$entry" "$layer" >"$dir/config.json"
printf '[{"Config":"config.json","RepoTags":["%s:%s"],"Layers":["layer.tar"]}]' "$program" "$version" >"$dir/manifest.json"
$pack "bin/$program-$arch.tar" manifest.json config.json layer.tar
echo "bin/$program-$arch.tar: $program:$version"
