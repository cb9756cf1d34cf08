package errtext

import "strings"

// kernelParts begin the kernel's lines about devices, file systems and its own
// faults, up to the first sign that is no letter.
var kernelParts = map[string]bool{
	"ata": true, "bcache": true, "blk": true, "block": true, "btrfs": true, "bug": true, "ceph": true, "cifs": true, "connection": true, "device": true, "dm": true, "drbd": true, "ext": true, "fat": true, "fuse": true, "general": true, "gfs": true, "iscsi": true, "jbd": true, "kernel": true, "libceph": true, "loop": true, "md": true, "nbd": true, "nfs": true, "nvme": true, "ocfs": true, "overlayfs": true, "rbd": true, "rpc": true, "scsi": true, "sd": true, "session": true, "squashfs": true, "vfs": true, "xfs": true, "zfs": true,
}

// kernelTroubles are what such lines say that are errors without the words that
// other programs have for it.
var kernelTroubles = []string{
	" error", "killing request", "offlined", "timing out", "did not arrive", "rejected", "protection fault", "bug at ", "readdir loop", "must reside", "not supported", "no writable", "offline device", "dead device", "about to withdraw", " invalid ", "declined by",
}

// kernelError tells that a line of the kernel is an error: by a word, or by a
// negative number of one behind it, "returned -22".
func kernelError(low string) bool {
	if !kernelParts[low[:leading(low, isLetter)]] {
		return false
	}
	if i, ok := hasAny(low, kernelTroubles...); ok && !strings.HasPrefix(low[i:], " errors=") {
		return true
	}
	low = strings.TrimRight(low, ".")
	head := low[:len(low)-trailing(low, isDigit)]
	return len(head) < len(low) && (strings.HasSuffix(head, " -") || strings.HasSuffix(head, "=-"))
}
