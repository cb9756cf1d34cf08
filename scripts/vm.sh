#!/bin/sh
# Runs the tests of vm/tests-RELEASE.txt on Debian's kernels of these releases, in an
# emulator: no network, one processor, no KVM. It fails unless each of them was told as
# passed; a skip, or a line that is missing, is a failure.
set -eu
cd "$(dirname "$0")/.."
cache=$PWD/bin/vm
limit=600 # seconds for each guest; 110 on two processors that are not busy
scripts/vm/fetch.sh "$cache"
busybox=$cache/root/bin/busybox
export CGO_ENABLED=0 GOARCH=amd64

# pack makes the guest of a release: the modules that this kernel has not built in, each
# after those that it needs, and the tests.
pack() {
	rm -rf "$guest"
	mkdir -p "$guest/bin" "$guest/dev" "$guest/proc" "$guest/sys" "$guest/tests" "$guest/modules"
	cp "$busybox" "$guest/bin/"
	cp scripts/vm/init "$guest/init"
	md=drivers/md
	for module in drivers/block/loop fs/overlayfs/overlay fs/fuse/fuse \
		lib/libcrc32c $md/dm-mod $md/dm-bufio $md/dm-bio-prison $md/persistent-data/dm-persistent-data $md/dm-thin-pool; do
		file=$(echo "$cache/root/lib/modules/$release".*/kernel/$module.ko*)
		name=${module##*/}
		case $file in
		*.ko) cp "$file" "$guest/modules/" ;;
		*.ko.xz) "$busybox" unxz -c "$file" >"$guest/modules/$name.ko" ;;
		*) continue ;;
		esac
		echo "$name" >>"$guest/modules/order"
	done
	make --no-print-directory --silent build BIN="$guest/bin"
	grep -v '^#' "scripts/vm/tests-$release.txt" >"$guest/tests/list"
	while read -r package _; do
		mkdir -p "$guest/tests/$package"
		go test -c -tags vm -trimpath -ldflags '-s -w' -o "$guest/tests/$package/test" "./$package"
		[ ! -d "$package/testdata" ] || cp -r "$package/testdata" "$guest/tests/$package/"
	done <"$guest/tests/list"
	(cd "$guest" && find . | "$busybox" cpio -o -H newc) >"$cache/initramfs" 2>/dev/null
}

# run boots it, and judges what it told. Without cx16: QEMU 7.2 leaves flags that are none behind
# cmpxchg16b, by which the kernel's allocator ends in a double fault now and then.
run() {
	lib=$cache/root/usr/lib/x86_64-linux-gnu
	LD_LIBRARY_PATH=$lib:$cache/root/lib/x86_64-linux-gnu:$lib/pulseaudio timeout -k 5 "$limit" \
		"$cache/root/usr/bin/qemu-system-x86_64" -L "$cache/root/usr/share/qemu" -L "$cache/root/usr/share/seabios" \
		-accel tcg -cpu max,-cx16 -smp 1 -m 768 -nodefaults -no-reboot -nographic -serial stdio \
		-kernel "$(echo "$cache/root/boot/vmlinuz-$release".*)" -initrd "$cache/initramfs" \
		-append "console=ttyS0 quiet loglevel=1 oops=panic panic=-1 rdinit=/init" \
		</dev/null >"$cache/console" 2>&1 || echo "the emulator ended with $?; 124 is the deadline of $limit s" >>"$cache/console"
	tr -d '\r' <"$cache/console" | awk -v "release=$release" -f scripts/vm/judge.awk "$guest/tests/list" -
}

for release in ${*:-6.1 6.12}; do
	guest=$cache/guest
	pack
	run
done
