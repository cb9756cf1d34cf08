#!/bin/sh
# Makes a Debian package of the container init: bin/sexton-init_VERSION_ARCH.deb.
# It offers itself for the programs that it stands in for, below their priority.
#
# usage: scripts/deb.sh VERSION ARCH
set -eu
version=$(printf %s "$1" | sed 's/^v//; s/[^A-Za-z0-9.+~-]/-/g') arch=$2
case $version in [0-9]*) ;; *) version="0~$version" ;; esac # a package's version begins with a digit
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 0755 "$dir"
install -D -m 0755 "bin/$arch/sexton-init" "$dir/usr/bin/sexton-init"
install -D -m 0644 docs/init.md "$dir/usr/share/doc/sexton-init/init.md"
install -D -m 0644 LICENSE "$dir/usr/share/doc/sexton-init/copyright"
for name in tini docker-init dumb-init catatonit my_init; do
	install -d "$dir/usr/lib/sexton-init"
	ln -s ../../bin/sexton-init "$dir/usr/lib/sexton-init/$name"
done
mkdir "$dir/DEBIAN"
cat >"$dir/DEBIAN/control" <<EOF
Package: sexton-init
Version: $version
Architecture: $arch
Maintainer: The sexton authors <sexton@sexton.dev>
Section: admin
Priority: optional
Homepage: https://sexton.dev
Description: init for containers
 Reaps, forwards signals and lets what is left in a container end in time, in
 the place of tini, dumb-init, catatonit and my_init, whose flags it takes when
 it is called by their names.
EOF
cat >"$dir/DEBIAN/postinst" <<'EOF'
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
for name in tini docker-init dumb-init catatonit my_init; do
	# Where the program itself is installed as a file, that stays.
	[ -e "/usr/bin/$name" ] && [ ! -L "/usr/bin/$name" ] && continue
	update-alternatives --install "/usr/bin/$name" "$name" "/usr/lib/sexton-init/$name" 10
done
EOF
cat >"$dir/DEBIAN/prerm" <<'EOF'
#!/bin/sh
set -e
[ "$1" = remove ] || exit 0
for name in tini docker-init dumb-init catatonit my_init; do
	update-alternatives --remove "$name" "/usr/lib/sexton-init/$name"
done
EOF
chmod 0755 "$dir/DEBIAN/postinst" "$dir/DEBIAN/prerm"
dpkg-deb --root-owner-group -Zxz --build "$dir" "bin/sexton-init_${version}_$arch.deb" >/dev/null
echo "bin/sexton-init_${version}_$arch.deb"
