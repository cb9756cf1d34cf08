#!/bin/sh
# Runs the tests of vm/tests.txt on Debian's 6.1 kernel, in an emulator: no
# network, one processor, no KVM. It fails unless each of them was told as
# passed; a skip, or a line that is missing, is a failure.
set -eu
cd "$(dirname "$0")/.."
cache=$PWD/bin/vm
limit=600 # seconds for the guest; 110 on two processors that are not busy
scripts/vm/fetch.sh "$cache"
kernel=$(echo "$cache"/root/boot/vmlinuz-6.1.*)
modules=$(echo "$cache"/root/lib/modules/6.1.*)
busybox=$cache/root/bin/busybox

guest=$cache/guest
rm -rf "$guest"
mkdir -p "$guest/bin" "$guest/dev" "$guest/proc" "$guest/sys" "$guest/tests" "$guest/modules"
cp "$busybox" "$guest/bin/"
cp scripts/vm/init "$guest/init"
md=drivers/md
for module in drivers/block/loop fs/overlayfs/overlay fs/fuse/fuse \
	lib/libcrc32c $md/dm-mod $md/dm-bufio $md/dm-bio-prison $md/persistent-data/dm-persistent-data $md/dm-thin-pool; do
	cp "$modules/kernel/$module.ko" "$guest/modules/"
	echo "${module##*/}" >>"$guest/modules/order" # each after those that it needs
done
export CGO_ENABLED=0 GOARCH=amd64
make --no-print-directory --silent build BIN="$guest/bin"
grep -v '^#' scripts/vm/tests.txt >"$guest/tests/list"
while read -r package _; do
	mkdir -p "$guest/tests/$package"
	go test -c -tags vm -trimpath -ldflags '-s -w' -o "$guest/tests/$package/test" "./$package"
	[ ! -d "$package/testdata" ] || cp -r "$package/testdata" "$guest/tests/$package/"
done <"$guest/tests/list"
(cd "$guest" && find . | "$busybox" cpio -o -H newc) >"$cache/initramfs" 2>/dev/null

lib=$cache/root/usr/lib/x86_64-linux-gnu
LD_LIBRARY_PATH=$lib:$cache/root/lib/x86_64-linux-gnu:$lib/pulseaudio timeout -k 5 "$limit" \
	"$cache/root/usr/bin/qemu-system-x86_64" -L "$cache/root/usr/share/qemu" -L "$cache/root/usr/share/seabios" \
	-accel tcg -cpu max -smp 1 -m 512 -nodefaults -no-reboot -nographic -serial stdio \
	-kernel "$kernel" -initrd "$cache/initramfs" -append "console=ttyS0 quiet loglevel=1 oops=panic panic=-1 rdinit=/init" \
	</dev/null >"$cache/console" 2>&1 || echo "the emulator ended with $?; 124 is the deadline of $limit s" >>"$cache/console"
tr -d '\r' <"$cache/console" | awk -f scripts/vm/judge.awk "$guest/tests/list" -
