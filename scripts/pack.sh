#!/bin/sh
# Makes a container image of one layer without a daemon, for docker load, podman
# load and ctr images import.
#
# usage: scripts/pack.sh LAYER.tar NAME:TAG ARCH OUT.tar ENTRYPOINT: a JSON array
#
# Source: https://github.com/moby/moby/blob/v28.5.2/image/spec/spec.md, "Combined Image JSON + Filesystem Changeset Format".
set -eu
layer=$1 name=$2 arch=$3 out=$4 entry=$5
pack=$(mktemp -d)
trap 'rm -rf "$pack"' EXIT
digest=$(sha256sum "$layer" | cut -d' ' -f1)
ln "$layer" "$pack/layer.tar" 2>/dev/null || cp "$layer" "$pack/layer.tar"
printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Entrypoint":%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"1970-01-01T00:00:00Z"}]}' \
	"$arch" "$entry" "$digest" >"$pack/config.json"
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$name" >"$pack/manifest.json"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$pack" -cf "$out" manifest.json config.json layer.tar
echo "$out: $name"
