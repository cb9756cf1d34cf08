#!/bin/sh
# Makes bin/PROGRAM-ARCH.tar, a container image FROM scratch: static binaries alone.
#
# usage: scripts/image.sh VERSION ARCH PROGRAM [PROGRAM...]: the first is the entrypoint
set -eu
version=$1 arch=$2 program=$3
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=0755 -C "bin/$arch" -cf "$dir/layer.tar" "$@"
case $program in
sexton-init) entry="[\"/$program\",\"--\"]" ;;
*) entry="[\"/$program\"]" ;;
esac
"$(dirname "$0")/pack.sh" "$dir/layer.tar" "$program:$version" "$arch" "bin/$program-$arch.tar" "$entry"
